//! In-memory implementations of the traits of [`crate::adapter`], for tests, benches and embedders.
//!
//! Invariant: they behave like the real adapters; the same conformance checks run against both.

mod chat;
mod clock;
mod directory;
mod pipelines;

pub use chat::MemoryChat;
pub use clock::MemoryClock;
pub use directory::MemoryDirectory;
pub use pipelines::{MemoryPipelines, MemoryPipelinesFactory};
