//! One poller for all runs of a backend that are followed.
//!
//! Invariant: while runs are followed, one task polls. It ends when nobody waits any more.
//! Not here: the requests (`observe`), and what those who wait are told (`follow`).

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize},
};

use parking_lot::Mutex;
use tokio::sync::watch;
use wardroom::{Timestamp, model::RunKey};

use crate::{
    backend::Backend,
    job_path::JobPath,
    progress::{self, Stage, apply},
    record::{Phase, RunRecord},
};

/// A run and what is known of it.
pub(crate) type Run = (RunKey, RunRecord);

#[derive(Debug, Default)]
pub(crate) struct Poller {
    followed: Mutex<Followed>,
    /// The first of the jobs that the next poll requests, if there are too many.
    pub(crate) turn: AtomicUsize,
    /// The newest build number of each job that was listed.
    pub(crate) newest: Mutex<BTreeMap<JobPath, u64>>,
}

#[derive(Debug, Default)]
struct Followed {
    runs: BTreeMap<RunKey, FollowedRun>,
    is_polling: bool,
}

#[derive(Debug)]
struct FollowedRun {
    record: RunRecord,
    view: watch::Sender<View>,
    waiters: usize,
}

/// What those who wait for a run see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) stage: Stage,
    /// Why the last poll failed.
    pub(crate) trouble: Option<String>,
}

/// One who waits for a run.
pub(crate) struct Waiter {
    backend: Arc<Backend>,
    key: RunKey,
    pub(crate) view: watch::Receiver<View>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut followed = self.backend.poller.followed.lock();
        let Some(run) = followed.runs.get_mut(&self.key) else { return };
        run.waiters -= 1;
        if run.waiters == 0 {
            followed.runs.remove(&self.key);
        }
    }
}

impl Backend {
    /// Registers one who waits for a run, and polls from now on. Returns `None` for a run that has ended.
    pub(crate) fn wait_for(self: &Arc<Self>, key: &RunKey, record: RunRecord) -> Option<Waiter> {
        let stage = progress::stage(&record).filter(|stage| !matches!(stage, Stage::Ended(_)))?;
        let mut followed = self.poller.followed.lock();
        let run = followed.runs.entry(key.clone()).or_insert_with(|| FollowedRun {
            record,
            view: watch::Sender::new(View { stage, trouble: None }),
            waiters: 0,
        });
        run.waiters += 1;
        let view = run.view.subscribe();
        if !std::mem::replace(&mut followed.is_polling, true) {
            tokio::spawn(self.clone().poll_until_idle());
        }
        Some(Waiter { backend: self.clone(), key: key.clone(), view })
    }

    async fn poll_until_idle(self: Arc<Self>) {
        let _polling = Polling(&self.poller);
        loop {
            let runs: Vec<Run> = {
                let mut followed = self.poller.followed.lock();
                if followed.runs.is_empty() {
                    followed.is_polling = false;
                    return;
                }
                let is_open = |run: &FollowedRun| !matches!(run.record.phase, Phase::Ended { .. });
                let open = followed.runs.iter().filter(|(_, run)| is_open(run));
                open.map(|(key, run)| (key.clone(), run.record.clone())).collect()
            };
            if !runs.is_empty() {
                self.poll(&runs).await;
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    /// Looks at the runs once, stores their progress and shows it to those who wait.
    async fn poll(self: &Arc<Self>, runs: &[Run]) {
        let observed = self.observe(runs).await;
        let now = Timestamp::now();
        for (key, before) in runs {
            let (stage, trouble, record) = match observed.get(key) {
                None => continue,
                Some(Err(error)) => (None, Some(error.reason().to_owned()), before.clone()),
                Some(Ok(observation)) => {
                    let mut record = before.clone();
                    let stage = apply(&mut record, observation.clone(), &self.client, self.timing.gone, now);
                    (stage, None, record)
                }
            };
            if record != *before {
                self.store_progress(key, &record).await;
            }
            let mut followed = self.poller.followed.lock();
            let Some(run) = followed.runs.get_mut(key) else { continue };
            run.record = record;
            run.view.send_if_modified(|view| {
                let stage = stage.unwrap_or_else(|| view.stage.clone());
                let new = View { stage, trouble };
                let is_new = *view != new;
                *view = new;
                is_new
            });
        }
    }
}

/// Marks the poller as idle when its task ends, also after a panic.
struct Polling<'p>(&'p Poller);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.followed.lock().is_polling = false;
        }
    }
}
