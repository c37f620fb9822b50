//! The interface to the database: the [`Store`] trait, the types of its rows, the hashes of the rows, and an in-memory
//! store.
//!
//! Invariant: every change is a list of [`Write`]s, and a list is one transaction.

mod chain;
mod jobs;
mod journal;
mod memory;
mod messages;
mod releases;
mod rights;
mod traits;

pub use chain::digest;
pub(crate) use chain::short_digest;
pub use jobs::{DeploymentLock, JobEnd, JobOutcome, JobPhase, JobQuery, JobRow, JobStatus};
pub use journal::{AuditRecord, CallCount, Entry, EntryKind, HashedEntry, Link, LinkKind, Removed};
pub use memory::MemoryStore;
pub(crate) use messages::{GivenArgument, TriggerSource, is_trigger_event};
pub use messages::{InboxKey, InboxRow, OutboxKind, OutboxRow, PendingRow, Reaction, RoomCursor};
pub use releases::{Release, ReleaseQuery};
pub use rights::{Freeze, Grant, IdentityLink};
pub use traits::{Store, StoreError, Write};
