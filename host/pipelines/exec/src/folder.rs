//! The folder of a pipeline run, through which the host and the run's supervisor share the run's state. The folder's
//! name is the run's key. While the folder exists, no other run can start with this key.
//!
//! ```text
//! KEY/lock            locked until the supervisor exits
//!     plan.json       the request, without the values of environment variables
//!     started.json    the time at which the program started
//!     output.0 ...    the program's output, see `output`
//!     cancel          an empty file that asks the supervisor to stop the run
//!     verdict.json    the result of the run
//! ```
//!
//! The engine can ask for the state of a run whose folder does not exist. The host then creates the folder with only
//! `lock` and `verdict.json`, and reports that there is no such run. If a start request for this run arrives later, it
//! starts nothing.
//!
//! Invariant: a folder is created under a temporary name, locked, and then renamed to its key. If two
//! processes create the folder of one key, the first rename succeeds and the second fails. A folder with a key's name
//! is therefore in one of three states: locked by a running supervisor, complete with a result, or left by a supervisor
//! that died.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use wardroom::{Timestamp, adapter::RunEnd, model::RunKey};

use crate::{
    convert,
    files::{create_private_folder, private_file, read_json, sync_folder, write_json},
    processes::{self, Session},
    protocol::StartRequest,
};

const LOCK: &str = "lock";
const PLAN: &str = "plan.json";
const STARTED: &str = "started.json";
const VERDICT: &str = "verdict.json";
const CANCEL: &str = "cancel";
/// The prefix of a temporary folder's name. The name of a run's folder, which is the run's key, never begins with a
/// dot.
const TEMPORARY_PREFIX: &str = ".new-";
/// A temporary folder that is older than this time is removed. A process normally renames its temporary folder within
/// milliseconds, so an older folder was left by a process that died.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// The number of temporary folders that this process has created. The number makes the names of these folders unique.
static TEMPORARY_COUNT: AtomicU64 = AtomicU64::new(0);

/// The content of `plan.json`: the request to run a program. The supervisor writes the file before the program starts.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    pipeline: String,
    program: String,
    arguments: Vec<String>,
    directory: String,
    /// The names of the environment variables, without values, because a value may be a secret.
    environment: Vec<String>,
    user: Option<String>,
    timeout: Duration,
    #[serde(rename = "asked")]
    requested: Timestamp,
    session: Session,
    #[serde(default)]
    leave_running: bool,
}

/// The content of `verdict.json`: the result of a pipeline run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The program was not started. The text is the reason, for example "cannot start `./deploy.sh`: …".
    Refused(String),
    Ended(RunEnd),
}

#[derive(Debug, Clone)]
pub(crate) enum RunStatus {
    /// The pipeline run's folder does not exist: the run was not started, or its folder was removed with its job.
    Absent,
    /// The supervisor of the pipeline run is running and has stored no result yet. `started` is true if the supervisor
    /// has started the program.
    Running {
        started: bool,
    },
    Finished(Verdict),
}

/// The path of a pipeline run's folder. The folder need not exist.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder(PathBuf);

