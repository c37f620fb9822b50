//! A wrapper around a pipeline backend. It records when the backend last responded to a request, and makes the text of
//! the backend safe to show and to store.
//!
//! Invariant: the wrapper sends no request of its own. No text of a backend reaches the rest of the engine with a secret
//! or a terminal sequence in it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{
    description::{ParameterDescription, PipelineDescription, RunView, TestReport},
    pipelines::{PipelineError, Pipelines, RunEnd, RunState},
    progress::{Gate, GateAnswer, RunEvent, RunProgress, Stage},
};
use crate::{
    base::{clean_lines, one_line, redactor},
    metrics::{RequestOutcome, outbound},
    model::RunKey,
};

/// The number of bytes that are read before the requested end of an output, so that a terminal sequence or a character
/// that begins there is seen as a whole.
const OUTPUT_MARGIN: usize = 4 << 10;

/// A pipeline backend with a record of its last response and its current outage.
pub(crate) struct ObservedBackend {
    name: String,
    system: Arc<dyn Pipelines>,
    health: Mutex<BackendHealth>,
}

/// The time of a pipeline backend's last response, and the backend's current outage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BackendHealth {
    /// The time of the backend's last response; `None` before the first response. A refused request counts as a
    /// response.
    pub answered: Option<Timestamp>,
    /// The time of the last request to which the backend did not respond, and the reason; `None` if the backend has
    /// responded since.
    pub unavailable: Option<(Timestamp, String)>,
}

impl ObservedBackend {
    /// Wraps the backend `system`. `name` is the `NAME` of the backend's table `[pipelines.NAME]`. For a backend
    /// without such a table, `name` is the kind of the backend.
    pub(crate) fn new(name: String, system: Arc<dyn Pipelines>) -> Self {
        Self { name, system, health: Mutex::default() }
    }

    /// Returns the `NAME` of the backend's table `[pipelines.NAME]`; the kind of the backend if it has no such table.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the time of the backend's last response and its current outage. Both are `None` before the first
    /// request.
    pub(crate) fn health(&self) -> BackendHealth {
        self.health.lock().clone()
    }

    /// Performs one request. Stores its result in the backend's [`BackendHealth`], and counts the request in the
    /// metrics.
    async fn observe<T>(
        &self,
        method: &'static str,
        request: impl Future<Output = Result<T, PipelineError>>,
    ) -> Result<T, PipelineError> {
        let began = Instant::now();
        let result = request.await.map_err(safe_error);
        let outcome = match &result {
            Ok(_) => RequestOutcome::Done,
            Err(PipelineError::Refused { .. }) => RequestOutcome::Refused,
            Err(PipelineError::Unavailable { .. }) => RequestOutcome::Unavailable,
        };
        outbound(&self.name, method, outcome, began);
        self.update(&result);
        result
    }

    fn update<T>(&self, result: &Result<T, PipelineError>) {
        let now = Timestamp::now();
        let mut health = self.health.lock();
        if let Err(PipelineError::Unavailable { message }) = result {
            health.unavailable = Some((now, crate::base::clean(message)));
        } else {
            *health = BackendHealth { answered: Some(now), unavailable: None };
        }
    }
}

