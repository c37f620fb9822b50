//! Reads, shows and verifies the journals of jobs and the hash chain over all journals.

mod blob;
mod read;
mod show;
#[cfg(test)]
mod tests;
mod verify;

pub use read::JobJournal;
pub(crate) use read::read;
pub(crate) use verify::check_entries;
pub use verify::{Head, Verified, verify};