impl RunFolder {
    /// Returns the path of the folder in `runs` for the pipeline run with this key; `None` if the key is not a valid
    /// folder name.
    pub(crate) fn of(runs: &Path, key: &RunKey) -> Option<Self> {
        Some(Self(runs.join(RunKey::parse(key.as_str())?.as_str())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Creates the folder of a requested pipeline run with the file `plan.json`, and locks the folder until the
    /// returned file is closed. Returns `None` if the run's folder already exists.
    pub(crate) fn create(request: &StartRequest) -> io::Result<Option<(Self, File)>> {
        let folder = Self::of(&request.runs, &request.key)
            .ok_or_else(|| io::Error::other(format!("`{}` is not a valid key of a pipeline run", request.key)))?;
        let program = &request.program;
        let plan = Plan {
            pipeline: request.pipeline.clone(),
            program: program.path.clone(),
            arguments: program.arguments.clone(),
            directory: program.directory.clone(),
            environment: program.environment.keys().cloned().collect(),
            user: program.user.clone(),
            timeout: request.timeout,
            requested: Timestamp::now(),
            session: Session::own(),
            leave_running: request.leave_running,
        };
        let lock = folder.create_with(PLAN, &plan)?;
        Ok(lock.map(|lock| (folder, lock)))
    }

    /// Creates the folder with the JSON file `name`, and returns the folder's lock. Returns `None` if the folder
    /// already exists.
    fn create_with(&self, name: &str, content: &impl Serialize) -> io::Result<Option<File>> {
        let (Some(runs), Some(key)) = (self.0.parent(), self.0.file_name()) else {
            return Err(io::Error::other(format!("`{}` is not a valid folder of a pipeline run", self.0.display())));
        };
        create_private_folder(runs)?;
        let temporary = format!(
            "{TEMPORARY_PREFIX}{}-{}-{}-{}",
            key.display(),
            processes::own_id(),
            Timestamp::now().as_nanosecond(),
            TEMPORARY_COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let temporary = Self(runs.join(temporary));
        DirBuilder::new().mode(0o700).create(&temporary.0)?;
        let created = temporary.fill_and_rename(name, content, &self.0);
        if !matches!(created, Ok(Some(_))) {
            let _ = fs::remove_dir_all(&temporary.0);
        }
        let created = created?;
        if created.is_some() {
            // Without the sync, a power failure could lose the name, and the run could start a second time.
            sync_folder(runs)?;
        }
        Ok(created)
    }

    fn fill_and_rename(&self, name: &str, content: &impl Serialize, target: &Path) -> io::Result<Option<File>> {
        // The standard library opens files close-on-exec, so the program of a run does not inherit the lock.
        let lock = private_file().create_new(true).open(self.0.join(LOCK))?;
        lock.lock()?;
        write_json(&self.0, name, content)?;
        // `rename` replaces only an empty folder, and the folder of an existing run contains its lock file.
        match fs::rename(&self.0, target) {
            Ok(()) => Ok(Some(lock)),
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the status of the pipeline run. If the run's folder does not exist, creates the folder with the result
    /// [`Verdict::Refused`] (the program was not started), and returns this result. The folder reserves the run's key:
    /// a start request with this key that arrives later fails.
    pub(crate) fn status_reserving_key(&self) -> io::Result<RunStatus> {
        let never_started = Verdict::Refused("the pipeline run was never started".to_owned());
        loop {
            match self.status()? {
                RunStatus::Absent if self.create_with(VERDICT, &never_started)?.is_some() => {
                    return Ok(RunStatus::Finished(never_started));
                }
                // Another process created the folder first; the next iteration reads it.
                RunStatus::Absent => {}
                status => return Ok(status),
            }
        }
    }

    /// Returns the status of the pipeline run. If the supervisor died before it stored a result, kills the run's
    /// remaining processes and stores a result with the outcome `unknown`.
    pub(crate) fn status(&self) -> io::Result<RunStatus> {
        if !self.0.try_exists()? {
            return Ok(RunStatus::Absent);
        }
        if let Some(verdict) = self.verdict()? {
            return Ok(RunStatus::Finished(verdict));
        }
        // Another host may hold the lock for a moment while it checks the status. The pipeline run then counts as
        // running until the next call.
        let Some(lock) = self.try_lock()? else {
            return Ok(RunStatus::Running { started: self.0.join(STARTED).try_exists()? });
        };
        // The supervisor may have written the result and exited after the first check.
        let verdict = match self.verdict()? {
            Some(verdict) => verdict,
            None => self.record_interruption(),
        };
        drop(lock);
        Ok(RunStatus::Finished(verdict))
    }

    fn record_interruption(&self) -> Verdict {
        let plan: Option<Plan> = read_json(&self.0, PLAN).ok().flatten();
        if let Some(plan) = &plan {
            plan.session.kill();
        }
        // A process that has left the session can be a service that the run was to leave.
        if !plan.as_ref().is_some_and(|plan| plan.leave_running) {
            processes::kill_marked(&self.0);
        }
        let started = read_json(&self.0, STARTED).ok().flatten().or(plan.map(|plan| plan.requested));
        let now = Timestamp::now();
        let verdict = Verdict::Ended(convert::interrupted(started.unwrap_or(now), now));
        if let Err(error) = write_json(&self.0, VERDICT, &verdict) {
            let path = self.0.display();
            tracing::warn!(
                %path, %error,
                "cannot store the result of an interrupted pipeline run; retrying at the next status check"
            );
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
        match read_json(&self.0, VERDICT) {
            // Another program changed the file, because supervisors write valid JSON. The pipeline run counts as
            // interrupted.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                let now = Timestamp::now();
                Ok(Some(Verdict::Ended(convert::interrupted(now, now))))
            }
            verdict => verdict,
        }
    }

    /// Returns the name of the pipeline; `None` if the run was not started.
    pub(crate) fn pipeline(&self) -> io::Result<Option<String>> {
        let plan: Option<Plan> = read_json(&self.0, PLAN)?;
        Ok(plan.map(|plan| plan.pipeline))
    }

    pub(crate) fn set_started(&self, at: Timestamp) -> io::Result<()> {
        write_json(&self.0, STARTED, &at)
    }

    pub(crate) fn set_verdict(&self, verdict: &Verdict) -> io::Result<()> {
        write_json(&self.0, VERDICT, verdict)
    }

    /// Creates the file `cancel`, which asks the supervisor to stop the pipeline run.
    pub(crate) fn set_cancelled(&self) -> io::Result<()> {
        private_file().create(true).truncate(false).open(self.0.join(CANCEL)).map(drop)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.join(CANCEL).exists()
    }
}

/// Removes temporary folders in the folder `runs` that are older than [`LEFTOVER_AGE`]. Such a folder was left by a
/// process that died before it renamed the folder and started a program.
pub(crate) fn remove_leftovers(runs: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(runs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX);
        let is_old = || {
            entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFTOVER_AGE))
        };
        if is_temporary && is_old() && RunFolder(entry.path()).try_lock()?.is_some() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
