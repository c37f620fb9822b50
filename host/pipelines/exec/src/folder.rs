//! The folder of a run, which both sides know: its name says that the key is used, its lock that the
//! supervisor lives, its files the rest.
//!
//! ```text
//! KEY/lock            locked by the supervisor for as long as it lives
//!     plan.json       what was asked, without the environment's values
//!     started.json    when the program was there
//!     output.0 ...    see `output`
//!     cancel          there: somebody wants it stopped
//!     verdict.json    how it ended
//! ```
//!
//! A key that was said to have no run has a folder with a lock and a verdict alone.
//!
//! Architecture Invariant: a folder is made whole under a passing name and renamed to its key while it is
//! locked, so that a folder under a key is locked, or over, or interrupted; there is no other moment.
//! Who renames first has the key, so that what is said of a key with no folder is true only once it has one.
//! Architecture Invariant: files with a name are written beside and renamed; nobody reads half of one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wardroom::{
    Timestamp,
    port::{RunEnd, RunKey},
};

use crate::{
    convert,
    order::Order,
    processes::{self, Session},
};

const LOCK: &str = "lock";
const PLAN: &str = "plan.json";
const STARTED: &str = "started.json";
const VERDICT: &str = "verdict.json";
const CANCEL: &str = "cancel";
/// How a passing name begins; no key does.
const PASSING: &str = ".new-";
/// A passing name is needed for milliseconds.
const PASSING_AGE: Duration = Duration::from_secs(3600);

/// Tells the passing names of one process apart.
static CLAIMS: AtomicU64 = AtomicU64::new(0);

/// What a supervisor writes down before it starts anything.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    pipeline: String,
    program: String,
    arguments: Vec<String>,
    directory: String,
    /// The names alone; values may be secrets.
    environment: Vec<String>,
    user: Option<String>,
    timeout: Duration,
    asked: Timestamp,
    /// The supervisor's, and so the run's.
    session: Session,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// Its program was never there.
    Refused(String),
    /// It ran.
    Ended(RunEnd),
}

/// How a run stands.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    /// There is no folder, or not yet.
    Absent,
    /// Its supervisor lives; `started` tells whether its program was there.
    Running { started: bool },
    /// It is over.
    Over(Verdict),
}

/// The folder of one run, whether it is there or not.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder(PathBuf);

