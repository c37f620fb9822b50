//! Follows a pipeline run to its end after its plugin ended: writes the release and reports to the room.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{jobs::Jobs, wait::cancel_run};
use crate::{
    adapter::{PipelineError, RunEnd, RunState},
    base::{Text, took},
    hostcall::{Context, ending},
    job::{Job, JobHistory, PipelineRun, entry, thread_message},
    model::{Outcome, RunKey},
    store::{Entry, EntryKind, JobRow, StoreError, Write},
};

/// The name of the event that records the end of a followed run.
const RUN_ENDED: &str = "run ended";

/// The first and the longest pause between two requests to a backend that is unavailable.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The result of a followed run.
pub(crate) struct RunResult {
    /// One sentence for the room.
    pub(crate) line: String,
    /// The run's outcome; `None` if it never started or its state is unknown.
    pub(crate) outcome: Option<Outcome>,
}

impl RunResult {
    /// The result of a run whose pipeline is no longer configured.
    pub(crate) fn not_configured() -> Self {
        let line = "It started a run of a pipeline that is no longer configured, so the run's state is unknown.";
        Self { line: line.to_owned(), outcome: None }
    }
}

/// Follows a run to its end, and retries while its backend is unavailable; `None` if the host shuts down. `meanwhile`
/// is sent to the room, once per job, if the run has not ended yet.
///
/// # Errors
/// The store failed; nothing was written.
pub(crate) async fn follow(
    jobs: &Jobs,
    job: &Arc<Job>,
    run: &PipelineRun,
    meanwhile: &str,
    is_cleanup_run: bool,
) -> Result<Option<RunResult>, StoreError> {
    let (context, row, pipeline) = (&jobs.context, job.row(), &run.pipeline);
    let nothing = |line: String| Ok(Some(RunResult { line, outcome: None }));
    let mut wait = FIRST_WAIT;
    loop {
        let away = match context.backends.get(run.backend).state(&run.key, pipeline).await {
            Ok(RunState::Absent) => return nothing(format!("Its run of `{pipeline}` was never started.")),
            Ok(RunState::Unknowable(reason)) => {
                return nothing(format!("It is unknown whether its run of `{pipeline}` started: {reason}."));
            }
            Ok(RunState::Ended(end)) => return ended(context, job, run, end).await.map(Some),
            Ok(RunState::Running) => {
                say(
                    context,
                    row,
                    format!("{meanwhile} The run of `{pipeline}` continues; its result is reported here."),
                )
                .await;
                match end(context, job, run, is_cleanup_run).await {
                    None => return Ok(None),
                    Some(Ok(end)) => return ended(context, job, run, end).await.map(Some),
                    Some(Err(error)) => error,
                }
            }
            Err(error) => error,
        };
        match away {
            PipelineError::Refused { message } => {
                return nothing(format!("The state of its run of `{pipeline}` is unknown: {message}."));
            }
            PipelineError::Unavailable { message } => {
                let text = format!("{meanwhile} The state of the run of `{pipeline}` is not known yet: {message}");
                say(context, row, text).await;
                tokio::select! {
                    () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                    () = context.stopping.cancelled() => return Ok(None),
                }
            }
        }
    }
}

/// Waits for a run's end. A cancellation of the job also cancels the run, except for cleanup runs.
async fn end(
    context: &Context,
    job: &Arc<Job>,
    run: &PipelineRun,
    is_cleanup_run: bool,
) -> Option<Result<RunEnd, PipelineError>> {
    let mut line = |line: &str| job.card().line(line);
    let backend = context.backends.get(run.backend);
    let mut ended = std::pin::pin!(backend.ended(&run.key, &run.pipeline, &mut line));
    let mut asked = is_cleanup_run;
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

/// Stores a run's end together with its release, and describes it in one sentence.
async fn ended(
    context: &Arc<Context>,
    job: &Arc<Job>,
    run: &PipelineRun,
    end: RunEnd,
) -> Result<RunResult, StoreError> {
    let writes = ending(&context.backends, job.row(), run, &end).await;
    let why = if end.message.is_empty() { String::new() } else { format!(" ({})", crate::base::clean(&end.message)) };
    let took = took(end.started, end.ended);
    let line = match end.outcome {
        Outcome::Unknown => format!("Its run of `{}` ended with an unknown result{why}.", run.pipeline),
        outcome => format!("Its run of `{}` {} after {took}{why}.", run.pipeline, outcome.as_str()),
    };
    let body = json!({ "event": RUN_ENDED, "run": run.key, "outcome": end.outcome, "about": line });
    let event = entry(job.row(), EntryKind::Event, body, context.clock.now());
    job.enter(&*context.store, vec![event], writes).await?;
    context.outbox.wake();
    Ok(RunResult { line, outcome: Some(end.outcome) })
}

impl JobHistory {
    /// The recorded result of a run that was already followed to its end.
    pub(crate) fn recorded_result(&self, intent: &Entry) -> Option<RunResult> {
        let key = RunKey::new(&intent.job, intent.number);
        let of_it = |entry: &&Entry| {
            entry.kind == EntryKind::Event && entry.body["event"] == RUN_ENDED && entry.body["run"] == key.as_str()
        };
        let body = &self.entries().iter().find(of_it)?.body;
        Some(RunResult {
            line: body["about"].as_str().unwrap_or_default().to_owned(),
            outcome: serde_json::from_value(body["outcome"].clone()).ok(),
        })
    }
}

async fn say(context: &Context, row: &JobRow, text: String) {
    let row = thread_message(row, "meanwhile", Text::lines(text));
    match context.store.commit(vec![Write::Send(row)]).await {
        Ok(_) => context.outbox.wake(),
        // The closing message repeats the report, so a failure is only logged.
        Err(error) => {
            tracing::error!(%error, "a progress report could not be stored; the closing message will repeat it")
        }
    }
}
