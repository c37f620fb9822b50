//! The interface between the sandbox and the layers above: the functions that plugins can import, and the data of a
//! guest's wasmtime store.

use std::sync::Arc;

use wasmtime::component::Linker;

use super::limits::Meter;
use crate::model::CallTable;

/// The data of a guest's wasmtime store.
pub(crate) trait GuestData: Sized + Send + 'static {
    /// Why the host ends a guest that made no error. A host call returns it as its error.
    type GuestStop: std::error::Error + Clone + Send + Sync + 'static;

    /// The counters and limits of the guest.
    fn meter(&mut self) -> &mut Meter;
}

/// Defines the function of one call in a linker, by the call's name, and no other function.
type Register<D> = dyn Fn(&str, &mut Linker<D>) -> wasmtime::Result<()> + Send + Sync;

/// The functions that plugins can import.
pub(crate) struct HostFunctions<D: 'static> {
    table: CallTable,
    register: Arc<Register<D>>,
}

impl<D> Clone for HostFunctions<D> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), register: self.register.clone() }
    }
}

impl<D> HostFunctions<D> {
    /// The functions of a call table.
    pub(crate) fn new(
        table: CallTable,
        register: impl Fn(&str, &mut Linker<D>) -> wasmtime::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { table, register: Arc::new(register) }
    }

    pub(crate) fn table(&self) -> &CallTable {
        &self.table
    }

    /// Defines one function in a linker.
    pub(crate) fn register(&self, call: &str, linker: &mut Linker<D>) -> wasmtime::Result<()> {
        (self.register)(call, linker)
    }
}
