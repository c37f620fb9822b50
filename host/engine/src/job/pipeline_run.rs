//! Pipeline runs that jobs start.

use crate::model::{BackendId, RunKey};

/// A pipeline run that a job started, with the deployment to which the pipeline belongs.
#[derive(Clone)]
pub(crate) struct PipelineRun {
    /// The idempotency key of the pipeline run, which the host passed to the backend.
    pub key: RunKey,
    /// The name of the pipeline, such as `cms/staging`.
    pub pipeline: String,
    /// The app that the pipeline run deploys.
    pub app: String,
    /// The environment to which the pipeline run deploys.
    pub environment: String,
    /// The version that the pipeline run deploys; `None` if the pipeline has no version parameter.
    pub version: Option<String>,
    /// The backend that executes the pipeline run.
    pub backend: BackendId,
}
