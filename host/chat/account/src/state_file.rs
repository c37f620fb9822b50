//! A value in a JSON file of an account's state folder, with a flag for changes that are not on disk yet.

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::folder;

/// A value that is read once from a JSON file, changed in memory and written back. Dereference the `StateFile` to
/// access the value. After a change, call [`StateFile::mark_changed`] and then [`StateFile::save`].
#[derive(Debug)]
pub struct StateFile<T> {
    path: PathBuf,
    value: T,
    changed: bool,
    /// Whether a failed write was logged since the last successful write.
    failure_reported: bool,
}

impl<T: Serialize + DeserializeOwned> StateFile<T> {
    /// Reads the value; `None` if the file does not exist. If the file cannot be read, returns `None`, too, and logs a
    /// warning that ends with `consequence`, for example `rooms are ignored until an admin invites the bot again`.
    pub fn read(path: &Path, consequence: &str) -> Option<T> {
        folder::read_json(path).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "cannot read the state file; {consequence}");
            None
        })
    }

    /// Creates a state file at `path` with this value, but does not write the file. `changed` is true if the value is
    /// not on disk yet.
    pub fn new(path: PathBuf, value: T, changed: bool) -> Self {
        Self { path, value, changed, failure_reported: false }
    }

    /// If `changed` is true, records that the value differs from the file, so that [`StateFile::save`] writes the file.
    /// If `changed` is false, does nothing.
    pub fn mark_changed(&mut self, changed: bool) {
        self.changed |= changed;
    }

    /// Writes the value to the file if it was changed. A failed write is logged once; the next call retries it.
    pub fn save(&mut self) {
        if !self.changed {
            return;
        }
        let created = self.path.parent().map_or(Ok(()), folder::create_private);
        match created.and_then(|()| folder::write_json(&self.path, &self.value)) {
            Ok(()) => (self.changed, self.failure_reported) = (false, false),
            Err(error) => {
                if !std::mem::replace(&mut self.failure_reported, true) {
                    tracing::error!(path = %self.path.display(), %error, "cannot write the state file; retrying; a restart before the next successful write loses the changes; hint: free disk space or repair the folder's permissions");
                }
            }
        }
    }
}

impl<T> Deref for StateFile<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for StateFile<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_on_disk_after_a_save() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below").join("x.json");
        assert_eq!(StateFile::<Vec<u8>>::read(&path, "nothing"), None);
        let mut file = StateFile::new(path.clone(), vec![1], false);
        file.save();
        assert!(!path.exists(), "nothing changed");
        file.push(2);
        file.mark_changed(true);
        file.save();
        assert_eq!(StateFile::<Vec<u8>>::read(&path, "nothing"), Some(vec![1, 2]));
        std::fs::write(&path, "{").expect("written");
        assert_eq!(StateFile::<Vec<u8>>::read(&path, "nothing"), None, "a damaged file counts as missing");
    }
}
