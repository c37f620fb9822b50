//! The list of all pipeline backends that the configuration defines. Creating a backend opens no connection.
//!
//! Each deployment in the configuration refers to its backend by a [`BackendId`], which is an index into this list.

use std::sync::Arc;

use super::{health::ObservedBackend, pipelines::Pipelines};
use crate::model::BackendId;

/// All pipeline backends. First come the backends of the `[pipelines.NAME]` tables, sorted by name. Then comes one
/// backend for each kind that has inline pipelines, which are pipelines without a `[pipelines.NAME]` table.
#[derive(Default)]
pub(crate) struct Backends(Vec<Arc<ObservedBackend>>);

impl Backends {
    pub(crate) fn add(&mut self, backend: ObservedBackend) -> BackendId {
        self.0.push(Arc::new(backend));
        BackendId(self.0.len() - 1)
    }

    /// Returns the backend with this id. Panics if `id` comes from another configuration and is out of range.
    pub(crate) fn get(&self, id: BackendId) -> Arc<dyn Pipelines> {
        self.0[id.0].clone()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (BackendId, &ObservedBackend)> {
        self.0.iter().enumerate().map(|(number, backend)| (BackendId(number), &**backend))
    }
}
