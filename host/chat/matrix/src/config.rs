//! `[bot.NAME.matrix]`: which account on which homeserver, and which rooms.
//!
//! Architecture Invariant: reading connects to nothing and opens no secret.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use matrix_sdk::{
    reqwest::Url,
    ruma::{OwnedDeviceId, OwnedRoomOrAliasId, OwnedUserId, RoomOrAliasId, UserId},
};
use matrix_sdk_base::crypto::vodozemac::Ed25519PublicKey;
use wardroom::{
    config::{BotIdentity, Table},
    port::SecretRef,
};
use wardroom_account::folder::folder_name;

/// One account.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The bot's name in `plugins.toml`.
    pub(crate) bot: String,
    /// Where its homeserver answers.
    pub(crate) homeserver: Url,
    /// Its full id.
    pub(crate) user: OwnedUserId,
    /// How it logs in.
    pub(crate) login: Login,
    /// The rooms it joins by itself.
    pub(crate) rooms: Vec<OwnedRoomOrAliasId>,
    /// What opens the account's secrets on the homeserver: its recovery key, or a passphrase for them.
    pub(crate) recovery_key: Option<SecretRef>,
    /// Whose commands count in an encrypted room.
    pub(crate) devices: Devices,
    /// The master keys by which people are known, as unpadded base64; others by the first one that was seen.
    pub(crate) identities: BTreeMap<OwnedUserId, String>,
    /// Whether reactions in encrypted rooms count. They come in clear, so that the homeserver could make them up.
    pub(crate) reactions: bool,
    /// Certificates to trust besides the system's, as PEM.
    pub(crate) ca: Option<PathBuf>,
    /// The folder of this account's session and stores.
    pub(crate) folder: PathBuf,
}

/// How an account logs in.
#[derive(Debug, Clone)]
pub(crate) enum Login {
    /// By password; a lost session is replaced by a new one.
    Password(SecretRef),
    /// By a token that the operator made; a lost session ends it.
    Token {
        /// The token.
        token: SecretRef,
        /// Its device, where the operator knows it; otherwise the homeserver is asked.
        device: Option<OwnedDeviceId>,
    },
}

/// Which devices of people are believed in encrypted rooms, and are let read what we say there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Devices {
    /// Those that their owner has cross-signed ("verified").
    CrossSigned,
    /// Whatever the homeserver calls a device of theirs.
    Any,
}

impl Config {
    /// Reads every key; `None` where there were problems, which are in the table's list then.
    pub(crate) fn read(bot: &BotIdentity, table: &mut Table, state: &Path) -> Option<Self> {
        let before = table.problems().count();
        let homeserver = read_homeserver(table);
        let user = read_user(bot, table);
        let login = read_login(table);
        let rooms = read_rooms(table);
        let recovery_key = table.secret("recovery_key").map(|secret| secret.value);
        let devices = read_devices(table);
        let at_identities = table.at_key("identities");
        let identities = read_identities(table);
        if devices == Devices::Any && !identities.is_empty() {
            let message = format!("`{}.identities` says nothing beside `devices = \"any\"`", table.path());
            table.problem(&at_identities, message, "leave out one of them".to_owned());
        }
        let reactions = read_reactions(table);
        let ca = table.string("ca").map(|path| table.folder().join(path.value));
        let folder = state.join("matrix").join(folder_name(&bot.name));
        let config = Self {
            bot: bot.name.clone(),
            homeserver: homeserver?,
            user: user?,
            login: login?,
            rooms,
            recovery_key,
            devices,
            identities,
            reactions,
            ca,
            folder,
        };
        (table.problems().count() == before).then_some(config)
    }
}

fn read_homeserver(table: &mut Table) -> Option<Url> {
    let example = "\"https://matrix.example.org\"";
    let text = table.required_string("homeserver", example)?;
    let why = match Url::parse(&text.value) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => "is no http or https URL",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "holds a user or a password, which belong in their own keys"
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => "goes on behind the path",
        Ok(url) => return Some(url),
        Err(_) => "is no URL",
    };
    // Not repeated: it may hold a password.
    let message = format!("`{}.homeserver` {why}", table.path());
    table.problem(&text.at, message, format!("homeserver = {example}"));
    None
}

fn read_user(bot: &BotIdentity, table: &mut Table) -> Option<OwnedUserId> {
    let name = bot.name.to_lowercase();
    let text = table.required_string("user", &format!("\"@{name}:example.org\""))?;
    match UserId::parse(text.value.as_str()) {
        Ok(user) => Some(user),
        Err(_) => {
            let local = text.value.trim_start_matches('@').split(':').next().unwrap_or_default().to_lowercase();
            let local = if local.is_empty() { name } else { local };
            let message = format!("`{}.user` is `{}`, which is no full Matrix id", table.path(), text.value);
            table.problem(&text.at, message, format!("user = \"@{local}:example.org\""));
            None
        }
    }
}

