//! The journal of jobs: reading it, showing it to people, and the check of its hashes.

pub(crate) mod blob;
pub(crate) mod read;
mod show;
#[cfg(test)]
mod tests;
mod verify;

pub use blob::{pack, unpack};
pub use read::read;
pub use show::show;
pub(crate) use verify::check_entries_behind;
pub use verify::verify;
pub use verify::{Head, Verified, check_entries};
