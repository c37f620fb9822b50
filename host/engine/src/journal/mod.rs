//! The journal of jobs as a thing that can be checked and read: hashes, what stands beside, the check of the whole
//! chain, and a job's life for people.
//!
//! Architecture Invariant: an entry's hash covers the hash before it and every field of the entry, so none can be changed,
//! removed or moved without being found. The newest end alone can be cut off unseen, unless its head is kept elsewhere.
//! Not here: who writes entries (`capability`, `job`), and how they are stored (`port::store`).

mod beside;
mod chain;
mod read;
mod show;
mod verify;

#[cfg(test)]
mod tests;

pub use beside::{pack, unpack};
pub use chain::{digest, entry_hash, line_digest, lines_digest, link_hash};
pub use read::{Journal, read};
pub use show::show;
pub(crate) use verify::check_entries_behind;
pub use verify::{Fault, Head, Verified, check_entries, verify};
