//! All jobs of a host: those with a running task, and how jobs are dispatched.
//!
//! Invariant: at most one task works on a job. [`Jobs::take_up`] starts the task, or makes the running one drive the
//! job once more before it exits.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;

use crate::{
    base::Activity,
    hostcall::{Context, Plugins},
    job::{Claim, HistoryError, Job, JobCard, JobHistory},
    store::{DeploymentLock, JobPhase, JobQuery, JobRow, StoreError},
};

/// The pause before a job is dispatched again that another task has claimed.
const SOON: std::time::Duration = std::time::Duration::from_millis(50);

/// The jobs of a host.
pub(crate) struct Jobs {
    pub(crate) context: Arc<Context>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) turns: Semaphore,
    activity: Activity,
    live: Mutex<HashMap<String, Live>>,
}

/// A job with a running task.
struct Live {
    job: Arc<Job>,
    // Whether the task must drive the job once more before it exits.
    again: bool,
}

impl Jobs {
    pub(crate) fn new(context: Arc<Context>, plugins: Arc<Plugins>, activity: Activity, turns: usize) -> Self {
        Self { context, plugins, turns: Semaphore::new(turns), activity, live: Mutex::default() }
    }

    /// Dispatches the open jobs of an earlier process, except for held jobs and jobs that wait for a time. The backends
    /// of jobs in doubt are asked once more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        let store = &self.context.store;
        // Step 1: restore the locks that jobs hold.
        for (place, job) in store.places().await? {
            if let Some(row) = store.job(&job).await? {
                self.context.places.restore(place, &row);
            }
        }
        let phases = Some(vec![JobPhase::Working, JobPhase::Run, JobPhase::Line, JobPhase::Asked]);
        let mut rows = store.jobs(&JobQuery { open: Some(true), phases, ..JobQuery::default() }).await?;
        rows.sort_by_key(|row| row.stand.since);
        // Step 2: restore reservations and queues in their old order, before any job runs.
        for phase in [JobPhase::Working, JobPhase::Line] {
            for row in rows.iter().filter(|row| row.stand.phase == phase) {
                if let Some(place) = self.first_place(row).await? {
                    self.context.places.enqueue(&place, row, row.stand.since);
                }
            }
        }
        // Step 3: dispatch the jobs.
        for row in rows {
            tracing::info!(
                job = row.id,
                line = row.line,
                phase = row.stand.phase.as_str(),
                "resuming a job after a restart"
            );
            self.take_up(row);
        }
        Ok(())
    }

    /// The lock that a job queues for before its plugin's first call; `None` for a job that already made a call, which
    /// may queue for another lock.
    async fn first_place(&self, row: &JobRow) -> Result<Option<DeploymentLock>, StoreError> {
        let store = &*self.context.store;
        let (Some(place), Some((1, _))) = (row.place(), store.tip(&row.id).await?) else { return Ok(None) };
        match JobHistory::read(store, &row.id).await {
            Ok(history) => Ok(history.begun().is_ok_and(|begun| begun.options.wait).then_some(place)),
            Err(HistoryError::Store(error)) => Err(error),
            // The journal is broken: the job is held when it is dispatched.
            Err(_) => Ok(None),
        }
    }

    /// Runs a job: starts a task, or makes the job's running task drive it once more.
    pub(crate) fn take_up(self: &Arc<Self>, row: JobRow) {
        // Jobs of a bot that does not run here belong to the host that runs it.
        if !self.context.outbox.runs(&row.bot) {
            return;
        }
        let mut live = self.live();
        if let Some(known) = live.get_mut(&row.id) {
            known.again = true;
            return;
        }
        // Another task, for example a command, changes the job now: retry after that.
        let Some(claim) = self.context.claims.claim(&row.id) else {
            drop(live);
            return self.look_soon(row.id);
        };
        let row = Arc::new(row);
        let outbox = self.context.outbox.clone();
        let card = JobCard::begin(row.clone(), self.context.store.clone(), move || outbox.wake());
        let job = Arc::new(Job::new(row.clone(), card));
        live.insert(row.id.clone(), Live { job: job.clone(), again: false });
        drop(live);
        let at_work = self.activity.begin();
        let jobs = self.clone();
        tokio::spawn(async move {
            let stop = jobs.context.stop.clone();
            stop.run_until_cancelled(jobs.care(&job, claim)).await;
            drop(at_work);
        });
    }

    /// The job's task: drives the job until it waits or ends.
    async fn care(self: &Arc<Self>, job: &Arc<Job>, claim: Claim) {
        loop {
            if AssertUnwindSafe(self.drive(job)).catch_unwind().await.is_err() {
                tracing::error!(
                    job = job.row().id,
                    "a job panicked in the host; this is a bug, please report it with the log"
                );
                self.hold(job, "internal error; the host's log has the details", true).await;
            }
            let mut live = self.live();
            match live.get_mut(&job.row().id) {
                Some(known) if known.again => known.again = false,
                _ => {
                    live.remove(&job.row().id);
                    // Before the lock is released, so that the next dispatch finds the claim free.
                    drop(claim);
                    return;
                }
            }
        }
    }

    /// Dispatches a job after a pause, and retries until the store answers.
    fn look_soon(self: &Arc<Self>, id: String) {
        let (jobs, stopping) = (self.clone(), self.context.stopping.clone());
        let look = async move {
            loop {
                tokio::time::sleep(SOON).await;
                match jobs.context.store.job(&id).await {
                    Ok(Some(row)) if row.end.is_none() => return jobs.take_up(row),
                    Ok(_) => {
                        let next = jobs.context.places.release(&id);
                        return jobs.call_next(next).await;
                    }
                    Err(error) => tracing::error!(job = id, %error, "a job cannot be read from the store; retrying"),
                }
            }
        };
        tokio::spawn(async move { stopping.run_until_cancelled(look).await });
    }

    /// The job with this id, if a task works on it.
    pub(crate) fn at_work(&self, id: &str) -> Option<Arc<Job>> {
        self.live().get(id).map(|known| known.job.clone())
    }

    /// The number of jobs with a running task.
    pub(crate) fn count(&self) -> usize {
        self.live().len()
    }

    /// Dispatches the jobs that are next in the queues of released locks.
    pub(crate) async fn call_next(self: &Arc<Self>, ids: Vec<String>) {
        for id in ids {
            match self.context.store.job(&id).await {
                Ok(Some(row)) if row.end.is_none() => self.take_up(row),
                // The job ended meanwhile: dispatch the next one in its queues.
                Ok(_) => {
                    let next = self.context.places.release(&id);
                    Box::pin(self.call_next(next)).await;
                }
                Err(error) => {
                    tracing::error!(job = id, %error, "a queued job cannot be read from the store; retrying");
                    self.look_soon(id);
                }
            }
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
