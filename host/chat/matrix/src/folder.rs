//! The paths of the files in an account's state folder.
//!
//! Not here: functions that write a file (`wardroom_account::folder`), and the content of the files.

use std::{io, path::PathBuf};

pub(crate) use wardroom_account::folder::{create_private, read_json, remove, write_atomic, write_json};

use crate::{Config, error::MatrixError};

pub(crate) fn session_file(config: &Config) -> PathBuf {
    config.folder.join("session.json")
}

/// Returns the folder of the SDK's stores for the account's present device. The stores are not encrypted with a
/// passphrase, because the passphrase would have to be stored in the same folder. Only the host's user can read the
/// folder.
pub(crate) fn stores(config: &Config) -> PathBuf {
    config.folder.join("store")
}

/// Converts the error of a file operation in the account's state folder to an error after which the account retries.
pub(crate) fn io_error(config: &Config, error: &io::Error) -> MatrixError {
    MatrixError::unavailable(format!("the folder `{}` cannot be used: {error}", config.folder.display()))
}
