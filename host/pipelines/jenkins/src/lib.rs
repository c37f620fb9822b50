//! Jenkins pipelines: a deployment starts a build of a job on a Jenkins server.
//!
//! ```toml
//! [pipelines.ci]
//! kind          = "jenkins"
//! url           = "https://ci.example.org"         # the URL of Jenkins, with its path if it has one
//! user          = "wardroom"
//! token         = { env = "JENKINS_TOKEN" }        # an API token; or `password`
//! ca            = "ci.pem"                         # trusted in addition to the system's certificates
//! timeout       = "30s"                            # of each request
//! run_parameter = "WARDROOM_RUN"                   # the parameter of a job that carries the key of a run
//!
//! [app.cms.deploy.staging]
//! pipeline   = "ci:web/cms/deploy"                 # the full name of the job
//! parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }
//! values     = { TAG = "{version}", TARGET = "staging" }
//! ```
//!
//! Modules in reading order:
//!
//! - `config` (the tables of `plugins.toml`), `job_path` (the name of a job and its URL).
//! - `responses` and `error` (the table of error responses), `credentials`, `client` (the wire).
//! - `run` (what is stored of a run), `system` (the calls of `wardroom_remote`), `definition` and
//!   `definitions` (checks values against the parameters that a job defines), `search` (finds a build whose trigger had no answer), `observe` (the requests for the
//!   state of runs), `observation` (what an answer says about a run), `stages`, `log` (the console output), `stop`,
//!   `convert` (a
//!   build to the engine's types).
//!
//! # At most one build for each key
//!
//! If the answer to a trigger was lost, the build is found by the parameter that carries the key, or, for a job without
//! this parameter, by the account, the values and the numbers of the builds since then.
//!
//! Invariant: the host sends its credentials only to the configured URL. URLs in responses are parsed and never called.
//! Not here: the life of a run, which is the same for each kind of server (`wardroom_remote`); permissions and the
//! redaction of secrets (`host/engine`); test reports.

mod client;
mod config;
mod convert;
mod credentials;
mod definition;
mod definitions;
mod error;
mod job_path;
mod log;
mod observation;
mod observe;
mod responses;
mod run;
mod search;
mod stages;
mod stop;
mod system;

use std::{path::PathBuf, sync::Arc};

use wardroom::{
    adapter::{Pipelines, PipelinesBuilder, PipelinesFactory},
    base::{Table, TableKeys},
};
use wardroom_account::folder::folder_name;
use wardroom_remote::RemotePipelines;
pub use wardroom_remote::Timing;

use crate::{
    config::{JenkinsPipeline, System},
    system::Jenkins,
};

/// Builds the backends of the `[pipelines.NAME]` tables with `kind = "jenkins"`.
#[derive(Debug, Clone)]
pub struct JenkinsFactory {
    state: PathBuf,
    timing: Timing,
}

impl JenkinsFactory {
    /// Creates a factory. `state` is the host's state folder. Each backend stores a file for each of its runs in the
    /// subfolder `jenkins/NAME/`, which no other process may use. The first run creates the folder with mode 0700.
    pub fn new(state: PathBuf) -> Self {
        Self { state: std::path::absolute(&state).unwrap_or(state), timing: Timing::default() }
    }

    /// Replaces the default delays of the backends.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }
}

impl PipelinesFactory for JenkinsFactory {
    fn kind(&self) -> &'static str {
        "jenkins"
    }

    fn inline_key(&self) -> Option<&'static str> {
        None
    }

    fn keys(&self) -> &'static TableKeys {
        &config::KEYS
    }

    fn system_keys(&self) -> &'static TableKeys {
        &config::SYSTEM_KEYS
    }

    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>> {
        let system = System::read(table?)?;
        let folder = self.state.join("jenkins").join(folder_name(&system.name));
        Some(Box::new(Draft { system, folder, timing: self.timing.clone(), pipelines: Vec::new() }))
    }
}

/// A backend whose pipelines are being read.
struct Draft {
    system: System,
    folder: PathBuf,
    timing: Timing,
    pipelines: Vec<(String, JenkinsPipeline)>,
}

impl PipelinesBuilder for Draft {
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table) {
        if let Some(pipeline) = JenkinsPipeline::read(path, parameters, &self.system.run_parameter, table) {
            self.pipelines.push((name.to_owned(), pipeline));
        }
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        // Redact the secret before the first request. A secret that cannot be read is reported by the first request.
        let _ = self.system.secret.resolve();
        let Draft { system, folder, timing, pipelines } = *self;
        let jenkins = Jenkins::new(&system, timing.pause, timing.definition, pipelines.into_iter().collect());
        Arc::new(RemotePipelines::new(jenkins, folder, timing))
    }
}
