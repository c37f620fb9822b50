//! The files of a backend's runs: one for each key.
//!
//! Invariant: the file of a run exists before its trigger is sent, and only one start request creates it. A key whose file
//! says that nothing was started can never start a run.
//! Invariant: a file is replaced atomically, and only the host's user can read it.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use wardroom::model::RunKey;
use wardroom_account::folder;

/// The maximum size of a file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The maximum number of files that [`RunFiles::others`] reads.
const MAX_OTHERS: usize = 10_000;
/// The file whose time shows when the folder was created.
const MARKER: &str = "created";

/// The number of temporary files that this process has created.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// The files of a backend's runs. Its methods block.
#[derive(Debug, Clone)]
pub(crate) struct RunFiles {
    folder: PathBuf,
    /// Held while a file is changed.
    writing: Arc<Mutex<()>>,
}

impl RunFiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, writing: Arc::default() }
    }

    fn path(&self, key: &RunKey) -> PathBuf {
        self.folder.join(format!("{key}.json"))
    }

    /// Returns the record of a run; `None` if there is no file.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &RunKey) -> io::Result<Option<T>> {
        read(&self.path(key))
    }

    /// Returns whether the folder was created longer ago than `age`. The files of earlier runs may have been lost with an
    /// earlier folder.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        let created = fs::metadata(self.folder.join(MARKER)).and_then(|marker| marker.modified());
        created.ok().and_then(|at| at.elapsed().ok()).is_some_and(|elapsed| elapsed >= age)
    }

    /// Creates the folder.
    pub(crate) fn create_folder(&self) -> io::Result<()> {
        let marker = self.folder.join(MARKER);
        if marker.exists() {
            return Ok(());
        }
        let _writing = self.writing.lock();
        folder::create_private(&self.folder)?;
        let marker = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(marker)?;
        marker.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Creates the file of a run. Returns false if the file exists.
    pub(crate) fn create<T: Serialize>(&self, key: &RunKey, record: &T) -> io::Result<bool> {
        self.create_folder()?;
        let _writing = self.writing.lock();
        // Another process can create the file of the same run.
        let number = PARTS.fetch_add(1, Ordering::Relaxed);
        let (path, part) = (self.path(key), self.folder.join(format!("{key}.{}-{number}.new", std::process::id())));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        // A link does not replace an existing file.
        let linked = fs::hard_link(&part, &path);
        fs::remove_file(&part)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => {
                linked?;
                // Without the sync, a power failure could lose the name, and the run could start a second time.
                File::open(&self.folder)?.sync_all()?;
                Ok(true)
            }
        }
    }

    /// Changes the record of a run, and returns the new record. Returns `None` if there is no file.
    pub(crate) fn update<T: Serialize + DeserializeOwned + Clone + PartialEq>(
        &self,
        key: &RunKey,
        change: impl FnOnce(&mut T),
    ) -> io::Result<Option<T>> {
        let _writing = self.writing.lock();
        let Some(before) = self.read::<T>(key)? else { return Ok(None) };
        let mut record = before.clone();
        change(&mut record);
        if record != before {
            folder::write_json(&self.path(key), &record)?;
        }
        Ok(Some(record))
    }

    pub(crate) fn remove(&self, key: &RunKey) -> io::Result<()> {
        let _writing = self.writing.lock();
        folder::remove(&self.path(key))
    }

    /// Returns the records of all other runs with their keys, and whether all files could be read.
    pub(crate) fn others<T: DeserializeOwned>(&self, key: &RunKey) -> io::Result<(Vec<(RunKey, T)>, bool)> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), true)),
            entries => entries?,
        };
        let (mut records, mut is_complete) = (Vec::new(), true);
        for entry in entries {
            let name = entry?.file_name();
            let other = name.to_str().and_then(|name| RunKey::parse(name.strip_suffix(".json")?));
            let Some(other) = other.filter(|other| other != key) else { continue };
            if records.len() == MAX_OTHERS {
                return Ok((records, false));
            }
            match self.read(&other) {
                Ok(record) => records.extend(record.map(|record| (other, record))),
                Err(_) => is_complete = false,
            }
        }
        Ok((records, is_complete))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_creates_the_file_of_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let files = RunFiles::new(folder.path().join("ci"));
        let key = RunKey::parse("7f3ak-2").unwrap();
        assert_eq!(files.read::<u32>(&key).unwrap(), None);
        assert_eq!(files.update::<u32>(&key, |_| ()).unwrap(), None);
        assert!(!files.is_older_than(Duration::ZERO));
        assert!(files.create(&key, &1).unwrap());
        assert!(files.is_older_than(Duration::ZERO) && !files.is_older_than(Duration::from_secs(60)));
        assert!(!files.create(&key, &2).unwrap());
        assert_eq!(files.read::<u32>(&key).unwrap(), Some(1));
        assert_eq!(files.update::<u32>(&key, |value| *value += 1).unwrap(), Some(2));
        assert_eq!(files.read::<u32>(&key).unwrap(), Some(2));
        assert_eq!(fs::read_dir(folder.path().join("ci")).unwrap().count(), 2, "no temporary file is left");
        assert_eq!(files.others::<u32>(&key).unwrap(), (Vec::new(), true));
        let other = RunKey::parse("other").unwrap();
        assert_eq!(files.others::<u32>(&other).unwrap(), (vec![(key.clone(), 2)], true));
        fs::write(folder.path().join("ci/bad-1.json"), "{").unwrap();
        assert_eq!(files.others::<u32>(&other).unwrap(), (vec![(key.clone(), 2)], false));
        files.remove(&key).unwrap();
        assert_eq!(files.read::<u32>(&key).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let files = RunFiles::new(folder.path().to_owned());
        let key = RunKey::parse("a-1").unwrap();
        fs::write(folder.path().join("a-1.json"), "{").unwrap();
        assert!(files.read::<u32>(&key).is_err());
        assert!(!files.create(&key, &1).unwrap());
    }
}
