//! Reads the configuration table `[bot.NAME.matrix]`: the account, its homeserver and its rooms.
//!
//! Invariant: reading the table opens no connection and resolves no secret.

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
    base::{Key, KeyKind, SecretRef, Table, TableKeys},
    model::BotIdentity,
};
use wardroom_account::{folder::folder_name, read_rooms, read_server_url};

pub(crate) static KEYS: TableKeys = TableKeys {
    path: "bot.NAME.matrix",
    about: "The bot's account on Matrix. Exactly one of `password` and `access_token` is required. The table requires \
            a host that is built with the feature `matrix`.",
    keys: &[
        Key::string("homeserver", "The base URL of the homeserver's client API, http or https.").required(),
        Key::string("user", "The full id of the account, for example `@marvin:example.org`.").required(),
        Key::secret("password", "The password. When the session ends, the bot logs in again.")
            .required_unless("with `access_token`"),
        Key::secret(
            "access_token",
            "An access token. When its session ends, the account stops until an operator sets a new token.",
        )
        .required_unless("with `password`"),
        Key::string(
            "device_id",
            "The device to which the `access_token` belongs. Without `device_id`, the bot requests it from the \
             homeserver.",
        ),
        Key::strings(
            "rooms",
            "The rooms that the bot joins and serves, as aliases or ids. It also serves rooms to which an admin \
             invites it.",
        ),
        Key::secret(
            "recovery_key",
            "The recovery key or passphrase of the account. A new device needs it to restore the account's \
             cross-signing keys.",
        ),
        Key::choice(
            "devices",
            &["cross-signed", "any"],
            "The devices whose messages can start actions in encrypted rooms: only devices that their owner verified, \
             or all devices.",
        )
        .default("cross-signed"),
        Key::table(
            "identities",
            &IDENTITIES,
            "The trusted master keys of people. For a person who is not listed, the first key that the bot receives \
             is trusted.",
        ),
        Key::choice(
            "reactions",
            &["on", "off"],
            "Whether reactions and threads are accepted in encrypted rooms. They are not encrypted, so the homeserver \
             can forge them.",
        )
        .default("on"),
        Key::choice(
            "encryption",
            &["optional", "required"],
            "Whether messages and votes in rooms without encryption can start and approve actions. The homeserver can \
             forge messages in such rooms.",
        )
        .default("optional"),
        Key::string("ca", "A PEM file with certificates that are trusted in addition to the system's certificates."),
    ],
};

static IDENTITIES: TableKeys = TableKeys {
    path: "bot.NAME.matrix.identities",
    about: "The trusted master keys of people. A key in this table takes precedence over the first key that the bot \
            received. The table is not allowed with `devices = \"any\"`.",
    keys: &[Key::any(
        "USER",
        KeyKind::String,
        "A person's master cross-signing key, in base64. The name of the entry is the person's full Matrix id, for \
         example `\"@alice:example.org\" = \"…\"`. When a person's master key changes, the log shows the new key.",
    )],
};

#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The bot's name in `plugins.toml`.
    pub(crate) bot: String,
    /// The base URL of the homeserver's client API.
    pub(crate) homeserver: Url,
    /// The account's full id, for example `@marvin:example.org`.
    pub(crate) user: OwnedUserId,
    pub(crate) login: Login,
    /// The rooms that the bot joins without an admin's invitation.
    pub(crate) rooms: Vec<OwnedRoomOrAliasId>,
    /// The recovery key or passphrase that decrypts the account's secrets on the homeserver.
    pub(crate) recovery_key: Option<SecretRef>,
    pub(crate) devices: Devices,
    /// The trusted master keys of people, as unpadded base64. For other people the first key that the bot receives is
    /// trusted.
    pub(crate) identities: BTreeMap<OwnedUserId, String>,
    /// Whether reactions and threads are accepted in encrypted rooms. Matrix does not encrypt them, so the homeserver
    /// could forge them.
    pub(crate) reactions: bool,
    /// Whether actions need an encrypted room.
    pub(crate) requires_encryption: bool,
    /// A PEM file with certificates that are trusted in addition to the system's.
    pub(crate) ca: Option<PathBuf>,
    /// The account's state folder. It holds the session file and the SDK's stores.
    pub(crate) folder: PathBuf,
}

/// The credentials of an account.
#[derive(Debug, Clone)]
pub(crate) enum Login {
    /// A password. When a session ends, the bot logs in again.
    Password(SecretRef),
    /// An access token that the operator created. When the token's session ends, the account stops.
    Token {
        token: SecretRef,
        /// The token's device; `None` if the device is to be requested from the homeserver.
        device: Option<OwnedDeviceId>,
    },
}

/// The devices whose messages can start actions in encrypted rooms, and that can decrypt the bot's messages in these
/// rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Devices {
    /// Devices that their owner has cross-signed ("verified").
    CrossSigned,
    /// Every device that the homeserver lists.
    Any,
}

