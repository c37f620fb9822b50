//! An in-memory pipeline backend for tests. Its pipeline runs end at once, or when the test ends them.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    adapter::{
        pipelines::{PipelineError, Pipelines, PipelinesBuilder, PipelinesFactory, RunEnd, RunState},
        progress::RunEvent,
    },
    base::{Key, Table, TableKeys},
    model::{Outcome, RunKey},
};

/// An in-memory pipeline backend for tests. Its pipeline runs end at once, or when the test ends them.
///
/// ```
/// use wardroom::prelude::*;
///
/// let pipelines = MemoryPipelines::new(None);
/// let builder = Engine::builder().pipelines(pipelines.clone());
/// pipelines.end(Outcome::Failed);
/// # let _ = builder;
/// ```
#[derive(Debug)]
pub struct MemoryPipelines {
    /// The pipeline runs, by idempotency key. If [`Pipelines::state`] reported a key as [`RunState::Absent`], the value
    /// is `None`, and no pipeline run can start with this key.
    runs: Mutex<BTreeMap<RunKey, Option<MemoryRun>>>,
    changed: watch::Sender<u64>,
    at_once: Option<Outcome>,
    unknowable: Mutex<Option<String>>,
}

/// A pipeline run of a [`MemoryPipelines`] backend.
#[derive(Debug, Clone)]
pub struct MemoryRun {
    pub pipeline: String,
    pub parameters: BTreeMap<String, String>,
    /// The result of the pipeline run; `None` while the pipeline run has not ended.
    pub end: Option<RunEnd>,
    started: Timestamp,
}

impl MemoryPipelines {
    /// Creates a backend whose pipeline runs end at once with the outcome `at_once`. With `None`, its pipeline runs end
    /// when the test calls [`MemoryPipelines::end`].
    pub fn new(at_once: Option<Outcome>) -> Arc<Self> {
        Arc::new(Self { runs: Mutex::default(), changed: watch::Sender::new(0), at_once, unknowable: Mutex::default() })
    }

    /// Returns all pipeline runs that were started, by key.
    pub fn runs(&self) -> BTreeMap<RunKey, MemoryRun> {
        let runs = self.runs.lock();
        runs.iter().filter_map(|(key, run)| Some((key.clone(), run.clone()?))).collect()
    }

    /// Makes [`Pipelines::state`] return [`RunState::Unknowable`] with the text `reason`. If `reason` is `None`,
    /// [`Pipelines::state`] returns the real state of each pipeline run again.
    pub fn cannot_say(&self, reason: Option<&str>) {
        *self.unknowable.lock() = reason.map(str::to_owned);
    }

    /// Ends all pipeline runs that have not ended, with this outcome.
    pub fn end(&self, outcome: Outcome) {
        for run in self.runs.lock().values_mut().flatten() {
            run.end.get_or_insert_with(|| ended(outcome, run.started));
        }
        self.changed.send_modify(|count| *count += 1);
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
        let mut runs = self.runs.lock();
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
            None => Err(PipelineError::Refused {
                message: format!("the key `{key}` was reported as absent, so no pipeline run can start with this key"),
            }),
        }
    }

    async fn state(&self, key: &RunKey, _pipeline: &str) -> Result<RunState, PipelineError> {
        if let Some(reason) = self.unknowable.lock().clone() {
            return Ok(RunState::Unknowable(reason));
        }
        Ok(match self.runs.lock().entry(key.clone()).or_insert(None) {
            None => RunState::Absent,
            Some(MemoryRun { end: Some(end), .. }) => RunState::Ended(end.clone()),
            Some(_) => RunState::Running,
        })
    }

    async fn ended(
        &self,
        key: &RunKey,
        _pipeline: &str,
        _event: &mut (dyn for<'event> FnMut(RunEvent<'event>) + Send),
    ) -> Result<RunEnd, PipelineError> {
        let mut changed = self.changed.subscribe();
        loop {
            match self.runs.lock().get(key) {
                Some(Some(MemoryRun { end: Some(end), .. })) => return Ok(end.clone()),
                Some(Some(_)) => {}
                _ => return Err(PipelineError::Refused { message: format!("no pipeline run has the key `{key}`") }),
            }
            // `changed` cannot fail, because the sender lives as long as `self`.
            let _ = changed.changed().await;
        }
    }

    async fn output(&self, _key: &RunKey, _pipeline: &str, _bytes: usize) -> Result<String, PipelineError> {
        Ok(String::new())
    }

    async fn cancel(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        if let Some(Some(run)) = self.runs.lock().get_mut(key) {
            run.end.get_or_insert_with(|| ended(Outcome::Cancelled, run.started));
        }
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

static MEMORY_KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT",
    about: "An in-memory pipeline for tests.",
    keys: &[Key::boolean("memory", "Whether to use the in-memory pipeline.")],
};

/// Lets a test pass an existing backend to the engine instead of a factory. The backend runs the pipelines of all
/// `[app.A.deploy.E]` tables with `memory = true`.
impl PipelinesFactory for Arc<MemoryPipelines> {
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
        Some(Box::new(Builder(self.clone())))
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
        let mut ignore = |_: RunEvent<'_>| {};
        assert!(pipelines.ended(&second, "cms", &mut ignore).await.is_err());
        pipelines.start(&second, "cms", &BTreeMap::new()).await.unwrap();
        assert_eq!(pipelines.state(&second, "cms").await.unwrap(), RunState::Running);
        assert_eq!(pipelines.runs().into_keys().collect::<Vec<_>>(), [second]);
    }
}
