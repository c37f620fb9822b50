//! Starts a run, at most once for each key, and finds it if the answer to its trigger was lost.
//!
//! Order: check the values, write the file of the run, send the trigger, write its answer. After a crash in between, the
//! file says that the trigger may have been sent, and a search finds out.
//!
//! Invariant: a run counts as not started only if two complete searches, after the request can no longer arrive, find
//! nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use wardroom::{Timestamp, adapter::PipelineError, model::RunKey};

use crate::{
    backend::{Backend, refused, unavailable},
    error::RemoteError,
    record::{Phase, Record, RunRecord},
    system::{Found, Lost, System},
};

/// The maximum number of searches if other runs change during a search.
const MAX_SEARCHES: usize = 5;

/// The other runs of a backend with their requests, the requests without an answer, and whether these are all.
type Known<S> = (Vec<(<S as System>::Request, <S as System>::Run)>, Vec<<S as System>::Request>, bool);

impl<S: System> Backend<S> {
    /// Starts a run. Returns a link to the run, or to its pipeline while the run has none.
    pub(crate) async fn start(
        self: &Arc<Self>,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        let _lock = self.lock(key).await;
        // 1. An earlier request with this key decides.
        if let Some(record) = self.read(key).await? {
            return self.started_before(key, record).await;
        }
        self.create_folder(key).await?;
        // 2. Check the values before anything is sent.
        let request = match self.system.prepare(pipeline, parameters).await {
            Ok(request) => request,
            Err(error) => {
                self.create(key, RunRecord::not_started(pipeline, error.reason())).await?;
                return Err(error.while_changing());
            }
        };
        // 3. Write the file of the run.
        self.create(key, RunRecord::triggering(pipeline, request.clone())).await?;
        // 4. Send the trigger.
        let answer = self.system.trigger(key, &request).await;
        self.answered(key, &request, answer).await
    }

    /// Stores the answer to a trigger.
    async fn answered(
        self: &Arc<Self>,
        key: &RunKey,
        request: &S::Request,
        answer: Result<S::Run, RemoteError>,
    ) -> Result<Option<String>, PipelineError> {
        let (phase, result) = match answer {
            Ok(run) => {
                let url = self.system.url(request, Some(&run));
                (Some(Phase::Started(run)), Ok(url))
            }
            // The file keeps the phase in which the run is searched for.
            Err(error) if error.may_be_done() => (None, Err(error.while_changing())),
            Err(error) => (Some(Phase::NotStarted(error.reason().to_owned())), Err(error.while_changing())),
        };
        let stored = self.update(key, move |record| match phase {
            Some(phase) => record.phase = phase,
            None => record.unanswered_since = Some(Timestamp::now()),
        });
        match stored.await {
            // The run can have been cancelled while the trigger was on its way.
            Ok(Some(record)) => self.continue_cancelling(key, &record),
            Ok(None) => {}
            Err(error) => tracing::warn!(
                run = %key, %error,
                "cannot store the answer to the trigger of a pipeline run; the run will be searched for"
            ),
        }
        result
    }

    async fn started_before(
        self: &Arc<Self>,
        key: &RunKey,
        record: Record<S>,
    ) -> Result<Option<String>, PipelineError> {
        let record = match record.phase {
            Phase::Triggering => self.resolve(key, &record).await?.map_err(unavailable)?,
            _ => record,
        };
        match (&record.phase, &record.request) {
            (Phase::NotStarted(reason), _) => Err(refused(reason.clone())),
            (_, Some(request)) => Ok(self.system.url(request, record.run())),
            (_, None) => Ok(None),
        }
    }

    /// Searches for the run of a trigger without an answer, and stores what it finds. Returns the new record.
    ///
    /// # Errors
    /// The server is unavailable, or it is too early to know. The inner error is the reason why it cannot be known.
    pub(crate) async fn resolve(
        self: &Arc<Self>,
        key: &RunKey,
        record: &Record<S>,
    ) -> Result<Result<Record<S>, String>, PipelineError> {
        let Some(request) = &record.request else {
            return Ok(Err(format!("the file of the pipeline run `{key}` does not say what was sent")));
        };
        let mut found = self.search(key, request, record).await?;
        if matches!(found, Found::Nothing | Found::Unclear(_)) {
            if !self.has_settled(record) {
                return Err(unavailable(format!(
                    "{} did not answer the request to start the {}, and it shows no run of it yet; checking again",
                    S::NAME,
                    self.system.pipeline(request)
                )));
            }
            // A run that is being created can be invisible for a moment.
            tokio::time::sleep(self.timing.second_look).await;
            found = self.search(key, request, record).await?;
        }
        let phase = match found {
            Found::Run(run) => Phase::Started(run),
            Found::Nothing => Phase::NotStarted(format!(
                "{} did not receive the request to start the {}",
                S::NAME,
                self.system.pipeline(request)
            )),
            Found::Unclear(reason) => return Ok(Err(reason)),
        };
        let changed = self.update(key, move |record| {
            if record.phase == Phase::Triggering {
                record.phase = phase;
            }
        });
        match changed.await? {
            Some(record) => {
                self.continue_cancelling(key, &record);
                Ok(Ok(record))
            }
            None => Err(unavailable(format!("the file of the pipeline run `{key}` was removed"))),
        }
    }

    /// Returns whether a trigger without an answer can no longer arrive.
    fn has_settled(&self, record: &Record<S>) -> bool {
        let timeout = self.system.timeout();
        let settle = self.timing.settle.max(timeout * 2);
        let age = |since: Timestamp| Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
        match record.unanswered_since {
            Some(since) => age(since) >= settle,
            // The host crashed while it waited for the answer.
            None => age(record.requested) >= settle + timeout,
        }
    }

    async fn search(
        &self,
        key: &RunKey,
        request: &S::Request,
        record: &Record<S>,
    ) -> Result<Found<S::Run>, PipelineError> {
        let mut known = self.known(key).await?;
        for _ in 0..MAX_SEARCHES {
            let (others, rivals, are_all) = &known;
            let lost = Lost { key, request, requested: record.requested, others, rivals, are_all_known: *are_all };
            let found = self.system.search(&lost).await.map_err(RemoteError::while_reading)?;
            // Another run can have got its identity in the meantime.
            let now = self.known(key).await?;
            if now == known {
                return Ok(found);
            }
            known = now;
        }
        Err(unavailable(format!(
            "other runs of {} change too often to tell the run `{key}` apart; checking again",
            S::NAME
        )))
    }

    /// Returns the other runs of the backend, the requests of those whose trigger had no answer, and whether these are
    /// all.
    async fn known(&self, key: &RunKey) -> Result<Known<S>, PipelineError> {
        let (records, are_all) = self.others(key).await?;
        let (mut others, mut rivals) = (Vec::new(), Vec::new());
        for (_, other) in records {
            match other.phase {
                Phase::Started(run) | Phase::Ended { run, .. } => others.extend(other.request.map(|sent| (sent, run))),
                Phase::Triggering => rivals.extend(other.request),
                Phase::NotStarted(_) => {}
            }
        }
        Ok((others, rivals, are_all))
    }
}
