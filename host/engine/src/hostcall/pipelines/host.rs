//! The host call `pipelines.trigger`.

use std::{borrow::Cow, collections::BTreeMap};

use super::assignments;
use crate::{
    adapter::{Backends, PipelineError, RunState},
    base::check_visible,
    hostcall::{
        context::Context,
        host_call::{HostCall, InDoubt, Recovered, problem},
        invocation::Invocation,
    },
    job::{PipelineRun, UNKNOWN, run_of},
    model::{Attribute, Attributes, Deployment, RunKey},
    plugin::bindings::{
        pipelines::{Request, Run},
        types,
    },
    store::Entry,
};

/// The name of the pipeline parameter that contains the version to deploy.
const VERSION: &str = "version";

/// The host call `pipelines.trigger`, which starts a pipeline.
pub(crate) struct Trigger;

impl HostCall for Trigger {
    type Params = (Request,);
    type Answer = Run;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (request,): &(Request,)) -> Attributes {
        let mut attributes = target(invocation.context(), &request.pipeline);
        // An opened pipeline deploys no version of an app.
        if request.pipeline.contains(':') {
            return attributes;
        }
        let versions = request.parameters.iter().filter(|entry| entry.name == VERSION);
        let versions: Vec<String> = versions.map(|entry| entry.value.clone()).collect();
        if !versions.is_empty() {
            attributes.insert(Attribute::Version, versions);
        }
        attributes
    }

    fn parameters(&self, invocation: &Invocation, (request,): &(Request,)) -> Vec<(String, String)> {
        let deployment = invocation.context().catalog.pipeline(&request.pipeline);
        if request.pipeline.contains(':') {
            return assignments::given(&request.parameters).unwrap_or_default();
        }
        // The version is an attribute of its own. A parameter that repeats the configured app or environment needs no
        // rule.
        let known = |entry: &&types::Entry| match entry.name.as_str() {
            VERSION => true,
            "app" => deployment.as_ref().is_some_and(|deployment| deployment.app == entry.value),
            "environment" => deployment.as_ref().is_some_and(|deployment| deployment.environment == entry.value),
            _ => false,
        };
        let others = request.parameters.iter().filter(|entry| !known(entry));
        others.map(|entry| (entry.name.clone(), entry.value.clone())).collect()
    }

    async fn validate(&self, invocation: &Invocation, (request,): &(Request,)) -> Result<(), types::Error> {
        let (deployment, given) = checked(invocation.context(), request)?;
        // A plugin must not leave out what the person typed, because the system would use its default.
        let typed = invocation.request().command().rest().filter(|_| deployment.is_open).map(assignments::assignments);
        match typed.into_iter().flatten().find(|(name, value)| given.get(name) != Some(value)) {
            Some((name, _)) => {
                let message =
                    format!("the plugin does not pass on the parameter `{}` that was typed", crate::base::clean(&name));
                Err(problem("invalid", message))
            }
            None => Ok(()),
        }
    }

    async fn perform(&self, invocation: &mut Invocation, (request,): &(Request,)) -> Result<Run, types::Error> {
        let context = invocation.context().clone();
        let Some(job) = invocation.job().cloned() else {
            return Err(problem("invalid", "only a job can start a pipeline"));
        };
        let (deployment, parameters) = checked(&context, request)?;
        let key = RunKey::new(&job.row().id, invocation.intent);
        let run = run(&key, &deployment, &parameters);
        let url = start(&context.backends, &deployment, &key, &parameters).await.map_err(types::Error::Other)?;
        tracing::info!(
            job = job.row().id,
            run = key.as_str(),
            pipeline = deployment.pipeline,
            "a pipeline run was started"
        );
        let answer = Run { id: key.as_str().to_owned(), url };
        show(invocation, &answer, &deployment.pipeline);
        if let Some(replay) = invocation.replay_state_mut() {
            replay.runs.insert(key, Some(run));
        }
        Ok(answer)
    }

    fn dry_run(
        &self,
        invocation: &mut Invocation,
        (request,): &(Request,),
        name: &str,
    ) -> Option<Result<Run, types::Error>> {
        let context = invocation.context().clone();
        let (deployment, parameters) = checked(&context, request).ok()?;
        let key = RunKey::parse(name)?;
        let run = run(&key, &deployment, &parameters);
        invocation.replay_state_mut()?.runs.insert(key, Some(run));
        Some(Ok(Run { id: name.to_owned(), url: None }))
    }

    fn replayed(
        &self,
        invocation: &mut Invocation,
        (request,): &(Request,),
        answer: &Result<Run, types::Error>,
        recorded: &Entry,
    ) {
        let Ok(run) = answer else { return };
        show(invocation, run, &request.pipeline);
        let known = run_of(&invocation.context().catalog, recorded);
        if let (Some(key), Some(replay)) = (RunKey::parse(&run.id), invocation.replay_state_mut()) {
            replay.runs.insert(key, known);
        }
    }

    async fn recover(&self, doubt: &InDoubt<'_>) -> Recovered<Run> {
        let context = doubt.context;
        let Some(run) = run_of(&context.catalog, doubt.intent) else {
            return Recovered::Unknowable("the pipeline is no longer configured".to_owned());
        };
        match context.backends.get(run.backend).state(&run.key, &run.pipeline).await {
            Ok(RunState::Running | RunState::Ended(_)) => Recovered::Happened(Run { id: doubt.key(), url: None }),
            Ok(RunState::Absent) => Recovered::NotHappened,
            Ok(RunState::Unknowable(reason)) => Recovered::Unknowable(reason),
            Err(PipelineError::Refused { message }) => Recovered::Unknowable(message),
            Err(PipelineError::Unavailable { message }) => Recovered::Unavailable(message),
        }
    }

    fn assumed(&self, doubt: &InDoubt<'_>) -> Option<Run> {
        Some(Run { id: doubt.key(), url: None })
    }
}

