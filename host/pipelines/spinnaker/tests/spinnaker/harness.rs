//! A test host with the pipeline `cms/staging`, which is the pipeline `Deploy to 50% / staging` of the application `cms` of
//! a fake Spinnaker.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::json;
use wardroom::{
    adapter::{Pipelines, PipelinesFactory},
    base::Table,
};
use wardroom_fake_gate::Server;
use wardroom_spinnaker::{SpinnakerFactory, Timing};

#[path = "../../../../../tests/pipelines/calls.rs"]
mod calls;

pub(crate) use calls::*;

pub(crate) const APP: &str = "cms";
/// A name that cannot be in the path of a URL to Gate.
pub(crate) const NAME: &str = "Deploy to 50% / staging";
pub(crate) const TOKEN: &str = "token-11f2a9c4";

pub(crate) struct TestHost {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Server,
}

/// What a test changes of the configuration.
pub(crate) struct Settings {
    /// The keys of `[pipelines.cd]` after `url`.
    pub(crate) system: String,
    /// The application and the pipeline.
    pub(crate) path: String,
    /// The keys of `[app.cms.deploy.staging]`.
    pub(crate) keys: String,
    pub(crate) parameters: Vec<String>,
    pub(crate) timing: Timing,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            system: "token = { file = 'token' }\ntimeout = '1s'\nui = 'https://deck.example.org/'".to_owned(),
            path: format!("{APP}/{NAME}"),
            keys: "values = { TAG = '{version}' }".to_owned(),
            parameters: vec!["version".to_owned()],
            timing: timing(),
        }
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
    /// Starts a server with a pipeline that has the parameter `TAG` and the stages `Bake` and `Deploy`.
    pub(crate) async fn new() -> Self {
        Self::on(Server::start_at("/gate").await.unwrap())
    }

    pub(crate) fn on(server: Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        server.token(TOKEN);
        server.pipeline(APP, "Another pipeline");
        server.pipeline(APP, NAME);
        server.parameter(APP, NAME, "TAG", json!({ "required": true, "default": null }));
        server.stage(APP, NAME, "Bake", json!({ "type": "jenkins" }));
        server.stage(APP, NAME, "Deploy", json!({ "type": "deploy" }));
        Self { folder, server }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn pipelines(&self) -> Arc<dyn Pipelines> {
        self.with(Settings::default())
    }

    pub(crate) fn with(&self, settings: Settings) -> Arc<dyn Pipelines> {
        let system = format!("url = '{}'\n{}", self.server.url(), settings.system);
        let factory = SpinnakerFactory::new(self.path("state")).timing(settings.timing.clone());
        let read = read(&factory, self.folder.path(), &system, &settings.path, &settings.keys, &settings.parameters);
        read.unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// Returns the id of the only execution.
    pub(crate) fn only(&self) -> String {
        let all = self.server.executions();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }
}

/// Reads the tables of a backend and of its pipeline. Returns the backend, or the configuration problems.
pub(crate) fn read(
    factory: &SpinnakerFactory,
    folder: &Path,
    system: &str,
    path: &str,
    keys: &str,
    parameters: &[String],
) -> Result<Arc<dyn Pipelines>, Vec<String>> {
    let (mut table, problems) = Table::parse("pipelines.cd", system, factory.system_keys(), folder);
    let builder = factory.system(Some(&mut table));
    table.finish();
    let mut found: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
    let Some(mut builder) = builder else { return Err(found) };
    let (mut table, problems) = Table::parse("app.cms.deploy.staging", keys, factory.keys(), folder);
    builder.pipeline(PIPELINE, Some(path), parameters, &mut table);
    table.finish();
    found.extend(problems.sorted().iter().map(ToString::to_string));
    if found.is_empty() { Ok(builder.build()) } else { Err(found) }
}