impl Config {
    /// Reads every key of the table. `state` is the host's state folder. Returns `None` if a key is missing or invalid;
    /// the configuration problems are added to the table.
    pub(crate) fn read(bot: &BotIdentity, table: &mut Table, state: &Path) -> Option<Self> {
        let before = table.problems().count();
        let homeserver = read_server_url(table, "homeserver", "https://matrix.example.org", |_| None);
        let user = read_user(bot, table);
        let login = read_login(table);
        let parse_room = |text: &str| RoomOrAliasId::parse(text).ok();
        let rooms = read_rooms(table, "is neither an alias nor the id of a Matrix room", parse_room, suggest_room);
        let recovery_key = table.secret("recovery_key").map(|secret| secret.value);
        let devices = match table.choice("devices").map(|choice| choice.value) {
            Some("any") => Devices::Any,
            _ => Devices::CrossSigned,
        };
        let at_identities = table.at_key("identities");
        let identities = read_identities(table);
        if devices == Devices::Any && !identities.is_empty() {
            let message = format!(
                "`{}.identities` has no effect with `devices = \"any\"`; remove one of the two keys",
                table.path()
            );
            table.problem(&at_identities, message, None);
        }
        let reactions = table.choice("reactions").is_none_or(|choice| choice.value == "on");
        let requires_encryption = table.choice("encryption").is_some_and(|choice| choice.value == "required");
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
            requires_encryption,
            ca,
            folder,
        };
        (table.problems().count() == before).then_some(config)
    }
}

fn read_user(bot: &BotIdentity, table: &mut Table) -> Option<OwnedUserId> {
    let name = bot.name.to_lowercase();
    let text = table.required_string("user", &format!("\"@{name}:example.org\""))?;
    let user = UserId::parse(text.value.as_str()).ok();
    if user.is_none() {
        let local = text.value.trim_start_matches('@').split(':').next().unwrap_or_default().to_lowercase();
        let local = if local.is_empty() { name } else { local };
        let message = format!("`{}.user` is `{}`, which is not a full Matrix id", table.path(), text.value);
        table.problem(&text.at, message, format!("user = \"@{local}:example.org\""));
    }
    user
}

fn read_login(table: &mut Table) -> Option<Login> {
    let has_both = table.has("password") && table.has("access_token");
    let has_none = !table.has("password") && !table.has("access_token");
    let at_token = table.at_key("access_token");
    let at_device = table.at_key("device_id");
    let password = table.secret("password");
    let token = table.secret("access_token");
    let device = table.string("device_id");
    if has_none {
        let message = format!("[{}] needs `password` or `access_token`", table.path());
        table.problem(&table.at().clone(), message, "password = { env = \"MATRIX_PASSWORD\" }".to_owned());
    } else if has_both {
        let message = format!("[{}] has both `password` and `access_token`; remove one of the two keys", table.path());
        table.problem(&at_token, message, None);
    }
    match (password, token, device) {
        (Some(password), None, None) => Some(Login::Password(password.value)),
        (Some(_), None, Some(_)) => {
            let message = format!(
                "`{}.device_id` is allowed only with `access_token`, because a login by password creates its own \
                 device; remove `device_id`",
                table.path()
            );
            table.problem(&at_device, message, None);
            None
        }
        (None, Some(token), device) => {
            Some(Login::Token { token: token.value, device: device.map(|device| device.value.into()) })
        }
        _ => None,
    }
}

fn read_identities(table: &mut Table) -> BTreeMap<OwnedUserId, String> {
    let mut identities = BTreeMap::new();
    let Some(mut keys) = table.table("identities") else { return identities };
    for name in keys.keys() {
        let Some(key) = keys.string(&name.value) else { continue };
        let name = name.value;
        let user = UserId::parse(name.as_str()).ok();
        let parsed = Ed25519PublicKey::from_base64(&key.value).ok();
        if user.is_none() {
            let message = format!("`{}` contains `{name}`, which is not a full Matrix id", keys.path());
            keys.problem(&key.at, message, "\"@alice:example.org\" = \"MASTER KEY\"".to_owned());
        } else if parsed.is_none() {
            let message = format!(
                "`{}.{name}` is not a master key (an Ed25519 key in base64); copy the person's master key from the host's log",
                keys.path()
            );
            keys.problem(&key.at, message, None);
        }
        identities.extend(user.zip(parsed.map(|key| key.to_base64())));
    }
    keys.finish();
    identities
}

/// Returns an alias that is similar to an invalid entry of `rooms`.
fn suggest_room(text: &str) -> String {
    let name = text.trim_start_matches(['#', '!']).split(':').next().unwrap_or_default();
    let name = if name.is_empty() { "ops" } else { name };
    format!("#{name}:example.org")
}

#[cfg(test)]
pub(crate) mod tests;
