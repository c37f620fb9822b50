//! A test host with the pipeline `cms/staging`, which is the job `web/cms deploy` of a fake Jenkins.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use wardroom::{
    adapter::{PipelineError, Pipelines, PipelinesFactory, RunEnd, RunEvent, RunState},
    base::Table,
    model::RunKey,
};
use wardroom_fake_jenkins::Server;
use wardroom_jenkins::{JenkinsFactory, Timing};

pub(crate) const PIPELINE: &str = "cms/staging";
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

pub(crate) fn key(name: &str) -> RunKey {
    RunKey::parse(name).unwrap()
}

pub(crate) fn version(text: &str) -> BTreeMap<String, String> {
    [("version".to_owned(), text.to_owned())].into()
}

/// Starts the version 1.0 under a key.
pub(crate) async fn start(pipelines: &Arc<dyn Pipelines>, name: &str) -> Result<Option<String>, PipelineError> {
    pipelines.start(&key(name), PIPELINE, &version("1.0")).await
}

pub(crate) async fn state(pipelines: &Arc<dyn Pipelines>, name: &str) -> Result<RunState, PipelineError> {
    pipelines.state(&key(name), PIPELINE).await
}

/// Asks for the state of a run until it is known.
pub(crate) async fn settled(pipelines: &Arc<dyn Pipelines>, name: &str) -> RunState {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match state(pipelines, name).await {
            Ok(state) => return state,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits in a task for the end of a run. Its lines arrive in the channel.
pub(crate) fn follow(
    pipelines: &Arc<dyn Pipelines>,
    name: &str,
) -> (tokio::task::JoinHandle<Result<RunEnd, PipelineError>>, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
    let (pipelines, key) = (pipelines.clone(), key(name));
    let task = tokio::spawn(async move {
        let mut event = |event: RunEvent<'_>| {
            let _ = sender.send(match event {
                RunEvent::Line(line) => line.to_owned(),
                other => format!("{other:?}"),
            });
        };
        pipelines.ended(&key, PIPELINE, &mut event).await
    });
    (task, lines)
}

/// Waits for the end of a run. Returns it with its lines.
pub(crate) async fn wait(pipelines: &Arc<dyn Pipelines>, name: &str) -> (RunEnd, Vec<String>) {
    let (task, mut lines) = follow(pipelines, name);
    let end = within(task).await.unwrap().unwrap();
    let mut all = Vec::new();
    while let Ok(line) = lines.try_recv() {
        all.push(line);
    }
    (end, all)
}

/// Waits for a line that contains a text, and returns it.
pub(crate) async fn line_with(lines: &mut tokio::sync::mpsc::UnboundedReceiver<String>, part: &str) -> String {
    let mut seen = Vec::new();
    let found = async {
        while let Some(line) = lines.recv().await {
            if line.contains(part) {
                return Some(line);
            }
            seen.push(line);
        }
        None
    };
    let found = tokio::time::timeout(Duration::from_secs(20), found).await;
    found.ok().flatten().unwrap_or_else(|| panic!("no line with `{part}` in {seen:#?}"))
}

/// Awaits a future for at most 20 seconds.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it does not end")
}

/// Calls `check` until it returns true, for at most 20 seconds.
pub(crate) async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !check() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, PipelineError>) -> String {
    match answer {
        Err(PipelineError::Refused { message }) => message,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn outage<T: std::fmt::Debug>(answer: Result<T, PipelineError>) -> String {
    match answer {
        Err(PipelineError::Unavailable { message }) => message,
        other => panic!("not unavailable: {other:?}"),
    }
}
