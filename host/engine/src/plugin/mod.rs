//! Plugins: reads a plugin's file, checks, compiles and links the plugin's component, and runs each command in a new
//! sandbox.
//!
//! Invariant: only one function configures wasmtime. While a plugin's function `describe` runs, every host call traps.
//! Not here: the implementation of host calls, which is in [`crate::hostcall`].

mod artifact;
pub(crate) mod bindings;
mod cache;
mod claims;
mod compiler;
mod config;
mod describe;
mod host_functions;
mod limits;
mod load;
mod lock;
mod memory;
mod run;
mod runtime;
mod set;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "internals"))]
pub(crate) use artifact::Artifact;
pub(crate) use compiler::{Compiler, compile_input};
pub(crate) use config::PluginConfig;
pub(crate) use host_functions::{GuestData, HostFunctions};
pub(crate) use limits::Meter;
pub(crate) use load::{LoadedPlugin, Loader};
pub use lock::Lock;
pub(crate) use memory::GuestMemory;
pub(crate) use run::{GuestEnd, run};
#[cfg(any(test, feature = "internals"))]
pub(crate) use runtime::Memory;
#[cfg(test)]
pub(crate) use runtime::config as wasmtime_config;
pub(crate) use runtime::{MAX_GUESTS, Runtime};
pub(crate) use set::Plugins;
