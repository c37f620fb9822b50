//! store

mod chain;
mod jobs;
mod journal;
mod memory;
mod messages;
mod releases;
mod rights;
mod traits;

pub use chain::{digest, entry_hash, line_digest, lines_digest, link_hash};
pub use jobs::{JobEnd, JobOutcome, JobQuery, JobRow, Phase, Place, Stand};
pub use journal::{CallCount, Entry, EntryKind, Line, Link, LinkKind, Removed, Sealed, Usage};
pub use memory::MemoryStore;
pub(crate) use messages::is_announced;
pub use messages::{InboxKey, InboxRow, Mark, OutboxRow, PendingRow, Purpose, Reaction, Started, Word};
pub use releases::{Release, ReleaseQuery};
pub use rights::{Freeze, Grant};
pub use traits::{NAMES_LONGER, Store, StoreError, Write};
