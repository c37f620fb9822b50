//! Exec pipelines: a deployment is a program on the host's own machine. No shell reads its arguments.
//!
//! ```toml
//! [app.cms.deploy.staging]
//! run        = ["./sample/deploy.sh", "cms", "staging", "{version}"]
//! parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }
//! dir        = "sample"                        # working folder; default: the folder of this file
//! env        = { TOKEN = { env = "CMS_TOKEN" }, RELEASE = "cms-{version}" }
//! user       = "deploy"                        # another user; the host must run as root
//! timeout    = "10m"                           # default 1h
//! grace      = "30s"                           # between SIGTERM and SIGKILL; default 10s
//! ```
//!
//! - The program is a path relative to this file's folder, or a bare name that is looked up in the run's `PATH`. It is
//!   checked when the configuration is read.
//! - `{name}` in an argument or in a text of `env` is replaced by a parameter's value; `{{` and `}}` are braces. A value stays
//!   inside its one argument. The program receives parameters in no other way.
//! - The environment is clean: `PATH=/usr/local/bin:/usr/bin:/bin`, `LANG=C.UTF-8`, the user's `HOME`, and the variables of
//!   `env`.
//! - A line of output `step: NAME` begins a step. A failure names the last step.
//! - Of the output, the first MiB and at least the last 4 MiB are kept, with a line for the missing bytes between. A waiting
//!   caller receives the lines while the output grows; output that comes too fast is skipped, also with a line for it.
//!
//! # A run outlives the host
//!
//! Each run has a supervisor ([`supervise`]) in its own session, and a folder named by its [`RunKey`](wardroom::model::RunKey).
//! A later host finds the run by these two alone. Where the supervisor is killed, the kernel kills the program; the next status
//! check kills the rest of the session and records the outcome `unknown`. The run is never started again.
//!
//! A run's folder marks its key as used, and stays until its job is removed. A key that was reported to have no run gets a
//! folder too, so that a request in flight starts nothing. Under systemd the host's unit needs `KillMode=process`; otherwise
//! stopping the host stops its runs.
//!
//! Architecture Invariant: `client` and `supervisor` communicate through the run's folder. Only the start request and its
//! response go through pipes, so that no secret is in a file or an argument.
//! Not here: permissions (the engine), and redaction of secrets that a program prints itself.

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
mod template;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use wardroom::{
    adapter::{Pipelines, PipelinesBuilder, PipelinesFactory},
    base::{Table, TableKeys},
};

pub use supervisor::supervise;

use crate::{client::ExecPipelines, config::ExecPipeline};

/// Reads `[app.A.deploy.E]` tables that have a `run`.
#[derive(Debug, Clone)]
pub struct ExecFactory {
    runs: PathBuf,
    supervisor: Vec<String>,
}

impl ExecFactory {
    /// `runs_folder` holds the folders of runs; it is created with mode 0700 where it is missing. `supervisor` is a program
    /// with leading arguments that calls [`supervise`] with the remaining arguments. `/proc/self/exe` is this program, also
    /// after an upgrade has replaced its file.
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
            let message = format!("[{}] is of the kind `exec`, which needs no [pipelines.*] table", table.path());
            table.problem(
                table.at(),
                message,
                "run = [\"./program\", \"argument\"]   (in [app.A.deploy.E], without this table)".to_owned(),
            );
            return None;
        }
        Some(Box::new(Builder { factory: self.clone(), pipelines: BTreeMap::new() }))
    }
}

struct Builder {
    factory: ExecFactory,
    pipelines: BTreeMap<String, ExecPipeline>,
}

impl PipelinesBuilder for Builder {
    fn pipeline(&mut self, name: &str, _path: Option<&str>, parameters: &[String], table: &mut Table) {
        if let Some(pipeline) = ExecPipeline::read(parameters, table) {
            self.pipelines.insert(name.to_owned(), pipeline);
        }
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        Arc::new(ExecPipelines::new(self.factory.runs, self.factory.supervisor, self.pipelines))
    }
}
