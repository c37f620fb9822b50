//! The contract's WIT package `wardroom:plugin`, implemented as a capability.

use super::{
    access, capability::Capability, catalog, chat, clock, jobs, log, pipelines, settings, store, table::CallRow,
};

/// The capability for the package `wardroom:plugin`, which every engine contains.
pub(crate) struct Contract;

impl Capability for Contract {
    fn calls(&self) -> Vec<CallRow> {
        [
            access::rows(),
            catalog::rows(),
            chat::rows(),
            clock::rows(),
            jobs::rows(),
            log::rows(),
            pipelines::rows(),
            settings::rows(),
            store::rows(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
