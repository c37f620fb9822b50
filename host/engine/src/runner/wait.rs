//! Waits of a parked job: for the end of its first run, for a timer, or for its cancellation.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::select_all};
use serde_json::{Value, json};

use super::{
    drive::{DriveError, Step},
    jobs::Jobs,
};
use crate::{
    adapter::{Backends, PipelineError, RunEnd},
    hostcall::{RUN, Timer, Timers, ending, reached, ready, until, working},
    job::{Job, JobHistory, PipelineRun, entry},
    model::RunKey,
    plugin::bindings::{
        pipelines::{Ready, WaitError, Waitable},
        types,
    },
    store::{Entry, JobPhase, Write},
};

/// The pause before an unavailable backend is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// The timeout of a cancellation request to a backend.
const ANSWER: Duration = Duration::from_secs(10);

/// A wait, read from its journal entry.
pub(crate) struct PendingWait {
    wait: Entry,
    runs: Vec<PipelineRun>,
    /// Runs that were started after the cancellation: they clean up and are not cancelled.
    cleanup_runs: Vec<RunKey>,
    /// The earliest timer.
    timer: Option<(String, Timer)>,
    /// The id of a run whose pipeline is no longer configured.
    unconfigured: Option<String>,
}

impl Jobs {
    /// Waits for runs in this task. A wait for timers alone is left to the job's row: [`Jobs::wake`] dispatches the job
    /// when it is due.
    pub(crate) async fn wait(&self, job: &Arc<Job>, waits: PendingWait) -> Result<Step, DriveError> {
        let answer = match (&waits.unconfigured, waits.runs.is_empty()) {
            (Some(id), _) => {
                let message = format!("the pipeline of run {id} is no longer configured");
                Some((Err(WaitError::Other(types::Problem { code: "not-found".to_owned(), message })), Vec::new()))
            }
            (None, true) => self.timer_result(job, &waits).map(|answer| (answer, Vec::new())),
            (None, false) => self.first_result(job, &waits).await,
        };
        let now = self.context.clock.now();
        let Some((answer, writes)) = answer else {
            // The status can be `working`, for example after a cancellation that came late: store the timer again.
            if let (Some((_, timer)), true, true) = (&waits.timer, waits.runs.is_empty(), job.phase() != JobPhase::Time)
            {
                let status = until(timer.at, now);
                job.enter_with_status(&*self.context.store, Vec::new(), status, Vec::new()).await?;
                self.context.outbox.wake();
                self.context.alarm.notify_one();
            }
            return Ok(Step::Yield);
        };
        let result = entry::result(job.row(), &waits.wait, json!({ "answer": answer }), now);
        job.enter_with_status(&*self.context.store, vec![result], working(now), writes).await?;
        self.context.outbox.wake();
        Ok(Step::Continue)
    }

    /// The wait that the entry at this index stores.
    pub(crate) fn pending_wait(&self, history: &JobHistory, at: usize) -> Result<PendingWait, DriveError> {
        let wait = &history.entries()[at];
        let broken =
            |error: serde_json::Error| DriveError::Hold(format!("entry {} cannot be read: {error}", wait.number), true);
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

    /// The result of a wait for timers alone; `None` if none is due.
    fn timer_result(&self, job: &Job, waits: &PendingWait) -> Option<Result<Ready, WaitError>> {
        if job.is_cancelled() {
            return Some(Err(WaitError::Cancelled));
        }
        let (id, timer) = waits.timer.as_ref()?;
        (timer.at <= self.context.monotonic.now()).then(|| reached(id, *timer))
    }

    /// Waits until one of the runs ends or the timer is due; `None` if the host shuts down.
    async fn first_result(
        &self,
        job: &Arc<Job>,
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
        let mut asked = false;
        loop {
            tokio::select! {
                biased;
                (run, end) = &mut ended => {
                    return Some(match end {
                        Ok(end) => {
                            let writes = ending(&self.context.backends, job.row(), &run, &end).await;
                            (ready(&run.key, end), writes)
                        }
                        Err(message) => {
                            let problem = types::Problem { code: "not-found".to_owned(), message };
                            (Err(WaitError::Other(problem)), Vec::new())
                        }
                    });
                }
                (id, timer) = &mut time => return Some((reached(id, timer), Vec::new())),
                () = job.cancelled(), if !asked => {
                    asked = true;
                    for run in waits.runs.iter().filter(|run| !waits.cleanup_runs.contains(&run.key)) {
                        cancel_run(&self.context.backends, run).await;
                    }
                }
                () = self.context.stopping.cancelled() => return None,
            }
        }
    }
}

/// Cancels a run at its backend. Errors are logged; the caller still waits for the run's end.
pub(crate) async fn cancel_run(backends: &Backends, run: &PipelineRun) {
    match tokio::time::timeout(ANSWER, backends.get(run.backend).cancel(&run.key, &run.pipeline)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(run = run.key.as_str(), pipeline = run.pipeline, %error, "a run could not be cancelled; waiting for its end");
        }
        Err(_) => {
            tracing::warn!(
                run = run.key.as_str(),
                "a run could not be cancelled: its backend does not answer; waiting for its end"
            )
        }
    }
}

/// The first of these runs to end, with its result or the reason why it has none. An unavailable backend is retried
/// without limit.
async fn first_end(backends: &Backends, job: &Job, runs: &[PipelineRun]) -> (PipelineRun, Result<RunEnd, String>) {
    let waits = runs.iter().map(|run| {
        async move {
            loop {
                let mut show = |line: &str| job.card().line(line);
                match backends.get(run.backend).ended(&run.key, &run.pipeline, &mut show).await {
                    Ok(end) => return (run.clone(), Ok(end)),
                    Err(PipelineError::Refused { message }) => return (run.clone(), Err(message)),
                    Err(PipelineError::Unavailable { message }) => {
                        job.card().line(&format!("{} does not answer: {message}", run.pipeline));
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        }
        .boxed()
    });
    select_all(waits).await.0
}
