//! The contract's side of `pipelines.trigger`.

use std::collections::BTreeMap;

use crate::{
    access::Attribute,
    capability::{Attributes, HostCall, Invocation, call::problem},
    config::Deployment,
    job::JobRun,
    plugin::bindings::{
        pipelines::{Request, Run},
        types,
    },
    port::{PipelineError, RunKey, RunState},
};

/// The parameter that is a deployment's version.
const VERSION: &str = "version";

/// `pipelines.trigger`
pub(crate) struct Trigger;

impl HostCall for Trigger {
    type Params = (Request,);
    type Answer = Run;
    type Error = types::Error;

    fn attributes(invocation: &Invocation, (request,): &(Request,)) -> Attributes {
        let mut attributes = Attributes::from([(Attribute::Pipeline, vec![request.pipeline.clone()])]);
        if let Some(deployment) = invocation.shared().catalog.pipeline(&request.pipeline) {
            attributes.insert(Attribute::App, vec![deployment.app.clone()]);
            attributes.insert(Attribute::Environment, vec![deployment.environment.clone()]);
        }
        let versions: Vec<String> =
            request.parameters.iter().filter(|entry| entry.name == VERSION).map(|entry| entry.value.clone()).collect();
        if !versions.is_empty() {
            attributes.insert(Attribute::Version, versions);
        }
        attributes
    }

    async fn perform(invocation: &mut Invocation, (request,): &(Request,)) -> Result<Run, types::Error> {
        let shared = invocation.shared().clone();
        let Some(job) = invocation.job().cloned() else {
            return Err(problem("invalid", "only a job starts pipelines"));
        };
        let Some(deployment) = shared.catalog.pipeline(&request.pipeline) else {
            return Err(problem(
                "not-found",
                format!("there is no pipeline `{}`", crate::reply::clean(&request.pipeline)),
            ));
        };
        let parameters = parameters(deployment, &request.parameters)?;
        let key = RunKey::new(&job.row().id, invocation.number());
        let started = shared.clock.now();
        let url = match deployment.system.start(&key, &deployment.pipeline, &parameters).await {
            Ok(url) => url,
            Err(PipelineError::Refused { message }) => return Err(problem("refused", message)),
            // The answer was lost, and perhaps not the run: the system itself is asked before anybody is told.
            Err(PipelineError::Unavailable { message }) => {
                match deployment.system.state(&key, &deployment.pipeline).await {
                    Ok(RunState::Running | RunState::Ended(_)) => None,
                    Ok(RunState::Absent) => {
                        return Err(problem("unavailable", format!("nothing was started: {message}")));
                    }
                    Ok(RunState::Unknowable(reason)) => {
                        return Err(problem(
                            "unknown",
                            format!("{message}; whether it was started cannot be known: {reason}"),
                        ));
                    }
                    Err(error) => {
                        return Err(problem(
                            "unknown",
                            format!("{message}; whether it was started is not known yet: {error}"),
                        ));
                    }
                }
            }
        };
        tracing::info!(job = job.row().id, run = key.as_str(), pipeline = deployment.pipeline, "started a run");
        job.card().run(match &url {
            Some(url) => format!("{} {url}", deployment.pipeline),
            None => deployment.pipeline.clone(),
        });
        job.add_run(JobRun {
            key: key.clone(),
            pipeline: deployment.pipeline.clone(),
            app: deployment.app.clone(),
            environment: deployment.environment.clone(),
            version: parameters.get(VERSION).cloned(),
            started,
            system: deployment.system.clone(),
        });
        Ok(Run { id: key.as_str().to_owned(), url })
    }
}

/// The parameters as the pipeline takes them: exactly those that it has, each fitting its pattern.
fn parameters(deployment: &Deployment, given: &[types::Entry]) -> Result<BTreeMap<String, String>, types::Error> {
    let mut parameters = BTreeMap::new();
    for entry in given {
        let Some(pattern) = deployment.parameters.get(&entry.name) else {
            let known: Vec<&str> = deployment.parameters.keys().map(String::as_str).collect();
            let name = crate::reply::clean(&entry.name);
            return Err(problem(
                "invalid",
                format!("{} takes no parameter `{name}`, but: {}", deployment.pipeline, known.join(", ")),
            ));
        };
        if !pattern.takes(&entry.value) {
            let value = crate::reply::clean(&entry.value);
            let message = format!(
                "`{value}` is no {} for {}: it must match {}",
                entry.name,
                deployment.pipeline,
                pattern.as_str()
            );
            return Err(problem("invalid", message));
        }
        if parameters.insert(entry.name.clone(), entry.value.clone()).is_some() {
            return Err(problem("invalid", format!("the parameter `{}` is given twice", entry.name)));
        }
    }
    match deployment.parameters.keys().find(|name| !parameters.contains_key(*name)) {
        Some(missing) => Err(problem("invalid", format!("{} needs the parameter `{missing}`", deployment.pipeline))),
        None => Ok(parameters),
    }
}
