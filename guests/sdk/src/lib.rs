//! Rust SDK for Wardroom plugins.
//!
//! Invariant: the SDK imports no WASI and calls no host function by itself, so a plugin imports only the
//! functions that its author calls.
#![doc = ""]
#![doc = include_str!("../README.md")]

extern crate self as wardroom_guest;

#[cfg(all(feature = "allocator", target_family = "wasm"))]
mod allocator;
mod arguments;
#[doc(hidden)]
pub mod bindings;
mod command;
mod format;
mod import;
mod later;
mod plugin;
mod reply;
mod wait;

pub use arguments::Arguments;
pub use bindings::exports::wardroom::plugin::commands::{Failure, Invocation, Kind, Reply, Value};
pub use bindings::wardroom::plugin::pipelines::WaitError;
pub use bindings::wardroom::plugin::types::{Denial, Entry, Error, Instant, Person, Problem};
pub use bindings::wardroom::plugin::{access, catalog, chat, clock, jobs, log, pipelines, settings, store, types};
pub use command::{Command, Handler, Parameter, Setting};
pub use format::{PREFIX, command_line, duration, elapsed, moment};
pub use later::Later;
pub use plugin::Plugin;
#[doc(hidden)]
pub use plugin::{describe, run};
pub use reply::code;
pub use wait::{first_of, sleep, timer, wait_for, wait_until};
/// The code generator that [`import!`] calls.
pub use wit_bindgen;
