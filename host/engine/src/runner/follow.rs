//! Follows a run to its end when no plugin waits for it: its release is written, and the room is told.

use std::sync::Arc;

use serde_json::json;

use super::{away_backoff, jobs::Jobs, wait::cancel_run};
use crate::{
    adapter::{PipelineError, RunEnd, RunState},
    base::{Text, took},
    hostcall::{Context, ending},
    job::{Job, JobHistory, PipelineRun, entry, said},
    model::{Outcome, RunKey},
    store::{Entry, EntryKind, JobRow, StoreError, Write},
};

/// An event's word: a run that nobody waited for ended.
const RUN_ENDED: &str = "run ended";

/// What became of a run.
pub(crate) struct Followed {
    /// One sentence for the room.
    pub(crate) line: String,
    /// How it ended; `None` where it was never started or nobody can say.
    pub(crate) outcome: Option<Outcome>,
}

impl Followed {
    /// What is known of a run whose pipeline is no longer configured.
    pub(crate) fn lost() -> Self {
        let line = "It started a run of a pipeline that is no longer configured: how that stands is not known.";
        Self { line: line.to_owned(), outcome: None }
    }
}

/// Follows a run to its end, however long its system is away; `None` where the host stops. `meanwhile` is said, once a
/// job, where that takes time.
///
/// # Errors
/// What became of it cannot be written down now: nothing was.
pub(crate) async fn follow(
    jobs: &Jobs,
    job: &Arc<Job>,
    run: &PipelineRun,
    meanwhile: &str,
    tidies_up: bool,
) -> Result<Option<Followed>, StoreError> {
    let (context, row, pipeline) = (&jobs.context, job.row(), &run.pipeline);
    let nothing = |line: String| Ok(Some(Followed { line, outcome: None }));
    let mut backoff = away_backoff();
    loop {
        let away = match context.backends.get(run.backend).state(&run.key, pipeline).await {
            Ok(RunState::Absent) => return nothing(format!("Its run of {pipeline} was never started.")),
            Ok(RunState::Unknowable(reason)) => {
                return nothing(format!("Whether its run of {pipeline} was started cannot be known: {reason}."));
            }
            Ok(RunState::Ended(end)) => return ended(context, job, run, end).await.map(Some),
            Ok(RunState::Running) => {
                say(context, row, format!("{meanwhile} Its run of {pipeline} goes on; its end is told here.")).await;
                match end(context, job, run, tidies_up).await {
                    None => return Ok(None),
                    Some(Ok(end)) => return ended(context, job, run, end).await.map(Some),
                    Some(Err(error)) => error,
                }
            }
            Err(error) => error,
        };
        match away {
            PipelineError::Refused { message } => {
                return nothing(format!("How its run of {pipeline} stands is not known: {message}."));
            }
            PipelineError::Unavailable { message } => {
                let text = format!("{meanwhile} How its run of {pipeline} stands is not known yet: {message}");
                say(context, row, text).await;
                tokio::select! {
                    () = backoff.wait(None) => {}
                    () = context.stopping.cancelled() => return Ok(None),
                }
            }
        }
    }
}

/// A run's end. Where its job was called off it is asked to stop, unless it tidies up.
async fn end(
    context: &Context,
    job: &Arc<Job>,
    run: &PipelineRun,
    tidies_up: bool,
) -> Option<Result<RunEnd, PipelineError>> {
    let mut line = |line: &str| job.card().line(line);
    let backend = context.backends.get(run.backend);
    let mut ended = std::pin::pin!(backend.ended(&run.key, &run.pipeline, &mut line));
    let mut asked = tidies_up;
    loop {
        tokio::select! {
            biased;
            end = &mut ended => return Some(end),
            () = job.cancelled(), if !asked => {
                asked = true;
                cancel_run(&context.backends, run).await;
            }
            () = context.stopping.cancelled() => return None,
        }
    }
}

/// Keeps a run's end with its release, and puts it in words.
async fn ended(context: &Arc<Context>, job: &Arc<Job>, run: &PipelineRun, end: RunEnd) -> Result<Followed, StoreError> {
    let writes = ending(&context.backends, job.row(), run, &end).await;
    let why = if end.message.is_empty() { String::new() } else { format!(" ({})", crate::base::clean(&end.message)) };
    let took = took(end.started, end.ended);
    let line = match end.outcome {
        Outcome::Unknown => format!("Its run of {} ended, and nobody knows how far it came{why}.", run.pipeline),
        outcome => format!("Its run of {} {} after {took}{why}.", run.pipeline, outcome.as_str()),
    };
    let body = json!({ "event": RUN_ENDED, "run": run.key, "outcome": end.outcome, "about": line });
    let event = entry(job.row(), EntryKind::Event, body, context.clock.now());
    job.enter(&*context.store, vec![event], writes).await?;
    context.outbox.wake();
    Ok(Followed { line, outcome: Some(end.outcome) })
}

impl JobHistory {
    /// What became of a run that was followed to its end already.
    pub(crate) fn followed(&self, intent: &Entry) -> Option<Followed> {
        let key = RunKey::new(&intent.job, intent.number);
        let of_it = |entry: &&Entry| {
            entry.kind == EntryKind::Event && entry.body["event"] == RUN_ENDED && entry.body["run"] == key.as_str()
        };
        let body = &self.entries().iter().find(of_it)?.body;
        Some(Followed {
            line: body["about"].as_str().unwrap_or_default().to_owned(),
            outcome: serde_json::from_value(body["outcome"].clone()).ok(),
        })
    }
}

async fn say(context: &Context, row: &JobRow, text: String) {
    let row = said(row, "meanwhile", Text::lines(text));
    match context.store.commit(vec![Write::Say(row)]).await {
        Ok(_) => context.outbox.wake(),
        // The closing line says it all again.
        Err(error) => tracing::error!(%error, "a report could not be kept"),
    }
}