fn run(key: &RunKey, deployment: &Deployment, parameters: &BTreeMap<String, String>) -> PipelineRun {
    PipelineRun {
        key: key.clone(),
        pipeline: deployment.pipeline.clone(),
        app: deployment.app.clone(),
        environment: deployment.environment.clone(),
        version: parameters.get(VERSION).filter(|_| !deployment.is_open).cloned(),
        backend: deployment.backend,
    }
}

/// Returns the configured deployment of the requested pipeline, and the checked parameters of the request.
///
/// # Errors
/// `not-found` if the pipeline is not configured; `invalid` if a parameter is not valid.
fn checked<'a>(
    context: &'a Context,
    request: &Request,
) -> Result<(Cow<'a, Deployment>, BTreeMap<String, String>), types::Error> {
    let deployment = configured(context, &request.pipeline)?;
    let parameters = if deployment.is_open {
        assignments::checked(&request.pipeline, &request.parameters)?
    } else {
        parameters(&deployment, &request.parameters)?
    };
    Ok((deployment, parameters))
}

/// Returns the attributes of a pipeline: its name, and the app and the environment as which it counts.
pub(super) fn target(context: &Context, pipeline: &str) -> Attributes {
    let mut attributes = Attributes::from([(Attribute::Pipeline, vec![pipeline.to_owned()])]);
    if let Some(deployment) = context.catalog.pipeline(pipeline) {
        attributes.insert(Attribute::App, vec![deployment.app.clone()]);
        attributes.insert(Attribute::Environment, vec![deployment.environment.clone()]);
    }
    attributes
}

/// Returns the deployment of a pipeline.
///
/// # Errors
/// `not-found` if the pipeline is not configured.
pub(super) fn configured<'a>(context: &'a Context, pipeline: &str) -> Result<Cow<'a, Deployment>, types::Error> {
    context.catalog.pipeline(pipeline).ok_or_else(|| {
        let pipeline = crate::base::clean(pipeline);
        let hint = match (context.catalog.owner_of(&pipeline), pipeline.split_once(':')) {
            (Some(owner), _) => format!(" by this name; it is `{}`", owner.pipeline),
            (None, Some((system, _))) => format!("; an operator can open it in [[pipelines.{system}.open]]"),
            (None, None) => String::new(),
        };
        problem("not-found", format!("the pipeline `{pipeline}` is not configured{hint}"))
    })
}

/// Shows a pipeline run on the job's status card.
fn show(invocation: &Invocation, run: &Run, pipeline: &str) {
    let Some(job) = invocation.job() else { return };
    let pipeline = crate::base::clean(pipeline);
    job.card().run(match &run.url {
        Some(url) => format!("{pipeline} {url}"),
        None => pipeline,
    });
}

