//! A device whose encryption keys are lost: detection, replacement, and the import of the account's keys.
//!
//! A device's private keys are in its store alone. The homeserver publishes the public keys, so a device without its private
//! keys receives messages that it cannot decrypt, and the homeserver rejects new keys for it. Only a new device helps.
//!
//! Architecture Invariant: the store of an old device is deleted only after a new session has looked for the account's own keys
//! in it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use matrix_sdk::{
    Client, SessionMeta,
    authentication::matrix::MatrixSession,
    encryption::export_secrets_bundle_from_store,
    ruma::{DeviceId, api::client::keys::get_keys},
};
use wardroom::base::SecretRef;
use wardroom_account::error_chain;

use crate::{Config, client, error::MatrixError, folder};

/// The file in which the SDK keeps a device's keys.
const KEY_STORE: &str = "matrix-sdk-crypto.sqlite3";

/// Error texts of a machine or disk that does not work, as opposed to a damaged file.
const MACHINE_ERRORS: &[&str] = &[
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

/// The store of a session's encryption keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyStore {
    /// It exists, or the device never had keys.
    Usable,
    /// The homeserver has keys of the device, and their store does not exist.
    Missing,
}

/// Whether a store of keys is on disk.
pub(crate) fn has_key_store(config: &Config) -> bool {
    // An empty file holds no keys.
    fs::metadata(folder::stores(config).join(KEY_STORE)).is_ok_and(|file| file.len() > 0)
}

/// Checks whether the store of a session's keys exists where it must.
///
/// # Errors
/// The store does not exist and the homeserver, which must be asked, does not answer.
pub(crate) async fn inspect_key_store(config: &Config, session: &MatrixSession) -> Result<KeyStore, MatrixError> {
    if has_key_store(config) {
        return Ok(KeyStore::Usable);
    }
    // A session without encryption never had a store of keys.
    Ok(match has_published_keys(config, session).await? {
        true => KeyStore::Missing,
        false => KeyStore::Usable,
    })
}

/// Whether the homeserver has keys of a session's device.
///
/// # Errors
/// The homeserver does not answer.
pub(crate) async fn has_published_keys(config: &Config, session: &MatrixSession) -> Result<bool, MatrixError> {
    let client = client::without_stores(config, session.clone()).await?;
    let SessionMeta { user_id, device_id } = &session.meta;
    let mut request = get_keys::v3::Request::new();
    request.device_keys = BTreeMap::from([(user_id.clone(), vec![device_id.clone()])]);
    match client.send(request).await {
        Ok(answer) => Ok(answer.device_keys.get(user_id).is_some_and(|devices| devices.contains_key(device_id))),
        Err(error) => match MatrixError::from(&error) {
            // The session is over, which the first sync reports.
            MatrixError::SessionEnded { .. } | MatrixError::Rejected { .. } => Ok(false),
            error => Err(error),
        },
    }
}

/// Whether a session could not be restored because its stores are damaged.
pub(crate) fn is_damaged_store(error: &MatrixError) -> bool {
    matches!(error, MatrixError::Local { reason } if !MACHINE_ERRORS.iter().any(|text| reason.contains(text)))
}

/// The error for an access token whose device lost its keys, with what the operator must do.
pub(crate) fn token_needs_new_device(config: &Config, device: &DeviceId, token: &SecretRef) -> MatrixError {
    MatrixError::rejected(format!(
        "the encryption keys of the device `{device}` of `{}` are not in `{}` (was it deleted, or does another program use this token?), and a device cannot get new ones; hint: log in anew by hand, put the new access token in {token}, and log the old device out",
        config.user,
        folder::stores(config).display()
    ))
}

/// Deletes the session file and moves the stores of its device aside.
///
/// # Errors
/// A file cannot be moved or removed.
pub(crate) fn set_stores_aside(config: &Config) -> Result<(), MatrixError> {
    let (stores, old) = (folder::stores(config), old_stores(config));
    let moved = folder::remove(&folder::session_file(config)).and_then(|()| match (stores.exists(), old.exists()) {
        (false, _) => Ok(()),
        (true, false) => fs::rename(&stores, &old),
        // The present stores never had a session: the last attempt ended before its login.
        (true, true) => folder::remove(&stores),
    });
    moved.map_err(|error| folder::io_error(config, &error))
}

/// Imports the account's own keys from the stores that were moved aside, and deletes these stores.
///
/// # Errors
/// The stores cannot be deleted.
pub(crate) async fn import_account_keys(config: &Config, client: &Client) -> Result<(), MatrixError> {
    let old = old_stores(config);
    if !old.exists() {
        return Ok(());
    }
    if old.join(KEY_STORE).exists() {
        match export_secrets_bundle_from_store(&old, None).await {
            Ok(Some((user, bundle))) if user == config.user => {
                // Another client can have replaced these keys; `cross_signing` detects that.
                if let Err(error) = client.encryption().import_secrets_bundle(&bundle).await {
                    tracing::warn!(user = %config.user, error = error_chain(&error), "the account's keys cannot be imported from its previous device; set `recovery_key`");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::info!(user = %config.user, error = error_chain(&error), "the store of the previous device holds no cross-signing keys of the account");
            }
        }
    }
    folder::remove(&old).map_err(|error| folder::io_error(config, &error))
}

/// Ends a session. Where the homeserver cannot be reached, the device stays in the account's list of devices.
pub(crate) async fn log_out(config: &Config, session: MatrixSession) {
    let device = session.meta.device_id.clone();
    let logged_out = async {
        let client = client::without_stores(config, session).await?;
        client.matrix_auth().logout().await.map_err(|error| MatrixError::from(&error))
    };
    match logged_out.await {
        Ok(_) => tracing::info!(user = %config.user, %device, "logged the old device out"),
        Err(error) => {
            tracing::info!(user = %config.user, %device, %error, "the old device cannot be logged out; remove it in the account's list of devices");
        }
    }
}

fn old_stores(config: &Config) -> PathBuf {
    config.folder.join("store.old")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_told_from_a_full_disk() {
        let local = |reason: &str| MatrixError::Local { reason: reason.to_owned() };
        assert!(is_damaged_store(&local("the stores: database disk image is malformed")));
        assert!(is_damaged_store(&local("the stores: file is not a database")));
        assert!(!is_damaged_store(&local("the stores: database or disk is full")));
        assert!(!is_damaged_store(&MatrixError::unavailable("malformed")));
    }
}
