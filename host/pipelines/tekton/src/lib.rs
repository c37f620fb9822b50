//! Tekton pipelines: a deployment creates a PipelineRun in a Kubernetes cluster.
//!
//! ```toml
//! [pipelines.cluster]
//! kind       = "tekton"
//! kubeconfig = "kube.config"            # or `in_cluster = true`
//! context    = "staging"                # of the kubeconfig
//! namespace  = "ci"
//! namespaces = ["team-a"]               # that a pipeline may select, too
//! timeout    = "30s"                    # of each request
//! link       = "https://tekton.example.org/#/namespaces/{namespace}/pipelineruns/{run}"
//!
//! [app.cms.deploy.staging]
//! pipeline        = "cluster:deploy"    # or "cluster:team-a/deploy"
//! parameters      = { version = '[0-9]+\.[0-9]+\.[0-9]+' }
//! values          = { TAG = "{version}", REGIONS = ["eu", "us"], IMAGE = { repo = "cms", tag = "{version}" } }
//! service_account = "deployer"
//! timeouts        = { pipeline = "1h", tasks = "50m", finally = "10m" }
//! workspaces      = { source = { claim = "cms-source" }, cache = { empty_dir = true } }
//! ```
//!
//! Modules in reading order:
//!
//! - `config`, `pipeline` and `workspace` (the tables of `plugins.toml`), `names` (names of objects), `credentials`
//!   (kubeconfig and service account).
//! - `error` and `responses` (the table of error responses), `call` (the requests), `client` (the wire), `types` (the
//!   objects).
//! - `tekton` (the implementation of [`System`](wardroom_remote::System)), `run` (the PipelineRun of a run),
//!   `installation` (the id of this host), `definition` (checks values against a Pipeline), `definitions` (reads it).
//! - `observe` (the requests for the state of runs), `stages` (tasks and results), `log` and `log_lines` (the output),
//!   `gates` (approvals), `catalog` (Pipelines and runs that the host did not start), `access` (the checks of
//!   `wardroom check --connect`).
//!
//! # At most one PipelineRun for each key
//!
//! The name of a PipelineRun is made of the key of its run. A second request cannot create a second PipelineRun: the
//! cluster answers that the name is taken. Labels with the key and with the id of the installation say whether the host
//! created it.
//!
//! Invariant: the host sends its credentials only to the cluster of the kubeconfig, and follows no redirect.
//! Invariant: the size of each response is limited, and each request has a timeout.
//! Not here: permissions and the redaction of secrets (`host/engine`); the files of runs and their polling
//! (`host/pipelines/remote`).

mod access;
mod call;
mod catalog;
mod client;
mod config;
mod credentials;
mod definition;
mod definitions;
mod error;
mod gates;
mod installation;
mod log;
mod log_lines;
mod names;
mod observe;
mod pipeline;
mod responses;
mod run;
mod stages;
mod tekton;
mod types;
mod workspace;

use std::{path::PathBuf, sync::Arc};

use wardroom::{
    adapter::{Pipelines, PipelinesBuilder, PipelinesFactory},
    base::{Table, TableKeys},
};
use wardroom_account::folder::folder_name;
use wardroom_remote::RemotePipelines;
pub use wardroom_remote::Timing;

use crate::{config::Settings, pipeline::TektonPipeline, tekton::Tekton};

/// Builds the backends of the `[pipelines.NAME]` tables with `kind = "tekton"`.
#[derive(Debug, Clone)]
pub struct TektonFactory {
    state: PathBuf,
    timing: Timing,
}

impl TektonFactory {
    /// Creates a factory. `state` is the host's state folder. Each backend stores a file for each of its runs in the
    /// subfolder `tekton/NAME/`, which no other process may use. The first run creates the folder with mode 0700.
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

impl PipelinesFactory for TektonFactory {
    fn kind(&self) -> &'static str {
        "tekton"
    }

    fn inline_key(&self) -> Option<&'static str> {
        None
    }

    fn keys(&self) -> &'static TableKeys {
        &pipeline::KEYS
    }

    fn system_keys(&self) -> &'static TableKeys {
        &config::SYSTEM_KEYS
    }

    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>> {
        let settings = Settings::read(table?)?;
        let state = self.state.join("tekton");
        Some(Box::new(Draft { settings, state, timing: self.timing.clone(), pipelines: Vec::new() }))
    }
}

/// A backend whose pipelines are being read.
struct Draft {
    settings: Settings,
    /// The folder of all backends of this kind.
    state: PathBuf,
    timing: Timing,
    pipelines: Vec<(String, TektonPipeline)>,
}

impl PipelinesBuilder for Draft {
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table) {
        if let Some(pipeline) = TektonPipeline::read(path, parameters, &self.settings, table) {
            self.pipelines.push((name.to_owned(), pipeline));
        }
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        let Draft { settings, state, timing, pipelines } = *self;
        let folder = state.join(folder_name(&settings.name));
        let tekton = Tekton::new(settings, state, &timing, pipelines.into_iter().collect());
        Arc::new(RemotePipelines::new(tekton, folder, timing))
    }
}
