//! In-memory implementations of the traits of [`crate::adapter`], for tests, benches and embedders that keep nothing.
//!
//! Architecture Invariant: a twin behaves as the real adapters must; one list of checks runs against both.

mod chat;
mod clock;
mod directory;
mod pipelines;

pub use chat::MemoryChat;
pub use clock::MemoryClock;
pub use directory::MemoryDirectory;
pub use pipelines::{MemoryPipelines, MemoryPipelinesFactory};
