//! `jobs`: work that a plugin leaves for later, as jobs of their own.
//!
//! A guest leaves its own actions only, in the name of the person who typed the command, and only with arguments that
//! were typed or that its grant lists in `beyond`. It sees and calls off what it left itself, and nothing else.

mod host;

pub(crate) use host::{Cancel, Later, List};
