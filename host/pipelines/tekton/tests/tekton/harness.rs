//! A test host with the pipeline `cms/staging`, which is the Pipeline `deploy` in the namespace `ci` of a fake cluster.

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
use wardroom_fake_kubernetes::Server;
use wardroom_tekton::{TektonFactory, Timing};

pub(crate) const PIPELINE: &str = "cms/staging";
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

pub(crate) type Lines = tokio::sync::mpsc::UnboundedReceiver<String>;

/// Waits in a task for the end of a run. Its lines arrive in the channel; its progress does as text.
pub(crate) fn follow(
    pipelines: &Arc<dyn Pipelines>,
    name: &str,
) -> (tokio::task::JoinHandle<Result<RunEnd, PipelineError>>, Lines) {
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
pub(crate) async fn line_with(lines: &mut Lines, part: &str) -> String {
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
