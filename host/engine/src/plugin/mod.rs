//! Plugins: from a file's bytes to a linked component, and one fresh sandbox for each invocation.
//!
//! Invariant: one function configures wasmtime. While a plugin describes itself every import traps.
//! Not here: what a host call does ([`crate::hostcall`]); the sandbox is generic over that.

mod artifact;
pub mod bindings;
mod cache;
mod config;
mod describe;
mod host_functions;
mod limits;
mod load;
mod lock;
mod revive;
mod run;
mod runtime;
mod set;
#[cfg(test)]
mod tests;

pub use artifact::Artifact;
pub use artifact::ArtifactError;
pub use config::PluginConfig;
pub use describe::{Description, describe_file};
pub use host_functions::{GuestData, HostFunctions};
pub use limits::Meter;
pub use load::{LoadedPlugin, Loader};
pub use lock::Lock;
pub(crate) use run::GuestEnd;
pub(crate) use run::run;
pub use runtime::{MOST_GUESTS, Memory, Runtime, config};
pub use set::Plugins;
