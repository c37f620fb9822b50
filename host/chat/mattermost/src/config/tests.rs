//! Tests of `[bot.NAME.mattermost]`: values and reported problems.

use super::*;

const ID: &str = "abcdefghijklmnopqrstuvwxy1";

fn read(text: &str) -> (Option<Config>, Vec<String>) {
    let (mut table, problems) = Table::parse("bot.marvin.mattermost", text, &KEYS, "/etc/wardroom");
    let bot = BotIdentity { name: "marvin".into(), prefix: "!".into() };
    let config = Config::read(&bot, &mut table, Path::new("/var/state"), Duration::from_secs(30));
    table.finish();
    (config, problems.sorted().iter().map(ToString::to_string).collect())
}

#[test]
fn a_complete_table_is_read() {
    let (config, problems) = read(&format!(
        "url = \"https://example.org/chat/\"\ntoken = {{ env = \"T\" }}\nrooms = [\"team/ops\", \"{ID}\"]\nca = \"ca.pem\"\n"
    ));
    assert!(problems.is_empty(), "{problems:?}");
    let config = config.expect("no problems");
    assert_eq!(config.rooms[0], RoomName::Path { team: "team".into(), channel: "ops".into() });
    assert_eq!(config.rooms[1], RoomName::Id(ID.into()));
    assert_eq!(config.direct, DirectMessagePolicy::Members, "the default");
    assert_eq!(config.folder, Path::new("/var/state/mattermost/marvin"));
    assert_eq!(config.ca.as_deref(), Some(Path::new("/etc/wardroom/ca.pem")));
    assert!(matches!(config.token, SecretRef::Env(name) if name == "T"));
}

#[test]
fn every_problem_is_reported_with_its_line_and_a_correction() {
    let (config, problems) = read(
        "url = \"chat.example.org\"\nrooms = [\n  \"~Ops\",\n  \"a/b\",\n  \"a/b\",\n  \"https://x/eng/channels/deploys\",\n]\n\
         token = \"abc_secret\"\nroom = \"x\"\n",
    );
    assert!(config.is_none());
    let all = problems.join("\n");
    for wanted in [
        "plugins.toml:1: `bot.marvin.mattermost.url` is not",
        "write: url = \"https://chat.example.org\"",
        "plugins.toml:3: `bot.marvin.mattermost.rooms` contains `~Ops`",
        "write: rooms = [\"team/ops\"]",
        "plugins.toml:5: `bot.marvin.mattermost.rooms` contains `a/b` twice",
        "write: rooms = [\"eng/deploys\"]",
        "plugins.toml:8: `bot.marvin.mattermost.token` must be a reference to a secret",
        "plugins.toml:9: [bot.marvin.mattermost] takes no key `room`",
    ] {
        assert!(all.contains(wanted), "{wanted}\n--- is not in\n{all}");
    }
    assert!(!all.contains("abc_secret"), "{all}");
}

#[test]
fn the_policy_for_direct_messages_has_three_values() {
    let head = "url = \"https://x\"\ntoken = { env = \"T\" }\n";
    for (value, policy) in [
        ("members", DirectMessagePolicy::Members),
        ("everybody", DirectMessagePolicy::Everybody),
        ("nobody", DirectMessagePolicy::Nobody),
    ] {
        let (config, problems) = read(&format!("{head}direct = \"{value}\"\n"));
        assert_eq!(config.map(|config| config.direct), Some(policy), "{problems:?}");
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
fn a_token_and_a_url_are_required() {
    let (config, problems) = read("");
    assert!(config.is_none());
    let all = problems.join("\n");
    assert!(all.contains("token = { env = \"MARVIN_TOKEN\" }") && all.contains("url = \"https://"), "{all}");
}

#[test]
fn a_url_with_a_password_or_of_the_api_is_rejected_and_not_shown() {
    for url in ["https://a:hunter2@x", "https://x/?token=hunter2", "https://x/hunter2/api/v4"] {
        let (_, problems) = read(&format!("url = \"{url}\"\ntoken = {{ env = \"T\" }}\n"));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}
