//! Spinnaker pipelines: a deployment starts an execution of a pipeline through Gate, the API of a Spinnaker.
//!
//! ```toml
//! [pipelines.cd]
//! kind        = "spinnaker"
//! url         = "https://gate.example.org:8085"     # Gate; its port for client certificates
//! certificate = { file = "client.pem" }             # or `identity`, `token`, or `user` with `password`
//! key         = { file = "client.key" }
//! ca          = "ca.pem"                            # trusted in addition to the system's certificates
//! timeout     = "30s"                               # of each request
//! ui          = "https://deck.example.org"          # for links to executions
//!
//! [app.cms.deploy.staging]
//! pipeline   = "cd:cms/Deploy to staging"           # the application, and the name or the id of the pipeline
//! parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }
//! values     = { TAG = "{version}" }
//! ```
//!
//! Modules in reading order:
//!
//! - `config` (the tables of `plugins.toml`), `pipeline_path` (an application and a pipeline).
//! - `responses` and `error` (the table of error responses), `sign_in`, `client` (the wire).
//! - `definition` (checks values against the parameters that a pipeline defines), `system` (the trait of the shared core),
//!   `search` (finds an execution whose trigger had no answer), `observe` with `snapshots` (the requests for the state of
//!   runs), `stages`, `lines` (the output), `convert` (an execution to the engine's types), `judgement` (answers),
//!   `existing` (pipelines and executions that no app names).
//!
//! # At most one execution for each key
//!
//! The shared core never sends a trigger twice. The trigger carries the key of the run as its correlation id, by which an
//! execution is found whose answer was lost.
//!
//! Invariant: the host sends its credentials only to the configured URL.
//! Not here: the files of runs, the poller and the repetition of a cancellation (`wardroom-remote`); permissions and the
//! redaction of secrets (`host/engine`).

mod client;
mod config;
mod convert;
mod definition;
mod error;
mod existing;
mod judgement;
mod lines;
mod observe;
mod pipeline_path;
mod responses;
mod search;
mod sign_in;
mod snapshots;
mod stages;
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
    config::{GateSettings, SignIn, SpinnakerPipeline},
    system::Spinnaker,
};

/// Builds the backends of the `[pipelines.NAME]` tables with `kind = "spinnaker"`.
#[derive(Debug, Clone)]
pub struct SpinnakerFactory {
    state: PathBuf,
    timing: Timing,
}

impl SpinnakerFactory {
    /// Creates a factory. `state` is the host's state folder. Each backend stores a file for each of its runs in the
    /// subfolder `spinnaker/NAME/`, which no other process may use. The first run creates the folder with mode 0700.
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

impl PipelinesFactory for SpinnakerFactory {
    fn kind(&self) -> &'static str {
        "spinnaker"
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
        let settings = GateSettings::read(table?)?;
        let folder = self.state.join("spinnaker").join(folder_name(&settings.name));
        Some(Box::new(Draft { settings, folder, timing: self.timing.clone(), pipelines: Vec::new() }))
    }
}

/// A backend whose pipelines are being read.
struct Draft {
    settings: GateSettings,
    folder: PathBuf,
    timing: Timing,
    pipelines: Vec<(String, SpinnakerPipeline)>,
}

impl PipelinesBuilder for Draft {
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table) {
        if let Some(pipeline) = SpinnakerPipeline::read(path, parameters, table) {
            self.pipelines.push((name.to_owned(), pipeline));
        }
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        let Draft { settings, folder, timing, pipelines } = *self;
        // Redact the secret before the first request. A secret that cannot be read is reported by the first request.
        match &settings.sign_in {
            SignIn::Certificate(source) => source.redact(),
            SignIn::Token(secret) | SignIn::Password { password: secret, .. } => drop(secret.resolve()),
        }
        let system = Spinnaker::new(&settings, timing.clone(), pipelines.into_iter().collect());
        Arc::new(RemotePipelines::new(system, folder, timing))
    }
}
