//! Store hooks that record all writes of a run and time a section of it.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Barrier;
use wardroom::store::{StoreError, Write};
use wardroom_tests::hooked::StoreHooks;

/// Records writes and times a section. Both are optional.
#[derive(Default)]
pub(crate) struct Recorder {
    written: Option<Mutex<Vec<Vec<Write>>>>,
    section: Option<Section>,
}

/// The timed section of a run. It starts when every job has reached entry 1: the commit of that entry waits for all of
/// them. It ends when the given later entry of the last job is on disk.
pub(crate) struct Section {
    last: u32,
    start: Barrier,
    started: Mutex<Option<Instant>>,
    unfinished: AtomicUsize,
    took: Mutex<Option<Duration>>,
}

impl Section {
    /// Creates a section for `jobs` jobs that ends with the entry `last`.
    pub(crate) fn new(jobs: usize, last: u32) -> Self {
        let (started, took) = (Mutex::default(), Mutex::default());
        Self { last, start: Barrier::new(jobs), started, unfinished: AtomicUsize::new(jobs), took }
    }

    async fn start(&self) {
        self.start.wait().await;
        self.started.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    fn end(&self) {
        if self.unfinished.fetch_sub(1, Ordering::Relaxed) == 1 {
            let started = *self.started.lock().unwrap_or_else(PoisonError::into_inner);
            *self.took.lock().unwrap_or_else(PoisonError::into_inner) = started.map(|started| started.elapsed());
        }
    }
}

impl Recorder {
    /// Records all writes, notes included.
    pub(crate) fn recording(mut self) -> Self {
        self.written = Some(Mutex::default());
        self
    }

    /// Times a section.
    pub(crate) fn timing(mut self, section: Section) -> Self {
        self.section = Some(section);
        self
    }

    /// Returns the recorded lists of writes, in their order.
    pub(crate) fn written(&self) -> Vec<Vec<Write>> {
        let Some(written) = &self.written else { return Vec::new() };
        written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the duration of the section; `None` before its end.
    pub(crate) fn took(&self) -> Option<Duration> {
        *self.section.as_ref()?.took.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, writes: &[Write]) {
        if let Some(written) = &self.written {
            written.lock().unwrap_or_else(PoisonError::into_inner).push(writes.to_vec());
        }
    }
}

/// Returns true if a list contains an entry with this number.
pub(crate) fn enters(writes: &[Write], number: u32) -> bool {
    writes.iter().any(|write| matches!(write, Write::Append(entry) if entry.number == number))
}

#[async_trait]
impl StoreHooks for Recorder {
    /// True if the list contains the last entry of the section.
    type Pending = bool;

    async fn before_commit(&self, writes: &[Write]) -> Result<bool, StoreError> {
        self.record(writes);
        let Some(section) = &self.section else { return Ok(false) };
        let last = enters(writes, section.last);
        if enters(writes, 1) {
            section.start().await;
        }
        Ok(last)
    }

    async fn after_commit(&self, last: bool) {
        if let Some(section) = self.section.as_ref().filter(|_| last) {
            section.end();
        }
    }

    fn before_note(&self, writes: &[Write]) -> Result<bool, StoreError> {
        self.record(writes);
        Ok(false)
    }
}
