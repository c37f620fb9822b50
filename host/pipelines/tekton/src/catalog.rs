//! The Pipelines of the cluster and their runs, also those that the host did not start.

use wardroom::adapter::{ParameterDescription, PipelineDescription, RunProgress, RunView};
use wardroom_remote::RemoteError;

use crate::{
    call::{Call, PIPELINE_RUNS, PIPELINES},
    error::shown,
    names::is_name,
    run::{TektonRequest, TektonRun},
    stages::{run_end, waits},
    tekton::{Tekton, shown_pipeline},
    types::{List, PIPELINE_LABEL, ParamSpec, Pipeline, PipelineRun},
};

/// The number of runs in the description of a Pipeline.
const NEWEST: usize = 10;

/// Returns the paths of the Pipelines in the allowed namespaces that contain `filter`, at most `most`.
pub(crate) async fn list(tekton: &Tekton, filter: &str, most: usize) -> Result<Vec<String>, RemoteError> {
    let mut paths = Vec::new();
    for namespace in &tekton.settings.namespaces {
        let what = format!("Pipelines in the namespace `{namespace}`");
        let call = Call::list(&PIPELINES, namespace, String::new(), what);
        let found = tekton.client.json::<List<Pipeline>>(&call).await?.items;
        paths.extend(found.into_iter().map(|pipeline| match *namespace == tekton.settings.namespace {
            true => pipeline.metadata.name,
            false => format!("{namespace}/{}", pipeline.metadata.name),
        }));
    }
    paths.retain(|path| path.contains(filter));
    paths.sort();
    paths.truncate(most);
    Ok(paths)
}

/// Returns the parameters and the newest runs of a Pipeline.
pub(crate) async fn describe(tekton: &Tekton, pipeline: &str) -> Result<PipelineDescription, RemoteError> {
    let (namespace, name) = tekton.target(pipeline)?;
    let spec = tekton.definition(namespace, name).await?;
    let what = format!("PipelineRuns in the namespace `{namespace}`");
    let call = Call::list(&PIPELINE_RUNS, namespace, format!("{PIPELINE_LABEL}={name}"), what);
    let mut runs = tekton.client.json::<List<PipelineRun>>(&call).await?.items;
    runs.sort_by_key(|run| std::cmp::Reverse(run.metadata.creation_timestamp));
    Ok(PipelineDescription {
        parameters: spec.params.iter().map(describe_parameter).collect(),
        runs: runs.iter().take(NEWEST).map(|run| describe_run(tekton, namespace, run)).collect(),
    })
}

/// Finds a run of a Pipeline by its name. A run of another Pipeline is refused, because the permissions of the engine
/// apply to the Pipeline.
pub(crate) async fn locate(
    tekton: &Tekton,
    pipeline: &str,
    run: &str,
) -> Result<(TektonRequest, TektonRun), RemoteError> {
    let (namespace, name) = tekton.target(pipeline)?;
    if !is_name(run) {
        return Err(RemoteError::rejected(format!("`{}` is not the name of a PipelineRun", shown(run))));
    }
    let found = tekton.get_run(namespace, run).await?;
    match found.filter(|found| found.spec["pipelineRef"]["name"] == name) {
        Some(found) => tekton.existing(pipeline, &found),
        None => {
            let reason = format!("the {} has no run `{run}`", shown_pipeline(namespace, name));
            Err(RemoteError::Missing { reason })
        }
    }
}

fn describe_parameter(param: &ParamSpec) -> ParameterDescription {
    ParameterDescription {
        name: param.name.clone(),
        description: shown(&param.description),
        required: param.default.is_none(),
        default: param.default.as_ref().map(|default| match default.as_str() {
            Some(text) => text.to_owned(),
            None => default.to_string(),
        }),
        choices: param.allowed.clone(),
    }
}

fn describe_run(tekton: &Tekton, namespace: &str, run: &PipelineRun) -> RunView {
    let name = &run.metadata.name;
    let link = tekton.settings.link(namespace, name);
    let end = run.is_done().then(|| run_end(&tekton.client, run, &[], &[], None));
    let started = run.status.start_time.map(|time| tekton.client.host_time(time));
    let waits = waits(run).filter(|_| end.is_none());
    RunView {
        id: name.clone(),
        is_waiting: waits.is_some(),
        outcome: end.as_ref().map(|end| end.outcome),
        started: end.as_ref().map(|end| end.started).or(started),
        ended: end.as_ref().map(|end| end.ended),
        message: end.map(|end| end.message).or(waits).unwrap_or_default(),
        url: link,
        progress: RunProgress::default(),
    }
}
