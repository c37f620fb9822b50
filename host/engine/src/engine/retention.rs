//! Removes jobs and messages after the retention period, from the store and from the pipeline systems.

use std::{sync::Arc, time::Duration};

use super::host::Host;
use crate::store::StoreError;

/// The time between two removals of expired jobs and messages.
const INTERVAL: Duration = Duration::from_secs(3600);
/// The pause after each batch of removed rows. Other transactions can run in this pause.
const PAUSE: Duration = Duration::from_millis(200);

impl Host {
    /// Removes expired jobs and messages every hour, until the host stops. `keep` is the retention period.
    pub(crate) async fn expire(self: Arc<Self>, keep: Duration) {
        loop {
            if let Err(error) = self.remove(keep).await {
                tracing::error!(%error, "cannot remove expired jobs and messages; retrying in an hour");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn remove(&self, keep: Duration) -> Result<(), StoreError> {
        let context = &self.context;
        let keep = jiff::SignedDuration::try_from(keep).unwrap_or(jiff::SignedDuration::MAX);
        // A clock that is set ahead while the host runs must not expire jobs early.
        let now = context.clock.now().min(context.monotonic.now());
        let Ok(before) = now.checked_sub(keep) else { return Ok(()) };
        loop {
            let removed = context.store.remove(before, &self.context.plugins.digests()).await?;
            for (key, pipeline) in removed.jobs.iter().flat_map(|(_, runs)| runs) {
                let Some(deployment) = context.catalog.pipeline(pipeline) else { continue };
                if let Err(error) = context.backends.get(deployment.backend).forget(key, pipeline).await {
                    tracing::warn!(
                        run = key.as_str(), %error,
                        "cannot remove the files of an expired pipeline run; not retrying; hint: remove the run's folder by hand; the folders of runs of local commands are in `state/runs`"
                    );
                }
            }
            if !removed.jobs.is_empty() || removed.rows > 0 {
                tracing::info!(
                    jobs = removed.jobs.len(),
                    rows = removed.rows,
                    "expired jobs and messages were removed"
                );
            }
            if !removed.more {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
