//! The stages of the builds that are followed.
//!
//! Invariant: the stages of a build are requested in the turns in which its output would be read, because Jenkins has no
//! list of the stages of several builds.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use wardroom::model::RunKey;
use wardroom_remote::{Observation, Observed, Open};

use crate::{client::StageView, job_path::JobPath, system::Jenkins};

/// What is known of the stages of runs.
#[derive(Debug, Default)]
pub(crate) struct StageCache(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    views: BTreeMap<RunKey, StageView>,
    /// The jobs whose builds have no stages, because they are no pipelines or because a plugin is missing.
    without: BTreeSet<JobPath>,
}

impl Jenkins {
    /// Returns whether the stages of a run can be requested.
    pub(crate) fn may_have_stages(&self, open: &Open<Self>) -> bool {
        !self.stages.0.lock().without.contains(&open.request.job)
    }

    /// Requests the stages of a run. Stages are an extra: a failure is not told, because the state of the run is known.
    pub(crate) async fn read_stages(&self, open: &Open<Self>, number: u64) {
        let Ok(view) = self.client.stages(&open.request.job, number).await else { return };
        let mut known = self.stages.0.lock();
        match view {
            Some(view) => drop(known.views.insert(open.key.clone(), view)),
            None => drop(known.without.insert(open.request.job.clone())),
        }
    }

    /// Adds the known stages to the runs that have not ended, and forgets those of the others.
    pub(crate) fn add_stages(&self, observed: &mut Observed<Self>) {
        let mut known = self.stages.0.lock();
        let is_open = |key: &RunKey| !matches!(observed.get(key), Some(Ok(Observation::Ended { .. })));
        known.views.retain(|key, _| is_open(key));
        for (key, view) in &known.views {
            if let Some(Ok(Observation::Open(progress))) = observed.get_mut(key) {
                (progress.stages, progress.gates) = (view.stages.clone(), view.gates.clone());
            }
        }
    }
}
