//! Reads, shows and verifies the journals of jobs and the hash chain over all journals.

mod blob;
mod read;
mod show;
#[cfg(test)]
mod tests;
mod verify;

use std::time::Duration;

pub use read::JobJournal;
pub(crate) use read::read;
pub(crate) use verify::check_entries;
pub use verify::{Head, Verified, verify};

/// The shortest retention period of jobs, messages and records, and the largest valid value of `[bot.NAME] max_age`. The
/// host needs stored messages to detect redeliveries, so the store must keep messages for as long as bots accept late
/// messages.
pub(crate) const MIN_KEEP: Duration = Duration::from_secs(24 * 3600);
