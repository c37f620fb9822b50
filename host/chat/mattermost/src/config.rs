//! Reads the configuration table `[bot.NAME.mattermost]`: the server, the token, the channels and the policy for direct
//! messages.
//!
//! Invariant: reading the table opens no connection and resolves no secret.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use wardroom::{
    base::{Key, SecretRef, Table, TableKeys},
    model::BotIdentity,
};
use wardroom_account::{folder::folder_name, read_rooms, read_server_url};

use crate::direct_messages::DirectMessagePolicy;

pub(crate) static KEYS: TableKeys = TableKeys {
    path: "bot.NAME.mattermost",
    about: "The bot's account on Mattermost. The table requires a host that is built with the feature `mattermost`.",
    keys: &[
        Key::string("url", "The URL of the Mattermost site, http or https, with the site's path if it has one.")
            .required(),
        Key::secret("token", "The access token of the bot account.").required(),
        Key::strings(
            "rooms",
            "The channels that the bot serves, as `team/channel` or as ids. It also serves channels to which an admin \
             adds it.",
        ),
        Key::choice(
            "direct",
            &["members", "everybody", "nobody"],
            "The people whose direct messages are handled. `members`: admins, and members of a channel in `rooms`. \
             `everybody`: everybody with an account on the server. `nobody`: no one.",
        )
        .default("members"),
        Key::string("ca", "A PEM file with certificates that are trusted in addition to the system's certificates."),
    ],
};

#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The bot's name in `plugins.toml`.
    pub(crate) bot: String,
    /// The URL of the site, without the API's path.
    pub(crate) url: Url,
    pub(crate) token: SecretRef,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) direct: DirectMessagePolicy,
    /// A PEM file with certificates that are trusted in addition to the system's.
    pub(crate) ca: Option<PathBuf>,
    /// The folder of the account's state files.
    pub(crate) folder: PathBuf,
    /// Interval of the pings over the WebSocket.
    pub(crate) heartbeat_interval: Duration,
}

/// A channel as it is written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RoomName {
    /// The names of the team and the channel, as in the channel's URL.
    Path { team: String, channel: String },
    /// The channel's id, which does not change when the channel is renamed.
    Id(String),
}

impl RoomName {
    /// Parses `team/channel` or an id; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if is_id(text) {
            return Some(Self::Id(text.to_owned()));
        }
        let (team, channel) = text.split_once('/')?;
        let is_name = |name: &str| {
            let letter =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
            !name.is_empty() && name.bytes().all(letter)
        };
        (is_name(team) && is_name(channel)).then(|| Self::Path { team: team.to_owned(), channel: channel.to_owned() })
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

/// Returns whether a text has the form of a Mattermost id: 26 lower-case letters and digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

impl Config {
    /// Reads every key of the table. `state` is the host's state folder. Returns `None` if a key is missing or invalid;
    /// the configuration problems are added to the table.
    pub(crate) fn read(
        bot: &BotIdentity,
        table: &mut Table,
        state: &Path,
        heartbeat_interval: Duration,
    ) -> Option<Self> {
        let before = table.problems().count();
        let url = read_server_url(table, "url", "https://chat.example.org", |url| {
            url.path().contains("/api/v4").then_some("is the URL of the API; write the URL of the site")
        });
        let token = read_token(bot, table);
        let why = "is neither `team/channel` nor the id of a Mattermost channel";
        let rooms = read_rooms(table, why, RoomName::parse, suggest_room);
        let direct = DirectMessagePolicy::read(table);
        let ca = table.string("ca").map(|path| table.folder().join(path.value));
        let folder = state.join("mattermost").join(folder_name(&bot.name));
        let config =
            Self { bot: bot.name.clone(), url: url?, token: token?, rooms, direct, ca, folder, heartbeat_interval };
        (table.problems().count() == before).then_some(config)
    }
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

/// Returns the correction for an invalid entry of `rooms`: a similar valid name, or the example `team/channel`.
fn suggest_room(text: &str) -> String {
    let lower = text.to_lowercase();
    let parts: Vec<&str> = lower.split('/').map(|part| part.trim_start_matches(['~', '#', '@', ' ']).trim()).collect();
    let guess = match parts.as_slice() {
        [team, channel] => format!("{team}/{channel}"),
        // A URL from a browser: https://chat.example.org/team/channels/channel
        [.., team, "channels", channel] => format!("{team}/{channel}"),
        [channel] => format!("team/{channel}"),
        _ => String::new(),
    };
    if RoomName::parse(&guess).is_some() { guess } else { "team/channel".to_owned() }
}

#[cfg(test)]
mod tests;
