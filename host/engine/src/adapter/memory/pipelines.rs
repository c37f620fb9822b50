//! An in-memory pipeline backend for tests: its runs end at once, or when the test ends them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    adapter::pipelines::{PipelineError, Pipelines, PipelinesBuilder, PipelinesFactory, RunEnd, RunState},
    base::{Key, Table, TableKeys},
    model::{Outcome, RunKey},
};

/// An in-memory pipeline backend.
///
/// ```
/// use wardroom::prelude::*;
///
/// let pipelines = MemoryPipelines::new(None);
/// let builder = Engine::builder().pipelines(MemoryPipelinesFactory(pipelines.clone()));
/// pipelines.end(Outcome::Failed);
/// # let _ = builder;
/// ```
#[derive(Debug)]
pub struct MemoryPipelines {
    /// `None` for a key that [`RunState::Absent`] was returned for: it never gets a run.
    runs: Mutex<BTreeMap<RunKey, Option<MemoryRun>>>,
    changed: watch::Sender<u64>,
    at_once: Option<Outcome>,
    unknowable: Mutex<Option<String>>,
}

/// A run of the backend.
#[derive(Debug, Clone)]
pub struct MemoryRun {
    pub pipeline: String,
    pub parameters: BTreeMap<String, String>,
    /// The end, if the run has ended.
    pub end: Option<RunEnd>,
    started: Timestamp,
}

impl MemoryPipelines {
    /// Creates a backend whose runs end at once with this outcome; with `None`, only by [`MemoryPipelines::end`].
    pub fn new(at_once: Option<Outcome>) -> Arc<Self> {
        Arc::new(Self { runs: Mutex::default(), changed: watch::Sender::new(0), at_once, unknowable: Mutex::default() })
    }

    /// All runs that were started.
    pub fn runs(&self) -> BTreeMap<RunKey, MemoryRun> {
        let runs = self.lock();
        runs.iter().filter_map(|(key, run)| Some((key.clone(), run.clone()?))).collect()
    }

    /// Makes the backend answer [`RunState::Unknowable`] with this reason; `None` makes it answer normally again.
    pub fn cannot_say(&self, reason: Option<&str>) {
        *self.unknowable.lock().unwrap_or_else(PoisonError::into_inner) = reason.map(str::to_owned);
    }

    /// Ends all running runs.
    pub fn end(&self, outcome: Outcome) {
        for run in self.lock().values_mut().flatten() {
            let started = run.started;
            run.end.get_or_insert_with(|| ended(outcome, started));
        }
        self.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunKey, Option<MemoryRun>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended(outcome: Outcome, started: Timestamp) -> RunEnd {
    RunEnd { outcome, message: String::new(), started, ended: Timestamp::now(), details: BTreeMap::new() }
}

#[async_trait]
impl Pipelines for MemoryPipelines {
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        let mut runs = self.lock();
        let run = runs.entry(key.clone()).or_insert_with(|| {
            let started = Timestamp::now();
            Some(MemoryRun {
                pipeline: pipeline.to_owned(),
                parameters: parameters.clone(),
                end: self.at_once.map(|outcome| ended(outcome, started)),
                started,
            })
        });
        match run {
            Some(_) => Ok(None),
            None => Err(PipelineError::Refused { message: "the key was reported as absent".to_owned() }),
        }
    }

    async fn state(&self, key: &RunKey, _pipeline: &str) -> Result<RunState, PipelineError> {
        if let Some(reason) = self.unknowable.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(RunState::Unknowable(reason));
        }
        Ok(match self.lock().entry(key.clone()).or_insert(None) {
            None => RunState::Absent,
            Some(MemoryRun { end: Some(end), .. }) => RunState::Ended(end.clone()),
            Some(_) => RunState::Running,
        })
    }

    async fn ended(
        &self,
        key: &RunKey,
        _pipeline: &str,
        _line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        let mut changed = self.changed.subscribe();
        loop {
            match self.lock().get(key) {
                Some(Some(MemoryRun { end: Some(end), .. })) => return Ok(end.clone()),
                Some(Some(_)) => {}
                _ => return Err(PipelineError::Refused { message: format!("there is no run `{key}`") }),
            }
            // Cannot fail: the sender lives as long as `self`.
            let _ = changed.changed().await;
        }
    }

    async fn output(&self, _key: &RunKey, _pipeline: &str, _bytes: usize) -> Result<String, PipelineError> {
        Ok(String::new())
    }

    async fn cancel(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        let mut runs = self.lock();
        if let Some(Some(run)) = runs.get_mut(key) {
            let started = run.started;
            run.end.get_or_insert_with(|| ended(Outcome::Cancelled, started));
        }
        drop(runs);
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

static MEMORY_KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT",
    about: "A pipeline in memory, for tests.",
    keys: &[Key::boolean("memory", "Asks for a pipeline in memory.")],
};

/// A factory that uses one [`MemoryPipelines`] for every `[app.A.deploy.E]` with `memory = true`.
///
/// ```
/// use wardroom::prelude::*;
///
/// let builder = Engine::builder().pipelines(MemoryPipelinesFactory(MemoryPipelines::new(Some(Outcome::Succeeded))));
/// # let _ = builder;
/// ```
pub struct MemoryPipelinesFactory(pub Arc<MemoryPipelines>);

impl PipelinesFactory for MemoryPipelinesFactory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn inline_key(&self) -> Option<&'static str> {
        Some("memory")
    }

    fn keys(&self) -> &'static TableKeys {
        &MEMORY_KEYS
    }

    fn system(&self, _table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>> {
        Some(Box::new(Builder(self.0.clone())))
    }
}

struct Builder(Arc<MemoryPipelines>);

impl PipelinesBuilder for Builder {
    fn pipeline(&mut self, _name: &str, _path: Option<&str>, _parameters: &[String], table: &mut Table) {
        let _ = table.boolean("memory");
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_that_was_absent_never_gets_a_run() {
        let pipelines = MemoryPipelines::new(None);
        let (first, second) = (RunKey::new("a", 1), RunKey::new("a", 2));
        assert_eq!(pipelines.state(&first, "cms").await.unwrap(), RunState::Absent);
        let refused = pipelines.start(&first, "cms", &BTreeMap::new()).await;
        assert!(matches!(refused, Err(PipelineError::Refused { .. })), "{refused:?}");
        assert_eq!(pipelines.state(&first, "cms").await.unwrap(), RunState::Absent);

        // Waiting for a run does not make its key absent.
        let mut ignore = |_: &str| {};
        assert!(pipelines.ended(&second, "cms", &mut ignore).await.is_err());
        pipelines.start(&second, "cms", &BTreeMap::new()).await.unwrap();
        assert_eq!(pipelines.state(&second, "cms").await.unwrap(), RunState::Running);
        assert_eq!(pipelines.runs().into_keys().collect::<Vec<_>>(), [second]);
    }
}
