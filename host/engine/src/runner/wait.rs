//! Handles the wait of a parked job: waits until one of its runs ends, a timer is due or the job is cancelled.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::select_all};
use serde_json::{Value, json};

use super::{
    drive::{DriveError, Step},
    jobs::Jobs,
};
use crate::{
    adapter::{Backends, PipelineError, RunEnd},
    hostcall::{RUN, Timer, Timers, run_answer, run_end_writes, running_status, timer_answer, waiting_until},
    job::{ActiveJob, JobHistory, PipelineRun, entry},
    model::RunKey,
    plugin::bindings::{
        pipelines::{Ready, WaitError, Waitable},
        types,
    },
    store::{Entry, JobPhase, Write},
};

/// Delay between two attempts to reach an unavailable backend.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The timeout of a request to a backend to cancel a run.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// A wait, read from its journal entry.
pub(crate) struct PendingWait {
    wait: Entry,
    runs: Vec<PipelineRun>,
    /// The runs that were started after the cancellation. They clean up, so they are not cancelled.
    cleanup_runs: Vec<RunKey>,
    /// The earliest timer, with its id.
    timer: Option<(String, Timer)>,
    /// The id of a run whose pipeline is no longer configured.
    unconfigured: Option<String>,
}

impl Jobs {
    /// Waits for runs in this task. For a wait for timers alone, returns at once: [`Jobs::run_wakeups`] dispatches the
    /// job when the earliest timer is due.
    pub(crate) async fn wait(&self, job: &Arc<ActiveJob>, waits: PendingWait) -> Result<Step, DriveError> {
        let answer = match (&waits.unconfigured, waits.runs.is_empty()) {
            (Some(id), _) => {
                let message = format!("the pipeline of run `{id}` is no longer configured");
                Some((Err(WaitError::Other(types::Problem { code: "not-found".to_owned(), message })), Vec::new()))
            }
            (None, true) => self.timer_result(job, &waits).map(|answer| (answer, Vec::new())),
            (None, false) => self.first_result(job, &waits).await,
        };
        let now = self.context.clock.now();
        let Some((answer, writes)) = answer else {
            // The phase can be `Running`, for example after a late cancellation. Store the phase and the wake time
            // again.
            if let (Some((_, timer)), true, true) = (&waits.timer, waits.runs.is_empty(), job.phase() != JobPhase::Time)
            {
                let status = waiting_until(timer.at, now);
                job.enter_with_status(&*self.context.store, Vec::new(), status, Vec::new()).await?;
                self.context.outbox.wake();
                self.context.alarm.notify_one();
            }
            return Ok(Step::Yield);
        };
        let result = entry::result(job.row(), &waits.wait, json!({ "answer": answer }), now);
        job.enter_with_status(&*self.context.store, vec![result], running_status(now), writes).await?;
        self.context.outbox.wake();
        Ok(Step::Continue)
    }

    /// Reads the wait from the entry at this index.
    pub(crate) fn pending_wait(&self, history: &JobHistory, at: usize) -> Result<PendingWait, DriveError> {
        let wait = &history.entries()[at];
        let broken = |error: serde_json::Error| {
            DriveError::Hold(format!("journal entry {} cannot be read: {error}", wait.number), true)
        };
        let part = |name: &str| wait.body.get(name).cloned().unwrap_or(Value::Null);
        let (items,): (Vec<Waitable>,) = serde_json::from_value(part("arguments")).map_err(broken)?;
        let timers: Timers = serde_json::from_value(part("timers")).map_err(broken)?;
        let mut waits = PendingWait {
            wait: wait.clone(),
            runs: Vec::new(),
            cleanup_runs: Vec::new(),
            timer: None,
            unconfigured: None,
        };
        for item in items.iter().filter(|item| item.kind == RUN) {
            match history.run(&self.context.catalog, &item.id).flatten() {
                Some(run) => {
                    waits.cleanup_runs.extend(history.is_cleanup_run(&run.key).then(|| run.key.clone()));
                    waits.runs.push(run);
                }
                None => waits.unconfigured = Some(item.id.clone()),
            }
        }
        waits.timer = timers.into_iter().min_by_key(|(_, timer)| timer.at);
        Ok(waits)
    }

