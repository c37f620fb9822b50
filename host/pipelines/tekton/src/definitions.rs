//! Reads Pipelines, and keeps them for a short time.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use wardroom_remote::RemoteError;

use crate::{
    call::{Call, PIPELINES},
    client::Client,
    tekton::shown_pipeline,
    types::{Pipeline, PipelineSpec},
};

/// A Pipeline's definition with the time at which it was read; `None` before the first request.
type Definition = Arc<AsyncMutex<Option<(Instant, PipelineSpec)>>>;

/// The Pipelines that were read, by namespace and name.
pub(crate) struct Definitions {
    known: Mutex<BTreeMap<(String, String), Definition>>,
    age: Duration,
}

impl Definitions {
    /// `age` is how long a definition is used again.
    pub(crate) fn new(age: Duration) -> Self {
        Self { known: Mutex::default(), age }
    }

    /// Returns a Pipeline. Requests that arrive at the same time share one request to the cluster.
    pub(crate) async fn read(
        &self,
        client: &Client,
        namespace: &str,
        pipeline: &str,
    ) -> Result<PipelineSpec, RemoteError> {
        let key = (namespace.to_owned(), pipeline.to_owned());
        let shared = {
            let mut definitions = self.known.lock();
            let is_fresh =
                |known: &Option<(Instant, PipelineSpec)>| known.as_ref().is_some_and(|(at, _)| at.elapsed() < self.age);
            definitions.retain(|_, definition| {
                Arc::strong_count(definition) > 1 || definition.try_lock().is_ok_and(|known| is_fresh(&known))
            });
            definitions.entry(key).or_default().clone()
        };
        let mut known = shared.lock().await;
        if let Some((_, spec)) = known.as_ref().filter(|(at, _)| at.elapsed() < self.age) {
            return Ok(spec.clone());
        }
        let at = Instant::now();
        let what = shown_pipeline(namespace, pipeline);
        let spec = client.json::<Pipeline>(&Call::get(&PIPELINES, namespace, pipeline, what)).await?.spec;
        *known = Some((at, spec.clone()));
        Ok(spec)
    }
}
