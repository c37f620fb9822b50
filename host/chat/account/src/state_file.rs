//! A value in a JSON file of the account's folder, with the changes that are not yet on disk.

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::folder;

/// A value that is read once and saved after a change. The value is reached through `Deref`; whoever changes it calls
/// [`StateFile::mark_changed`].
#[derive(Debug)]
pub struct StateFile<T> {
    path: PathBuf,
    value: T,
    changed: bool,
    /// Whether a failed save was logged since the last one that succeeded.
    failure_reported: bool,
}

impl<T: Serialize + DeserializeOwned> StateFile<T> {
    /// Reads the value; `None` where there is no file. A file that cannot be read counts as missing: `consequence` tells the
    /// operator in the log what that means.
    pub fn read(path: &Path, consequence: &str) -> Option<T> {
        folder::read_json(path).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the state file cannot be read; {consequence}");
            None
        })
    }

    /// A file with this value. `changed`: the value is not on disk yet.
    pub fn new(path: PathBuf, value: T, changed: bool) -> Self {
        Self { path, value, changed, failure_reported: false }
    }

    /// Records whether the value differs from the file.
    pub fn mark_changed(&mut self, changed: bool) {
        self.changed |= changed;
    }

    /// Writes the value where it changed. A failure is logged once and retried with the next call.
    pub fn save(&mut self) {
        if !self.changed {
            return;
        }
        let created = self.path.parent().map_or(Ok(()), folder::create_private);
        match created.and_then(|()| folder::write_json(&self.path, &self.value)) {
            Ok(()) => (self.changed, self.failure_reported) = (false, false),
            Err(error) => {
                if !std::mem::replace(&mut self.failure_reported, true) {
                    tracing::error!(path = %self.path.display(), %error, "the state file cannot be written; retrying with the next change, a crash before that loses what changed");
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
