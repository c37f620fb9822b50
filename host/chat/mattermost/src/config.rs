//! `[bot.NAME.mattermost]`: which server, whose token, which channels, and whose direct messages.
//!
//! Architecture Invariant: reading connects to nothing and opens no secret.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use wardroom::{
    config::{BotIdentity, Located, Table},
    port::SecretRef,
};
use wardroom_account::folder::folder_name;

use crate::direct::Direct;

/// One account.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The bot's name in `plugins.toml`.
    pub(crate) bot: String,
    /// The site; everything else is below it.
    pub(crate) url: Url,
    /// The token of the bot account.
    pub(crate) token: SecretRef,
    /// The channels whose messages are handled.
    pub(crate) rooms: Vec<RoomName>,
    /// Whose direct messages are handled.
    pub(crate) direct: Direct,
    /// Certificates to trust besides the system's, as PEM.
    pub(crate) ca: Option<PathBuf>,
    /// The folder of what this account keeps.
    pub(crate) folder: PathBuf,
    /// How often the connection is asked whether it still lives.
    pub(crate) beat: Duration,
}

/// What the configuration calls a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RoomName {
    /// By the names that stand in its address in the browser.
    Path {
        /// The team.
        team: String,
        /// The channel.
        channel: String,
    },
    /// By its id, which outlives a new name.
    Id(String),
}

impl RoomName {
    /// Reads `team/channel` or an id; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if is_id(text) {
            return Some(Self::Id(text.to_owned()));
        }
        let (team, channel) = text.split_once('/')?;
        let named = |name: &str| {
            let letter =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
            !name.is_empty() && name.bytes().all(letter)
        };
        (named(team) && named(channel)).then(|| Self::Path { team: team.to_owned(), channel: channel.to_owned() })
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { team, channel } => write!(f, "{team}/{channel}"),
            Self::Id(id) => f.write_str(id),
        }
    }
}

/// Whether a text has the shape of Mattermost's ids: 26 letters and digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

impl Config {
    /// Reads every key; `None` where there were problems, which are in the table's list then.
    pub(crate) fn read(bot: &BotIdentity, table: &mut Table, state: &Path, beat: Duration) -> Option<Self> {
        let before = table.problems().count();
        let url = read_url(table);
        let token = read_token(bot, table);
        let rooms = read_rooms(table);
        let direct = Direct::read(table);
        let ca = table.string("ca").map(|path| table.folder().join(path.value));
        let folder = state.join("mattermost").join(folder_name(&bot.name));
        let config = Self { bot: bot.name.clone(), url: url?, token: token?, rooms, direct, ca, folder, beat };
        (table.problems().count() == before).then_some(config)
    }
}

fn read_url(table: &mut Table) -> Option<Url> {
    let example = "\"https://chat.example.org\"";
    let text = table.required_string("url", example)?;
    let why = match Url::parse(&text.value) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => "is no http or https URL",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "holds a user or a password, and the account is known by its `token`"
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => "goes on behind the path",
        Ok(url) if url.path().contains("/api/v4") => "goes into the API, and must be the site's own",
        Ok(url) => return Some(url),
        Err(_) => "is no URL",
    };
    // Not repeated: it may hold a password.
    let message = format!("`{}.url` {why}", table.path());
    table.problem(&text.at, message, format!("url = {example}"));
    None
}

fn read_token(bot: &BotIdentity, table: &mut Table) -> Option<SecretRef> {
    if !table.has("token") {
        let name: String = bot
            .name
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' })
            .collect();
        table.missing("token", &format!("{{ env = \"{name}_TOKEN\" }}"));
        return None;
    }
    table.secret("token").map(|token| token.value)
}

fn read_rooms(table: &mut Table) -> Vec<RoomName> {
    let mut rooms = Vec::new();
    for text in table.strings("rooms").map(|list| list.value).unwrap_or_default() {
        match RoomName::parse(&text.value) {
            Some(room) if !rooms.contains(&room) => rooms.push(room),
            Some(_) => {
                let message = format!("`{}.rooms` names `{}` twice", table.path(), text.value);
                table.problem(&text.at, message, "leave out one of them".to_owned());
            }
            None => no_room(table, &text),
        }
    }
    rooms
}

