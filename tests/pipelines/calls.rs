//! Calls of the trait `Pipelines` for the tests of the adapters of pipeline systems. Each test target includes this file.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use wardroom::{
    adapter::{PipelineError, Pipelines, RunEnd, RunEvent, RunState},
    model::RunKey,
};

/// The pipeline of the tests.
pub(crate) const PIPELINE: &str = "cms/staging";

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

/// Waits in a task for the end of a run. Its lines arrive in the channel; the changes of its progress arrive as text.
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
