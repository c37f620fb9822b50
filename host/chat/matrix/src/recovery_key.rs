//! Loads and stores the recovery key, with which a new device decrypts the account's secrets on the homeserver.
//!
//! Invariant: a key that the bot creates is written to one file in the account's folder, and neither to the log nor to
//! a room. After a key was written to its file, the bot creates no other key. If that key is lost, the bot logs what
//! the operator must do.
//! Not here: the use of the key (`cross_signing`).

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use wardroom::base::{Secret, remember_secret};

use crate::{
    Config,
    error::MatrixError,
    folder::{self, io_error},
};

/// The progress of the creation of a recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyCreation {
    #[serde(rename = "never")]
    NotStarted,
    /// The bot began to create a key and has not written the key to its file. The homeserver may hold secrets that are
    /// encrypted with that key.
    #[serde(rename = "begun")]
    Started,
    /// The key was written to its file.
    #[serde(rename = "done")]
    Finished,
}

/// Returns the path of the file with the recovery key that the bot created.
pub(crate) fn file(config: &Config) -> PathBuf {
    config.folder.join("recovery-key")
}

/// Returns the configured recovery key. If no key is configured, returns the key that the bot created, from [`file`].
/// Returns `None` if that file does not exist or is empty.
///
/// # Errors
/// The key cannot be read.
pub(crate) fn load(config: &Config) -> Result<Option<Secret>, MatrixError> {
    if let Some(reference) = &config.recovery_key {
        let secret = reference.resolve().map_err(|error| MatrixError::rejected(format!("{error:#}")))?;
        return Ok(Some(Secret::new(secret.expose().trim())));
    }
    match fs::read_to_string(file(config)) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => {
            let key = Secret::new(text.trim());
            remember_secret("recovery key", &key);
            Ok(Some(key))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(config, &error)),
    }
}

/// Returns how far the creation of the account's recovery key has come.
///
/// # Errors
/// The file with the progress cannot be read.
pub(crate) fn creation(config: &Config) -> Result<KeyCreation, MatrixError> {
    let stored = folder::read_json(&creation_file(config)).map_err(|error| io_error(config, &error))?;
    Ok(stored.unwrap_or(KeyCreation::NotStarted))
}

/// Records that a recovery key is about to be created. If the host crashes between this call and [`store`], the created
/// key is lost, and the next start of the host creates another key.
///
/// # Errors
/// The file with the progress cannot be written.
pub(crate) fn start_creation(config: &Config) -> Result<(), MatrixError> {
    folder::write_json(&creation_file(config), &KeyCreation::Started).map_err(|error| io_error(config, &error))
}

/// Writes a new recovery key to its file.
///
/// # Errors
/// The file cannot be written. The key is then lost, and the next start of the host creates another key.
pub(crate) fn store(config: &Config, key: &str) -> Result<(), MatrixError> {
    folder::write_atomic(&file(config), &format!("{key}\n"))
        .and_then(|()| folder::write_json(&creation_file(config), &KeyCreation::Finished))
        .map_err(|error| io_error(config, &error))
}

fn creation_file(config: &Config) -> PathBuf {
    config.folder.join("recovery.json")
}
