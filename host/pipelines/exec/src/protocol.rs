//! What the host and a supervisor say to each other through the pipes between them: one order, one answer.
//!
//! Secrets are in an order, so it prints nothing of itself and is never written to a file.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use wardroom::port::RunKey;

/// What a supervisor is to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where the folders of runs are.
    pub(crate) runs: PathBuf,
    pub(crate) key: RunKey,
    /// The pipeline's name, for whoever looks into the folder.
    pub(crate) pipeline: String,
    pub(crate) launch: Launch,
    pub(crate) timeout: Duration,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// The arguments with which this program becomes a supervisor.
    pub(crate) leading: Vec<String>,
}

/// The program of a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Launch {
    /// An absolute path.
    pub(crate) program: String,
    /// What it is told that it is called.
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// Its working folder, an absolute path.
    pub(crate) directory: String,
    /// All of its environment but `HOME`, which is its user's unless it stands here.
    pub(crate) environment: BTreeMap<String, String>,
    /// Another user than the host's.
    pub(crate) user: Option<String>,
}

/// What came of an order. A supervisor that says nothing may have started the run or not.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// The program runs.
    Started,
    /// The key's folder was there: nothing was done.
    Taken,
    /// The program cannot be started, and the folder says so.
    Refused(String),
    /// Nothing was done, for a reason that has nothing to do with this run.
    Failed(String),
}