impl RunFolder {
    /// The folder of a key. `None` for a key that cannot be a folder's name.
    pub(crate) fn of(runs: &Path, key: &RunKey) -> Option<Self> {
        Some(Self(runs.join(RunKey::parse(key.as_str())?.as_str())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder of an ordered run, locked. `None` where the key is taken; nothing is left behind then.
    pub(crate) fn claim(order: &Order) -> io::Result<Option<(Self, File)>> {
        let wanted = Self::of(&order.runs, &order.key).ok_or_else(|| io::Error::other("the key is not one"))?;
        let launch = &order.launch;
        let plan = Plan {
            pipeline: order.pipeline.clone(),
            program: launch.program.clone(),
            arguments: launch.arguments.clone(),
            directory: launch.directory.clone(),
            environment: launch.environment.keys().cloned().collect(),
            user: launch.user.clone(),
            timeout: order.timeout,
            asked: Timestamp::now(),
            session: Session::own(),
        };
        let lock = wanted.take(PLAN, &plan)?;
        Ok(lock.map(|lock| (wanted, lock)))
    }

    /// Makes the folder with one file in it, locked. `None` where it is there already.
    fn take(&self, name: &str, content: &impl Serialize) -> io::Result<Option<File>> {
        let (Some(runs), Some(key)) = (self.0.parent(), self.0.file_name()) else {
            return Err(io::Error::other("the folder has no name"));
        };
        make_private(runs)?;
        let passing = format!(
            "{PASSING}{}-{}-{}-{}",
            key.display(),
            processes::own(),
            Timestamp::now().as_nanosecond(),
            CLAIMS.fetch_add(1, Ordering::Relaxed)
        );
        let passing = Self(runs.join(passing));
        DirBuilder::new().mode(0o700).create(&passing.0)?;
        let taken = passing.fill_and_rename(name, content, &self.0);
        if !matches!(taken, Ok(Some(_))) {
            let _ = fs::remove_dir_all(&passing.0);
        }
        let taken = taken?;
        if taken.is_some() {
            // The name must survive a power cut before anybody counts on it, or a run could be started twice.
            File::open(runs)?.sync_all()?;
        }
        Ok(taken)
    }

    fn fill_and_rename(&self, name: &str, content: &impl Serialize, wanted: &Path) -> io::Result<Option<File>> {
        // Closed on exec, as all files of the standard library: a run never inherits it.
        let lock = private_file().create_new(true).open(self.0.join(LOCK))?;
        lock.lock()?;
        self.write(name, content)?;
        // Fails where the other folder is there: with the lock in it, it is never empty.
        match fs::rename(&self.0, wanted) {
            Ok(()) => Ok(Some(lock)),
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Self::status`], and never [`Status::Absent`]: a key without a folder is used up here and
    /// now, so that a supervisor whose order is still on its way finds it taken and starts nothing.
    pub(crate) fn settle(&self) -> io::Result<Status> {
        let never = Verdict::Refused("never started".to_owned());
        loop {
            match self.status()? {
                Status::Absent if self.take(VERDICT, &never)?.is_some() => return Ok(Status::Over(never)),
                // Somebody was faster; the next look finds what they made.
                Status::Absent => {}
                status => return Ok(status),
            }
        }
    }

    /// How the run stands. Settles it where its supervisor was interrupted: kills what is left, and
    /// writes that down as the verdict.
    pub(crate) fn status(&self) -> io::Result<Status> {
        if !self.0.try_exists()? {
            return Ok(Status::Absent);
        }
        if let Some(verdict) = self.verdict()? {
            return Ok(Status::Over(verdict));
        }
        // Another host's look holds the lock for a moment too; the next look tells then.
        let lock = match self.try_lock()? {
            Some(lock) => lock,
            None => return Ok(Status::Running { started: self.0.join(STARTED).try_exists()? }),
        };
        // The supervisor may have written its verdict and gone since the first look.
        let verdict = match self.verdict()? {
            Some(verdict) => verdict,
            None => self.interrupted(),
        };
        drop(lock);
        Ok(Status::Over(verdict))
    }

    fn interrupted(&self) -> Verdict {
        let plan: Option<Plan> = self.read(PLAN).ok().flatten();
        if let Some(plan) = &plan {
            plan.session.kill();
        }
        let started = self.read(STARTED).ok().flatten().or(plan.map(|plan| plan.asked));
        let now = Timestamp::now();
        let verdict = Verdict::Ended(convert::interrupted(started.unwrap_or(now), now));
        if let Err(error) = self.write(VERDICT, &verdict) {
            tracing::warn!(folder = %self.0.display(), %error, "cannot write down that a run was interrupted");
        }
        verdict
    }

    fn try_lock(&self) -> io::Result<Option<File>> {
        let lock = private_file().create(true).truncate(false).open(self.0.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn verdict(&self) -> io::Result<Option<Verdict>> {
        match self.read(VERDICT) {
            // A verdict that somebody else wrote into says nothing, and waiting does not mend it.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                let now = Timestamp::now();
                Ok(Some(Verdict::Ended(convert::interrupted(now, now))))
            }
            verdict => verdict,
        }
    }

    /// The program is there.
    pub(crate) fn set_started(&self, at: Timestamp) -> io::Result<()> {
        self.write(STARTED, &at)
    }

    /// The run is over.
    pub(crate) fn set_verdict(&self, verdict: &Verdict) -> io::Result<()> {
        self.write(VERDICT, verdict)
    }

    /// Asks the supervisor to stop the run.
    pub(crate) fn set_cancel(&self) -> io::Result<()> {
        private_file().create(true).truncate(false).open(self.0.join(CANCEL)).map(drop)
    }

    /// Whether somebody asked for the run to be stopped.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.join(CANCEL).exists()
    }

    fn write(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        let beside = self.0.join(format!("{name}.{}.tmp", processes::own()));
        let mut file = private_file().create(true).truncate(true).open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(content)?)?;
        file.sync_all()?;
        fs::rename(&beside, self.0.join(name))?;
        File::open(&self.0)?.sync_all()
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match fs::read(self.0.join(name)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Removes what is left of claims whose process died before it had the key. Nothing was started from these.
pub(crate) fn remove_leftovers(runs: &Path) -> io::Result<()> {
    let found = match fs::read_dir(runs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    for entry in found {
        let entry = entry?;
        let passing = entry.file_name().to_string_lossy().starts_with(PASSING);
        let old = || {
            entry
                .metadata()
                .and_then(|found| found.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > PASSING_AGE))
        };
        if passing && old() && RunFolder(entry.path()).try_lock()?.is_some() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Opens files that are this user's alone.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}