fn read_login(table: &mut Table) -> Option<Login> {
    let both = table.has("password") && table.has("access_token");
    let neither = !table.has("password") && !table.has("access_token");
    let at_token = table.at_key("access_token");
    let at_device = table.at_key("device_id");
    let password = table.secret("password");
    let token = table.secret("access_token");
    let device = table.string("device_id");
    if neither {
        let message = format!("[{}] needs `password` or `access_token`", table.path());
        table.problem(&table.at().clone(), message, "password = { env = \"MATRIX_PASSWORD\" }".to_owned());
    } else if both {
        let message = format!("[{}] has both `password` and `access_token`, and needs exactly one", table.path());
        table.problem(&at_token, message, "leave out this line, or `password`".to_owned());
    }
    match (password, token, device) {
        (Some(password), None, None) => Some(Login::Password(password.value)),
        (Some(_), None, Some(_)) => {
            let message =
                format!("`{}.device_id` belongs to an `access_token`; a login by password gets its own", table.path());
            table.problem(&at_device, message, "leave out this line".to_owned());
            None
        }
        (None, Some(token), device) => {
            Some(Login::Token { token: token.value, device: device.map(|device| device.value.into()) })
        }
        _ => None,
    }
}

fn read_devices(table: &mut Table) -> Devices {
    match table.string("devices") {
        None => Devices::CrossSigned,
        Some(text) if text.value == "cross-signed" => Devices::CrossSigned,
        Some(text) if text.value == "any" => Devices::Any,
        Some(text) => {
            let message = format!("`{}.devices` is `{}`, and is `cross-signed` or `any`", table.path(), text.value);
            table.problem(&text.at, message, "devices = \"cross-signed\"".to_owned());
            Devices::CrossSigned
        }
    }
}

fn read_identities(table: &mut Table) -> BTreeMap<OwnedUserId, String> {
    let mut identities = BTreeMap::new();
    let Some(mut keys) = table.table("identities") else { return identities };
    for name in keys.keys() {
        let Some(key) = keys.string(&name.value) else { continue };
        let name = name.value;
        let user = UserId::parse(name.as_str()).ok();
        let good = Ed25519PublicKey::from_base64(&key.value).ok();
        if user.is_none() {
            let message = format!("`{}` names `{name}`, which is no full Matrix id", keys.path());
            keys.problem(&key.at, message, "\"@alice:example.org\" = \"MASTER KEY\"".to_owned());
        } else if good.is_none() {
            let message = format!("`{}.{name}` is no master key (Ed25519, as base64)", keys.path());
            keys.problem(&key.at, message, "write the key that the log tells".to_owned());
        }
        identities.extend(user.zip(good.map(|key| key.to_base64())));
    }
    keys.finish();
    identities
}

fn read_reactions(table: &mut Table) -> bool {
    match table.string("reactions") {
        None => true,
        Some(text) if text.value == "on" => true,
        Some(text) if text.value == "off" => false,
        Some(text) => {
            let message = format!("`{}.reactions` is `{}`, and is `on` or `off`", table.path(), text.value);
            table.problem(&text.at, message, "reactions = \"off\"".to_owned());
            false
        }
    }
}