    /// Returns the answer of a wait for timers alone. `None` if no timer is due and the job is not cancelled.
    fn timer_result(&self, job: &ActiveJob, waits: &PendingWait) -> Option<Result<Ready, WaitError>> {
        if job.is_cancelled() {
            return Some(Err(WaitError::Cancelled));
        }
        let (id, timer) = waits.timer.as_ref()?;
        (timer.at <= self.context.monotonic.now()).then(|| timer_answer(id, *timer))
    }

    /// Waits until one of the runs ends or the timer is due. Returns `None` if the host is shutting down.
    async fn first_result(
        &self,
        job: &Arc<ActiveJob>,
        waits: &PendingWait,
    ) -> Option<(Result<Ready, WaitError>, Vec<Write>)> {
        let ended = first_end(&self.context.backends, job, &waits.runs);
        let mut ended = std::pin::pin!(ended);
        let time = async {
            match &waits.timer {
                Some((id, timer)) => {
                    tokio::time::sleep(self.context.monotonic.until(timer.at)).await;
                    (id, *timer)
                }
                None => std::future::pending().await,
            }
        };
        let mut time = std::pin::pin!(time);
        let mut cancel_sent = false;
        loop {
            tokio::select! {
                biased;
                (run, end) = &mut ended => {
                    return Some(match end {
                        Ok(end) => {
                            let writes = run_end_writes(&self.context.backends, job.row(), &run, &end).await;
                            (run_answer(&run.key, end), writes)
                        }
                        Err(message) => {
                            let problem = types::Problem { code: "not-found".to_owned(), message };
                            (Err(WaitError::Other(problem)), Vec::new())
                        }
                    });
                }
                (id, timer) = &mut time => return Some((timer_answer(id, timer), Vec::new())),
                () = job.cancelled(), if !cancel_sent => {
                    cancel_sent = true;
                    for run in waits.runs.iter().filter(|run| !waits.cleanup_runs.contains(&run.key)) {
                        cancel_run(&self.context.backends, run).await;
                    }
                }
                () = self.context.stopping.cancelled() => return None,
            }
        }
    }
}

/// Requests that the backend cancels a run. Logs an error and does not return it: the caller waits for the end of the
/// run.
pub(crate) async fn cancel_run(backends: &Backends, run: &PipelineRun) {
    match tokio::time::timeout(CANCEL_TIMEOUT, backends.get(run.backend).cancel(&run.key, &run.pipeline)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(
                run = run.key.as_str(),
                pipeline = run.pipeline,
                %error,
                "a pipeline run could not be cancelled; the job waits for its end"
            );
        }
        Err(_) => {
            tracing::warn!(
                run = run.key.as_str(),
                "a pipeline run could not be cancelled: its backend does not answer; the job waits for its end"
            )
        }
    }
}

/// Waits until one of the runs ends. Returns this run with its result, or with the reason of a backend that refuses the
/// query. Retries an unavailable backend without limit.
async fn first_end(
    backends: &Backends,
    job: &ActiveJob,
    runs: &[PipelineRun],
) -> (PipelineRun, Result<RunEnd, String>) {
    let waits = runs.iter().map(|run| {
        async move {
            loop {
                let mut show = |line: &str| job.card().line(line);
                match backends.get(run.backend).ended(&run.key, &run.pipeline, &mut show).await {
                    Ok(end) => return (run.clone(), Ok(end)),
                    Err(PipelineError::Refused { message }) => return (run.clone(), Err(message)),
                    Err(PipelineError::Unavailable { message }) => {
                        job.card().line(&format!("the backend of `{}` does not answer: {message}", run.pipeline));
                        tokio::time::sleep(RETRY_DELAY).await;
                    }
                }
            }
        }
        .boxed()
    });
    select_all(waits).await.0
}
