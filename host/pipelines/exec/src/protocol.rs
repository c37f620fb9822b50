//! The messages between the host and a supervisor: one request, one response, through the supervisor's standard input and
//! output.
//!
//! Invariant: a request holds secrets. It has no `Debug` and is never written to a file.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use wardroom::model::RunKey;

/// Asks a supervisor to start one run.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartRequest {
    /// The folder that holds the folders of all runs.
    pub(crate) runs: PathBuf,
    pub(crate) key: RunKey,
    /// The pipeline's name, recorded in the run's folder.
    pub(crate) pipeline: String,
    pub(crate) program: ProgramSpec,
    pub(crate) timeout: Duration,
    /// The time between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// The leading arguments that make the host's program a supervisor.
    pub(crate) supervisor_arguments: Vec<String>,
}

/// The program of a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProgramSpec {
    /// An absolute path.
    pub(crate) path: String,
    /// `argv[0]`.
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// The working folder, an absolute path.
    pub(crate) directory: String,
    /// The whole environment. A missing `HOME` becomes the user's home.
    pub(crate) environment: BTreeMap<String, String>,
    /// `None` for the host's own user.
    pub(crate) user: Option<String>,
}

/// A supervisor's response. Without one, the run may have started or not.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StartResponse {
    /// The program runs.
    Started,
    /// The key has a folder already; nothing was started.
    KeyInUse,
    /// The program cannot be started. The folder records the same.
    Refused(String),
    /// Nothing was started, for a reason outside this run, such as a full disk.
    Failed(String),
}
