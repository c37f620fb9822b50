//! The recovery key: what opens the account's secrets on the homeserver, for a device that lost its own.
//!
//! Architecture Invariant: a key that we make is shown in one place, a file of the account's folder, and nowhere else: not
//! in the log, which may be shipped, and not in a room. It is made once; an account that lost it is reported, not given another.
//! Not here: what is done with it (`identity`).

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use wardroom::port::Secret;

use crate::{Config, folder, trouble::Trouble};

/// Whether the account has a key of our making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Making {
    /// Never begun.
    Never,
    /// Begun: the homeserver may hold secrets under a key that nobody has read yet.
    Begun,
    /// Made and written down.
    Done,
}

/// The file with the key that we made.
pub(crate) fn file(config: &Config) -> PathBuf {
    config.folder.join("recovery-key")
}

/// The key of the configuration, or the one of our making as long as its file is there.
///
/// # Errors
/// The configured one cannot be read.
pub(crate) fn key(config: &Config) -> Result<Option<Secret>, Trouble> {
    if let Some(reference) = &config.recovery_key {
        let secret = reference.resolve().map_err(|error| Trouble::Refused { reason: format!("{error:#}") })?;
        return Ok(Some(Secret::new(secret.expose().trim())));
    }
    match fs::read_to_string(file(config)) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(Secret::new(text.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(folder::trouble(config, &error)),
    }
}

/// How far the making of a key came.
///
/// # Errors
/// What the file system said.
pub(crate) fn making(config: &Config) -> Result<Making, Trouble> {
    let kept = folder::read_json(&marker(config)).map_err(|error| folder::trouble(config, &error))?;
    Ok(kept.unwrap_or(Making::Never))
}

/// Keeps that the making begins. From here to [`made`] a crash leaves a key that nobody has read.
///
/// # Errors
/// What the file system said.
pub(crate) fn begin(config: &Config) -> Result<(), Trouble> {
    folder::write_json(&marker(config), &Making::Begun).map_err(|error| folder::trouble(config, &error))
}

/// Writes the key down.
///
/// # Errors
/// What the file system said; the next start makes another in its place, because nobody has read this one.
pub(crate) fn made(config: &Config, key: &str) -> Result<(), Trouble> {
    folder::write_whole(&file(config), &format!("{key}\n"))
        .and_then(|()| folder::write_json(&marker(config), &Making::Done))
        .map_err(|error| folder::trouble(config, &error))
}

fn marker(config: &Config) -> PathBuf {
    config.folder.join("recovery.json")
}
