//! Cancels a run, with more and more force while it does not end.
//!
//! Invariant: the wish to cancel is in the file of the run. A run that is found later, or after a restart of the host, is
//! cancelled too.

use std::{sync::Arc, time::Duration};

use wardroom::{adapter::PipelineError, base::Backoff, model::RunKey};

use crate::{
    backend::{Backend, refused},
    breaker::without_times,
    error::RemoteError,
    record::{Phase, Record},
    system::{Stop, System},
};

/// The longest delay between two requests after the server was unavailable.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);
/// How often a failed request is repeated: for about two hours.
const MAX_RETRIES: u32 = 250;
/// How often a run may get another identity while it is being stopped.
const MAX_MOVES: usize = 3;

/// Whether a further request to stop a run can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    MoreForce,
    Nothing,
}

impl<S: System> Backend<S> {
    /// Requests the cancellation of a run. If the request fails, it is repeated after the error, unless the server would
    /// refuse each repetition.
    pub(crate) async fn cancel(self: &Arc<Self>, key: &RunKey) -> Result<(), PipelineError> {
        // The flag comes first: if the run is not known yet, it is cancelled as soon as it is found.
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
            Phase::Started(_) => {
                if !self.cancelling.lock().insert(key.clone()) {
                    return Ok(());
                }
                let result = self.stop(key, 0).await;
                match &result {
                    Ok(Next::MoreForce) => drop(tokio::spawn(self.clone().cancel_until_ended(key.clone(), 1))),
                    Ok(Next::Nothing) => drop(self.cancelling.lock().remove(key)),
                    // A secret or a permission can be repaired, and a server that starts does not know its runs yet.
                    Err(error) if !matches!(error, RemoteError::Rejected { .. }) => {
                        drop(tokio::spawn(self.clone().cancel_until_ended(key.clone(), 0)));
                    }
                    Err(_) => {
                        self.cancelling.lock().remove(key);
                        // The server would refuse each repetition.
                        self.update(key, |record| record.cancel = false).await?;
                    }
                }
                result.map(drop).map_err(RemoteError::while_changing)
            }
        }
    }

    /// Starts the task that cancels a run, if the run is to be cancelled and no task does it yet.
    pub(crate) fn continue_cancelling(self: &Arc<Self>, key: &RunKey, record: &Record<S>) {
        let must_cancel = record.cancel && matches!(record.phase, Phase::Started(_));
        if must_cancel && self.cancelling.lock().insert(key.clone()) {
            tokio::spawn(self.clone().cancel_until_ended(key.clone(), 0));
        }
    }

    /// Requests the cancellation of a run, beginning with an attempt, until it has ended or no further request helps.
    async fn cancel_until_ended(self: Arc<Self>, key: RunKey, first: usize) {
        let mut attempt = first;
        let mut backoff = Backoff::new(self.timing.poll, MAX_RETRY_DELAY);
        let mut told = None;
        while attempt < S::STOPS {
            if attempt > 0 {
                tokio::time::sleep(self.timing.escalate).await;
            }
            match self.stop(&key, attempt).await {
                Ok(Next::MoreForce) => {
                    if attempt > 0 {
                        tracing::info!(run = %key, attempt, "a pipeline run did not end and was stopped with more force");
                    }
                    attempt += 1;
                    backoff = Backoff::new(self.timing.poll, MAX_RETRY_DELAY);
                }
                Ok(Next::Nothing) => break,
                Err(error) => {
                    let is_final = matches!(error, RemoteError::Rejected { .. }) || backoff.retries() >= MAX_RETRIES;
                    if told.as_deref() != Some(without_times(error.reason())) || is_final {
                        tracing::warn!(
                            run = %key, %error, retries = !is_final,
                            "cannot cancel a pipeline run; cancel it in the system that runs it"
                        );
                        told = Some(without_times(error.reason()).to_owned());
                    }
                    if is_final {
                        break;
                    }
                    backoff.wait(None).await;
                }
            }
        }
        self.cancelling.lock().remove(&key);
    }

    /// Sends one request to stop a run that has not ended.
    async fn stop(&self, key: &RunKey, attempt: usize) -> Result<Next, RemoteError> {
        for _ in 0..MAX_MOVES {
            let record = self.read(key).await.map_err(|error| RemoteError::not_sent(error.to_string()))?;
            let Some(record) = record.filter(|record| matches!(record.phase, Phase::Started(_))) else {
                return Ok(Next::Nothing);
            };
            let Some(open) = record.open::<S>(key) else { return Ok(Next::Nothing) };
            match self.system.stop(&open, attempt).await? {
                Stop::Requested => return Ok(Next::MoreForce),
                Stop::Done => return Ok(Next::Nothing),
                Stop::Moved(run) => self.store_progress(key, &record.with(Phase::Started(run))).await,
            }
        }
        Err(RemoteError::not_sent("the run changes too often to be stopped"))
    }
}
