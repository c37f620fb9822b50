//! `settings`: what the operator wrote for this plugin, and for no other.

mod host;

pub(crate) use crate::hostcall::settings::host::All;
