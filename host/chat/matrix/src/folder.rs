//! The account's folder: what is in it, and how its files are written.
//!
//! Architecture Invariant: the folder is for its owner alone, and each file appears whole or not at all.
//! Not here: what stands in the files.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Config, trouble::Trouble};

/// The session.
pub(crate) fn session_file(config: &Config) -> PathBuf {
    config.folder.join("session.json")
}

/// The SDK's stores, which belong to the session. They have no passphrase: it would lie beside them, and the folder is
/// for its owner alone already.
pub(crate) fn stores(config: &Config) -> PathBuf {
    config.folder.join("store")
}

/// Makes the folder, or takes away the rights that others have on it.
///
/// # Errors
/// What the file system said.
pub(crate) fn make(config: &Config) -> Result<(), Trouble> {
    let folder = &config.folder;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    // It may have been there with other rights.
    made.and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
        .map_err(|error| trouble(config, &error))
}

/// Writes a file of the account's folder, for its owner alone: whole, or not at all.
///
/// # Errors
/// What the file system said.
pub(crate) fn write_whole(whole: &Path, text: &str) -> io::Result<()> {
    let part = whole.with_extension("part");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, whole)?;
    whole.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

/// Writes a value as such a file.
///
/// # Errors
/// What the file system said.
pub(crate) fn write_json(file: &Path, value: &impl Serialize) -> io::Result<()> {
    write_whole(file, &serde_json::to_string(value)?)
}

/// Reads a value from such a file; `None` where there is none.
///
/// # Errors
/// It cannot be read, or holds something else.
pub(crate) fn read_json<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes a file or a folder away, where it is there.
///
/// # Errors
/// What the file system said.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The folder does not do what it should, which may pass.
pub(crate) fn trouble(config: &Config, error: &io::Error) -> Trouble {
    Trouble::Later { after: None, reason: format!("the folder `{}` cannot be used: {error}", config.folder.display()) }
}
