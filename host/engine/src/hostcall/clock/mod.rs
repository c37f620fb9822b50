//! `clock`: the time, as the host gives it, and moments to wait for. A guest has no other clock.

mod host;

pub(crate) use host::{After, Now};
pub(crate) use host::{instant, later};