#[async_trait]
impl Pipelines for ObservedBackend {
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        let link = self.observe("start", self.system.start(key, pipeline, parameters)).await?;
        Ok(link.map(|link| redactor().redact(&link).into_owned()))
    }

    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        Ok(match self.observe("state", self.system.state(key, pipeline)).await? {
            RunState::Ended(end) => RunState::Ended(safe_end(end)),
            RunState::Unknowable(reason) => RunState::Unknowable(safe(&reason)),
            state => state,
        })
    }

    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        event: &mut (dyn for<'event> FnMut(RunEvent<'event>) + Send),
    ) -> Result<RunEnd, PipelineError> {
        // The metrics do not count this call, because it lasts as long as the pipeline run.
        let mut safe_event = |news: RunEvent<'_>| match news {
            RunEvent::Line(text) => event(RunEvent::Line(&safe(text))),
            RunEvent::Progress(progress) => event(RunEvent::Progress(&safe_progress(progress))),
        };
        let result = self.system.ended(key, pipeline, &mut safe_event).await.map(safe_end).map_err(safe_error);
        self.update(&result);
        result
    }

    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        let all = bytes.saturating_add(output_margin());
        let output = self.observe("output", self.system.output(key, pipeline, all)).await?;
        Ok(safe_tail(&output, bytes))
    }

    async fn forget(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.observe("forget", self.system.forget(key, pipeline)).await
    }

    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.observe("cancel", self.system.cancel(key, pipeline)).await
    }

    async fn list(&self, filter: &str, most: usize) -> Result<Vec<String>, PipelineError> {
        let paths = self.observe("list", self.system.list(filter, most)).await?;
        Ok(paths.iter().take(most).map(|path| safe_line(path)).collect())
    }

    async fn describe(&self, pipeline: &str) -> Result<PipelineDescription, PipelineError> {
        let described = self.observe("describe", self.system.describe(pipeline)).await?;
        Ok(PipelineDescription {
            parameters: described.parameters.into_iter().map(safe_parameter).collect(),
            runs: described.runs.into_iter().map(safe_view).collect(),
        })
    }

    async fn view(&self, pipeline: &str, run: &str) -> Result<RunView, PipelineError> {
        self.observe("view", self.system.view(pipeline, run)).await.map(safe_view)
    }

    async fn output_of(&self, pipeline: &str, run: &str, bytes: usize) -> Result<String, PipelineError> {
        let all = bytes.saturating_add(output_margin());
        let output = self.observe("output", self.system.output_of(pipeline, run, all)).await?;
        Ok(safe_tail(&output, bytes))
    }

    async fn tests(&self, pipeline: &str, run: &str) -> Result<TestReport, PipelineError> {
        let report = self.observe("tests", self.system.tests(pipeline, run)).await?;
        Ok(TestReport { names: report.names.iter().map(|name| safe_line(name)).collect(), ..report })
    }

    async fn stop(&self, pipeline: &str, run: &str) -> Result<(), PipelineError> {
        self.observe("stop", self.system.stop(pipeline, run)).await
    }

    async fn answer(&self, pipeline: &str, run: &str, gate: &str, answer: &GateAnswer) -> Result<(), PipelineError> {
        self.observe("answer", self.system.answer(pipeline, run, gate, answer)).await
    }

    async fn probe(&self) -> Result<Vec<String>, Vec<String>> {
        let safe_lines = |lines: Vec<String>| lines.iter().map(|line| one_line(&safe(line))).collect();
        self.system.probe().await.map(safe_lines).map_err(safe_lines)
    }
}

#[cfg(test)]
mod tests;

/// Returns lines of a backend without secrets, terminal sequences and invisible characters.
fn safe(text: &str) -> String {
    let redactor = redactor();
    // A secret can contain a tab, which `clean_lines` replaces; and a terminal sequence can stand inside of a secret.
    redactor.redact(&clean_lines(&redactor.redact(text))).into_owned()
}

fn safe_end(end: RunEnd) -> RunEnd {
    let details = end.details.into_iter().map(|(name, value)| (safe(&name), safe(&value))).collect();
    RunEnd { message: safe(&end.message), details, ..end }
}

/// Returns how much more of an output is read than requested, so that a secret that begins before the requested bytes is
/// seen as a whole.
fn output_margin() -> usize {
    redactor().longest() + OUTPUT_MARGIN
}

/// Returns the last bytes of an output.
fn safe_tail(output: &str, bytes: usize) -> String {
    let output = safe(output);
    output[output.ceil_char_boundary(output.len().saturating_sub(bytes))..].to_owned()
}

/// Returns a name or a question of a backend as one line.
fn safe_line(text: &str) -> String {
    one_line(&safe(text))
}

fn safe_parameter(parameter: ParameterDescription) -> ParameterDescription {
    ParameterDescription {
        name: safe_line(&parameter.name),
        description: safe_line(&parameter.description),
        required: parameter.required,
        default: parameter.default.as_deref().map(safe_line),
        choices: parameter.choices.iter().map(|choice| safe_line(choice)).collect(),
    }
}

fn safe_view(view: RunView) -> RunView {
    RunView {
        id: safe_line(&view.id),
        message: safe_line(&view.message),
        url: view.url.map(|url| redactor().redact(&url).into_owned()),
        progress: safe_progress(&view.progress),
        ..view
    }
}

fn safe_progress(progress: &RunProgress) -> RunProgress {
    let line = |text: &String| safe_line(text);
    RunProgress {
        stages: progress.stages.iter().map(|stage| Stage { name: line(&stage.name), state: stage.state }).collect(),
        gates: progress
            .gates
            .iter()
            .map(|gate| Gate {
                id: gate.id.clone(),
                message: line(&gate.message),
                choices: gate.choices.iter().map(line).collect(),
            })
            .collect(),
    }
}

fn safe_error(error: PipelineError) -> PipelineError {
    match error {
        PipelineError::Refused { message } => PipelineError::Refused { message: safe(&message) },
        PipelineError::Unavailable { message } => PipelineError::Unavailable { message: safe(&message) },
    }
}
