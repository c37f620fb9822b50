//! What a job waits for while no plugin is there: the first of its runs to end, a time to come, or its being called off.

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

/// How long until a system that is away is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(10);

/// What one entry waits for.
pub(crate) struct Waits {
    wait: Entry,
    runs: Vec<PipelineRun>,
    /// Those that were started after the job was called off: they tidy up.
    tidying: Vec<RunKey>,
    /// The earliest of its timers.
    timer: Option<(String, Timer)>,
    /// A run whose pipeline is no longer configured.
    lost: Option<String>,
}

impl Jobs {
    /// Waits, or leaves that to the row.
    pub(crate) async fn wait(&self, job: &Arc<Job>, waits: Waits) -> Result<Step, DriveError> {
        let answer = match (&waits.lost, waits.runs.is_empty()) {
            (Some(id), _) => {
                let message = format!("the pipeline of run {id} is no longer configured");
                Some((Err(WaitError::Other(types::Problem { code: "not-found".to_owned(), message })), Vec::new()))
            }
            (None, true) => self.time(job, &waits).map(|answer| (answer, Vec::new())),
            (None, false) => self.first(job, &waits).await,
        };
        let now = self.context.clock.now();
        let Some((answer, writes)) = answer else {
            // Whoever had it looked at may have written that it works.
            if let (Some((_, timer)), true, true) = (&waits.timer, waits.runs.is_empty(), job.phase() != JobPhase::Time)
            {
                let stand = until(timer.at, now);
                job.enter_and_stand(&*self.context.store, Vec::new(), stand, Vec::new()).await?;
                self.context.outbox.wake();
                self.context.alarm.notify_one();
            }
            return Ok(Step::Rest);
        };
        let result = entry::result(job.row(), &waits.wait, json!({ "answer": answer }), now);
        job.enter_and_stand(&*self.context.store, vec![result], working(now), writes).await?;
        self.context.outbox.wake();
        Ok(Step::GoOn)
    }

    /// What the entry at this place waits for.
    pub(crate) fn waits(&self, history: &JobHistory, at: usize) -> Result<Waits, DriveError> {
        let wait = &history.entries()[at];
        let broken =
            |error: serde_json::Error| DriveError::Hold(format!("entry {} cannot be read: {error}", wait.number), true);
        let part = |name: &str| wait.body.get(name).cloned().unwrap_or(Value::Null);
        let (items,): (Vec<Waitable>,) = serde_json::from_value(part("arguments")).map_err(broken)?;
        let timers: Timers = serde_json::from_value(part("timers")).map_err(broken)?;
        let mut waits = Waits { wait: wait.clone(), runs: Vec::new(), tidying: Vec::new(), timer: None, lost: None };
        for item in items.iter().filter(|item| item.kind == RUN) {
            match history.run(&self.context.catalog, &item.id).flatten() {
                Some(run) => {
                    waits.tidying.extend(history.tidies_up(&run.key).then(|| run.key.clone()));
                    waits.runs.push(run);
                }
                None => waits.lost = Some(item.id.clone()),
            }
        }
        waits.timer = timers.into_iter().min_by_key(|(_, timer)| timer.at);
        Ok(waits)
    }

    /// The answer of a wait for times alone, if there is one now.
    fn time(&self, job: &Job, waits: &Waits) -> Option<Result<Ready, WaitError>> {
        if job.is_cancelled() {
            return Some(Err(WaitError::Cancelled));
        }
        let (id, timer) = waits.timer.as_ref()?;
        (timer.at <= self.context.steady.now()).then(|| reached(id, *timer))
    }

    /// Waits for the first of some runs to end, or for a time before that; `None` where the host stops.
    async fn first(&self, job: &Arc<Job>, waits: &Waits) -> Option<(Result<Ready, WaitError>, Vec<Write>)> {
        let ended = ended(&self.context.backends, job, &waits.runs);
        let mut ended = std::pin::pin!(ended);
        let time = async {
            match &waits.timer {
                Some((id, timer)) => {
                    tokio::time::sleep(self.context.steady.until(timer.at)).await;
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
                    for run in waits.runs.iter().filter(|run| !waits.tidying.contains(&run.key)) {
                        cancel_run(&self.context.backends, run).await;
                    }
                }
                () = self.context.stopping.cancelled() => return None,
            }
        }
    }
}

/// Asks a run to stop. Its end is waited for all the same.
pub(crate) async fn cancel_run(backends: &Backends, run: &PipelineRun) {
    match tokio::time::timeout(ANSWER, backends.get(run.backend).cancel(&run.key, &run.pipeline)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(run = run.key.as_str(), pipeline = run.pipeline, %error, "a run could not be asked to stop");
        }
        Err(_) => {
            tracing::warn!(run = run.key.as_str(), "a run could not be asked to stop: its system does not answer")
        }
    }
}

/// The first of these runs to end, however long its system is away; or why there is none to end.
async fn ended(backends: &Backends, job: &Job, runs: &[PipelineRun]) -> (PipelineRun, Result<RunEnd, String>) {
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
