//! A test host with the pipeline `cms/staging`, which is the pipeline `Deploy to 50% / staging` of the application `cms` of
//! a fake Spinnaker.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use wardroom::{
    adapter::{PipelineError, Pipelines, PipelinesFactory, RunEnd, RunEvent, RunState},
    base::Table,
    model::RunKey,
};
use wardroom_fake_gate::Server;
use wardroom_spinnaker::{SpinnakerFactory, Timing};

pub(crate) const PIPELINE: &str = "cms/staging";
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

/// Waits in a task for the end of a run. Its lines and the changes of its stages arrive in the channel.
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
