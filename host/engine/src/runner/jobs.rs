//! The jobs of a host. Dispatches jobs: starts one task per job that can continue, and keeps the running tasks.
//!
//! Invariant: a job has at most one task. [`Jobs::dispatch`] starts the task, or makes the running task drive the job
//! again before the task exits.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::throttle::Throttle;
use crate::{
    base::{Activity, Backoff},
    hostcall::Context,
    job::{ActiveJob, Claim, HistoryError, JobCard, JobHistory},
    store::{DeploymentLock, JobPhase, JobQuery, JobRow, StoreError},
};

/// The first delay before a job is dispatched again, if another task holds the exclusive right to change the job (its
/// claim).
const REDISPATCH_DELAY: Duration = Duration::from_millis(50);
/// The maximum delay between two attempts to dispatch a job again.
const MAX_REDISPATCH_DELAY: Duration = Duration::from_secs(10);

/// The jobs of a host, with the services that run them.
pub(crate) struct Jobs {
    pub(crate) context: Arc<Context>,
    pub(crate) run_slots: Semaphore,
    activity: Activity,
    running: Mutex<HashMap<String, RunningJob>>,
    /// The ids of the jobs whose plugins ran when the previous process of the host ended, until they run again.
    pub(crate) interrupted: Mutex<HashSet<String>>,
    pub(crate) throttle: Throttle,
}

struct RunningJob {
    job: Arc<ActiveJob>,
    // Whether the task must drive the job again before it exits.
    rerun: bool,
}

impl Jobs {
    pub(crate) fn new(context: Arc<Context>, activity: Activity, run_slots: usize) -> Self {
        Self {
            context,
            run_slots: Semaphore::new(run_slots),
            activity,
            running: Mutex::default(),
            interrupted: Mutex::default(),
            throttle: Throttle::default(),
        }
    }

