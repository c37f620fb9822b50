//! A job's life as a person reads it.

use crate::port::store::{JobRow, Sealed};

/// A job's life, one line an entry.
pub fn show(_job: &JobRow, _entries: &[Sealed]) -> String {
    todo!()
}
