//! The pipeline backends of a configuration: made by their factories, not yet connected.
//!
//! A deployment of the catalog names its backend by a [`BackendId`], so that the catalog stays plain data.

use std::sync::Arc;

use super::{health::ObservedBackend, pipelines::Pipelines};
use crate::model::BackendId;

/// All backends: those of `[pipelines.*]` by name, then one for each kind that inline pipelines share.
#[derive(Default)]
pub struct Backends(Vec<Arc<ObservedBackend>>);

impl Backends {
    /// Adds a backend.
    pub(crate) fn add(&mut self, backend: ObservedBackend) -> BackendId {
        self.0.push(Arc::new(backend));
        BackendId(self.0.len() - 1)
    }

    /// The backend of a deployment of the same configuration.
    pub(crate) fn get(&self, id: BackendId) -> Arc<dyn Pipelines> {
        self.0[id.0].clone()
    }

    /// Each backend with its id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (BackendId, &ObservedBackend)> {
        self.0.iter().enumerate().map(|(number, backend)| (BackendId(number), &**backend))
    }
}
