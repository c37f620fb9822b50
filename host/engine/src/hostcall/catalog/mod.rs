//! `catalog`: the configured apps, how each is deployed, and what ran where.
//!
//! What the caller may not see is left out. No plugin writes releases: the host does, when a pipeline ends.

mod host;

pub(crate) use host::{Apps, Releases};
