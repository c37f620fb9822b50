//! Handles the wait of a parked job, which is a job whose plugin does not run while the job waits. Waits until one of
//! the job's pipeline runs ends, a timer is due or the job is cancelled.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::select_all};
use serde_json::{Value, json};

use super::{
    drive::{DriveError, Step},
    jobs::Jobs,
};
use crate::{
    adapter::{Backends, PipelineError, RunEnd, RunEvent},
    hostcall::{RUN, Timer, Timers, run_answer, run_end_writes, running_status, timer_answer, waiting_until},
    job::{ActiveJob, JobHistory, PipelineRun, entry},
    model::RunKey,
    plugin::bindings::{
        pipelines::{Ready, WaitError, Waitable},
        types,
    },
    store::{Entry, JobPhase, Write},
};

/// The delay between two attempts to reach an unavailable pipeline backend.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The timeout of the request to a backend to cancel a pipeline run.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// The pipeline runs and the timer that a parked job waits for, read from the journal entry of the wait.
pub(crate) struct PendingWait {
    wait: Entry,
    runs: Vec<PipelineRun>,
    /// The pipeline runs that the plugin started after the job was cancelled. These runs clean up, so the host does not
    /// cancel them.
    cleanup_runs: Vec<RunKey>,
    /// The earliest timer, with its id. `None` if the job waits only for pipeline runs.
    timer: Option<(String, Timer)>,
    /// The id of a pipeline run whose pipeline is no longer configured, if there is such a run.
    unconfigured: Option<String>,
}

impl Jobs {
    /// Waits until one of the job's pipeline runs ends or the timer is due, and stores the result. If the job waits
    /// only for a timer that is not due yet, returns at once; [`Jobs::run_wakeups`] dispatches the job when the timer
    /// is due.
    pub(crate) async fn wait(&self, job: &Arc<ActiveJob>, waits: PendingWait) -> Result<Step, DriveError> {
        let answer = match (&waits.unconfigured, waits.runs.is_empty()) {
            (Some(id), _) => {
                let message = format!(
                    "the state of the pipeline run `{id}` is unknown, because its pipeline is no longer configured"
                );
                Some((not_found(message), Vec::new()))
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
                job.enter_with_status(&self.context.store, Vec::new(), status, Vec::new()).await?;
                self.context.outbox.wake();
                self.context.alarm.notify_one();
            }
            return Ok(Step::Yield);
        };
        let result = entry::result(job.row(), &waits.wait, json!({ "answer": answer }), now);
        job.enter_with_status(&self.context.store, vec![result], running_status(now), writes).await?;
        self.context.outbox.wake();
        Ok(Step::Continue)
    }

    /// Reads a wait from the journal entry at the index `at`.
    ///
    /// # Errors
    /// [`DriveError::Hold`] if the entry cannot be read.
    pub(crate) fn pending_wait(&self, history: &JobHistory, at: usize) -> Result<PendingWait, DriveError> {
        let wait = &history.entries()[at];
        let broken = |error: serde_json::Error| {
            DriveError::Hold(format!("journal entry {} of the job cannot be read: {error}", wait.number))
        };
        let part = |name: &str| wait.body.get(name).cloned().unwrap_or(Value::Null);
        let (items,): (Vec<Waitable>,) = serde_json::from_value(part("arguments")).map_err(broken)?;
        let timers: Timers = serde_json::from_value(part("timers")).map_err(broken)?;
        let (mut runs, mut cleanup_runs, mut unconfigured) = (Vec::new(), Vec::new(), None);
        for item in items.iter().filter(|item| item.kind == RUN) {
            match history.run(&self.context.catalog, &item.id) {
                Some(run) => {
                    cleanup_runs.extend(history.is_cleanup_run(&run.key).then(|| run.key.clone()));
                    runs.push(run);
                }
                None => unconfigured = Some(item.id.clone()),
            }
        }
        let timer = timers.into_iter().min_by_key(|(_, timer)| timer.at);
        Ok(PendingWait { wait: wait.clone(), runs, cleanup_runs, timer, unconfigured })
    }

    /// Returns the result of a wait that has only timers. Returns `None` while no timer is due and the job is not
    /// cancelled.
    fn timer_result(&self, job: &ActiveJob, waits: &PendingWait) -> Option<Result<Ready, WaitError>> {
        if job.is_cancelled() {
            return Some(Err(WaitError::Cancelled));
        }
        let (id, timer) = waits.timer.as_ref()?;
        (timer.at <= self.context.monotonic.now()).then(|| timer_answer(id, *timer))
    }

    /// Waits until one of the pipeline runs ends or the timer is due. If the job is cancelled, cancels the pipeline
    /// runs except the cleanup runs, and continues to wait. Returns the result of the wait, and the changes to store
    /// with the result. Returns `None` if the host is shutting down.
    async fn first_result(
        &self,
        job: &Arc<ActiveJob>,
        waits: &PendingWait,
    ) -> Option<(Result<Ready, WaitError>, Vec<Write>)> {
        let ended = first_end(&self.context.backends, job, &waits.runs);
        let mut ended = std::pin::pin!(ended);
        let time = async {
            let Some((id, timer)) = &waits.timer else { return std::future::pending().await };
            tokio::time::sleep(self.context.monotonic.until(timer.at)).await;
            (id, *timer)
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
                        Err(message) => (not_found(message), Vec::new()),
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

fn not_found(message: String) -> Result<Ready, WaitError> {
    Err(WaitError::Other(types::Problem { code: "not-found".to_owned(), message }))
}

/// Sends a request to the backend to cancel a pipeline run. If the request fails, logs the error and does not return
/// it, because the caller waits for the end of the run in any case.
pub(crate) async fn cancel_run(backends: &Backends, run: &PipelineRun) {
    match tokio::time::timeout(CANCEL_TIMEOUT, backends.get(run.backend).cancel(&run.key, &run.pipeline)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(
                run = run.key.as_str(),
                pipeline = run.pipeline,
                %error,
                "cannot cancel a pipeline run; the job waits for the run to end; hint: cancel the run in its backend"
            );
        }
        Err(_) => {
            tracing::warn!(
                run = run.key.as_str(),
                pipeline = run.pipeline,
                "cannot cancel a pipeline run, because its backend does not answer; the job waits for the run to end; hint: cancel the run in its backend"
            )
        }
    }
}

/// Waits until one of the pipeline runs `runs` ends, and returns the run and its end. If the backend rejects the query
/// for a run, returns this run and the backend's reason. Retries without limit while a backend is unavailable.
async fn first_end(
    backends: &Backends,
    job: &ActiveJob,
    runs: &[PipelineRun],
) -> (PipelineRun, Result<RunEnd, String>) {
    let waits = runs.iter().map(|run| {
        async move {
            loop {
                let mut show = |event: RunEvent<'_>| job.card().event(event);
                match backends.get(run.backend).ended(&run.key, &run.pipeline, &mut show).await {
                    Ok(end) => return (run.clone(), Ok(end)),
                    Err(PipelineError::Refused { message }) => return (run.clone(), Err(message)),
                    Err(PipelineError::Unavailable { message }) => {
                        job.card().line(&format!(
                            "the backend of the pipeline `{}` does not answer: {message}",
                            run.pipeline
                        ));
                        tokio::time::sleep(RETRY_DELAY).await;
                    }
                }
            }
        }
        .boxed()
    });
    select_all(waits).await.0
}
