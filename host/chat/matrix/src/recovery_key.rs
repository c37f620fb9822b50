//! The recovery key, which opens the account's secrets on the homeserver for a device without keys.
//!
//! Architecture Invariant: a key that the bot creates is written to one file of the account's folder and to no other place: not
//! to the log, which may be shipped, and not to a room. It is created once. An account that lost it is reported and gets no other.
//! Not here: the use of the key (`cross_signing`).

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use wardroom::base::Secret;

use crate::{
    Config,
    error::MatrixError,
    folder::{self, io_error},
};

/// How far the bot came in creating a recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyCreation {
    #[serde(rename = "never")]
    NotStarted,
    /// The homeserver may hold secrets under a key that was not written to its file.
    #[serde(rename = "begun")]
    Started,
    /// The key was written to its file.
    #[serde(rename = "done")]
    Finished,
}

/// The file of the key that the bot created.
pub(crate) fn file(config: &Config) -> PathBuf {
    config.folder.join("recovery-key")
}

/// The configured key, or else the one in [`file`] while that exists.
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
        Ok(text) => Ok(Some(Secret::new(text.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(config, &error)),
    }
}

/// How far the bot came in creating a key.
///
/// # Errors
/// The file of the progress cannot be read.
pub(crate) fn creation(config: &Config) -> Result<KeyCreation, MatrixError> {
    let stored = folder::read_json(&creation_file(config)).map_err(|error| io_error(config, &error))?;
    Ok(stored.unwrap_or(KeyCreation::NotStarted))
}

/// Records that a key is about to be created. A crash between this and [`store`] leaves a key that nobody can read.
///
/// # Errors
/// The file of the progress cannot be written.
pub(crate) fn start_creation(config: &Config) -> Result<(), MatrixError> {
    folder::write_json(&creation_file(config), &KeyCreation::Started).map_err(|error| io_error(config, &error))
}

/// Writes a new key to its file.
///
/// # Errors
/// The file cannot be written. The next start creates another key, because nobody could read this one.
pub(crate) fn store(config: &Config, key: &str) -> Result<(), MatrixError> {
    folder::write_atomic(&file(config), &format!("{key}\n"))
        .and_then(|()| folder::write_json(&creation_file(config), &KeyCreation::Finished))
        .map_err(|error| io_error(config, &error))
}

fn creation_file(config: &Config) -> PathBuf {
    config.folder.join("recovery.json")
}
