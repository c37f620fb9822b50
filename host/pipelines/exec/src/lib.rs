//! Exec pipelines: a deployment is a program on the host's own machine, never a shell line.
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
//! - The program is a path relative to this file's folder, or a bare name that is looked up in the
//!   run's `PATH`. It is checked when the configuration is read.
//! - `{name}` in an argument or in a text of `env` is a parameter's value, `{{` and `}}` are braces. A
//!   value stays inside its one argument, whatever is in it. Parameters reach the program in no other way.
//! - The environment is clean: `PATH=/usr/local/bin:/usr/bin:/bin`, `LANG=C.UTF-8`, the user's `HOME`, and what `env` names.
//! - A line of output `step: NAME` names the step that the run is in; a failure names the newest one.
//! - Of the output, the first MiB and the last 4 MiB at least are kept, with a word on what is missing between.
//!   Who waits is given it while it grows; what comes too fast for that is passed over, with a word on that too.
//!
//! # A run outlives the host
//!
//! Each run has a supervisor ([`supervise`]) in a session of its own and a folder named as its
//! [`RunKey`](wardroom::port::RunKey). Both are all that a later host needs to find the run again.
//! Where the supervisor itself is killed, the kernel kills the program, and the next look at the run
//! kills what is left of its session and records the outcome `unknown`; it is never started again.
//! A run's folder stays until its job is removed: it is what says that a key was used. A key that was said to have no run
//! gets a folder as well, so that an order that is still on its way starts nothing. Under systemd the host's unit needs
//! `KillMode=process`, or else stopping the host stops its runs.
//!
//! Architecture Invariant: `client` and `supervisor` talk through the run's folder alone, except for
//! the order and its one answer, which go through pipes, so that no secret is ever in a file or an argument.
//! Not here: who may start what (the engine), and what of a secret a program prints itself.

mod client;
mod config;
mod convert;
mod folder;
mod order;
mod output;
mod processes;
mod reader;
mod supervisor;
mod template;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use wardroom::{
    config::Table,
    port::{Pipelines, PipelinesFactory, pipelines::PipelinesBuilder},
};

pub use supervisor::supervise;

use crate::{client::ExecPipelines, config::Entry};

/// Reads `[app.A.deploy.E]` tables that have a `run`.
#[derive(Debug, Clone)]
pub struct ExecFactory {
    runs: PathBuf,
    supervisor: Vec<String>,
}

impl ExecFactory {
    /// `runs_folder` is where the folders of runs are kept (made where it is missing, for this user
    /// alone). `supervisor` is a program with its leading arguments that ends up in [`supervise`] and passes
    /// all other arguments on to it. `/proc/self/exe` is this very program, also after an upgrade has
    /// replaced its file.
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
        Some(Box::new(Builder { factory: self.clone(), entries: BTreeMap::new() }))
    }
}

struct Builder {
    factory: ExecFactory,
    entries: BTreeMap<String, Entry>,
}

impl PipelinesBuilder for Builder {
    fn pipeline(&mut self, name: &str, _path: Option<&str>, parameters: &[String], table: &mut Table) {
        if let Some(entry) = Entry::read(parameters, table) {
            self.entries.insert(name.to_owned(), entry);
        }
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        Arc::new(ExecPipelines::new(self.factory.runs, self.factory.supervisor, self.entries))
    }
}
