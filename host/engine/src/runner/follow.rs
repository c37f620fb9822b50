//! Follows a pipeline run to its end after the job's plugin ended, records the release, and reports the result in the
//! room.

use std::sync::Arc;

use serde_json::json;

use super::{backend_backoff, jobs::Jobs, wait::cancel_run};
use crate::{
    adapter::{PipelineError, RunEnd, RunEvent, RunState},
    base::{Text, elapsed_text, one_line},
    hostcall::{Context, run_end_writes},
    job::{ActiveJob, JobHistory, PipelineRun, entry, thread_message},
    model::{Outcome, RunKey},
    store::{Entry, EntryKind, JobRow, StoreError, Write},
};

/// The name of the journal event that records the end of a followed pipeline run.
const RUN_ENDED: &str = "run ended";

/// The result of a followed pipeline run.
pub(crate) struct RunResult {
    /// A sentence about the pipeline run for the job's closing message.
    pub(crate) line: String,
    /// The pipeline run's outcome. `None` if the run never started or its state is unknown.
    pub(crate) outcome: Option<Outcome>,
}

/// Follows a pipeline run to its end and stores the end. Retries while the backend is unavailable. While the run
/// continues, posts one progress report per job; `meanwhile` is its first sentence. If the job is cancelled, cancels
/// the run, unless `is_cleanup_run` is true. Returns the run's result, or `None` if the host is shutting down.
///
/// # Errors
/// Fails if the store is unavailable. The end of the run is then not stored.
pub(crate) async fn follow(
    jobs: &Jobs,
    job: &Arc<ActiveJob>,
    run: &PipelineRun,
    meanwhile: &str,
    is_cleanup_run: bool,
) -> Result<Option<RunResult>, StoreError> {
    let (context, row, pipeline) = (&jobs.context, job.row(), &run.pipeline);
    let nothing = |line: String| Ok(Some(RunResult { line, outcome: None }));
    let mut backoff = backend_backoff();
    loop {
        let error = match context.backends.get(run.backend).state(&run.key, pipeline).await {
            Ok(RunState::Absent) => {
                return nothing(format!("The job's run of the pipeline `{pipeline}` was never started."));
            }
            Ok(RunState::Unknowable(reason)) => {
                let line =
                    format!("It is unknown whether the job's run of the pipeline `{pipeline}` started: {reason}.");
                return nothing(line);
            }
            Ok(RunState::Ended(end)) => return ended(context, job, run, end).await.map(Some),
            Ok(RunState::Running) => {
                let text = format!(
                    "{meanwhile} The run of the pipeline `{pipeline}` continues; a message in this room reports its \
                     result."
                );
                report_progress(context, row, text).await;
                match end(context, job, run, is_cleanup_run).await {
                    None => return Ok(None),
                    Some(Ok(end)) => return ended(context, job, run, end).await.map(Some),
                    Some(Err(error)) => error,
                }
            }
            Err(error) => error,
        };
        match error {
            PipelineError::Refused { message } => {
                let line = format!("The state of the job's run of the pipeline `{pipeline}` is unknown: {message}.");
                return nothing(line);
            }
            PipelineError::Unavailable { message } => {
                let text = format!(
                    "{meanwhile} The state of the run of the pipeline `{pipeline}` is not yet known: {message}. \
                         Retrying."
                );
                report_progress(context, row, text).await;
                tokio::select! {
                    () = backoff.wait(None) => {}
                    () = context.stopping.cancelled() => return Ok(None),
                }
            }
        }
    }
}

/// Waits for the end of a pipeline run. If the job is cancelled, cancels the run, unless `is_cleanup_run` is true.
/// Returns `None` if the host is shutting down.
async fn end(
    context: &Context,
    job: &Arc<ActiveJob>,
    run: &PipelineRun,
    is_cleanup_run: bool,
) -> Option<Result<RunEnd, PipelineError>> {
    let mut event = |event: RunEvent<'_>| job.card().event(event);
    let backend = context.backends.get(run.backend);
    let mut ended = std::pin::pin!(backend.ended(&run.key, &run.pipeline, &mut event));
    let mut cancel_sent = is_cleanup_run;
    loop {
        tokio::select! {
            biased;
            end = &mut ended => return Some(end),
            () = job.cancelled(), if !cancel_sent => {
                cancel_sent = true;
                cancel_run(&context.backends, run).await;
            }
            () = context.stopping.cancelled() => return None,
        }
    }
}

/// Stores the end of a pipeline run together with the release that the run deployed. Returns the run's result.
async fn ended(
    context: &Arc<Context>,
    job: &Arc<ActiveJob>,
    run: &PipelineRun,
    end: RunEnd,
) -> Result<RunResult, StoreError> {
    let writes = run_end_writes(&context.backends, job.row(), run, &end).await;
    let why = if end.message.is_empty() { String::new() } else { format!(" ({})", crate::base::clean(&end.message)) };
    let took = elapsed_text(end.started, end.ended);
    let mut line = match end.outcome {
        Outcome::Unknown => {
            format!("The job's run of the pipeline `{}` ended with an unknown result{why}.", run.pipeline)
        }
        outcome => format!("The job's run of the pipeline `{}` {} after {took}{why}.", run.pipeline, outcome.as_str()),
    };
    if let Some(note) = end.details.get(RunEnd::NOTE) {
        line = format!("{line} {}", one_line(note));
    }
    let body = json!({ "event": RUN_ENDED, "run": run.key, "outcome": end.outcome, "about": line });
    let event = entry(job.row(), EntryKind::Event, body, context.clock.now());
    job.enter(&*context.store, vec![event], writes).await?;
    context.outbox.wake();
    Ok(RunResult { line, outcome: Some(end.outcome) })
}

impl JobHistory {
    /// Returns the recorded result of a pipeline run. `intent` is the journal entry of the effect that started the run.
    /// Returns `None` if the journal does not contain the run's end.
    pub(crate) fn recorded_result(&self, intent: &Entry) -> Option<RunResult> {
        let key = RunKey::new(&intent.job, intent.number);
        let is_end = |entry: &&Entry| {
            entry.kind == EntryKind::Event && entry.body["event"] == RUN_ENDED && entry.body["run"] == key.as_str()
        };
        let body = &self.entries().iter().find(is_end)?.body;
        Some(RunResult {
            line: body["about"].as_str().unwrap_or_default().to_owned(),
            outcome: serde_json::from_value(body["outcome"].clone()).ok(),
        })
    }
}

async fn report_progress(context: &Context, row: &JobRow, text: String) {
    let message = thread_message(row, "meanwhile", Text::lines(text));
    match context.store.commit(vec![Write::Send(message)]).await {
        Ok(_) => context.outbox.wake(),
        // The closing message contains the result, so a failure is only logged.
        Err(error) => {
            tracing::error!(
                job = row.id,
                %error,
                "cannot store a job's progress message, so it is not sent; the job's closing message will contain the result"
            )
        }
    }
}
