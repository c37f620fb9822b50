//! `store`: the plugin's own keys and values. No plugin sees another's.

mod host;

pub(crate) use host::{Delete, Get, List, Set};
