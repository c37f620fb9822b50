//! The files of an account's folder.
//!
//! Not here: how a file is written (`wardroom_account::folder`), and the content of the files.

use std::{io, path::PathBuf};

pub(crate) use wardroom_account::folder::{read_json, remove, write_atomic, write_json};

use crate::{Config, error::MatrixError};

/// The session.
pub(crate) fn session_file(config: &Config) -> PathBuf {
    config.folder.join("session.json")
}

/// The SDK's stores of one device. They have no passphrase: it would be kept beside them, and only the owner can read the folder.
pub(crate) fn stores(config: &Config) -> PathBuf {
    config.folder.join("store")
}

/// Creates the account's folder.
///
/// # Errors
/// [`MatrixError::Unavailable`].
pub(crate) fn create(config: &Config) -> Result<(), MatrixError> {
    wardroom_account::folder::create_private(&config.folder).map_err(|error| io_error(config, &error))
}

/// A failed operation in the folder. A retry can succeed.
pub(crate) fn io_error(config: &Config, error: &io::Error) -> MatrixError {
    MatrixError::unavailable(format!("the folder `{}` cannot be used: {error}", config.folder.display()))
}
