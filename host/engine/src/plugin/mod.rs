//! Plugins: from a file's bytes to a linked component, and one fresh sandbox for each invocation.
//!
//! Reading order: [`artifact`] (bytes to component, what it imports), [`runtime`] (the one wasmtime
//! configuration), `cache` (compiled code on disk), `describe`, [`lock`], [`Loader`], `run`.
//!
//! Architecture Invariant: a plugin's linker defines only functions that a rule names (or that need
//! none), so what it is not granted does not exist for it.
//! Architecture Invariant: bytes from outside are never deserialized as compiled code.

pub mod artifact;
pub mod bindings;
mod cache;
mod describe;
mod limits;
mod load;
pub mod lock;
mod revive;
mod run;
pub mod runtime;
#[cfg(test)]
mod tests;

pub use artifact::{Artifact, ArtifactError};
pub use describe::{Description, Setting, describe_file};
pub(crate) use limits::size;
pub use limits::{LimitReached, Limits, Meter};
pub use load::{LoadError, LoadedPlugin, Loader, NotLoaded};
pub(crate) use run::{GuestEnd, run};
pub use runtime::Runtime;
