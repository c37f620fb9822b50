//! `clock`: the time, as the host gives it. A guest has no other clock.

mod host;

pub(crate) use host::{Now, instant};
