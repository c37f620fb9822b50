//! What the host stores of each run: a file for each key.
//!
//! Invariant: the file of a run exists before its build is triggered, and only one start request creates it. A key whose
//! file says that nothing was started can never start a build.
//! Invariant: a file is replaced atomically, and only the host's user can read it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use wardroom::{Timestamp, adapter::RunEnd, model::RunKey};
use wardroom_account::folder;

use crate::job_path::JobPath;

/// The maximum size of a file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The maximum number of files that [`RunStore::others`] reads.
const MAX_OTHERS: usize = 10_000;

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) job: JobPath,
    /// The time at which the start request arrived, of the host's clock.
    pub(crate) requested: Timestamp,
    /// The number of the job's next build, which was read before the trigger. The build has this number or a higher one.
    pub(crate) baseline: u64,
    /// Whether the build's parameters contain the key.
    pub(crate) carries_key: bool,
    /// The values of the job's parameters, without the key.
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) phase: Phase,
    /// Whether the run was cancelled before its queue item was known.
    #[serde(default)]
    pub(crate) cancel: bool,
    /// The time since which Jenkins says that it has no such queue item or build.
    #[serde(default)]
    pub(crate) missing_since: Option<Timestamp>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// The trigger may have been sent, and its answer is not known.
    Triggering,
    /// Nothing was started, and nothing will be. The text is the reason.
    NotStarted(String),
    /// Jenkins has a queue item. `merged`: the item was already in the queue, for an identical request.
    Queued { item: u64, merged: bool },
    /// Jenkins has a build. `scheduled` is its time in milliseconds, of Jenkins' clock; it identifies the build.
    Building {
        item: Option<u64>,
        number: u64,
        #[serde(default)]
        scheduled: Option<i64>,
        merged: bool,
    },
    /// The run has ended. Without a number, no build was started or found.
    Ended { item: Option<u64>, number: Option<u64>, end: RunEnd },
}

impl RunRecord {
    /// A record of a run of which nothing was started.
    pub(crate) fn not_started(job: JobPath, reason: impl Into<String>) -> Self {
        Self {
            job,
            requested: Timestamp::now(),
            baseline: 0,
            carries_key: false,
            values: BTreeMap::new(),
            phase: Phase::NotStarted(reason.into()),
            cancel: false,
            missing_since: None,
        }
    }

    /// Returns the number of the build; `None` before it is known.
    pub(crate) fn number(&self) -> Option<u64> {
        match self.phase {
            Phase::Building { number, .. } => Some(number),
            Phase::Ended { number, .. } => number,
            _ => None,
        }
    }

    /// Returns the id of the queue item; `None` before it is known.
    pub(crate) fn item(&self) -> Option<u64> {
        match self.phase {
            Phase::Queued { item, .. } => Some(item),
            Phase::Building { item, .. } | Phase::Ended { item, .. } => item,
            _ => None,
        }
    }

    pub(crate) fn is_merged(&self) -> bool {
        matches!(self.phase, Phase::Queued { merged: true, .. } | Phase::Building { merged: true, .. })
    }
}

/// The files of a backend's runs.
#[derive(Debug, Clone)]
pub(crate) struct RunStore {
    folder: PathBuf,
    /// Held while a file is changed.
    writing: Arc<Mutex<()>>,
}

impl RunStore {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, writing: Arc::default() }
    }

    fn path(&self, key: &RunKey) -> PathBuf {
        self.folder.join(format!("{key}.json"))
    }

    /// Returns the record of a run; `None` if there is no file.
    pub(crate) fn read(&self, key: &RunKey) -> io::Result<Option<RunRecord>> {
        read(&self.path(key))
    }

    /// Creates the file of a run. Returns false if the file exists.
    pub(crate) fn create(&self, key: &RunKey, record: &RunRecord) -> io::Result<bool> {
        let _writing = self.writing.lock();
        folder::create_private(&self.folder)?;
        let (path, part) = (self.path(key), self.folder.join(format!("{key}.new")));
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
    pub(crate) fn update(&self, key: &RunKey, change: impl FnOnce(&mut RunRecord)) -> io::Result<Option<RunRecord>> {
        let _writing = self.writing.lock();
        let Some(before) = self.read(key)? else { return Ok(None) };
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

    /// Returns the records of all other runs of a job. Files that cannot be read are left out.
    pub(crate) fn others(&self, key: &RunKey, job: &JobPath) -> io::Result<Vec<RunRecord>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let own = self.path(key);
        let mut records = Vec::new();
        for entry in entries.take(MAX_OTHERS) {
            let path = entry?.path();
            if path != own && path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read(&path).ok().flatten().filter(|record| record.job == *job));
            }
        }
        Ok(records)
    }
}

fn read(path: &Path) -> io::Result<Option<RunRecord>> {
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
        let store = RunStore::new(folder.path().join("ci"));
        let key = RunKey::parse("7f3ak-2").unwrap();
        let record = RunRecord::not_started(JobPath::parse("cms").unwrap(), "x");
        assert_eq!(store.read(&key).unwrap(), None);
        assert_eq!(store.update(&key, |_| ()).unwrap(), None);
        assert!(store.create(&key, &record).unwrap());
        let other = RunRecord { baseline: 9, ..record.clone() };
        assert!(!store.create(&key, &other).unwrap());
        assert_eq!(store.read(&key).unwrap(), Some(record.clone()));
        let queued = Phase::Queued { item: 17, merged: false };
        store.update(&key, |record| record.phase = queued.clone()).unwrap();
        assert_eq!(store.read(&key).unwrap(), Some(RunRecord { phase: queued, ..record }));
        assert_eq!(fs::read_dir(folder.path().join("ci")).unwrap().count(), 1, "no temporary file is left");
        let job = JobPath::parse("cms").unwrap();
        assert_eq!(store.others(&key, &job).unwrap().len(), 0);
        assert_eq!(store.others(&RunKey::parse("other").unwrap(), &job).unwrap().len(), 1);
        store.remove(&key).unwrap();
        assert_eq!(store.read(&key).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = RunStore::new(folder.path().to_owned());
        let key = RunKey::parse("a-1").unwrap();
        fs::write(folder.path().join("a-1.json"), "{").unwrap();
        assert!(store.read(&key).is_err());
        assert!(!store.create(&key, &RunRecord::not_started(JobPath::parse("cms").unwrap(), "x")).unwrap());
    }
}
