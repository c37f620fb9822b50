//! In-memory implementations of the traits in [`crate::adapter`], for tests, benchmarks and embedders.
//!
//! Invariant: the in-memory implementations behave like the adapters for real networks and backends. The same
//! conformance checks run against all of them.

mod chat;
mod clock;
mod directory;
mod pipelines;
mod secrets;

pub use chat::MemoryChat;
pub use clock::MemoryClock;
pub use directory::MemoryDirectory;
pub use pipelines::MemoryPipelines;
pub use secrets::MemorySecrets;
