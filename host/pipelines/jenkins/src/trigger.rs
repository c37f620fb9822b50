//! Starts the build of a run, at most once for each key.
//!
//! Order: check the job and the values, write the file of the run, send the trigger, write its answer. After a crash in
//! between, the file says that the trigger may have been sent, and `search` finds out.

use std::{collections::BTreeMap, sync::Arc};

use wardroom::{Timestamp, adapter::PipelineError, model::RunKey};

use crate::{
    backend::{Backend, refused, unavailable},
    client::Triggered,
    definition::{Accepted, check},
    error::JenkinsError,
    job_path::JobPath,
    record::{Phase, RunRecord},
};

impl Backend {
    /// Starts the build of a run. Returns a link to the build, or to its job while the build has no number.
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
        // 2. Check the values before anything is sent.
        let config = self.pipelines.get(pipeline);
        let config = config.ok_or_else(|| refused(format!("there is no pipeline `{pipeline}`")))?;
        let values = config.values(parameters).map_err(refused)?;
        let accepted = match self.accepted(&config.job, &values).await {
            Ok(accepted) => accepted,
            Err(error) => {
                self.create(key, RunRecord::not_started(config.job.clone(), error.reason())).await?;
                return Err(error.while_changing());
            }
        };
        // 3. Write the file of the run.
        let record = RunRecord {
            requested: Timestamp::now(),
            baseline: accepted.next_build_number,
            carries_key: accepted.carries_key,
            values: values.clone(),
            phase: Phase::Triggering,
            ..RunRecord::not_started(config.job.clone(), "")
        };
        if !self.create(key, record).await? {
            return Err(unavailable(format!("the pipeline run `{key}` is being started by another process")));
        }
        // 4. Send the trigger.
        let mut sent = values;
        if accepted.carries_key {
            sent.insert(self.run_parameter.clone(), key.as_str().to_owned());
        }
        let answer = self.client.trigger(&config.job, accepted.has_parameters.then_some(&sent)).await;
        self.answered(key, &config.job, answer).await
    }

    async fn accepted(&self, job: &JobPath, values: &BTreeMap<String, String>) -> Result<Accepted, JenkinsError> {
        let info = self.definition(job).await?;
        check(job, &info, values, &self.run_parameter).map_err(JenkinsError::rejected)
    }

    /// Stores the answer to a trigger.
    async fn answered(
        &self,
        key: &RunKey,
        job: &JobPath,
        answer: Result<Triggered, JenkinsError>,
    ) -> Result<Option<String>, PipelineError> {
        let (phase, result) = match answer {
            Ok(Triggered { item, is_merged }) => {
                (Phase::Queued { item, merged: is_merged }, Ok(Some(self.client.job_url(job))))
            }
            // The file keeps the phase in which the build is searched for.
            Err(error) if error.may_be_done() => return Err(error.while_changing()),
            Err(error) => (Phase::NotStarted(error.reason().to_owned()), Err(error.while_changing())),
        };
        if let Err(error) = self.update(key, move |record| record.phase = phase).await {
            tracing::warn!(
                run = %key, %error,
                "cannot store the answer of Jenkins to a trigger; the build will be searched for"
            );
        }
        result
    }

    async fn started_before(
        self: &Arc<Self>,
        key: &RunKey,
        record: RunRecord,
    ) -> Result<Option<String>, PipelineError> {
        let record = match record.phase {
            Phase::Triggering => self.resolve(key, &record).await?.map_err(unavailable)?,
            _ => record,
        };
        match (&record.phase, record.number()) {
            (Phase::NotStarted(reason), _) => Err(refused(reason.clone())),
            (_, Some(number)) => Ok(Some(self.client.build_url(&record.job, number))),
            (_, None) => Ok(Some(self.client.job_url(&record.job))),
        }
    }
}
