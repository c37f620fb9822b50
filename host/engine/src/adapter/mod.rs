//! The traits that adapters implement, in-memory implementations of these traits, and wrappers that the engine puts
//! around adapters.
//!
//! Not here: the interface to the database ([`crate::store`]).

mod backends;
mod chat;
mod clock;
mod description;
mod directory;
mod group_files;
mod health;
mod identity;
mod inbox;
mod incoming;
mod link;
mod memory;
mod monotonic_clock;
mod pipelines;
mod progress;
mod secrets;
mod send_permissions;

pub(crate) use backends::Backends;
pub(crate) use chat::Accounts;
pub use chat::{Body, Chat, ChatFactory, ChatFeatures, Outgoing, RateLimit, SendError};
pub use clock::{Clock, SystemClock};
pub use description::{ParameterDescription, PipelineDescription, RunView, TestReport};
pub use directory::{Directory, GroupUnavailable};
pub(crate) use group_files::{GroupFile, GroupFiles, is_id};
pub(crate) use health::{BackendHealth, ObservedBackend};
pub use identity::{DeviceLogin, IdentityFactory, IdentityProvider, VerifiedAccount};
pub use inbox::Inbox;
pub use incoming::{Incoming, Position};
pub use link::{Link, LinkState};
pub use memory::{MemoryChat, MemoryClock, MemoryDirectory, MemoryPipelines, MemorySecrets};
pub(crate) use monotonic_clock::MonotonicClock;
pub use pipelines::{PipelineError, Pipelines, PipelinesBuilder, PipelinesFactory, RunEnd, RunState};
pub use progress::{Gate, GateAnswer, RunEvent, RunProgress, Stage, StageState};
pub use secrets::{SecretProblem, SecretStoreHealth, Secrets, SecretsFactory};
pub(crate) use secrets::{SecretStores, source as secret_source};
pub use send_permissions::{BlockedRoom, SendPermissions};
