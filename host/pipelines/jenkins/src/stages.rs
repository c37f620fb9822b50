//! The stages of the builds that are followed.
//!
//! Invariant: the stages of a build are requested in the turns in which its output would be read, because Jenkins has no
//! list of the stages of several builds.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use wardroom::model::RunKey;
use wardroom_remote::{Observation, Observed, Open, RemoteError};

use crate::{client::StageView, job_path::JobPath, system::Jenkins};

/// How long a job counts as one without stages.
const AGAIN: Duration = Duration::from_secs(600);

/// What is known of the stages of runs.
#[derive(Debug, Default)]
pub(crate) struct StageCache(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    views: BTreeMap<RunKey, StageView>,
    /// The jobs whose builds have no stages, because they are no pipelines or because a plugin is missing, with the time of
    /// the last request.
    without: BTreeMap<JobPath, Instant>,
}

impl Jenkins {
    /// Answers an input step, if the build still waits at it in the same place.
    pub(crate) async fn answer_gate(
        &self,
        job: &JobPath,
        number: u64,
        gate: &str,
        proceeds: bool,
    ) -> Result<(), RemoteError> {
        let view = self.client.stages(job, number).await?.unwrap_or_default();
        let (Some(known), Some((input, _))) = (view.gates.iter().find(|known| known.id == gate), gate.rsplit_once('@'))
        else {
            return Err(RemoteError::rejected(format!(
                "build #{number} does not wait at this input step any more; see `pipeline status`"
            )));
        };
        if proceeds && view.asks_for_values.contains(&known.id) {
            return Err(RemoteError::rejected(format!(
                "the input step of build #{number} asks for values; answer it on the page of the build"
            )));
        }
        self.client.answer(job, number, input, proceeds).await
    }

    /// Returns whether the stages of a run can be requested.
    pub(crate) fn may_have_stages(&self, open: &Open<Self>) -> bool {
        self.stages.0.lock().without.get(&open.request.job).is_none_or(|at| at.elapsed() > AGAIN)
    }

    /// Requests the stages of a run. Stages are an extra: a failure is not told, because the state of the run is known.
    pub(crate) async fn read_stages(&self, open: &Open<Self>, number: u64) {
        let Ok(view) = self.client.stages(&open.request.job, number).await else { return };
        let mut known = self.stages.0.lock();
        match view {
            Some(view) => drop(known.views.insert(open.key.clone(), view)),
            None => drop(known.without.insert(open.request.job.clone(), Instant::now())),
        }
    }

    /// Forgets the stages of a run.
    pub(crate) fn forget_stages(&self, key: &RunKey) {
        self.stages.0.lock().views.remove(key);
    }

    /// Adds the known stages to the runs that have not ended.
    pub(crate) fn add_stages(&self, observed: &mut Observed<Self>) {
        let known = self.stages.0.lock();
        for (key, view) in &known.views {
            if let Some(Ok(Observation::Open(progress))) = observed.get_mut(key) {
                (progress.stages, progress.gates) = (view.stages.clone(), view.gates.clone());
            }
        }
    }
}
