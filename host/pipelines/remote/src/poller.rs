//! One poller for all runs of a backend that are followed.
//!
//! Invariant: while runs are followed, one task polls. It ends when nobody waits any more.
//! Not here: the requests ([`System::observe`]), and what those who wait are told (`follow`).

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;
use wardroom::{Timestamp, model::RunKey};

use crate::{
    backend::Backend,
    record::{Phase, Record, State},
    system::{Open, System},
};

pub(crate) struct Poller<S: System>(Mutex<Followed<S>>);

impl<S: System> Default for Poller<S> {
    fn default() -> Self {
        Self(Mutex::new(Followed { runs: BTreeMap::new(), is_polling: false }))
    }
}

struct Followed<S: System> {
    runs: BTreeMap<RunKey, FollowedRun<S>>,
    is_polling: bool,
}

struct FollowedRun<S: System> {
    record: Record<S>,
    view: watch::Sender<View<S::Run>>,
    waiters: usize,
}

/// What those who wait for a run see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View<R> {
    pub(crate) state: State<R>,
    /// Why the last poll failed.
    pub(crate) trouble: Option<String>,
}

/// One who waits for a run.
pub(crate) struct Waiter<S: System> {
    backend: Arc<Backend<S>>,
    key: RunKey,
    pub(crate) view: watch::Receiver<View<S::Run>>,
}

impl<S: System> Drop for Waiter<S> {
    fn drop(&mut self) {
        let mut followed = self.backend.poller.0.lock();
        let Some(run) = followed.runs.get_mut(&self.key) else { return };
        run.waiters -= 1;
        if run.waiters == 0 {
            followed.runs.remove(&self.key);
            self.backend.system.forget(&self.key);
        }
    }
}

impl<S: System> Backend<S> {
    /// Registers one who waits for a run, and polls from now on. Returns `None` for a run that has ended.
    pub(crate) fn wait_for(self: &Arc<Self>, key: &RunKey, record: Record<S>) -> Option<Waiter<S>> {
        let state = record.state().filter(|state| !matches!(state, State::Ended(_)))?;
        let mut followed = self.poller.0.lock();
        let run = followed.runs.entry(key.clone()).or_insert_with(|| FollowedRun {
            record,
            view: watch::Sender::new(View { state, trouble: None }),
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
        let _polling = Polling(self.clone());
        loop {
            let runs: Vec<Open<S>> = {
                let mut followed = self.poller.0.lock();
                if followed.runs.is_empty() {
                    followed.is_polling = false;
                    return;
                }
                let is_open = |run: &&FollowedRun<S>| matches!(run.record.phase, Phase::Started(_));
                let open =
                    |(key, run): (&RunKey, &FollowedRun<S>)| Some(&run).filter(|run| is_open(run))?.record.open(key);
                followed.runs.iter().filter_map(open).collect()
            };
            if !runs.is_empty() {
                self.poll(&runs).await;
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    /// Looks at the runs once, stores their progress and shows it to those who wait.
    async fn poll(&self, runs: &[Open<S>]) {
        let observed = self.system.observe(runs).await;
        let now = Timestamp::now();
        for (key, observation) in observed {
            let known = self.poller.0.lock().runs.get(&key).map(|run| run.record.clone());
            let Some(before) = known else { continue };
            let (state, trouble, record) = match observation {
                Err(error) => (None, Some(error.reason().to_owned()), before.clone()),
                Ok(observation) => {
                    let mut record = before.clone();
                    let state = record.apply(observation, self.timing.gone, now);
                    (state, None, record)
                }
            };
            if record != before {
                self.store_progress(&key, &record).await;
            }
            let mut followed = self.poller.0.lock();
            let Some(run) = followed.runs.get_mut(&key) else { continue };
            run.record = record;
            run.view.send_if_modified(|view| {
                let new = View { state: state.unwrap_or_else(|| view.state.clone()), trouble };
                let is_new = *view != new;
                *view = new;
                is_new
            });
        }
    }
}

/// Starts the task again after a panic, because runs are still followed.
struct Polling<S: System>(Arc<Backend<S>>);

impl<S: System> Drop for Polling<S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let backend = self.0.clone();
            tokio::spawn(async move {
                tokio::time::sleep(backend.timing.poll).await;
                backend.poll_until_idle().await;
            });
        }
    }
}
