//! The interface between the sandbox and the layers above: the functions that plugins can import, and the data of a
//! guest's wasmtime store.

use std::sync::Arc;

use wasmtime::component::Linker;

use super::limits::Meter;
use crate::model::CallTable;

/// The data of a guest's wasmtime store.
pub(crate) trait GuestData: Sized + Send + 'static {
    /// The reason for which the host stops a guest that made no error, such as a wait of its job. A host call returns
    /// it as its error.
    type GuestStop: std::error::Error + Clone + Send + Sync + 'static;

    /// Returns the counters and limits of the guest.
    fn meter(&mut self) -> &mut Meter;
}

/// Defines the function of one host call in a linker, by the name of the call.
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
    /// Creates the functions of a call table. `register` defines the function of one host call, by its name.
    pub(crate) fn new(
        table: CallTable,
        register: impl Fn(&str, &mut Linker<D>) -> wasmtime::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { table, register: Arc::new(register) }
    }

    pub(crate) fn table(&self) -> &CallTable {
        &self.table
    }

    /// Defines the function of one host call in a linker.
    pub(crate) fn register(&self, call: &str, linker: &mut Linker<D>) -> wasmtime::Result<()> {
        (self.register)(call, linker)
    }
}
