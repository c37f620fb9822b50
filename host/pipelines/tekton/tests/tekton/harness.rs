//! A test host with the pipeline `cms/staging`, which is the Pipeline `deploy` in the namespace `ci` of a fake cluster.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::json;
use wardroom::{
    adapter::{Pipelines, PipelinesFactory},
    base::Table,
};
use wardroom_fake_kubernetes::Server;
use wardroom_tekton::{TektonFactory, Timing};

#[path = "../../../../../tests/pipelines/calls.rs"]
mod calls;

pub(crate) use calls::*;

pub(crate) const TOKEN: &str = "token-11f2a9c4";
pub(crate) const USER: &str = "system:serviceaccount:ops:wardroom";
/// The name of the PipelineRun of the run `a-1`.
pub(crate) const RUN: &str = "wardroom-a-1";

pub(crate) struct TestHost {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Server,
}

/// What a test changes of the configuration.
pub(crate) struct Settings {
    /// The keys of `[pipelines.cluster]`.
    pub(crate) system: String,
    /// The text after the colon of `pipeline`.
    pub(crate) path: String,
    /// The keys of `[app.cms.deploy.staging]`.
    pub(crate) keys: String,
    pub(crate) timing: Timing,
}

pub(crate) const SYSTEM: &str = "kubeconfig = 'kube.config'\nnamespace = 'ci'\ntimeout = '1s'";

impl Default for Settings {
    fn default() -> Self {
        Self {
            system: SYSTEM.to_owned(),
            path: "deploy".to_owned(),
            keys: "values = { TAG = '{version}' }".to_owned(),
            timing: timing(),
        }
    }
}

impl Settings {
    pub(crate) fn keys(keys: &str) -> Self {
        Self { keys: keys.to_owned(), ..Self::default() }
    }
}

/// Returns short delays.
pub(crate) fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.poll = Duration::from_millis(40);
    timing.log = Duration::from_millis(10);
    timing.settle = Duration::ZERO;
    timing.second_look = Duration::from_millis(20);
    timing.gone = Duration::from_millis(250);
    timing.escalate = Duration::from_millis(80);
    timing.pause = Duration::from_millis(150);
    timing.definition = Duration::ZERO;
    timing
}

impl TestHost {
    /// Starts a server with a Pipeline that needs `TAG`, and a kubeconfig with a token file.
    pub(crate) async fn new() -> Self {
        let server = Server::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        server.token(TOKEN, USER, &["system:authenticated"]);
        server.pipeline(
            "ci",
            "deploy",
            json!({ "params": [{ "name": "TAG", "type": "string" }],
            "tasks": [{ "name": "build" }, { "name": "roll-out" }], "finally": [{ "name": "notify" }] }),
        );
        let host = Self { folder, server };
        host.write_token(TOKEN);
        host.write_kubeconfig("{tokenFile: token}");
        host
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_token(&self, token: &str) {
        std::fs::write(self.path("token"), format!("{token}\n")).unwrap();
    }

    pub(crate) fn write_kubeconfig(&self, user: &str) {
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: '{}'}}\ncontexts:\n- name: dev\n  \
             context: {{cluster: c, user: u}}\ncurrent-context: dev\nusers:\n- name: u\n  user: {user}\n",
            self.server.url()
        );
        std::fs::write(self.path("kube.config"), text).unwrap();
    }

    pub(crate) fn pipelines(&self) -> Arc<dyn Pipelines> {
        self.with(Settings::default())
    }

    pub(crate) fn with(&self, settings: Settings) -> Arc<dyn Pipelines> {
        let factory = TektonFactory::new(self.path("state")).timing(settings.timing.clone());
        let read = read(&factory, self.folder.path(), &settings.system, &settings.path, &settings.keys);
        read.unwrap_or_else(|problems| panic!("{problems:#?}"))
    }
}

/// Reads the tables of a backend and of its pipeline with the parameter `version`. Returns the backend, or the
/// configuration problems.
pub(crate) fn read(
    factory: &TektonFactory,
    folder: &Path,
    system: &str,
    path: &str,
    keys: &str,
) -> Result<Arc<dyn Pipelines>, Vec<String>> {
    let (mut table, problems) = Table::parse("pipelines.cluster", system, factory.system_keys(), folder);
    let builder = factory.system(Some(&mut table));
    table.finish();
    let mut found: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
    let Some(mut builder) = builder else { return Err(found) };
    let (mut table, problems) = Table::parse("app.cms.deploy.staging", keys, factory.keys(), folder);
    let parameters =
        if keys.contains("{version}") || keys.is_empty() { vec!["version".to_owned()] } else { Vec::new() };
    builder.pipeline(PIPELINE, Some(path), &parameters, &mut table);
    table.finish();
    found.extend(problems.sorted().iter().map(ToString::to_string));
    if found.is_empty() { Ok(builder.build()) } else { Err(found) }
}
