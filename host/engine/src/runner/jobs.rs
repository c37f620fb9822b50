//! All jobs of a host: those with a running task, and how jobs are dispatched.
//!
//! Invariant: at most one task works on a job. [`Jobs::dispatch`] starts the task, or makes the running one drive the
//! job once more before it exits.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;

use crate::{
    base::{Activity, Backoff},
    hostcall::{Context, Plugins},
    job::{Claim, HistoryError, Job, JobCard, JobHistory},
    store::{DeploymentLock, JobPhase, JobQuery, JobRow, StoreError},
};

/// The pause before a job is dispatched again while another task has claimed it.
const SOON: Duration = Duration::from_millis(50);
/// The longest pause while the store cannot be read.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The jobs of a host.
pub(crate) struct Jobs {
    pub(crate) context: Arc<Context>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) run_slots: Semaphore,
    activity: Activity,
    live: Mutex<HashMap<String, Live>>,
}

/// A job with a running task.
struct Live {
    job: Arc<Job>,
    // Whether the task must drive the job once more before it exits.
    rerun: bool,
}

impl Jobs {
    pub(crate) fn new(context: Arc<Context>, plugins: Arc<Plugins>, activity: Activity, run_slots: usize) -> Self {
        Self { context, plugins, run_slots: Semaphore::new(run_slots), activity, live: Mutex::default() }
    }

    /// Dispatches the open jobs of an earlier process, except for held jobs and jobs that wait for a time. The backends
    /// of jobs in doubt are asked once more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        let store = &self.context.store;
        // Step 1: restore the locks that jobs hold.
        for (lock, job) in store.locks().await? {
            if let Some(row) = store.job(&job).await? {
                self.context.locks.restore(lock, &row);
            }
        }
        let phases = Some(vec![JobPhase::Running, JobPhase::Run, JobPhase::Queued, JobPhase::InDoubt]);
        let mut rows = store.jobs(&JobQuery { open: Some(true), phases, ..JobQuery::default() }).await?;
        rows.sort_by_key(|row| row.status.since);
        // Step 2: restore reservations and queues in their old order, before any job runs.
        for phase in [JobPhase::Running, JobPhase::Queued] {
            for row in rows.iter().filter(|row| row.status.phase == phase) {
                if let Some(lock) = self.first_lock(row).await? {
                    self.context.locks.enqueue(&lock, row, row.status.since);
                }
            }
        }
        // Step 3: dispatch the jobs.
        for row in rows {
            tracing::info!(
                job = row.id,
                line = row.line,
                phase = row.status.phase.as_str(),
                "resuming a job after a restart"
            );
            self.dispatch(row);
        }
        Ok(())
    }

    /// The lock that a job queues for before its plugin's first call; `None` for a job that already made a call, which
    /// may queue for another lock.
    async fn first_lock(&self, row: &JobRow) -> Result<Option<DeploymentLock>, StoreError> {
        let store = &*self.context.store;
        let (Some(lock), Some((1, _))) = (row.deployment_lock(), store.journal_head(&row.id).await?) else {
            return Ok(None);
        };
        match JobHistory::read(store, &row.id).await {
            Ok(history) => Ok(history.start_entry().is_ok_and(|start| start.options.wait).then_some(lock)),
            Err(HistoryError::Store(error)) => Err(error),
            // The journal is broken: the job is held when it is dispatched.
            Err(_) => Ok(None),
        }
    }

    /// Runs a job: starts a task, or makes the job's running task drive it once more.
    pub(crate) fn dispatch(self: &Arc<Self>, row: JobRow) {
        // Jobs of a bot that does not run here belong to the host that runs it.
        if !self.context.outbox.runs(&row.bot) {
            return;
        }
        let mut live = self.live();
        if let Some(known) = live.get_mut(&row.id) {
            known.rerun = true;
            return;
        }
        // Another task, for example a command, changes the job now: retry after that.
        let Some(claim) = self.context.claims.claim(&row.id) else {
            drop(live);
            return self.dispatch_later(row.id);
        };
        let row = Arc::new(row);
        let outbox = self.context.outbox.clone();
        let card = JobCard::start(row.clone(), self.context.store.clone(), move || outbox.wake());
        let job = Arc::new(Job::new(row.clone(), card));
        live.insert(row.id.clone(), Live { job: job.clone(), rerun: false });
        drop(live);
        let guard = self.activity.begin();
        let jobs = self.clone();
        tokio::spawn(async move {
            let stop = jobs.context.stop.clone();
            stop.run_until_cancelled(jobs.run_task(&job, claim)).await;
            drop(guard);
        });
    }

    /// The job's task: drives the job until it waits or ends.
    async fn run_task(self: &Arc<Self>, job: &Arc<Job>, claim: Claim) {
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
                Some(known) if known.rerun => known.rerun = false,
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
    fn dispatch_later(self: &Arc<Self>, id: String) {
        let (jobs, stopping) = (self.clone(), self.context.stopping.clone());
        let look = async move {
            let mut backoff = Backoff::new(SOON, LONGEST_WAIT);
            loop {
                backoff.wait(None).await;
                match jobs.context.store.job(&id).await {
                    Ok(Some(row)) if row.end.is_none() => return jobs.dispatch(row),
                    Ok(_) => {
                        let next = jobs.context.locks.release(&id);
                        return jobs.dispatch_next(next).await;
                    }
                    Err(error) => tracing::error!(job = id, %error, "a job cannot be read from the store; retrying"),
                }
            }
        };
        tokio::spawn(async move { stopping.run_until_cancelled(look).await });
    }

    /// The job with this id, if a task works on it.
    pub(crate) fn running(&self, id: &str) -> Option<Arc<Job>> {
        self.live().get(id).map(|known| known.job.clone())
    }

    /// The number of jobs with a running task.
    pub(crate) fn count(&self) -> usize {
        self.live().len()
    }

    /// Dispatches the jobs that are next in the queues of released locks.
    pub(crate) async fn dispatch_next(self: &Arc<Self>, ids: Vec<String>) {
        for id in ids {
            match self.context.store.job(&id).await {
                Ok(Some(row)) if row.end.is_none() => self.dispatch(row),
                // The job ended meanwhile: dispatch the next one in its queues.
                Ok(_) => {
                    let next = self.context.locks.release(&id);
                    Box::pin(self.dispatch_next(next)).await;
                }
                Err(error) => {
                    tracing::error!(job = id, %error, "a queued job cannot be read from the store; retrying");
                    self.dispatch_later(id);
                }
            }
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
