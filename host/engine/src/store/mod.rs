//! The database: the [`Store`] trait, its rows, the hashes over them, and an in-memory implementation.
//!
//! Invariant: every change is a list of [`Write`]s, and a list is one transaction.

mod chain;
mod hooked;
mod jobs;
mod journal;
mod memory;
mod messages;
mod releases;
mod rights;
mod traits;

pub use chain::{digest, entry_hash, line_digest, lines_digest, link_hash};
pub use hooked::{HookedStore, StoreHooks};
pub use jobs::{DeploymentLock, JobEnd, JobOutcome, JobPhase, JobQuery, JobRow, JobStatus};
pub use journal::{AuditRecord, CallCount, Entry, EntryKind, HashedEntry, Link, LinkKind, Removed, Usage};
pub use memory::MemoryStore;
pub(crate) use messages::is_announced;
pub use messages::{
    GivenArgument, InboxKey, InboxRow, OutboxKind, OutboxRow, PendingRow, Reaction, RoomCursor, TriggerSource,
};
pub use releases::{Release, ReleaseQuery};
pub use rights::{Freeze, Grant};
pub use traits::{DEDUPLICATION_RETENTION, Store, StoreError, Write};
