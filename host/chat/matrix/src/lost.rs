//! A device whose keys are lost: finding that out, saying it, and saving what can be saved.
//!
//! The keys of a device lie in the store alone. The homeserver gives a device's public keys to everybody, so a device
//! that lost its private ones gets messages that it can never read, and its new keys are refused. Only another device helps.
//!
//! Architecture Invariant: a store is thrown away only when a session after it has looked for the account's own keys in it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use matrix_sdk::{
    Client, SessionMeta,
    authentication::matrix::MatrixSession,
    encryption::export_secrets_bundle_from_store,
    ruma::{DeviceId, api::client::keys::get_keys},
};
use wardroom::port::SecretRef;

use crate::{
    Config, folder,
    session::beside,
    trouble::{Trouble, chain},
};

/// The file in which the SDK keeps a device's keys.
const KEYS: &str = "matrix-sdk-crypto.sqlite3";

/// What a machine says of a disk that will not do, and not of what stands on it.
const MACHINE: &[&str] = &[
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "No space left",
    "out of memory",
    "Permission denied",
    "readonly database",
    "Read-only file system",
    "Too many open files",
    "unable to open database file",
];

/// Whether there is a store of keys on disk.
pub(crate) fn has_keys(config: &Config) -> bool {
    // An empty file is one that somebody made in its place.
    fs::metadata(folder::stores(config).join(KEYS)).is_ok_and(|file| file.len() > 0)
}

/// Why this device's keys are lost, if its store is gone; the rest of a sentence that begins with the store.
///
/// # Errors
/// The homeserver has to be asked, and does not answer.
pub(crate) async fn gone(config: &Config, session: &MatrixSession) -> Result<Option<String>, Trouble> {
    if has_keys(config) {
        return Ok(None);
    }
    // A session from before there was encryption never had any.
    let had_some = published(config, session).await?;
    Ok(had_some.then(|| format!("is gone from `{}`", config.folder.display())))
}

/// Whether the homeserver has keys of this session's device.
pub(crate) async fn published(config: &Config, session: &MatrixSession) -> Result<bool, Trouble> {
    let client = beside(config, session.clone()).await?;
    let SessionMeta { user_id, device_id } = &session.meta;
    let mut request = get_keys::v3::Request::new();
    request.device_keys = BTreeMap::from([(user_id.clone(), vec![device_id.clone()])]);
    match client.send(request).await {
        Ok(answer) => Ok(answer.device_keys.get(user_id).is_some_and(|devices| devices.contains_key(device_id))),
        Err(error) => match Trouble::from(&error) {
            // Then the session is over anyhow, which the first sync finds out.
            Trouble::LoggedOut { .. } | Trouble::Refused { .. } => Ok(false),
            trouble => Err(trouble),
        },
    }
}

/// Whether a session could not be taken up because of what stands in its stores.
pub(crate) fn is_damage(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Local { reason } if !MACHINE.iter().any(|words| reason.contains(words)))
}

/// What an operator must do about a token whose device has lost its keys.
pub(crate) fn for_a_token(config: &Config, device: &DeviceId, token: &SecretRef) -> Trouble {
    let reason = format!(
        "the encryption keys of the device {device} of {} are not in `{}` (was it wiped, or does another program use this token?), and a device cannot get new ones; hint: log in anew by hand, put the new access token in {token}, and log the old device out",
        config.user,
        folder::stores(config).display()
    );
    Trouble::Refused { reason }
}

/// Puts the stores of a session that is given up out of the way.
///
/// # Errors
/// What the file system said.
pub(crate) fn set_aside(config: &Config) -> Result<(), Trouble> {
    let (stores, aside) = (folder::stores(config), aside(config));
    let moved = folder::remove(&folder::session_file(config)).and_then(|()| match (stores.exists(), aside.exists()) {
        (false, _) => Ok(()),
        (true, false) => fs::rename(&stores, &aside),
        // What is new was never a session: the last try ended before its login did.
        (true, true) => folder::remove(&stores),
    });
    moved.map_err(|error| folder::trouble(config, &error))
}

/// Takes the account's own keys over from the stores that were set aside, and throws these away.
///
/// # Errors
/// The homeserver does not answer; the stores stay.
pub(crate) async fn inherit(config: &Config, client: &Client) -> Result<(), Trouble> {
    let aside = aside(config);
    if !aside.exists() {
        return Ok(());
    }
    if aside.join(KEYS).exists() {
        match export_secrets_bundle_from_store(&aside, None).await {
            Ok(Some((user, bundle))) if user == config.user => {
                // Another client may have replaced them meanwhile; `identity` finds that out.
                if let Err(error) = client.encryption().import_secrets_bundle(&bundle).await {
                    tracing::warn!(user = %config.user, "the keys of the account cannot be taken over from its last device: {}", chain(&error));
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::info!(user = %config.user, "there are no keys of the account in the store of its last device: {}", chain(&error));
            }
        }
    }
    folder::remove(&aside).map_err(|error| folder::trouble(config, &error))
}

/// Ends a session, where the homeserver can be reached; what is left of it otherwise is a name in a list of devices.
pub(crate) async fn log_out(config: &Config, session: MatrixSession) {
    let device = session.meta.device_id.clone();
    let out = async {
        let client = beside(config, session).await?;
        client.matrix_auth().logout().await.map_err(|error| Trouble::from(&error))
    };
    match out.await {
        Ok(_) => tracing::info!(user = %config.user, %device, "logged the old device out"),
        Err(trouble) => {
            tracing::info!(user = %config.user, %device, "the old device cannot be logged out: {trouble}");
        }
    }
}

fn aside(config: &Config) -> PathBuf {
    config.folder.join("store.old")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_damage_and_a_torn_file_is() {
        let local = |reason: &str| Trouble::Local { reason: reason.to_owned() };
        assert!(is_damage(&local("the stores: database disk image is malformed")));
        assert!(is_damage(&local("the stores: file is not a database")));
        assert!(!is_damage(&local("the stores: database or disk is full")));
        assert!(!is_damage(&Trouble::Later { after: None, reason: "malformed".into() }));
    }
}
