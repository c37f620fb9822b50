//! A limited number of slots. If all slots are taken, the holder that has held its slot for the longest must give it up,
//! so that slow clients cannot keep others out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
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

    /// Takes a slot. While all slots are taken, ends the oldest holding as soon as it is older than [`GRACE`].
    pub(crate) async fn take(&self) -> Slot {
        loop {
            let oldest = self.holders.lock().values().next().map(|(since, _)| *since);
            let patience = oldest.map_or(GRACE, |since| GRACE.saturating_sub(since.elapsed()));
            let Ok(permit) = tokio::time::timeout(patience, self.free.clone().acquire_owned()).await else {
                if let Some((_, (_, ended))) = self.holders.lock().pop_first() {
                    ended.cancel();
                }
                continue;
            };
            let Ok(permit) = permit else { unreachable!("the semaphore is never closed") };
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let ended = CancellationToken::new();
            self.holders.lock().insert(number, (Instant::now(), ended.clone()));
            return Slot { number, ended, holders: self.holders.clone(), _permit: permit };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
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
