//! adapter

mod backends;
mod chat;
mod clock;
mod directory;
mod group_files;
mod health;
mod incoming;
mod link;
mod memory;
mod monotonic_clock;
mod pipelines;
mod secret;

pub use backends::Backends;
pub use chat::{Abilities, Body, Chat, ChatFactory, Outgoing, ReadyChat, SendError};
pub use clock::{Clock, SystemClock};
pub use directory::{Closed, Directory};
pub(crate) use group_files::is_id;
pub use group_files::{GroupFile, GroupFiles};
pub use health::{Seen, Watched};
pub use incoming::{Incoming, Position};
pub use link::{Link, LinkState};
pub use memory::{MemoryChat, MemoryClock, MemoryDirectory, MemoryPipelines, MemoryPipelinesFactory};
pub(crate) use monotonic_clock::Steady;
pub use pipelines::{PipelineError, Pipelines, PipelinesBuilder, PipelinesFactory, RunEnd, RunState};
pub use secret::{Secret, SecretRef};
