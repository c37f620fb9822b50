//! All jobs of a host: those that are taken care of now, and how one is taken up.
//!
//! Invariant: one task takes care of a job at a time. Whoever wants one to be looked at says so ([`Jobs::take_up`]); if that
//! task is about to leave, it looks once more.
//! A job that waits for a time, a person or a place is a row and nothing else; one that waits for a run is a task that
//! listens for its end.

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

/// How long until a job is looked at again that somebody else changes now.
const SOON: Duration = Duration::from_millis(50);
/// The longest delay while the store cannot be read.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// All jobs of a host.
pub(crate) struct Jobs {
    pub(crate) context: Arc<Context>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) turns: Semaphore,
    activity: Activity,
    live: Mutex<HashMap<String, Live>>,
}

/// A job that a task takes care of.
struct Live {
    job: Arc<Job>,
    // Whether somebody wants it to be looked at once more.
    again: bool,
}

impl Jobs {
    pub(crate) fn new(context: Arc<Context>, plugins: Arc<Plugins>, activity: Activity, turns: usize) -> Self {
        Self { context, plugins, turns: Semaphore::new(turns), activity, live: Mutex::default() }
    }

    /// Takes up what an earlier process left: all but the jobs that wait for a time or are held. One that asks has its system
    /// asked once more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        let store = &self.context.store;
        for (place, job) in store.places().await? {
            if let Some(row) = store.job(&job).await? {
                self.context.places.restore(place, &row);
            }
        }
        let phases = Some(vec![JobPhase::Working, JobPhase::Run, JobPhase::Line, JobPhase::Asked]);
        let mut rows = store.jobs(&JobQuery { open: Some(true), phases, ..JobQuery::default() }).await?;
        rows.sort_by_key(|row| row.stand.since);
        // Those whose turn it was have it, and those that stood in line stand there again, before anybody goes on.
        for phase in [JobPhase::Working, JobPhase::Line] {
            for row in rows.iter().filter(|row| row.stand.phase == phase) {
                if let Some(place) = self.first_place(row).await? {
                    self.context.places.enqueue(&place, row, row.stand.since);
                }
            }
        }
        for row in rows {
            tracing::info!(job = row.id, line = row.line, stood = row.stand.phase.as_str(), "a job goes on");
            self.take_up(row);
        }
        Ok(())
    }

    /// The place that a job waits for before its plugin does anything. One that did something already may stand in line for
    /// another place than was typed.
    async fn first_place(&self, row: &JobRow) -> Result<Option<DeploymentLock>, StoreError> {
        let store = &*self.context.store;
        let (Some(place), Some((1, _))) = (row.place(), store.tip(&row.id).await?) else { return Ok(None) };
        match JobHistory::read(store, &row.id).await {
            Ok(history) => Ok(history.begun().is_ok_and(|begun| begun.options.wait).then_some(place)),
            Err(HistoryError::Store(error)) => Err(error),
            // It is held when it is taken up.
            Err(_) => Ok(None),
        }
    }

    /// Has a job looked at: by a task of its own, or once more by the one that takes care of it.
    pub(crate) fn take_up(self: &Arc<Self>, row: JobRow) {
        // What was asked through an identity that does not run here is left to the host that runs it.
        if !self.context.outbox.runs(&row.bot) {
            return;
        }
        let mut live = self.live();
        if let Some(known) = live.get_mut(&row.id) {
            known.again = true;
            return;
        }
        // Somebody changes it at this moment: it is looked at after that.
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

    /// Takes care of a job until it rests or is over.
    async fn care(self: &Arc<Self>, job: &Arc<Job>, claim: Claim) {
        loop {
            if AssertUnwindSafe(self.drive(job)).catch_unwind().await.is_err() {
                tracing::error!(job = job.row().id, "a job broke off by a mistake of the host");
                self.hold(job, "a mistake of the host, which is in its log", true).await;
            }
            let mut live = self.live();
            match live.get_mut(&job.row().id) {
                Some(known) if known.again => known.again = false,
                _ => {
                    live.remove(&job.row().id);
                    // Before the lock is let go of: whoever comes next finds it free.
                    drop(claim);
                    return;
                }
            }
        }
    }

    /// Has a job looked at in a moment, and again until that can be done.
    fn look_soon(self: &Arc<Self>, id: String) {
        let (jobs, stopping) = (self.clone(), self.context.stopping.clone());
        let look = async move {
            let mut backoff = Backoff::new(SOON, LONGEST_WAIT);
            loop {
                backoff.wait(None).await;
                match jobs.context.store.job(&id).await {
                    Ok(Some(row)) if row.end.is_none() => return jobs.take_up(row),
                    Ok(_) => {
                        let next = jobs.context.places.release(&id);
                        return jobs.call_next(next).await;
                    }
                    Err(error) => tracing::error!(job = id, %error, "a job cannot be read; trying again"),
                }
            }
        };
        tokio::spawn(async move { stopping.run_until_cancelled(look).await });
    }

    /// A job that is taken care of now.
    pub(crate) fn at_work(&self, id: &str) -> Option<Arc<Job>> {
        self.live().get(id).map(|known| known.job.clone())
    }

    /// How many are taken care of now.
    pub(crate) fn count(&self) -> usize {
        self.live().len()
    }

    /// Has the jobs looked at whose turn at a place has come.
    pub(crate) async fn call_next(self: &Arc<Self>, ids: Vec<String>) {
        for id in ids {
            match self.context.store.job(&id).await {
                Ok(Some(row)) if row.end.is_none() => self.take_up(row),
                // Over meanwhile: the one behind it is next.
                Ok(_) => {
                    let next = self.context.places.release(&id);
                    Box::pin(self.call_next(next)).await;
                }
                Err(error) => {
                    tracing::error!(job = id, %error, "a job in line cannot be read; trying again");
                    self.look_soon(id);
                }
            }
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
