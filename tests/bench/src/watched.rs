//! A store that keeps a list of all that is written to it, and knows when a stretch of that began and ended.
//!
//! Invariant: it hands everything on as it came, in the order in which it came.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Barrier;
use wardroom::{
    Timestamp,
    port::{
        Store, StoreError,
        store::{
            Freeze, Grant, InboxKey, InboxRow, JobQuery, JobRow, Line, Link, Mark, PendingRow, Phase, Place, Release,
            ReleaseQuery, Removed, Sealed, Usage, Write,
        },
    },
};

/// A store that is watched.
pub(crate) struct Watched {
    store: Arc<dyn Store>,
    /// What was written so far, if that is to be kept.
    pub(crate) written: Option<Mutex<Vec<Vec<Write>>>>,
    /// What is timed, if anything is.
    pub(crate) stretch: Option<Stretch>,
}

/// From entry 1 of so many jobs, which each keep until all others have come that far, to the moment when a later
/// entry of the last of them is on disk.
pub(crate) struct Stretch {
    last: u32,
    begin: Barrier,
    began: Mutex<Option<Instant>>,
    left: AtomicUsize,
    took: Mutex<Option<Duration>>,
}

impl Stretch {
    /// One of so many jobs, up to the entry of this number.
    pub(crate) fn new(jobs: usize, last: u32) -> Self {
        let (began, took) = (Mutex::default(), Mutex::default());
        Self { last, begin: Barrier::new(jobs), began, left: AtomicUsize::new(jobs), took }
    }

    /// How long it was, when it is over.
    pub(crate) fn took(&self) -> Option<Duration> {
        *self.took.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self) {
        self.begin.wait().await;
        self.began.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    fn end(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
            *self.took.lock().unwrap_or_else(PoisonError::into_inner) = began.map(|began| began.elapsed());
        }
    }
}

impl Watched {
    /// Watches a store.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, written: None, stretch: None }
    }

    /// All that was written, list by list; notes too.
    pub(crate) fn written(&self) -> Vec<Vec<Write>> {
        let Some(written) = &self.written else { return Vec::new() };
        written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, writes: &[Write]) {
        if let Some(written) = &self.written {
            written.lock().unwrap_or_else(PoisonError::into_inner).push(writes.to_vec());
        }
    }
}

/// Whether there is an entry of this number in a list.
pub(crate) fn enters(writes: &[Write], number: u32) -> bool {
    writes.iter().any(|write| matches!(write, Write::Enter(entry) if entry.number == number))
}

#[async_trait]
impl Store for Watched {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        self.keep(&writes);
        let Some(stretch) = &self.stretch else { return self.store.commit(writes).await };
        let last = enters(&writes, stretch.last);
        if enters(&writes, 1) {
            stretch.begin().await;
        }
        let committed = self.store.commit(writes).await;
        if last {
            stretch.end();
        }
        committed
    }

    fn note(&self, writes: Vec<Write>) {
        self.keep(&writes);
        self.store.note(writes);
    }

    async fn waiting(&self) -> Result<Vec<InboxRow>, StoreError> {
        self.store.waiting().await
    }

    async fn mark(&self, bot: &str, network: &str, room: &str) -> Result<Option<Mark>, StoreError> {
        self.store.mark(bot, network, room).await
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        self.store.outbox().await
    }

    async fn sent_event(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.store.sent_event(key).await
    }

    async fn sent_as(&self, network: &str, event: &str) -> Result<Option<String>, StoreError> {
        self.store.sent_as(network, event).await
    }

    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        self.store.job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
        self.store.jobs(query).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        self.store.due(now, limit).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_wake().await
    }

    async fn open_jobs(&self) -> Result<Vec<(Phase, u64)>, StoreError> {
        self.store.open_jobs().await
    }

    async fn places(&self) -> Result<Vec<(Place, String)>, StoreError> {
        self.store.places().await
    }

    async fn entries(&self, job: &str) -> Result<Vec<Sealed>, StoreError> {
        self.store.entries(job).await
    }

    async fn tip(&self, job: &str) -> Result<Option<(u32, String)>, StoreError> {
        self.store.tip(job).await
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.newest().await
    }

    async fn beside(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.beside(digest).await
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
        self.store.links(after, limit).await
    }

    async fn lines(&self, link: u64) -> Result<Vec<Line>, StoreError> {
        self.store.lines(link).await
    }

    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.store.remove(before, loaded).await
    }

    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
        self.store.releases(query).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        self.store.grants().await
    }

    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        self.store.freezes().await
    }

    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.value(plugin, key).await
    }

    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store.values(plugin, prefix, limit).await
    }

    async fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        self.store.usage().await
    }
}
