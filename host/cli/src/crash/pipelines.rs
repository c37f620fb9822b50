//! The places around what is asked of pipelines systems.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use wardroom::{
    config::Table,
    port::{PipelineError, Pipelines, PipelinesFactory, RunEnd, RunKey, RunState, pipelines::PipelinesBuilder},
};

use super::Points;

/// Makes systems that are watched.
pub(super) struct WatchedFactory {
    pub(super) factory: Arc<dyn PipelinesFactory>,
    pub(super) points: &'static Points,
}

impl PipelinesFactory for WatchedFactory {
    fn kind(&self) -> &'static str {
        self.factory.kind()
    }

    fn inline_key(&self) -> Option<&'static str> {
        self.factory.inline_key()
    }

    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>> {
        let builder = self.factory.system(table)?;
        Some(Box::new(WatchedBuilder { builder, points: self.points }))
    }
}

struct WatchedBuilder {
    builder: Box<dyn PipelinesBuilder>,
    points: &'static Points,
}

impl PipelinesBuilder for WatchedBuilder {
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table) {
        self.builder.pipeline(name, path, parameters, table);
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        Arc::new(Watched { system: self.builder.build(), points: self.points })
    }
}

struct Watched {
    system: Arc<dyn Pipelines>,
    points: &'static Points,
}

#[async_trait]
impl Pipelines for Watched {
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        self.points.around("start", self.system.start(key, pipeline, parameters)).await
    }

    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        self.points.around("state", self.system.state(key, pipeline)).await
    }

    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        self.points.around("ended", self.system.ended(key, pipeline, line)).await
    }

    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        self.system.output(key, pipeline, bytes).await
    }

    async fn forget(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.system.forget(key, pipeline).await
    }

    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.points.around("cancel", self.system.cancel(key, pipeline)).await
    }
}
