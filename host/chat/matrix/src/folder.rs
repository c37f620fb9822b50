//! The account's folder: what is in it.
//!
//! Not here: how its files are written (`wardroom_account::folder`), and what stands in them.

use std::{io, path::PathBuf};

pub(crate) use wardroom_account::folder::{read_json, remove, write_json, write_whole};

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
    wardroom_account::folder::make(&config.folder).map_err(|error| trouble(config, &error))
}

/// The folder does not do what it should, which may pass.
pub(crate) fn trouble(config: &Config, error: &io::Error) -> Trouble {
    Trouble::Later { after: None, reason: format!("the folder `{}` cannot be used: {error}", config.folder.display()) }
}
