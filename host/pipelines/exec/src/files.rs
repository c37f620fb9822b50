//! Creates files and folders that only the host's user can read, and reads and writes JSON files.
//!
//! Invariant: a JSON file is written under a temporary name, synced and renamed, so that a reader never reads an
//! incomplete file.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::processes;

/// Returns options for a writable file with mode 0600.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Creates a folder and its missing parents with mode 0700. An existing folder keeps its mode.
pub(crate) fn create_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes JSON to a file in `folder`. When the function returns, the file's content and name are synced to disk.
pub(crate) fn write_json(folder: &Path, name: &str, content: &impl Serialize) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.{}.tmp", processes::own_id()));
    let mut file = private_file().create(true).truncate(true).open(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    sync_folder(folder)
}

/// Reads a JSON file in `folder`. Returns `None` if the file does not exist.
pub(crate) fn read_json<T: DeserializeOwned>(folder: &Path, name: &str) -> io::Result<Option<T>> {
    match fs::read(folder.join(name)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Syncs the names of a folder's files to disk, so that new and renamed files survive a power failure.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
