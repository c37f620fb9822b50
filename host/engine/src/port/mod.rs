//! The traits that adapters implement, each with one in-memory twin in [`memory`].
//!
//! Architecture Invariant: an adapter sees these traits and [`crate::config::Table`], never another adapter.

pub mod chat;
pub mod clock;
pub mod directory;
pub mod link;
pub mod memory;
pub mod pipelines;
pub mod secret;
pub mod store;
mod watched;

pub use chat::{Abilities, Body, Chat, ChatFactory, Outgoing, ReadyChat, SendError};
pub use clock::{Clock, SystemClock};
pub use directory::{Closed, Directory};
pub use link::{Link, LinkState};
pub use pipelines::{Outcome, PipelineError, Pipelines, PipelinesFactory, RunEnd, RunKey, RunState};
pub use secret::{Secret, SecretRef};
pub use store::{Store, StoreError};
pub use watched::{Seen, Watched};
