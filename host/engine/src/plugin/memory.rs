//! The memory that all guests of a host may use in total.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::model::Limits;

/// The memory budget of all guests. Each guest reserves the memory of its limit before it starts, so guests together
/// never use more than the budget. Half of the budget is for jobs and half for queries, so that a query never waits for a
/// job.
#[derive(Debug)]
pub(crate) struct GuestMemory {
    jobs: Semaphore,
    queries: Semaphore,
}

impl GuestMemory {
    /// Creates a budget of `total` MiB. Half of it must be enough for [`Limits::MAX_MEMORY_MIB`].
    pub(crate) fn new(total: usize) -> Self {
        Self { jobs: Semaphore::new(total / 2), queries: Semaphore::new(total / 2) }
    }

    /// Waits until the budget has room for a guest of a job, and reserves the guest's memory.
    pub(crate) async fn reserve_for_job(&self, limits: &Limits) -> SemaphorePermit<'_> {
        reserve(&self.jobs, limits).await
    }

    /// Waits until the budget has room for a guest of a query or a dry run, and reserves the guest's memory.
    pub(crate) async fn reserve_for_query(&self, limits: &Limits) -> SemaphorePermit<'_> {
        reserve(&self.queries, limits).await
    }
}

async fn reserve<'s>(budget: &'s Semaphore, limits: &Limits) -> SemaphorePermit<'s> {
    let size = u32::try_from(limits.memory.div_ceil(1 << 20)).unwrap_or(u32::MAX);
    let Ok(permit) = budget.acquire_many(size).await else { unreachable!("the semaphore is never closed") };
    permit
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn guests_together_stay_within_the_budget() {
        let memory = GuestMemory::new(128);
        let limits = Limits { memory: (40 << 20) + 1, ..Limits::DESCRIBE };
        let first = memory.reserve_for_job(&limits).await;
        assert!(memory.reserve_for_job(&limits).now_or_never().is_none(), "41 of 64 MiB are reserved");
        assert!(memory.reserve_for_query(&limits).now_or_never().is_some(), "queries have their own half");
        drop(first);
        assert!(memory.reserve_for_job(&limits).now_or_never().is_some());
    }
}
