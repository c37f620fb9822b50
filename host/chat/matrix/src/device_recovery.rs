//! Handles a device that lost its encryption keys: detects the loss, prepares a new device, and imports the account's
//! keys.
//!
//! A device's private keys exist only in its store. The homeserver publishes the public keys and rejects new ones for
//! the same device. A device without its private keys cannot decrypt the messages that it receives, so a new device
//! must replace it.
//!
//! Invariant: the store of an old device is deleted only after a new session has tried to import the
//! account's own keys from it.

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

/// The file name of the SDK's key store.
const KEY_STORE: &str = "matrix-sdk-crypto.sqlite3";

/// Texts in the messages of errors that come from the operating system or the disk. An error with one of these texts
/// does not mean that a file is damaged.
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

/// Returns whether the key store of the account's device is on disk.
pub(crate) fn has_key_store(config: &Config) -> bool {
    // An empty file holds no keys.
    fs::metadata(folder::stores(config).join(KEY_STORE)).is_ok_and(|file| file.len() > 0)
}

/// Returns whether a session's key store was lost: it is not on disk, although the homeserver has published keys of the
/// session's device. A device without published keys never had a key store.
///
/// # Errors
/// The key store does not exist, and the homeserver does not report whether it has published keys of the device.
pub(crate) async fn is_key_store_missing(config: &Config, session: &MatrixSession) -> Result<bool, MatrixError> {
    Ok(!has_key_store(config) && has_published_keys(config, session).await?)
}

/// Returns whether the homeserver has published keys of a session's device. Returns `false` if the session has ended.
///
/// # Errors
/// The homeserver does not answer.
pub(crate) async fn has_published_keys(config: &Config, session: &MatrixSession) -> Result<bool, MatrixError> {
    let client = client::without_stores(config, session.clone()).await?;
    let SessionMeta { user_id, device_id } = &session.meta;
    let mut request = get_keys::v3::Request::new();
    request.device_keys = BTreeMap::from([(user_id.clone(), vec![device_id.clone()])]);
    match client.send(request).await.map_err(MatrixError::from) {
        Ok(answer) => Ok(answer.device_keys.get(user_id).is_some_and(|devices| devices.contains_key(device_id))),
        // The session has ended. The first sync reports that.
        Err(MatrixError::SessionEnded { .. } | MatrixError::Rejected { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether `error` means that a session's stores are damaged. Returns `false` for an error of the operating
/// system or the disk, for example a full disk.
pub(crate) fn is_damaged_store(error: &MatrixError) -> bool {
    matches!(error, MatrixError::Local { reason } if !MACHINE_ERRORS.iter().any(|text| reason.contains(text)))
}

/// Returns the error for an access token whose device lost its keys, with a hint for the operator.
pub(crate) fn token_needs_new_device(config: &Config, device: &DeviceId, token: &SecretRef) -> MatrixError {
    MatrixError::rejected(format!(
        "the folder `{}` does not hold the encryption keys of the device `{device}` (for example because the folder was deleted, or because another program uses the access token), and a device cannot get new keys; hint: log in as `{}` with another client, put the new access token in {token}, and log the old device out",
        folder::stores(config).display(),
        config.user
    ))
}

/// Deletes the session file, and renames the folder of the SDK's stores to `store.old`. If `store.old` exists already,
/// keeps `store.old` and deletes the folder of the SDK's stores instead.
///
/// # Errors
/// A file cannot be renamed or removed.
pub(crate) fn set_stores_aside(config: &Config) -> Result<(), MatrixError> {
    let (stores, old) = (folder::stores(config), old_stores(config));
    let moved = folder::remove(&folder::session_file(config)).and_then(|()| match (stores.exists(), old.exists()) {
        (false, _) => Ok(()),
        (true, false) => fs::rename(&stores, &old),
        // The present stores belong to no session, because the last attempt ended before its login. Keep the older
        // stores.
        (true, true) => folder::remove(&stores),
    });
    moved.map_err(|error| folder::io_error(config, &error))
}

/// Imports the account's own keys from `store.old`, the stores of the replaced device, and then deletes `store.old`. A
/// failed import is logged; `store.old` is deleted after a failed import, too.
///
/// # Errors
/// `store.old` cannot be deleted.
pub(crate) async fn import_account_keys(config: &Config, client: &Client) -> Result<(), MatrixError> {
    let old = old_stores(config);
    if !old.exists() {
        return Ok(());
    }
    if old.join(KEY_STORE).exists() {
        match export_secrets_bundle_from_store(&old, None).await {
            Ok(Some((user, bundle))) if user == config.user => {
                // Another client may have replaced these keys; `cross_signing` detects that.
                if let Err(error) = client.encryption().import_secrets_bundle(&bundle).await {
                    tracing::warn!(user = %config.user, error = error_chain(&error), "cannot import the account's cross-signing keys from the previous device; hint: configure the account's recovery key as `recovery_key` of [bot.{}.matrix]", config.bot);
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::info!(user = %config.user, error = error_chain(&error), "cannot read the account's cross-signing keys from the key store of the previous device; trying the recovery key instead");
            }
        }
    }
    folder::remove(&old).map_err(|error| folder::io_error(config, &error))
}

/// Logs a session's device out. If the homeserver does not answer, the device stays in the account's list of devices.
pub(crate) async fn log_out(config: &Config, session: MatrixSession) {
    let device = session.meta.device_id.clone();
    let logged_out = async {
        let client = client::without_stores(config, session).await?;
        client.matrix_auth().logout().await.map_err(|error| MatrixError::from(&error))
    };
    match logged_out.await {
        Ok(_) => tracing::info!(user = %config.user, %device, "logged the old device out"),
        Err(error) => {
            tracing::info!(user = %config.user, %device, %error, "cannot log the old device out; hint: log the device out with another client of the account, for example Element");
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