fn read_rooms(table: &mut Table) -> Vec<OwnedRoomOrAliasId> {
    let mut rooms = Vec::new();
    for text in table.strings("rooms").map(|list| list.value).unwrap_or_default() {
        match RoomOrAliasId::parse(text.value.as_str()) {
            Ok(room) if !rooms.contains(&room) => rooms.push(room),
            Ok(_) => {
                let message = format!("`{}.rooms` names `{}` twice", table.path(), text.value);
                table.problem(&text.at, message, "leave out one of them".to_owned());
            }
            Err(_) => {
                let name = text.value.trim_start_matches(['#', '!']).split(':').next().unwrap_or_default();
                let name = if name.is_empty() { "ops" } else { name };
                let message = format!(
                    "`{}.rooms` names `{}`, which is neither an alias nor an id of a room",
                    table.path(),
                    text.value
                );
                table.problem(&text.at, message, format!("rooms = [\"#{name}:example.org\"]"));
            }
        }
    }
    rooms
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wardroom::config::{Problems, parse};

    use super::*;

    fn read(text: &str) -> (Option<Config>, Vec<String>) {
        let problems = Problems::default();
        let node = parse(Path::new("plugins.toml"), text, &problems);
        let mut table = Table::new("bot.marvin.matrix", node, &problems, Arc::new(PathBuf::from("/etc/wardroom")));
        let bot = BotIdentity { name: "marvin".into(), prefix: "!".into() };
        let config = Config::read(&bot, &mut table, Path::new("/var/state"));
        table.finish();
        (config, problems.sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_whole_table() {
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
        assert_eq!((config.devices, config.reactions), (Devices::Any, true));
    }

    #[test]
    fn master_keys_are_keys_of_people() {
        let head = "homeserver = \"https://x\"\nuser = \"@m:x\"\npassword = { env = \"P\" }\nreactions = \"off\"\n";
        let key = "OJdjt8DvywDxexjVXarrA5dihoadTMi4Rm/izT1Euvs";
        let (config, problems) = read(&format!("{head}identities = {{ \"@bob:x\" = \"{key}\" }}\n"));
        assert!(problems.is_empty(), "{problems:?}");
        let config = config.expect("no problems");
        assert_eq!(config.identities.into_values().collect::<Vec<_>>(), [key]);
        assert!(!config.reactions);
        let (_, problems) = read(&format!("{head}devices = \"any\"\nidentities = {{ \"@bob:x\" = \"{key}\" }}\n"));
        assert!(problems[0].contains(":6: `bot.marvin.matrix.identities` says nothing beside"), "{problems:?}");
        let (_, problems) =
            read(&format!("{head}identities = {{ bob = \"{key}\", \"@eve:x\" = \"short\" }}\n").replace("off", "some"));
        let all = problems.join("\n");
        for wanted in
            ["names `bob`, which is no full", "`bot.marvin.matrix.identities.@eve:x` is no master key", "`on` or `off`"]
        {
            assert!(all.contains(wanted), "{wanted}\n--- is not in\n{all}");
        }
    }

    #[test]
    fn every_problem_at_once_with_its_line_and_what_to_write() {
        let (config, problems) = read(
            "homeserver = \"matrix.example.org\"\nuser = \"marvin\"\nrooms = [\n  \"ops\",\n  \"#a:x\",\n  \"#a:x\",\n]\n\
             access_token = \"syt_secret\"\npassword = { env = \"P\" }\nroom = \"x\"\ndevices = \"signed\"\n\
             recovery_key = \"EsTb\"\n",
        );
        assert!(config.is_none());
        let all = problems.join("\n");
        for wanted in [
            "plugins.toml:1: `bot.marvin.matrix.homeserver` is no",
            "plugins.toml:2: `bot.marvin.matrix.user` is `marvin`, which is no full Matrix id\n    write: user = \"@marvin:example.org\"",
            "plugins.toml:4: `bot.marvin.matrix.rooms` names `ops`",
            "write: rooms = [\"#ops:example.org\"]",
            "plugins.toml:6: `bot.marvin.matrix.rooms` names `#a:x` twice",
            "plugins.toml:8: [bot.marvin.matrix] has both",
            "plugins.toml:8: `bot.marvin.matrix.access_token` must say where the secret is kept",
            "plugins.toml:10: [bot.marvin.matrix] takes no key `room`",
            "plugins.toml:11: `bot.marvin.matrix.devices` is `signed`",
            "plugins.toml:12: `bot.marvin.matrix.recovery_key` must say where the secret is kept",
        ] {
            assert!(all.contains(wanted), "{wanted}\n--- is not in\n{all}");
        }
        assert!(!all.contains("syt_secret") && !all.contains("EsTb"), "{all}");
    }

    #[test]
    fn a_login_is_one_thing_and_a_device_belongs_to_a_token() {
        let head = "homeserver = \"https://x\"\nuser = \"@m:x\"\n";
        let (_, problems) = read(head);
        assert!(problems[0].contains("needs `password` or `access_token`"), "{problems:?}");
        let (_, problems) = read(&format!("{head}password = {{ env = \"P\" }}\ndevice_id = \"D\"\n"));
        assert!(problems[0].starts_with("plugins.toml:4:"), "{problems:?}");
        let (config, problems) = read(&format!("{head}access_token = {{ file = \"t\" }}\ndevice_id = \"D\"\n"));
        assert!(problems.is_empty(), "{problems:?}");
        assert!(
            matches!(config.expect("no problems").login, Login::Token { device: Some(device), .. } if device == "D")
        );
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_repeating_it() {
        let (_, problems) = read("homeserver = \"https://a:hunter2@x\"\nuser = \"@m:x\"\npassword = { env = \"P\" }\n");
        assert_eq!(problems.len(), 1);
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}
