//! A pipeline run that a job started.

use crate::model::{BackendId, RunKey};

/// A pipeline run that a job started.
#[derive(Clone)]
pub(crate) struct PipelineRun {
    /// The idempotency key, which the host passed to the backend.
    pub key: RunKey,
    /// The name of the pipeline, such as `cms/staging`.
    pub pipeline: String,
    /// The app that the run deploys.
    pub app: String,
    /// The environment that the run deploys to.
    pub environment: String,
    /// The version that the run deploys; `None` if the pipeline takes no version.
    pub version: Option<String>,
    /// The backend that executes the run.
    pub backend: BackendId,
}