fn no_room(table: &mut Table, text: &Located<String>) {
    let lower = text.value.to_lowercase();
    let parts: Vec<&str> = lower.split('/').map(|part| part.trim_start_matches(['~', '#', '@', ' ']).trim()).collect();
    let guess = match parts.as_slice() {
        [team, channel] => format!("{team}/{channel}"),
        // Out of the browser's address: https://chat.example.org/team/channels/channel
        [.., team, "channels", channel] => format!("{team}/{channel}"),
        [channel] => format!("team/{channel}"),
        _ => String::new(),
    };
    let guess = if RoomName::parse(&guess).is_some() { guess } else { "team/channel".to_owned() };
    let message =
        format!("`{}.rooms` names `{}`, which is neither team/channel nor a channel's id", table.path(), text.value);
    table.problem(&text.at, message, format!("rooms = [\"{guess}\"]"));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wardroom::config::{Problems, parse};

    use super::*;

    const ID: &str = "abcdefghijklmnopqrstuvwxy1";

    fn read(text: &str) -> (Option<Config>, Vec<String>) {
        let problems = Problems::default();
        let node = parse(Path::new("plugins.toml"), text, &problems);
        let mut table = Table::new("bot.marvin.mattermost", node, &problems, Arc::new(PathBuf::from("/etc/wardroom")));
        let bot = BotIdentity { name: "marvin".into(), prefix: "!".into() };
        let config = Config::read(&bot, &mut table, Path::new("/var/state"), Duration::from_secs(30));
        table.finish();
        (config, problems.sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_whole_table() {
        let (config, problems) = read(&format!(
            "url = \"https://example.org/chat/\"\ntoken = {{ env = \"T\" }}\nrooms = [\"team/ops\", \"{ID}\"]\nca = \"ca.pem\"\n"
        ));
        assert!(problems.is_empty(), "{problems:?}");
        let config = config.expect("no problems");
        assert_eq!(config.rooms[0], RoomName::Path { team: "team".into(), channel: "ops".into() });
        assert_eq!(config.rooms[1], RoomName::Id(ID.into()));
        assert_eq!(config.direct, Direct::Members, "where nothing is said");
        assert_eq!(config.folder, Path::new("/var/state/mattermost/marvin"));
        assert_eq!(config.ca.as_deref(), Some(Path::new("/etc/wardroom/ca.pem")));
        assert!(matches!(config.token, SecretRef::Env(name) if name == "T"));
    }

    #[test]
    fn every_problem_at_once_with_its_line_and_what_to_write() {
        let (config, problems) = read(
            "url = \"chat.example.org\"\nrooms = [\n  \"~Ops\",\n  \"a/b\",\n  \"a/b\",\n  \"https://x/eng/channels/deploys\",\n]\n\
             token = \"abc_secret\"\nroom = \"x\"\n",
        );
        assert!(config.is_none());
        let all = problems.join("\n");
        for wanted in [
            "plugins.toml:1: `bot.marvin.mattermost.url` is no",
            "write: url = \"https://chat.example.org\"",
            "plugins.toml:3: `bot.marvin.mattermost.rooms` names `~Ops`",
            "write: rooms = [\"team/ops\"]",
            "plugins.toml:5: `bot.marvin.mattermost.rooms` names `a/b` twice",
            "write: rooms = [\"eng/deploys\"]",
            "plugins.toml:8: `bot.marvin.mattermost.token` must say where the secret is kept",
            "plugins.toml:9: [bot.marvin.mattermost] takes no key `room`",
        ] {
            assert!(all.contains(wanted), "{wanted}\n--- is not in\n{all}");
        }
        assert!(!all.contains("abc_secret"), "{all}");
    }

    #[test]
    fn whose_direct_messages_are_handled_is_one_of_three_words() {
        let head = "url = \"https://x\"\ntoken = { env = \"T\" }\n";
        for (word, meant) in
            [("members", Direct::Members), ("everybody", Direct::Everybody), ("nobody", Direct::Nobody)]
        {
            let (config, problems) = read(&format!("{head}direct = \"{word}\"\n"));
            assert_eq!(config.map(|config| config.direct), Some(meant), "{problems:?}");
        }
        for (value, wanted) in [
            ("\"everyone\"", "plugins.toml:3: `bot.marvin.mattermost.direct` is `everyone`, and must be `members`"),
            ("true", "plugins.toml:3: `bot.marvin.mattermost.direct` is true or false, and must be"),
        ] {
            let (config, problems) = read(&format!("{head}direct = {value}\n"));
            let all = problems.join("\n");
            assert!(config.is_none() && all.contains(wanted), "{all}");
        }
        let (_, problems) = read(&format!("{head}direct = \"all\"\n"));
        assert!(problems.join("\n").contains("write: direct = \"members\""), "{problems:?}");
    }

    #[test]
    fn a_token_and_a_url_are_needed() {
        let (config, problems) = read("");
        assert!(config.is_none());
        let all = problems.join("\n");
        assert!(all.contains("token = { env = \"MARVIN_TOKEN\" }") && all.contains("url = \"https://"), "{all}");
    }

    #[test]
    fn a_url_with_a_password_or_into_the_api_is_refused_without_repeating_it() {
        for url in ["https://a:hunter2@x", "https://x/?token=hunter2", "https://x/hunter2/api/v4"] {
            let (_, problems) = read(&format!("url = \"{url}\"\ntoken = {{ env = \"T\" }}\n"));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
    }
}
