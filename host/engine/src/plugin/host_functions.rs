//! The types that connect the sandbox with the host calls: the functions that plugins can import, and the data of a
//! guest's wasmtime store. The sandbox does not depend on the implementation of host calls.

use std::sync::Arc;

use wasmtime::component::Linker;

use super::limits::Meter;
use crate::model::CallTable;

/// The data that the host keeps for one guest, in the guest's wasmtime store.
pub(crate) trait GuestData: Sized + Send + 'static {
    /// The reason why a host call stops a guest, for example because the guest's job must wait.
    type GuestStop: std::error::Error + Clone + Send + Sync + 'static;

    /// Returns the guest's limits, with the counters of what the guest has used.
    fn meter(&mut self) -> &mut Meter;
}

/// A function that defines one host call in a wasmtime linker. The first argument is the name of the host call, such as
/// `clock.now`.
type Register<D> = dyn Fn(&str, &mut Linker<D>) -> wasmtime::Result<()> + Send + Sync;

/// The host calls that plugins can import: the call table, and a function that defines each call in a linker.
pub(crate) struct HostFunctions<D: 'static> {
    pub(crate) table: CallTable,
    pub(crate) register: Arc<Register<D>>,
}

impl<D> Clone for HostFunctions<D> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), register: self.register.clone() }
    }
}
