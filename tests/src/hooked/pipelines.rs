//! A pipeline system that calls hooks around the methods of another one.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use wardroom::{
    adapter::{
        GateAnswer, PipelineDescription, PipelineError, Pipelines, PipelinesBuilder, PipelinesFactory, RunEnd,
        RunEvent, RunState, RunView, TestReport,
    },
    base::{Table, TableKeys},
    model::RunKey,
};

/// The hooks of a [`HookedPipelines`]. Each gets the name of the called method, and does nothing by default.
#[async_trait]
pub trait PipelinesHooks: Send + Sync + 'static {
    /// Called before each method.
    async fn before(&self, _method: &'static str) {}

    /// Called after each method, even if it failed.
    async fn after(&self, _method: &'static str) {}
}

/// A pipeline system that calls hooks around each method of another one.
pub struct HookedPipelines<H> {
    system: Arc<dyn Pipelines>,
    hooks: H,
}

impl<H: PipelinesHooks> HookedPipelines<H> {
    /// Wraps a pipeline system.
    pub fn new(system: Arc<dyn Pipelines>, hooks: H) -> Self {
        Self { system, hooks }
    }

    async fn around<T>(&self, method: &'static str, call: impl Future<Output = T> + Send) -> T {
        self.hooks.before(method).await;
        let answer = call.await;
        self.hooks.after(method).await;
        answer
    }
}

#[async_trait]
impl<H: PipelinesHooks> Pipelines for HookedPipelines<H> {
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        self.around("start", self.system.start(key, pipeline, parameters)).await
    }

    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        self.around("state", self.system.state(key, pipeline)).await
    }

    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        event: &mut (dyn for<'event> FnMut(RunEvent<'event>) + Send),
    ) -> Result<RunEnd, PipelineError> {
        self.around("ended", self.system.ended(key, pipeline, event)).await
    }

    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        self.around("output", self.system.output(key, pipeline, bytes)).await
    }

    async fn forget(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.around("forget", self.system.forget(key, pipeline)).await
    }

    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.around("cancel", self.system.cancel(key, pipeline)).await
    }

    async fn list(&self, filter: &str, most: usize) -> Result<Vec<String>, PipelineError> {
        self.around("list", self.system.list(filter, most)).await
    }

    async fn describe(&self, pipeline: &str) -> Result<PipelineDescription, PipelineError> {
        self.around("describe", self.system.describe(pipeline)).await
    }

    async fn view(&self, pipeline: &str, run: &str) -> Result<RunView, PipelineError> {
        self.around("view", self.system.view(pipeline, run)).await
    }

    async fn output_of(&self, pipeline: &str, run: &str, bytes: usize) -> Result<String, PipelineError> {
        self.around("output_of", self.system.output_of(pipeline, run, bytes)).await
    }

    async fn tests(&self, pipeline: &str, run: &str) -> Result<TestReport, PipelineError> {
        self.around("tests", self.system.tests(pipeline, run)).await
    }

    async fn stop(&self, pipeline: &str, run: &str) -> Result<(), PipelineError> {
        self.around("stop", self.system.stop(pipeline, run)).await
    }

    async fn answer(&self, pipeline: &str, run: &str, gate: &str, answer: &GateAnswer) -> Result<(), PipelineError> {
        self.around("answer", self.system.answer(pipeline, run, gate, answer)).await
    }
}

/// A factory that wraps the pipeline systems of another factory.
pub struct HookedPipelinesFactory<H> {
    factory: Arc<dyn PipelinesFactory>,
    hooks: H,
}

impl<H: PipelinesHooks + Clone> HookedPipelinesFactory<H> {
    /// Wraps a factory.
    pub fn new(factory: Arc<dyn PipelinesFactory>, hooks: H) -> Self {
        Self { factory, hooks }
    }
}

impl<H: PipelinesHooks + Clone> PipelinesFactory for HookedPipelinesFactory<H> {
    fn kind(&self) -> &'static str {
        self.factory.kind()
    }

    fn inline_key(&self) -> Option<&'static str> {
        self.factory.inline_key()
    }

    fn keys(&self) -> &'static TableKeys {
        self.factory.keys()
    }

    fn system_keys(&self) -> &'static TableKeys {
        self.factory.system_keys()
    }

    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>> {
        let builder = self.factory.system(table)?;
        Some(Box::new(HookedBuilder { builder, hooks: self.hooks.clone() }))
    }
}

struct HookedBuilder<H> {
    builder: Box<dyn PipelinesBuilder>,
    hooks: H,
}

impl<H: PipelinesHooks> PipelinesBuilder for HookedBuilder<H> {
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table) {
        self.builder.pipeline(name, path, parameters, table);
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        Arc::new(HookedPipelines::new(self.builder.build(), self.hooks))
    }
}
