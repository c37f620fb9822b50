//! A limited number of slots. If all slots are taken, the holder that has held its slot for the longest must give it
//! up, so that slow clients cannot keep others out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wardroom::CancellationToken;

/// The time for which a holder keeps its slot in any case.
const GRACE: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(1) };

/// The holders of slots by number, which is also their order: the start of each holding, and the token that ends it.
type Holders = BTreeMap<u64, (Instant, CancellationToken)>;

/// A limited number of slots.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    holders: Arc<Mutex<Holders>>,
    next: AtomicU64,
}

/// A taken slot. The drop frees it.
pub(crate) struct Slot {
    number: u64,
    /// Cancelled when the holder must drop the slot at once.
    pub(crate) ended: CancellationToken,
    holders: Arc<Mutex<Holders>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.holders.lock().remove(&self.number);
    }
}

impl Slots {
    pub(crate) fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), holders: Arc::default(), next: AtomicU64::new(0) }
    }

    /// Takes a slot, in the order of the calls. While all slots are taken, ends the oldest holding that is older than
    /// [`GRACE`], and then waits for [`GRACE`] before it ends another one.
    pub(crate) async fn take(&self) -> Slot {
        let mut free = std::pin::pin!(self.free.clone().acquire_owned());
        let mut patience = self.time_to_grace();
        let permit = loop {
            match tokio::time::timeout(patience, free.as_mut()).await {
                Ok(Ok(permit)) => break permit,
                Ok(Err(_)) => unreachable!("the semaphore is never closed"),
                Err(_) => patience = if self.end_oldest() { GRACE } else { self.time_to_grace() },
            }
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ended = CancellationToken::new();
        self.holders.lock().insert(number, (Instant::now(), ended.clone()));
        Slot { number, ended, holders: self.holders.clone(), _permit: permit }
    }

    /// Returns the time until the oldest holding is older than [`GRACE`], at least a millisecond.
    fn time_to_grace(&self) -> Duration {
        let oldest = self.holders.lock().values().next().map(|(since, _)| *since);
        let left = oldest.map_or(GRACE, |since| GRACE.saturating_sub(since.elapsed()));
        left.max(Duration::from_millis(1))
    }

    /// Ends the oldest holding if it is older than [`GRACE`]. Returns whether it ended one.
    fn end_oldest(&self) -> bool {
        let mut holders = self.holders.lock();
        let Some(oldest) = holders.first_entry().filter(|oldest| oldest.get().0.elapsed() >= GRACE) else {
            return false;
        };
        oldest.remove().1.cancel();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_holder_gives_up_its_slot() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take().await, slots.take().await);
        assert!(!first.ended.is_cancelled());
        let third = async {
            let taken = slots.take().await;
            (taken, Instant::now())
        };
        let gives_up = async {
            first.ended.cancelled().await;
            drop(first);
        };
        let began = Instant::now();
        let ((third, at), ()) = tokio::join!(third, gives_up);
        assert!(at - began >= GRACE, "a young holder keeps its slot");
        assert!(!second.ended.is_cancelled() && !third.ended.is_cancelled());
        drop(second);
        slots.take().await;
        assert!(!third.ended.is_cancelled(), "a free slot ends no holding");
    }
}
