//! Removes what was over for long enough, from the store and from the systems that ran it.

use std::{sync::Arc, time::Duration};

use super::builder::{Host, TIDY};
use crate::store::StoreError;

/// How long between two batches, so that nobody waits for this.
const PAUSE: Duration = Duration::from_millis(200);

impl Host {
    /// Removes what is over, now and then, until the host stops.
    pub(crate) async fn tidy(self: Arc<Self>, keep: Duration) {
        loop {
            if let Err(error) = self.remove(keep).await {
                tracing::error!(%error, "what is over cannot be removed; trying again later");
            }
            tokio::time::sleep(TIDY).await;
        }
    }

    async fn remove(&self, keep: Duration) -> Result<(), StoreError> {
        let context = &self.context;
        let keep = jiff::SignedDuration::try_from(keep).unwrap_or(jiff::SignedDuration::MAX);
        // A clock that was set ahead while the host runs makes nothing older.
        let now = context.clock.now().min(context.monotonic.now());
        let Ok(before) = now.checked_sub(keep) else { return Ok(()) };
        loop {
            let removed = context.store.remove(before, &self.plugins.digests()).await?;
            for (key, pipeline) in removed.jobs.iter().flat_map(|(_, runs)| runs) {
                let Some(deployment) = context.catalog.pipeline(pipeline) else { continue };
                if let Err(error) = context.backends.get(deployment.backend).forget(key, pipeline).await {
                    tracing::warn!(run = key.as_str(), %error, "what is left of a run cannot be removed");
                }
            }
            if !removed.jobs.is_empty() || removed.rows > 0 {
                tracing::info!(jobs = removed.jobs.len(), rows = removed.rows, "removed what was over");
            }
            if !removed.more {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
