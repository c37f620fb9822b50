//! Wakes the jobs whose time has come, by the rows that say when.
//!
//! Invariant: a moment is compared with [`super::MonotonicClock`], so a clock that is set neither fires a timer nor delays it while the process
//! runs. A time fires once: what it wakes writes that it was reached before it goes on.

use std::{sync::Arc, time::Duration};

use super::jobs::Jobs;
use crate::metrics::woken;

/// How many are read at once.
const BATCH: u32 = 256;
/// More jobs than this are not woken while as many are at work: the others keep their rows.
const MOST_AT_WORK: usize = 1_000;
/// How long until the rows are looked at again while some that are due are still being woken.
const SOON: Duration = Duration::from_millis(20);
/// How long a store that cannot be read is left alone.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep.
const LONGEST: Duration = Duration::from_secs(3600);

impl Jobs {
    /// Wakes jobs until the host stops.
    pub(crate) async fn wakes(self: Arc<Self>) {
        loop {
            let pause = match self.context.store.next_wake().await {
                Ok(Some(at)) => match self.context.steady.until(at) {
                    Duration::ZERO => self.wake().await,
                    until => until.min(LONGEST),
                },
                Ok(None) => LONGEST,
                Err(error) => {
                    tracing::error!(%error, "the times of jobs cannot be read; trying again");
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

    /// Takes up some of what is due; gives how long until the next look.
    pub(crate) async fn wake(self: &Arc<Self>) -> Duration {
        if self.count() >= MOST_AT_WORK {
            return SOON;
        }
        match self.context.store.due(self.context.steady.now(), BATCH).await {
            Ok(rows) => {
                let (ours, others): (Vec<_>, Vec<_>) =
                    rows.into_iter().partition(|row| self.context.outbox.runs(&row.bot));
                if ours.is_empty() && !others.is_empty() {
                    return AGAIN;
                }
                for row in ours.into_iter().filter(|row| self.at_work(&row.id).is_none()) {
                    let late = row.stand.wake.map(|wake| self.context.steady.now().duration_since(wake));
                    woken(late.and_then(|late| late.try_into().ok()).unwrap_or_default());
                    self.take_up(row);
                }
                SOON
            }
            Err(error) => {
                tracing::error!(%error, "the jobs that are due cannot be read; trying again");
                AGAIN
            }
        }
    }
}
