//! `settings`: what the operator wrote for this plugin, and for no other.

mod host;

pub(super) use host::All;
