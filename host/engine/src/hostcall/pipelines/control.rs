//! The host calls that stop a run or answer the gate at which it waits.
//!
//! Invariant: app and environment of a run are those of its pipeline, from the configuration.

use super::{
    existing::{backend, check_id, view},
    host::{configured, target},
};
use crate::{
    adapter::{GateAnswer, PipelineError, RunView},
    hostcall::{
        host_call::{HostCall, InDoubt, Recovered, problem},
        invocation::Invocation,
    },
    job::UNKNOWN,
    model::Attributes,
    plugin::bindings::{
        pipelines::{GateAnswer as TypedAnswer, RunOf},
        types,
    },
};

/// The host call `pipelines.cancel`.
pub(super) struct Cancel;

impl HostCall for Cancel {
    type Params = (RunOf,);
    type Answer = ();
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (run,): &(RunOf,)) -> Attributes {
        target(invocation.context(), &run.pipeline)
    }

    fn parameters(&self, _: &Invocation, (named,): &(RunOf,)) -> Vec<(String, String)> {
        vec![("run".to_owned(), named.run.clone())]
    }

    async fn validate(
        &self,
        invocation: &Invocation,
        (RunOf { pipeline, run },): &(RunOf,),
    ) -> Result<(), types::Error> {
        check_id("run", run)?;
        configured(invocation.context(), pipeline).map(drop)
    }

    async fn perform(
        &self,
        invocation: &mut Invocation,
        (RunOf { pipeline, run },): &(RunOf,),
    ) -> Result<(), types::Error> {
        let backend = backend(invocation.context(), pipeline)?;
        backend.stop(pipeline, run).await.map_err(in_doubt)
    }

    fn dry_run(&self, _: &mut Invocation, _: &(RunOf,), _: &str) -> Option<Result<(), types::Error>> {
        Some(Ok(()))
    }

    async fn recover(&self, doubt: &InDoubt<'_>) -> Recovered<()> {
        // A second request to stop a run does no harm.
        match seen_again(doubt).await {
            Ok(view) if view.outcome.is_some() => Recovered::Happened(()),
            Ok(_) => Recovered::NotHappened,
            Err(recovered) => recovered,
        }
    }

    fn assumed(&self, _: &InDoubt<'_>) -> Option<()> {
        Some(())
    }
}

/// The host call `pipelines.answer`.
pub(super) struct Answer;

impl HostCall for Answer {
    type Params = (TypedAnswer,);
    type Answer = ();
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (answer,): &Self::Params) -> Attributes {
        target(invocation.context(), &answer.pipeline)
    }

    fn parameters(&self, _: &Invocation, (answer,): &Self::Params) -> Vec<(String, String)> {
        let word = if answer.proceeds { "proceed" } else { "abort" };
        let mut parameters = vec![("run".to_owned(), answer.run.clone()), ("answer".to_owned(), word.to_owned())];
        parameters.extend(answer.choice.iter().map(|choice| ("choice".to_owned(), choice.clone())));
        parameters
    }

    async fn validate(
        &self,
        invocation: &Invocation,
        (TypedAnswer { pipeline, run, gate, question, proceeds, choice },): &Self::Params,
    ) -> Result<(), types::Error> {
        check_id("gate", gate)?;
        let view = view(invocation.context(), pipeline, run).await?;
        let Some(found) = view.progress.gates.iter().find(|known| known.id == *gate && known.message == *question)
        else {
            let gate = crate::base::clean(gate);
            return Err(problem("not-found", format!("run {} does not wait at the gate `{gate}`", view.id)));
        };
        if view.progress.gates.len() > 1 && !invocation.request().command().has_argument("gate", gate) {
            return Err(problem("invalid", format!("run {} waits at several gates, and none was typed", view.id)));
        }
        let is_valid = match choice {
            _ if !proceeds => choice.is_none(),
            Some(choice) => found.choices.contains(choice),
            None => found.choices.len() <= 1,
        };
        if is_valid {
            return Ok(());
        }
        let choices = if found.choices.is_empty() { "none".to_owned() } else { found.choices.join(", ") };
        Err(problem("invalid", format!("the gate `{gate}` does not have this choice. Its choices: {choices}")))
    }

    async fn perform(
        &self,
        invocation: &mut Invocation,
        (TypedAnswer { pipeline, run, gate, proceeds, choice, .. },): &Self::Params,
    ) -> Result<(), types::Error> {
        let backend = backend(invocation.context(), pipeline)?;
        let person = invocation.request().caller().id.clone();
        let answer = GateAnswer { proceeds: *proceeds, choice: choice.clone(), person };
        backend.answer(pipeline, run, gate, &answer).await.map_err(in_doubt)
    }

    fn dry_run(&self, _: &mut Invocation, _: &Self::Params, _: &str) -> Option<Result<(), types::Error>> {
        Some(Ok(()))
    }

    async fn recover(&self, doubt: &InDoubt<'_>) -> Recovered<()> {
        match seen_again(doubt).await {
            // The next question of the run can look the same, and somebody else can have answered this one.
            Ok(view) => Recovered::Unknowable(format!("run {} does not show whether it got the answer", view.id)),
            Err(recovered) => recovered,
        }
    }

    fn assumed(&self, _: &InDoubt<'_>) -> Option<()> {
        Some(())
    }
}

/// Reads the run of an effect in doubt.
async fn seen_again(doubt: &InDoubt<'_>) -> Result<RunView, Recovered<()>> {
    let text = |name: &str| doubt.arguments()[0][name].as_str().unwrap_or_default();
    let Some(deployment) = doubt.context.catalog.pipeline(text("pipeline")) else {
        return Err(Recovered::Unknowable("the pipeline is no longer configured".to_owned()));
    };
    match doubt.context.backends.get(deployment.backend).view(text("pipeline"), text("run")).await {
        Ok(view) => Ok(view),
        Err(PipelineError::Refused { message }) => Err(Recovered::Unknowable(message)),
        Err(PipelineError::Unavailable { message }) => Err(Recovered::Unavailable(message)),
    }
}

/// Converts the error of a request that may have changed something.
fn in_doubt(error: PipelineError) -> types::Error {
    match error {
        PipelineError::Refused { message } => problem("refused", message),
        PipelineError::Unavailable { message } => problem(UNKNOWN, message),
    }
}
