//! A request for a build, and what identifies its run in Jenkins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job_path::JobPath;

/// What was sent to start a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JenkinsRequest {
    pub(crate) job: JobPath,
    /// The number of the job's next build, which was read before the trigger. The build has this number or a higher one.
    /// 0 if it is not known.
    pub(crate) baseline: u64,
    /// Whether the job defines parameters.
    pub(crate) has_parameters: bool,
    /// Whether the build's parameters contain the key.
    pub(crate) carries_key: bool,
    /// The values of the job's parameters, without the key.
    pub(crate) values: BTreeMap<String, String>,
}

/// A run: first a queue item, then a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum JenkinsRun {
    /// `merged`: the item was already in the queue, for an identical request.
    Queued { item: u64, merged: bool },
    /// `scheduled` is the time of the build in milliseconds, of Jenkins' clock; it identifies the build.
    Building {
        item: Option<u64>,
        number: u64,
        #[serde(default)]
        scheduled: Option<i64>,
        merged: bool,
    },
}

impl JenkinsRequest {
    /// A request of which only the job is known.
    pub(crate) fn unknown(job: JobPath) -> Self {
        Self { job, baseline: 0, has_parameters: true, carries_key: true, values: BTreeMap::new() }
    }
}

impl JenkinsRun {
    /// Returns the number of the build; `None` before it is known.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Building { number, .. } => Some(*number),
            Self::Queued { .. } => None,
        }
    }

    /// Returns the id of the queue item, if it is known.
    pub(crate) fn item(&self) -> Option<u64> {
        match self {
            Self::Queued { item, .. } => Some(*item),
            Self::Building { item, .. } => *item,
        }
    }

    pub(crate) fn is_merged(&self) -> bool {
        match self {
            Self::Queued { merged, .. } | Self::Building { merged, .. } => *merged,
        }
    }

    /// Returns the run after its item left the queue for a build.
    pub(crate) fn building(&self, number: u64) -> Self {
        match self {
            Self::Queued { item, merged } => {
                Self::Building { item: Some(*item), number, scheduled: None, merged: *merged }
            }
            Self::Building { .. } => self.clone(),
        }
    }
}
