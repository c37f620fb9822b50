//! Wakes the jobs whose wake time has come, from the wake times in their rows.
//!
//! Invariant: wake times are compared with [`super::MonotonicClock`], so a change of the system clock neither fires nor
//! delays a timer while the process runs. A timer fires once: the woken job stores the result of its wait before it
//! continues.

use std::{sync::Arc, time::Duration};

use super::jobs::Jobs;
use crate::metrics::woken;

/// The number of rows per query.
const BATCH: u32 = 256;
/// Jobs are not woken while more than this many have a running task; their rows stay due.
const MOST_RUNNING: usize = 1_000;
/// The pause between batches while due jobs remain.
const SOON: Duration = Duration::from_millis(20);
/// The pause after a store error.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep between two queries.
const LONGEST: Duration = Duration::from_secs(3600);

impl Jobs {
    /// Wakes jobs until the host shuts down.
    pub(crate) async fn run_wakeups(self: Arc<Self>) {
        loop {
            let pause = match self.context.store.next_wake().await {
                Ok(Some(at)) => match self.context.monotonic.until(at) {
                    Duration::ZERO => self.wake_due().await,
                    until => until.min(LONGEST),
                },
                Ok(None) => LONGEST,
                Err(error) => {
                    tracing::error!(%error, "the wake times of jobs cannot be read from the store; retrying");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.context.alarm.notified() => {}
                () = self.context.stopping.cancelled() => return,
            }
        }
    }

    /// Dispatches one batch of due jobs. Returns the pause until the next query.
    pub(crate) async fn wake_due(self: &Arc<Self>) -> Duration {
        if self.count() >= MOST_RUNNING {
            return SOON;
        }
        match self.context.store.due(self.context.monotonic.now(), BATCH).await {
            Ok(rows) => {
                let (ours, others): (Vec<_>, Vec<_>) =
                    rows.into_iter().partition(|row| self.context.outbox.runs(&row.bot));
                if ours.is_empty() && !others.is_empty() {
                    return AGAIN;
                }
                for row in ours.into_iter().filter(|row| self.running(&row.id).is_none()) {
                    let late = row.status.wake.map(|wake| self.context.monotonic.now().duration_since(wake));
                    woken(late.and_then(|late| late.try_into().ok()).unwrap_or_default());
                    self.dispatch(row);
                }
                SOON
            }
            Err(error) => {
                tracing::error!(%error, "the due jobs cannot be read from the store; retrying");
                AGAIN
            }
        }
    }
}
