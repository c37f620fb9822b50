//! Job journals: reading, display, and verification of the hashes.

pub(crate) mod blob;
pub(crate) mod read;
mod show;
#[cfg(test)]
mod tests;
mod verify;

pub use blob::{pack, unpack};
pub use read::read;
pub use show::show;
pub(crate) use verify::check_entries_incremental;
pub use verify::verify;
pub use verify::{Head, Verified, check_entries};
