//! Wakes waiting jobs at the wake times that their rows in the store contain.
//!
//! Invariant: wake times are compared with [`crate::adapter::MonotonicClock`]. While the process runs, a change of the
//! system clock therefore neither fires nor delays a timer. A timer fires once, because the woken job stores the result
//! of its wait before the job continues.

use std::{sync::Arc, time::Duration};

use super::jobs::Jobs;
use crate::metrics::woken;

/// The maximum number of due jobs that one query reads from the store.
const BATCH: u32 = 256;
/// The number of running jobs at which the host wakes no more jobs. Due jobs are woken after running jobs have ended.
const MAX_RUNNING: usize = 1_000;
/// The delay between two batches of due jobs.
const BATCH_DELAY: Duration = Duration::from_millis(20);
/// The delay before the next query after a store error, and while all due jobs belong to other hosts.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The maximum delay between two queries for due jobs. While the machine is suspended, the delay does not elapse, but
/// jobs become due.
const MAX_DELAY: Duration = Duration::from_secs(60);

impl Jobs {
    /// Wakes jobs until the host shuts down.
    pub(crate) async fn run_wakeups(self: Arc<Self>) {
        loop {
            let delay = match self.context.store.next_wake().await {
                Ok(Some(at)) => match self.context.monotonic.until(at) {
                    Duration::ZERO => self.wake_due().await,
                    until => until.min(MAX_DELAY),
                },
                Ok(None) => MAX_DELAY,
                Err(error) => {
                    tracing::error!(%error, "cannot read the due time of the next waiting job from the database; retrying");
                    RETRY_DELAY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.context.alarm.notified() => {}
                () = self.context.stopping.cancelled() => return,
            }
        }
    }

    /// Dispatches one batch of due jobs. Returns the delay until the next query for due jobs.
    pub(crate) async fn wake_due(self: &Arc<Self>) -> Duration {
        if self.count() >= MAX_RUNNING {
            return BATCH_DELAY;
        }
        match self.context.store.due(self.context.monotonic.now(), BATCH).await {
            Ok(rows) => {
                let (own, others): (Vec<_>, Vec<_>) =
                    rows.into_iter().partition(|row| self.context.outbox.runs(&row.bot));
                if own.is_empty() && !others.is_empty() {
                    return RETRY_DELAY;
                }
                for row in own.into_iter().filter(|row| self.running(&row.id).is_none()) {
                    let late = row.status.wake.map(|wake| self.context.monotonic.now().duration_since(wake));
                    woken(late.and_then(|late| late.try_into().ok()).unwrap_or_default());
                    self.dispatch(row);
                }
                BATCH_DELAY
            }
            Err(error) => {
                tracing::error!(%error, "cannot read from the database which waiting jobs are due; retrying");
                RETRY_DELAY
            }
        }
    }
}
