//! Cancels a run: its queue item, or its build with more and more force.
//!
//! Source: Jenkins' `Queue.doCancelItem` and `Executor`, workflow-job's `WorkflowRun.doTerm` and `doKill`, which Jenkins'
//! own page offers 15 seconds after each other.

use std::{sync::Arc, time::Duration};

use wardroom::{Timestamp, adapter::PipelineError, base::Backoff, model::RunKey};

use crate::{
    backend::{Backend, refused},
    client::Signal,
    error::JenkinsError,
    job_path::JobPath,
    progress::{Observation, apply},
    record::{Phase, RunRecord},
};

/// The longest delay between two requests to cancel a run.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

impl Backend {
    /// Requests the cancellation of a run. If Jenkins is unavailable, the request is repeated after the error.
    pub(crate) async fn cancel(self: &Arc<Self>, key: &RunKey) -> Result<(), PipelineError> {
        // The flag comes first: if the build is not known yet, it is cancelled as soon as it is found.
        let Some(record) = self.update(key, |record| record.cancel = true).await? else {
            return Err(refused(format!("there is no pipeline run `{key}`")));
        };
        match record.phase {
            Phase::NotStarted(_) | Phase::Ended { .. } => Ok(()),
            // The search cancels what it finds.
            Phase::Triggering => match self.started(key).await {
                Err(PipelineError::Refused { message }) => match self.read(key).await?.map(|record| record.phase) {
                    Some(Phase::NotStarted(_)) => Ok(()),
                    _ => Err(refused(message)),
                },
                found => found.map(drop),
            },
            _ => {
                let cancelled = self.cancel_found(key, record).await;
                if matches!(cancelled, Err(PipelineError::Unavailable { .. }))
                    && self.cancelling.lock().insert(key.clone())
                {
                    tokio::spawn(self.clone().cancel_later(key.clone()));
                }
                cancelled
            }
        }
    }

    /// Requests the cancellation of a run again until Jenkins answers, because the caller requests it only once.
    async fn cancel_later(self: Arc<Self>, key: RunKey) {
        let mut backoff = Backoff::new(self.timing.poll, MAX_RETRY_DELAY);
        loop {
            backoff.wait(None).await;
            let result = match self.read(&key).await {
                Ok(Some(record)) => self.cancel_found(&key, record).await,
                Ok(None) => break,
                Err(error) => Err(error),
            };
            match result {
                Err(PipelineError::Unavailable { .. }) => {}
                Err(error) => {
                    tracing::warn!(run = %key, %error, "cannot cancel a build; cancel it in Jenkins");
                    break;
                }
                Ok(()) => break,
            }
        }
        self.cancelling.lock().remove(&key);
    }

    /// Cancels a run whose queue item or build is known. Does nothing for another run.
    pub(crate) async fn cancel_found(
        self: &Arc<Self>,
        key: &RunKey,
        mut record: RunRecord,
    ) -> Result<(), PipelineError> {
        if let Phase::Queued { item, .. } = record.phase {
            let is_cancelled = self.client.cancel_item(item).await.map_err(JenkinsError::while_changing)?;
            if is_cancelled {
                return Ok(());
            }
            // The item left the queue in the meantime.
            let mut seen = self.observe(&[(key.clone(), record.clone())]).await;
            if let Some(observation) = seen.remove(key) {
                let observation = observation.map_err(JenkinsError::while_changing)?;
                let is_known = !matches!(observation, Observation::Waiting(_));
                apply(&mut record, observation, &self.client, self.timing.gone, Timestamp::now());
                if is_known {
                    self.store_progress(key, &record).await;
                }
            }
        }
        let Phase::Building { item, number, .. } = record.phase else { return Ok(()) };
        self.client.stop(&record.job, number, Signal::Stop).await.map_err(JenkinsError::while_changing)?;
        if self.escalating.lock().insert(key.clone()) {
            tokio::spawn(self.clone().escalate(key.clone(), record.job, number, item));
        }
        Ok(())
    }

    /// Stops a build with more force while it does not end.
    async fn escalate(self: Arc<Self>, key: RunKey, job: JobPath, number: u64, item: Option<u64>) {
        for signal in [Signal::Term, Signal::Kill] {
            tokio::time::sleep(self.timing.escalate).await;
            match self.client.build(&job, number).await {
                Ok(build) if !build.is_running() || (item.is_some() && build.item() != item) => break,
                Err(error) if !error.is_transient() => break,
                _ => {}
            }
            match self.client.stop(&job, number, signal).await {
                Ok(()) => {
                    tracing::info!(run = %key, %job, number, ?signal, "a build did not end and was stopped with force")
                }
                // Only pipelines have these requests.
                Err(error) if error.is_missing() => break,
                Err(error) => tracing::warn!(run = %key, %job, number, %error, "cannot stop a build with force"),
            }
        }
        self.escalating.lock().remove(&key);
    }
}
