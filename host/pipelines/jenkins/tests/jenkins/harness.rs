//! A test host with the pipeline `cms/staging`, which is the job `web/cms deploy` of a fake Jenkins.

use std::{path::Path, sync::Arc, time::Duration};

use wardroom::{
    adapter::{Pipelines, PipelinesFactory},
    base::Table,
};
use wardroom_fake_jenkins::Server;
use wardroom_jenkins::{JenkinsFactory, Timing};

#[path = "../../../../../tests/pipelines/calls.rs"]
mod calls;

pub(crate) use calls::*;

pub(crate) const JOB: &str = "web/cms deploy";
pub(crate) const TOKEN: &str = "token-11f2a9c4";
/// The name of the parameter that carries the key.
pub(crate) const RUN: &str = "WARDROOM_RUN";

pub(crate) struct TestHost {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Server,
}

/// What a test changes of the configuration.
pub(crate) struct Settings {
    /// The keys of `[pipelines.ci]` after `url` and `user`.
    pub(crate) system: String,
    /// The full name of the job.
    pub(crate) job: String,
    /// The keys of `[app.cms.deploy.staging]`.
    pub(crate) keys: String,
    pub(crate) parameters: Vec<String>,
    pub(crate) timing: Timing,
}

impl Settings {
    pub(crate) fn job(job: &str) -> Self {
        Self { job: job.to_owned(), ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            system: "token = { file = 'token' }\ntimeout = '1s'".to_owned(),
            job: JOB.to_owned(),
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
    /// Starts a server with a pipeline that defines `TAG` and the parameter that carries the key.
    pub(crate) async fn new() -> Self {
        let host = Self::without_key().await;
        host.server.parameter(JOB, RUN);
        host
    }

    /// Starts a server with a pipeline that defines only `TAG`.
    pub(crate) async fn without_key() -> Self {
        let server = Server::start_at("/jenkins").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        server.token("bot", TOKEN);
        server.pipeline(JOB);
        server.parameter(JOB, "TAG");
        Self { folder, server }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn pipelines(&self) -> Arc<dyn Pipelines> {
        self.with(Settings::default())
    }

    pub(crate) fn with(&self, settings: Settings) -> Arc<dyn Pipelines> {
        let system = format!("url = '{}'\nuser = 'bot'\n{}", self.server.url(), settings.system);
        let factory = JenkinsFactory::new(self.path("state")).timing(settings.timing.clone());
        let read = read(&factory, self.folder.path(), &system, &settings.job, &settings.keys, &settings.parameters);
        read.unwrap_or_else(|problems| panic!("{problems:#?}"))
    }
}

/// Reads the tables of a backend and of its pipeline. Returns the backend, or the configuration problems.
pub(crate) fn read(
    factory: &JenkinsFactory,
    folder: &Path,
    system: &str,
    job: &str,
    keys: &str,
    parameters: &[String],
) -> Result<Arc<dyn Pipelines>, Vec<String>> {
    let (mut table, problems) = Table::parse("pipelines.ci", system, factory.system_keys(), folder);
    let builder = factory.system(Some(&mut table));
    table.finish();
    let mut found: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
    let Some(mut builder) = builder else { return Err(found) };
    let (mut table, problems) = Table::parse("app.cms.deploy.staging", keys, factory.keys(), folder);
    builder.pipeline(PIPELINE, Some(job), parameters, &mut table);
    table.finish();
    found.extend(problems.sorted().iter().map(ToString::to_string));
    if found.is_empty() { Ok(builder.build()) } else { Err(found) }
}

/// Creates one backend with the pipelines `app-N/staging`, one for each job.
pub(crate) fn read_many(host: &TestHost, jobs: &[String]) -> Arc<dyn Pipelines> {
    let Settings { system, keys, parameters, timing, .. } = Settings::default();
    let factory = JenkinsFactory::new(host.path("state")).timing(timing);
    let system = format!("url = '{}'\nuser = 'bot'\n{system}", host.server.url());
    let (mut table, problems) = Table::parse("pipelines.ci", &system, factory.system_keys(), host.folder.path());
    let mut builder = factory.system(Some(&mut table)).unwrap();
    for (at, job) in jobs.iter().enumerate() {
        let (mut table, _) = Table::parse("app.x.deploy.staging", &keys, factory.keys(), host.folder.path());
        builder.pipeline(&format!("app-{at}/staging"), Some(job), &parameters, &mut table);
        table.finish();
    }
    assert_eq!(problems.count(), 0);
    builder.build()
}
