//! Tests of `[bot.NAME.matrix]`: values and reported problems.

use super::*;

/// Returns the configuration of the account `@marvin:x` with a state folder.
pub(crate) fn config_in(folder: &Path) -> Config {
    let text = "homeserver = \"https://x\"\nuser = \"@marvin:x\"\npassword = { env = \"P\" }\n";
    Config { folder: folder.to_owned(), ..read(text).0.expect("no problems") }
}

fn read(text: &str) -> (Option<Config>, Vec<String>) {
    let (mut table, problems) = Table::parse("bot.marvin.matrix", text, &KEYS, "/etc/wardroom");
    let bot = BotIdentity { name: "marvin".into(), prefix: "!".into() };
    let config = Config::read(&bot, &mut table, Path::new("/var/state"));
    table.finish();
    (config, problems.sorted().iter().map(ToString::to_string).collect())
}

#[test]
fn a_complete_table_is_read() {
    let (config, problems) = read(
        "homeserver = \"https://matrix.example.org\"\nuser = \"@marvin:example.org\"\npassword = { env = \"P\" }\n\
         rooms = [\"#ops:example.org\", \"!abc:example.org\"]\nca = \"ca.pem\"\nrecovery_key = { env = \"K\" }\ndevices = \"any\"\n",
    );
    assert!(problems.is_empty(), "{problems:?}");
    let config = config.expect("no problems");
    assert_eq!(config.user, "@marvin:example.org");
    assert_eq!(config.rooms.len(), 2);
    assert_eq!(config.folder, Path::new("/var/state/matrix/marvin"));
    assert_eq!(config.ca.as_deref(), Some(Path::new("/etc/wardroom/ca.pem")));
    assert!(matches!(config.login, Login::Password(SecretRef::Env(name)) if name == "P"));
    assert!(matches!(config.recovery_key, Some(SecretRef::Env(name)) if name == "K"));
    assert_eq!((config.devices, config.reactions, config.requires_encryption), (Devices::Any, true, false));
}

#[test]
fn identities_map_people_to_master_keys() {
    let head = "homeserver = \"https://x\"\nuser = \"@m:x\"\npassword = { env = \"P\" }\nreactions = \"off\"\nencryption = \"required\"\n";
    let key = "OJdjt8DvywDxexjVXarrA5dihoadTMi4Rm/izT1Euvs";
    let (config, problems) = read(&format!("{head}identities = {{ \"@bob:x\" = \"{key}\" }}\n"));
    assert!(problems.is_empty(), "{problems:?}");
    let config = config.expect("no problems");
    assert_eq!(config.identities.into_values().collect::<Vec<_>>(), [key]);
    assert!(!config.reactions && config.requires_encryption);
    let (_, problems) = read(&format!("{head}devices = \"any\"\nidentities = {{ \"@bob:x\" = \"{key}\" }}\n"));
    assert!(problems[0].contains(":7: `bot.marvin.matrix.identities` has no effect with"), "{problems:?}");
    let (_, problems) =
        read(&format!("{head}identities = {{ bob = \"{key}\", \"@eve:x\" = \"short\" }}\n").replace("off", "some"));
    let all = problems.join("\n");
    for wanted in [
        "contains `bob`, which is not a full",
        "`bot.marvin.matrix.identities.@eve:x` is not a master key",
        "`on` or `off`",
    ] {
        assert!(all.contains(wanted), "{wanted}\n--- is not in\n{all}");
    }
}

#[test]
fn every_problem_is_reported_with_its_line_and_a_correction() {
    let (config, problems) = read(
        "homeserver = \"matrix.example.org\"\nuser = \"marvin\"\nrooms = [\n  \"ops\",\n  \"#a:x\",\n  \"#a:x\",\n]\n\
         access_token = \"syt_secret\"\npassword = { env = \"P\" }\nroom = \"x\"\ndevices = \"signed\"\n\
         recovery_key = \"EsTb\"\n",
    );
    assert!(config.is_none());
    let all = problems.join("\n");
    for wanted in [
        "plugins.toml:1: `bot.marvin.matrix.homeserver` is not",
        "plugins.toml:2: `bot.marvin.matrix.user` is `marvin`, which is not a full Matrix id\n    write: user = \"@marvin:example.org\"",
        "plugins.toml:4: `bot.marvin.matrix.rooms` contains `ops`",
        "write: rooms = [\"#ops:example.org\"]",
        "plugins.toml:6: `bot.marvin.matrix.rooms` contains `#a:x` twice",
        "plugins.toml:8: [bot.marvin.matrix] has both",
        "plugins.toml:8: `bot.marvin.matrix.access_token` must be a reference to a secret",
        "plugins.toml:10: [bot.marvin.matrix] takes no key `room`",
        "plugins.toml:11: `bot.marvin.matrix.devices` is `signed`",
        "plugins.toml:12: `bot.marvin.matrix.recovery_key` must be a reference to a secret",
    ] {
        assert!(all.contains(wanted), "{wanted}\n--- is not in\n{all}");
    }
    assert!(!all.contains("syt_secret") && !all.contains("EsTb"), "{all}");
}

#[test]
fn a_login_is_a_password_or_a_token_with_an_optional_device() {
    let head = "homeserver = \"https://x\"\nuser = \"@m:x\"\n";
    let (_, problems) = read(head);
    assert!(problems[0].contains("needs `password` or `access_token`"), "{problems:?}");
    let (_, problems) = read(&format!("{head}password = {{ env = \"P\" }}\ndevice_id = \"D\"\n"));
    assert!(problems[0].starts_with("plugins.toml:4:"), "{problems:?}");
    let (config, problems) = read(&format!("{head}access_token = {{ file = \"t\" }}\ndevice_id = \"D\"\n"));
    assert!(problems.is_empty(), "{problems:?}");
    assert!(matches!(config.expect("no problems").login, Login::Token { device: Some(device), .. } if device == "D"));
}

#[test]
fn a_url_with_a_password_is_rejected_and_not_shown() {
    let (_, problems) = read("homeserver = \"https://a:hunter2@x\"\nuser = \"@m:x\"\npassword = { env = \"P\" }\n");
    assert_eq!(problems.len(), 1);
    assert!(!problems[0].contains("hunter2"), "{problems:?}");
}