/// Starts a pipeline run. Returns the URL of the run, if the backend returns a URL.
///
/// # Errors
/// `refused` or `unavailable` if no run was started. [`UNKNOWN`] if a run may have been started; the host then follows
/// this run.
async fn start(
    backends: &Backends,
    deployment: &Deployment,
    key: &RunKey,
    parameters: &BTreeMap<String, String>,
) -> Result<Option<String>, types::Problem> {
    let problem = |code: &str, message: String| Err(types::Problem { code: code.to_owned(), message });
    let system = backends.get(deployment.backend);
    match system.start(key, &deployment.pipeline, parameters).await {
        Ok(url) => Ok(url),
        Err(PipelineError::Refused { message }) => problem("refused", message),
        // The run may exist although the backend's answer was lost. Query the backend before returning an error.
        Err(PipelineError::Unavailable { message }) => match system.state(key, &deployment.pipeline).await {
            Ok(RunState::Running | RunState::Ended(_)) => Ok(None),
            Ok(RunState::Absent) => problem("unavailable", format!("no pipeline run was started: {message}")),
            Ok(RunState::Unknowable(reason)) => {
                problem(UNKNOWN, format!("{message}; it is unknown whether the pipeline run was started: {reason}"))
            }
            Err(error) => problem(
                UNKNOWN,
                format!("{message}; it is not yet known whether the pipeline run was started: {error}"),
            ),
        },
    }
}

/// Checks the parameters that a plugin passes to a pipeline, and returns the values by the parameter's name.
///
/// # Errors
/// `invalid` if a configured parameter is missing or given twice, if a given parameter is not configured, or if a value
/// does not match the pattern of its parameter.
fn parameters(deployment: &Deployment, given: &[types::Entry]) -> Result<BTreeMap<String, String>, types::Error> {
    let pipeline = &deployment.pipeline;
    let mut parameters = BTreeMap::new();
    for entry in given {
        let Some(pattern) = deployment.parameters.get(&entry.name) else {
            let known: Vec<&str> = deployment.parameters.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let name = crate::base::clean(&entry.name);
            let message = format!("the pipeline `{pipeline}` has no parameter `{name}`. Known parameters: {known}");
            return Err(problem("invalid", message));
        };
        // A person must be able to read the value that the pipeline receives.
        if let Err(reason) = check_visible(&entry.value) {
            let message = format!(
                "the value of the parameter `{}` of the pipeline `{pipeline}` is not valid: {reason}",
                entry.name
            );
            return Err(problem("invalid", message));
        }
        if !pattern.matches(&entry.value) {
            let value = crate::base::clean(&entry.value);
            let message = format!(
                "`{value}` is not a valid value of the parameter `{}` of the pipeline `{pipeline}`: {}",
                entry.name,
                pattern.requirement(&entry.value)
            );
            return Err(problem("invalid", message));
        }
        if parameters.insert(entry.name.clone(), entry.value.clone()).is_some() {
            let message = format!("the parameter `{}` of the pipeline `{pipeline}` is given twice", entry.name);
            return Err(problem("invalid", message));
        }
    }
    match deployment.parameters.keys().find(|name| !parameters.contains_key(*name)) {
        Some(missing) => {
            Err(problem("invalid", format!("the pipeline `{pipeline}` requires the parameter `{missing}`")))
        }
        None => Ok(parameters),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BackendId, ValuePattern};

    #[test]
    fn a_value_that_people_cannot_read_is_refused() {
        let deployment = Deployment {
            app: "cms".to_owned(),
            environment: "staging".to_owned(),
            pipeline: "cms/staging".to_owned(),
            parameters: BTreeMap::from([(VERSION.to_owned(), ValuePattern::new(r"[^/]+").unwrap())]),
            path: None,
            is_open: false,
            backend: BackendId(0),
        };
        let given = |value: &str| [types::Entry { name: VERSION.to_owned(), value: value.to_owned() }];
        assert_eq!(parameters(&deployment, &given("1.0.2")).unwrap()[VERSION], "1.0.2");
        for (value, code) in [("1.0.2\u{fe0f}", "U+FE0F"), ("1.0\u{200d}.2", "U+200D"), ("1.0.2\n", "U+000A")] {
            let Err(types::Error::Other(problem)) = parameters(&deployment, &given(value)) else {
                panic!("{value:?} was accepted")
            };
            let expected = format!(
                "the value of the parameter `version` of the pipeline `cms/staging` is not valid: it contains the \
                 character {code}, which is not shown; remove this character"
            );
            assert_eq!(problem.message, expected);
        }
    }
}
