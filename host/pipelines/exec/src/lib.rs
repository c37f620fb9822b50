//! Exec pipelines: a deployment runs a program on the host's computer, without a shell.
//!
//! ```toml
//! [app.cms.deploy.staging]
//! run        = ["./sample/deploy.sh", "cms", "staging", "{version}"]
//! parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }
//! dir        = "sample"                        # working folder; default: the folder of the main file
//! env        = { TOKEN = { env = "CMS_TOKEN" }, RELEASE = "cms-{version}" }
//! user       = "deploy"                        # run as this user; the host must run as root
//! timeout    = "10m"                           # default 1h
//! grace      = "30s"                           # time between SIGTERM and SIGKILL; default 10s
//! leave_running = false                        # whether processes may continue after the run; default false
//! ```
//!
//! - The program is a path relative to the main configuration file, or a name that is looked up in the run's `PATH`.
//!   `wardroom check` reports a missing program.
//! - `{name}` in an argument or in a text of `env` is replaced by a parameter's value; `{{` and `}}` are literal
//!   braces. A value is always part of exactly one argument. The program receives its parameters in no other way.
//! - The environment holds only `PATH=/usr/local/bin:/usr/bin:/bin`, `LANG=C.UTF-8`, the user's `HOME`,
//!   `WARDROOM_RUN_FOLDER` (the folder of the run), and the variables of `env`.
//! - A line of output `step: NAME` begins a step. The message of a failed run names the last step.
//! - Processes that the program leaves running are ended, and the job's closing message names them.
//! - The first MiB and at least the last 4 MiB of output are kept. If output between them was removed, a line gives the
//!   number of removed bytes. A caller that waits for the end of the run receives lines while the output grows. If the
//!   output grows too fast, the caller receives a line with the number of skipped bytes instead of the skipped output.
//!
//! # A run outlives the host
//!
//! Each pipeline run has a supervisor process ([`supervise`]) in its own session, and a folder named by its
//! [`RunKey`](wardroom::model::RunKey). A restarted host reads the run's status from the folder. If the supervisor is
//! killed, the kernel kills the program. The next status check then kills the remaining processes of the session and
//! all processes with the run's `WARDROOM_RUN_FOLDER`, and stores the outcome `unknown`. The host never starts the run
//! again.
//!
//! A run's folder exists until the host removes the run's job. Until then, no other run can start with the same key.
//!
//! The engine can ask for the state of a run whose folder does not exist. The host then creates the folder, and reports
//! only afterwards that there is no such run. If a start request for this run arrives later, the folder exists, and the
//! request starts nothing.
//!
//! Under systemd, the host's unit needs `KillMode=process`; otherwise systemd kills the runs when it stops the host.
//!
//! Invariant: `client` and `supervisor` communicate through the run's folder. Only the start request and
//! its response go through pipes, so that no secret is in a file or an argument.
//! Invariant: the secrets of a run are redacted before its output is stored.
//! Not here: permissions and the redaction of other secrets (`host/engine`).

mod client;
mod config;
mod convert;
mod files;
mod folder;
mod follow;
mod lines;
mod output;
mod processes;
mod protocol;
mod supervisor;

use std::{path::PathBuf, sync::Arc};

use wardroom::{
    adapter::{Pipelines, PipelinesBuilder, PipelinesFactory},
    base::{Table, TableKeys},
};

pub use supervisor::supervise;

use crate::{client::ExecPipelines, config::ExecPipeline};

/// Builds pipelines from the `[app.NAME.deploy.ENVIRONMENT]` tables that have the key `run`.
#[derive(Debug, Clone)]
pub struct ExecFactory {
    runs: PathBuf,
    supervisor: Vec<String>,
}

impl ExecFactory {
    /// Creates a factory for exec pipelines.
    ///
    /// `runs_folder` contains one folder for each pipeline run. The first pipeline run creates `runs_folder` with mode
    /// 0700.
    ///
    /// `supervisor` is a program with its first arguments, for example `["/proc/self/exe", "supervise"]`. The program
    /// must pass its remaining arguments to [`supervise`]. `/proc/self/exe` is the running binary, even after an
    /// upgrade has replaced the file.
    pub fn new(runs_folder: PathBuf, supervisor: Vec<String>) -> Self {
        Self { runs: std::path::absolute(&runs_folder).unwrap_or(runs_folder), supervisor }
    }
}

impl PipelinesFactory for ExecFactory {
    fn kind(&self) -> &'static str {
        "exec"
    }

    fn inline_key(&self) -> Option<&'static str> {
        Some("run")
    }

    fn keys(&self) -> &'static TableKeys {
        &config::KEYS
    }

    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>> {
        if let Some(table) = table {
            let message = format!("remove [{}]: the kind `exec` has no [pipelines.*] table", table.path());
            table.problem(
                table.at(),
                message,
                "run = [\"./program\", \"argument\"]   (in [app.A.deploy.E], without this table)".to_owned(),
            );
            return None;
        }
        Some(Box::new(ExecPipelines::new(self.runs.clone(), self.supervisor.clone())))
    }
}

impl PipelinesBuilder for ExecPipelines {
    fn pipeline(&mut self, name: &str, _path: Option<&str>, parameters: &[String], table: &mut Table) {
        if let Some(pipeline) = ExecPipeline::read(parameters, table) {
            self.pipelines.insert(name.to_owned(), pipeline);
        }
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        self.pipelines.values().for_each(ExecPipeline::resolve_secrets);
        Arc::new(*self)
    }
}