    /// Resumes open jobs when the host starts. Restores the deployment locks and dispatches the jobs that an earlier
    /// process of the host left open. If it is unknown whether an effect of a job happened, the host checks again with
    /// the backend. Held jobs, jobs that wait for a time and jobs that wait for approval are not dispatched.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
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
        // Step 2: restore the reservations and the queues in their previous order, before any job runs.
        for phase in [JobPhase::Running, JobPhase::Queued] {
            for row in rows.iter().filter(|row| row.status.phase == phase) {
                if let Some(lock) = self.first_lock(row).await? {
                    self.context.locks.enqueue(&lock, row, row.status.since);
                }
            }
        }
        // Step 3: dispatch the jobs of the bots that this process runs.
        for row in rows.into_iter().filter(|row| self.context.outbox.runs(&row.bot)) {
            if row.status.phase == JobPhase::Running {
                self.interrupted.lock().insert(row.id.clone());
            }
            tracing::info!(
                job = row.id,
                line = row.line,
                phase = row.status.phase.as_str(),
                "a job resumes after a restart"
            );
            self.dispatch(row);
        }
        Ok(())
    }

    /// Returns the deployment lock for which a job with `--wait` queues before the first call of its plugin. Returns
    /// `None` for a job without `--wait`. Also returns `None` if the plugin has already made a call, because the job
    /// may then queue for another lock.
    async fn first_lock(&self, row: &JobRow) -> Result<Option<DeploymentLock>, StoreError> {
        let store = &*self.context.store;
        let Some(lock) = row.deployment_lock() else { return Ok(None) };
        match JobHistory::read(store, &row.id).await {
            Ok(history) if history.is_fresh() => {
                Ok(history.start_entry().is_ok_and(|start| start.options.wait).then_some(lock))
            }
            Ok(_) => Ok(None),
            Err(HistoryError::Store(error)) => Err(error),
            // The journal is broken, so the job is held when it is dispatched.
            Err(_) => Ok(None),
        }
    }

    /// Starts a task for a job. If the job already has a task, makes this task drive the job again. If another task has
    /// claimed the job, for example to cancel it, retries later. Ignores a job whose bot runs on another host.
    pub(crate) fn dispatch(self: &Arc<Self>, row: JobRow) {
        // A job of a bot that runs on another host is dispatched there.
        if !self.context.outbox.runs(&row.bot) {
            return;
        }
        let mut running = self.running.lock();
        if let Some(running_job) = running.get_mut(&row.id) {
            running_job.rerun = true;
            return;
        }
        // Another task is changing the job, for example a command. Retry later.
        let Some(claim) = self.context.claims.claim(&row.id) else {
            drop(running);
            return self.dispatch_later(row.id);
        };
        let row = Arc::new(row);
        let outbox = self.context.outbox.clone();
        let card = JobCard::start(row.clone(), self.context.store.clone(), outbox.card_after(&row), {
            let outbox = outbox.clone();
            move || outbox.wake()
        });
        let job = Arc::new(ActiveJob::new(row.clone(), card));
        running.insert(row.id.clone(), RunningJob { job: job.clone(), rerun: false });
        drop(running);
        let guard = self.activity.begin();
        let jobs = self.clone();
        tokio::spawn(async move {
            let stop = jobs.context.stop.clone();
            stop.run_until_cancelled(jobs.run_task(&job, claim)).await;
            drop(guard);
        });
    }

    /// Drives a job until the job waits or ends. Each job runs this function in its own task. `claim` is released at
    /// the end.
    async fn run_task(self: &Arc<Self>, job: &Arc<ActiveJob>, claim: Claim) {
        loop {
            if AssertUnwindSafe(self.drive(job)).catch_unwind().await.is_err() {
                tracing::error!(
                    job = job.row().id,
                    "the task of a job panicked; the job is held; hint: report this bug with the host's log"
                );
                self.hold(job, "internal error; report this bug with the host's log", true).await;
            }
            let mut running = self.running.lock();
            match running.get_mut(&job.row().id) {
                Some(running_job) if running_job.rerun => running_job.rerun = false,
                _ => {
                    running.remove(&job.row().id);
                    // Release the claim before the lock on the map, so that the next dispatch can claim the job.
                    drop(claim);
                    return;
                }
            }
        }
    }

    /// Dispatches a job after a delay. Retries while the store is unavailable.
    fn dispatch_later(self: &Arc<Self>, id: String) {
        let (jobs, stopping) = (self.clone(), self.context.stopping.clone());
        let retry = async move {
            let mut backoff = Backoff::new(REDISPATCH_DELAY, MAX_REDISPATCH_DELAY);
            loop {
                backoff.wait(None).await;
                match jobs.context.store.job(&id).await {
                    Ok(Some(row)) if row.end.is_none() => return jobs.dispatch(row),
                    Ok(_) => {
                        let next = jobs.context.locks.release(&id);
                        return jobs.dispatch_next(next).await;
                    }
                    Err(error) => tracing::error!(job = id, %error, "cannot read a job from the database; retrying"),
                }
            }
        };
        tokio::spawn(async move { stopping.run_until_cancelled(retry).await });
    }

    /// Claims a job for a command: acquires the exclusive right to change the job. While another task holds this right,
    /// retries for up to a second.
    ///
    /// # Errors
    /// Fails if another task still holds the claim after the retries. The error is the reply to the command.
    pub(crate) async fn claim(&self, job: &str) -> Result<Claim, String> {
        let claim = self.context.claims.claim_with_retry(job).await;
        claim.ok_or_else(|| format!("job {job} is busy; send the command again in a few seconds"))
    }

    /// Returns the running job with this id. Returns `None` if the job has no running task.
    pub(crate) fn running(&self, id: &str) -> Option<Arc<ActiveJob>> {
        self.running.lock().get(id).map(|running_job| running_job.job.clone())
    }

    /// Returns the number of jobs with a running task.
    pub(crate) fn count(&self) -> usize {
        self.running.lock().len()
    }

    /// Dispatches the jobs with the ids `ids`, which were queued for a deployment lock that another job released.
    pub(crate) async fn dispatch_next(self: &Arc<Self>, ids: Vec<String>) {
        for id in ids {
            match self.context.store.job(&id).await {
                Ok(Some(row)) if row.end.is_none() => self.dispatch(row),
                // The job has ended in the meantime. Dispatch the next jobs in the queues of its locks.
                Ok(_) => {
                    let next = self.context.locks.release(&id);
                    Box::pin(self.dispatch_next(next)).await;
                }
                Err(error) => {
                    tracing::error!(job = id, %error, "cannot read a queued job from the database; retrying");
                    self.dispatch_later(id);
                }
            }
        }
    }
}
