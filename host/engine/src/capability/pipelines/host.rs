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
/// The code of an error after which nobody knows whether there is a run.
const UNKNOWN: &str = "unknown";

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
        // A parameter that repeats what the host knows of the target says nothing new.
        let known = |entry: &&types::Entry| match entry.name.as_str() {
            VERSION => true,
            "app" => attributes.get(&Attribute::App).is_some_and(|apps| apps.contains(&entry.value)),
            "environment" => attributes.get(&Attribute::Environment).is_some_and(|names| names.contains(&entry.value)),
            _ => false,
        };
        let others: Vec<String> =
            request.parameters.iter().filter(|entry| !known(entry)).map(|entry| entry.value.clone()).collect();
        if !others.is_empty() {
            attributes.insert(Attribute::Parameter, others);
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
        job.add_run(JobRun {
            key: key.clone(),
            pipeline: deployment.pipeline.clone(),
            app: deployment.app.clone(),
            environment: deployment.environment.clone(),
            version: parameters.get(VERSION).cloned(),
            started: shared.clock.now(),
            system: deployment.system.clone(),
        });
        let url = match start(deployment, &key, &parameters).await {
            Ok(url) => url,
            Err(error) => {
                if error.code != UNKNOWN {
                    job.drop_run(&key);
                }
                return Err(types::Error::Other(error));
            }
        };
        tracing::info!(job = job.row().id, run = key.as_str(), pipeline = deployment.pipeline, "started a run");
        job.card().run(match &url {
            Some(url) => format!("{} {url}", deployment.pipeline),
            None => deployment.pipeline.clone(),
        });
        Ok(Run { id: key.as_str().to_owned(), url })
    }
}

/// Starts a run. The code of an error is [`UNKNOWN`] where it may have been started all the same.
async fn start(
    deployment: &Deployment,
    key: &RunKey,
    parameters: &BTreeMap<String, String>,
) -> Result<Option<String>, types::Problem> {
    let problem = |code: &str, message: String| Err(types::Problem { code: code.to_owned(), message });
    let system = &deployment.system;
    match system.start(key, &deployment.pipeline, parameters).await {
        Ok(url) => Ok(url),
        Err(PipelineError::Refused { message }) => problem("refused", message),
        // The answer was lost, and perhaps not the run: the system itself is asked before anybody is told.
        Err(PipelineError::Unavailable { message }) => match system.state(key, &deployment.pipeline).await {
            Ok(RunState::Running | RunState::Ended(_)) => Ok(None),
            Ok(RunState::Absent) => problem("unavailable", format!("nothing was started: {message}")),
            Ok(RunState::Unknowable(reason)) => {
                problem(UNKNOWN, format!("{message}; whether it was started cannot be known: {reason}"))
            }
            Err(error) => problem(UNKNOWN, format!("{message}; whether it was started is not known yet: {error}")),
        },
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
            let message =
                format!("`{value}` is no {} for {}: {}", entry.name, deployment.pipeline, pattern.wanted(&entry.value));
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
