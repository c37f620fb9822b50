//! The host calls that read pipelines and runs in their system.
//!
//! Invariant: app and environment of a run are those of its pipeline, from the configuration.

use super::host::{configured, target};
use crate::{
    adapter::{PipelineError, Pipelines, RunProgress, RunView, StageState},
    base::check_visible,
    hostcall::{
        clock::instant,
        context::Context,
        host_call::{HostCall, problem},
        invocation::Invocation,
    },
    model::Attributes,
    plugin::bindings::{
        pipelines::{Description, Gate, Parameter, PipelineQuery, RunInfo, RunOf, Stage, TestReport},
        types,
    },
};

/// The maximum number of pipelines in a list.
const MAX_LISTED: usize = 200;
/// The maximum number of pipelines that a system returns, before those that are not opened are left out.
const MAX_READ: usize = 20_000;
/// The maximum number of runs in a description.
const MAX_RUNS: usize = 10;
/// The maximum number of lines, and of bytes, of an output.
const MAX_OUTPUT: (usize, usize) = (200, 64 << 10);
/// The maximum number of names in a test report.
const MAX_NAMES: usize = 50;
/// The maximum length of the id of a run or of a gate, in bytes.
const MAX_ID: usize = 256;

/// The host call `pipelines.list`.
pub(super) struct List;

impl HostCall for List {
    type Params = (PipelineQuery,);
    type Answer = Vec<String>;
    type Error = types::Error;

    async fn perform(
        &self,
        invocation: &mut Invocation,
        (PipelineQuery { system, filter },): &(PipelineQuery,),
    ) -> Result<Vec<String>, types::Error> {
        let context = invocation.context();
        let seen = |path: &str| {
            let name = format!("{system}:{path}");
            let deployment = context.catalog.pipeline(&name)?;
            invocation.may_see(&deployment.app, &deployment.environment).then_some(name)
        };
        let mut open = context.catalog.open_pipelines(system);
        let Some(backend) = open.next().map(|open| context.backends.get(open.backend)) else {
            let system = crate::base::clean(system);
            return Err(problem("not-found", format!("no pipelines of the system `{system}` are opened")));
        };
        let paths = backend.list(filter, MAX_READ).await.map_err(failed)?;
        Ok(paths.iter().filter_map(|path| seen(path)).take(MAX_LISTED).collect())
    }
}

/// The host call `pipelines.describe`.
pub(super) struct Describe;

impl HostCall for Describe {
    type Params = (String,);
    type Answer = Description;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (pipeline,): &(String,)) -> Attributes {
        target(invocation.context(), pipeline)
    }

    async fn perform(&self, invocation: &mut Invocation, (pipeline,): &(String,)) -> Result<Description, types::Error> {
        let backend = backend(invocation.context(), pipeline)?;
        let described = backend.describe(pipeline).await.map_err(failed)?;
        let parameters = described.parameters.into_iter().map(|parameter| Parameter {
            name: parameter.name,
            description: parameter.description,
            required: parameter.required,
            default: parameter.default,
            choices: parameter.choices,
        });
        Ok(Description {
            parameters: parameters.collect(),
            runs: described.runs.into_iter().take(MAX_RUNS).map(convert).collect(),
        })
    }
}

/// The host call `pipelines.status`.
pub(super) struct Status;

impl HostCall for Status {
    type Params = (RunOf,);
    type Answer = RunInfo;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (run,): &(RunOf,)) -> Attributes {
        target(invocation.context(), &run.pipeline)
    }

    async fn perform(
        &self,
        invocation: &mut Invocation,
        (RunOf { pipeline, run },): &(RunOf,),
    ) -> Result<RunInfo, types::Error> {
        view(invocation.context(), pipeline, run).await.map(convert)
    }
}

/// The host call `pipelines.output`.
pub(super) struct Output;

impl HostCall for Output {
    type Params = (RunOf, u32);
    type Answer = Vec<String>;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (run, _): &Self::Params) -> Attributes {
        target(invocation.context(), &run.pipeline)
    }

    async fn perform(
        &self,
        invocation: &mut Invocation,
        (RunOf { pipeline, run }, lines): &Self::Params,
    ) -> Result<Vec<String>, types::Error> {
        check_id("run", run)?;
        let backend = backend(invocation.context(), pipeline)?;
        let output = backend.output_of(pipeline, run, MAX_OUTPUT.1).await.map_err(failed)?;
        let all: Vec<&str> = output.lines().collect();
        let wanted = usize::try_from(*lines).unwrap_or(MAX_OUTPUT.0).clamp(1, MAX_OUTPUT.0);
        Ok(all[all.len().saturating_sub(wanted)..].iter().map(|line| (*line).to_owned()).collect())
    }
}

/// The host call `pipelines.tests`.
pub(super) struct Tests;

impl HostCall for Tests {
    type Params = (RunOf,);
    type Answer = TestReport;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (run,): &(RunOf,)) -> Attributes {
        target(invocation.context(), &run.pipeline)
    }

    async fn perform(
        &self,
        invocation: &mut Invocation,
        (RunOf { pipeline, run },): &(RunOf,),
    ) -> Result<TestReport, types::Error> {
        check_id("run", run)?;
        let backend = backend(invocation.context(), pipeline)?;
        let report = backend.tests(pipeline, run).await.map_err(failed)?;
        Ok(TestReport {
            passed: report.passed,
            failed: report.failed,
            skipped: report.skipped,
            names: report.names.into_iter().take(MAX_NAMES).collect(),
        })
    }
}

pub(super) async fn view(context: &Context, pipeline: &str, run: &str) -> Result<RunView, types::Error> {
    check_id("run", run)?;
    backend(context, pipeline)?.view(pipeline, run).await.map_err(failed)
}

pub(super) fn backend(context: &Context, pipeline: &str) -> Result<std::sync::Arc<dyn Pipelines>, types::Error> {
    configured(context, pipeline).map(|deployment| context.backends.get(deployment.backend))
}

/// Checks an id before it reaches a system.
pub(super) fn check_id(what: &str, id: &str) -> Result<(), types::Error> {
    if id.is_empty() || id.len() > MAX_ID || check_visible(id).is_err() {
        return Err(problem("invalid", format!("`{}` is not the id of a {what}", crate::base::clean(id))));
    }
    Ok(())
}

/// Converts the error of a request that changes nothing.
fn failed(error: PipelineError) -> types::Error {
    match error {
        PipelineError::Refused { message } => problem("refused", message),
        PipelineError::Unavailable { message } => problem("unavailable", message),
    }
}

fn convert(view: RunView) -> RunInfo {
    let state = match view.outcome {
        Some(outcome) => outcome.as_str(),
        None if view.is_waiting => "waiting",
        None => "running",
    };
    let RunProgress { stages, gates } = view.progress;
    RunInfo {
        id: view.id,
        state: state.to_owned(),
        message: view.message,
        started: view.started.and_then(instant),
        ended: view.ended.and_then(instant),
        url: view.url,
        stages: stages
            .into_iter()
            .map(|stage| Stage { name: stage.name, state: word(stage.state).to_owned() })
            .collect(),
        gates: gates
            .into_iter()
            .map(|gate| Gate { id: gate.id, message: gate.message, choices: gate.choices })
            .collect(),
    }
}

fn word(state: StageState) -> &'static str {
    match state {
        StageState::Pending => "pending",
        StageState::Running => "running",
        StageState::Paused => "paused",
        StageState::Succeeded => "succeeded",
        StageState::Failed => "failed",
        StageState::Cancelled => "cancelled",
        StageState::Skipped => "skipped",
    }
}
