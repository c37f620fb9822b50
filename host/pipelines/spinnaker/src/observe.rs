//! The requests for the state of runs.
//!
//! One request asks for up to [`MAX_LISTED`] executions, without their details. The details of an execution are requested
//! when it has ended, for the reason of a failure, and once for each manual judgement, for its question.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use wardroom::adapter::Gate;
use wardroom_remote::{Observation, Observed, Open, Progress, RemoteError};

use crate::{
    client::{Execution, Status},
    convert::{end_without_execution, execution_end},
    stages::{gate, stages},
    system::{ExecutionId, Spinnaker},
};

/// The number of executions in one request. A URL must be shorter than the 8 KiB of Tomcat for all headers.
const MAX_LISTED: usize = 100;

type Observing = Result<Observation<ExecutionId>, RemoteError>;

impl Spinnaker {
    pub(crate) async fn observe_all(&self, runs: &[Open<Self>]) -> Observed<Self> {
        let mut observed = Observed::<Self>::new();
        for runs in runs.chunks(MAX_LISTED) {
            observed.extend(self.observe_part(runs).await);
        }
        observed
    }

    async fn observe_part(&self, runs: &[Open<Self>]) -> Observed<Self> {
        let one_by_one = || async {
            let all = runs.iter().map(|open| async { (open.key.clone(), self.observe_one(open).await) });
            join_all(all).await.into_iter().collect()
        };
        if !self.can_list.get() {
            return one_by_one().await;
        }
        let ids: Vec<&str> = runs.iter().map(|open| open.run.id.as_str()).collect();
        let list = match self.client.executions(&ids).await {
            Ok(list) => list,
            // An older Gate requires the ids of pipelines instead, and one without the route has no list at all.
            Err(RemoteError::Rejected { reason } | RemoteError::Missing { reason }) => {
                tracing::info!(%reason, "Gate cannot list executions by their ids; each is requested by itself");
                self.can_list.forbid();
                return one_by_one().await;
            }
            Err(error) => return runs.iter().map(|open| (open.key.clone(), Err(error.clone()))).collect(),
        };
        let mut found: BTreeMap<String, Execution> =
            list.into_iter().map(|execution| (execution.id.clone(), execution)).collect();
        let all = runs.iter().map(|open| (open, found.remove(&open.run.id)));
        let all: Vec<_> = all.collect();
        let observed = all.into_iter().map(|(open, execution)| async move {
            let observing = match execution {
                Some(execution) => self.observation(open, execution, false).await,
                // The execution was deleted, or the account may no longer see it. The request for it says which.
                None => self.observe_one(open).await,
            };
            (open.key.clone(), observing)
        });
        join_all(observed).await.into_iter().collect()
    }

    async fn observe_one(&self, open: &Open<Self>) -> Observing {
        match self.client.execution(&open.request.path.application, &open.run.id).await {
            Ok(execution) => self.observation(open, execution, true).await,
            Err(RemoteError::Missing { .. }) => Ok(Observation::Missing(end_without_execution(open))),
            Err(error) => Err(error),
        }
    }

    /// Converts an execution. `is_detailed` says whether its stages have their details. They are requested if they are
    /// needed, and left out if they are too large.
    async fn observation(&self, open: &Open<Self>, execution: Execution, is_detailed: bool) -> Observing {
        let (application, id) = (&open.request.path.application, execution.id.clone());
        let missing = || {
            let waiting = execution.stages().iter().filter(|stage| stage.waits_for_judgement());
            waiting.map(|stage| self.snapshots.gate(&id, &stage.id)).any(|gate| gate.is_none())
        };
        let needs_details = !is_detailed && (execution.status().is_complete() || missing());
        let details = if needs_details { self.client.details(application, &id).await? } else { None };
        let is_detailed = is_detailed || details.is_some();
        let execution = details.unwrap_or(execution);
        let waiting = execution.stages().iter().filter(|stage| stage.waits_for_judgement());
        let gates: Vec<Gate> = waiting
            .map(|stage| {
                let known = if is_detailed { None } else { self.snapshots.gate(&id, &stage.id) };
                known.unwrap_or_else(|| gate(stage))
            })
            .collect();
        let execution = Arc::new(execution);
        self.snapshots.keep(execution.clone(), &gates);
        let run = ExecutionId { id };
        if execution.status().is_complete() {
            let url = self.execution_url(application, &run.id);
            let end = execution_end(&self.client.server, open, &execution, url);
            return Ok(Observation::Ended { run, end });
        }
        let waits = (execution.status() == Status::NotStarted)
            .then(|| "the execution is NOT_STARTED, because others of its pipeline run or Orca is busy".to_owned());
        let started = execution.start_time.map(|at| self.client.server.host_time(at));
        Ok(Observation::Open(Progress { run, waits, started, stages: stages(&execution), gates }))
    }
}
