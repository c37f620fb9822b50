//! A pipelines system in memory: its runs end when somebody says so, or at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    config::Table,
    port::{
        Outcome, PipelineError, Pipelines, PipelinesFactory, RunEnd, RunKey, RunState, pipelines::PipelinesBuilder,
    },
};

/// A pipelines system in memory.
#[derive(Debug)]
pub struct MemoryPipelines {
    runs: Mutex<BTreeMap<RunKey, MemoryRun>>,
    changed: watch::Sender<u64>,
    at_once: Option<Outcome>,
}

/// One of its runs.
#[derive(Debug, Clone)]
pub struct MemoryRun {
    /// The pipeline.
    pub pipeline: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Its end, when it has one.
    pub end: Option<RunEnd>,
    started: Timestamp,
}

impl MemoryPipelines {
    /// A system whose runs end at once in one way, or only by [`MemoryPipelines::end`].
    pub fn new(at_once: Option<Outcome>) -> Arc<Self> {
        Arc::new(Self { runs: Mutex::default(), changed: watch::Sender::new(0), at_once })
    }

    /// All runs that were started.
    pub fn runs(&self) -> BTreeMap<RunKey, MemoryRun> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends all runs that go on.
    pub fn end(&self, outcome: Outcome) {
        for run in self.runs.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            let started = run.started;
            run.end.get_or_insert_with(|| ended(outcome, started));
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
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.entry(key.clone()).or_insert_with(|| {
            let started = Timestamp::now();
            MemoryRun {
                pipeline: pipeline.to_owned(),
                parameters: parameters.clone(),
                end: self.at_once.map(|outcome| ended(outcome, started)),
                started,
            }
        });
        Ok(None)
    }

    async fn state(&self, key: &RunKey, _pipeline: &str) -> Result<RunState, PipelineError> {
        Ok(match self.runs().get(key) {
            None => RunState::Absent,
            Some(MemoryRun { end: Some(end), .. }) => RunState::Ended(end.clone()),
            Some(_) => RunState::Running,
        })
    }

    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        _line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        let mut changed = self.changed.subscribe();
        loop {
            match self.state(key, pipeline).await? {
                RunState::Ended(end) => return Ok(end),
                RunState::Running => {}
                _ => return Err(PipelineError::Refused { message: format!("there is no run {key}") }),
            }
            // The sender lives as long as `self`, so this cannot fail.
            let _ = changed.changed().await;
        }
    }

    async fn output(&self, _key: &RunKey, _pipeline: &str, _bytes: usize) -> Result<String, PipelineError> {
        Ok(String::new())
    }

    async fn cancel(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = runs.get_mut(key) {
            let started = run.started;
            run.end.get_or_insert_with(|| ended(Outcome::Cancelled, started));
        }
        drop(runs);
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// Gives one [`MemoryPipelines`] to every `[app.A.deploy.E]` with `memory = true`.
pub struct MemoryPipelinesFactory(pub Arc<MemoryPipelines>);

impl PipelinesFactory for MemoryPipelinesFactory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn inline_key(&self) -> Option<&'static str> {
        Some("memory")
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
