//! Stops a run: cancels its queue item, or stops its build with more and more force.
//!
//! Source: Jenkins' `Queue.doCancelItem` and `Executor`, workflow-job's `WorkflowRun.doTerm` and `doKill`, which Jenkins'
//! own page offers 15 seconds after each other.

use wardroom_remote::{Observation, Open, RemoteError, Stop};

use crate::{client::Signal, run::JenkinsRun, system::Jenkins};

impl Jenkins {
    /// Sends one request to stop a run. `attempt` 0 is the first.
    pub(crate) async fn stop_run(&self, open: &Open<Self>, attempt: usize) -> Result<Stop<JenkinsRun>, RemoteError> {
        let (number, item) = match &open.run {
            JenkinsRun::Queued { item, .. } => return self.cancel_item(open, *item).await,
            JenkinsRun::Building { number, item, .. } => (*number, *item),
        };
        let job = &open.request.job;
        let signal = match attempt {
            0 => Signal::Stop,
            1 => Signal::Term,
            _ => Signal::Kill,
        };
        if signal != Signal::Stop {
            let build = self.client.build(job, number).await?;
            if !build.is_running() || (item.is_some() && build.item() != item) {
                return Ok(Stop::Done);
            }
        }
        match self.client.stop(job, number, signal).await {
            Ok(()) => Ok(Stop::Requested),
            // Only pipelines have these requests.
            Err(error) if error.is_missing() && signal != Signal::Stop => Ok(Stop::Done),
            Err(error) => Err(error),
        }
    }

    /// Cancels an item of the queue, or finds out what came from it.
    async fn cancel_item(&self, open: &Open<Self>, item: u64) -> Result<Stop<JenkinsRun>, RemoteError> {
        let error = match self.client.cancel_item(item).await {
            Ok(()) => return Ok(Stop::Done),
            Err(error) => error,
        };
        // Jenkins answers 404 or 500 for an item that left the queue, and older versions redirect in each case.
        match self.look_at_one(open).await? {
            Observation::Open(progress) if progress.run != open.run => Ok(Stop::Moved(progress.run)),
            Observation::Ended { .. } => Ok(Stop::Done),
            Observation::Open(_) | Observation::Missing(_) => Err(error),
        }
    }
}
