//! The messages between the host and a supervisor. The host writes a start request to the supervisor's standard input.
//! The supervisor writes its response to its standard output.
//!
//! Invariant: a start request contains secrets, so its type does not implement `Debug` and is never written to a file.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use wardroom::model::RunKey;

#[derive(Serialize, Deserialize)]
pub(crate) struct StartRequest {
    /// The folder that contains the folders of all pipeline runs.
    pub(crate) runs: PathBuf,
    pub(crate) key: RunKey,
    /// The pipeline's name, for example `cms/staging`.
    pub(crate) pipeline: String,
    pub(crate) program: ProgramSpec,
    pub(crate) timeout: Duration,
    /// The time between SIGTERM and SIGKILL when the pipeline run is stopped.
    pub(crate) grace: Duration,
    /// Whether processes of the run may continue after its program has ended.
    pub(crate) leave_running: bool,
    /// The first arguments of the supervisor's program, for example `supervise`.
    pub(crate) supervisor_arguments: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ProgramSpec {
    /// The absolute path of the program.
    pub(crate) path: String,
    /// The name that the program receives as `argv[0]`.
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// The working folder, an absolute path.
    pub(crate) directory: String,
    /// All environment variables of the program. If `HOME` is missing, the launcher sets `HOME` to the home folder of
    /// the user that runs the program.
    pub(crate) environment: BTreeMap<String, String>,
    /// The user that runs the program; `None` for the host's user.
    pub(crate) user: Option<String>,
    /// The secrets among the values of `environment`. The supervisor redacts them in the stored output.
    pub(crate) secrets: Vec<String>,
}

/// A supervisor's response to a start request. If the host receives no response, the engine's call to start the run
/// fails. When the engine retries the call, the host reads from the pipeline run's folder whether the run has started.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StartResponse {
    Started,
    /// The folder of the requested pipeline run already exists. The supervisor started nothing.
    KeyInUse,
    /// The program cannot be started; the text is the reason. The pipeline run's folder contains the same text.
    Refused(String),
    /// The pipeline run's folder could not be created, for example on a full disk. The supervisor started nothing.
    Failed(String),
}
