//! Host calls: the gate that every call of every guest passes, the call table, and a folder for each interface of the
//! contract.
//!
//! Reading order: `host_call` (the trait of a call), `table` (all calls), `capability` (calls of an embedder), `gate`
//! (the path of every call), `authorize`, `deny_rules` and `approval_gate` (the checks), `journaling` (the journal
//! entries).
//!
//! To add a call: its function in `wit/`, a type that implements [`HostCall`] in the folder of its interface, and its
//! row in that folder's `mod.rs`.
//! A function of the contract without a row fails a test.

mod access;
mod approval_gate;
mod authorize;
mod capability;
mod catalog;
mod chat;
mod clock;
mod context;
mod contract;
mod deny_rules;
mod direct_message;
mod gate;
mod host_call;
mod invocation;
mod jobs;
mod journaling;
mod log;
mod opening;
mod pipelines;
mod settings;
mod store;
mod table;
mod tally;
#[cfg(test)]
mod tests;

pub use crate::plugin::bindings::types::{Denial, Error};
pub(crate) use approval_gate::Unapproved;
pub use capability::Capability;
pub(crate) use context::Context;
pub(crate) use contract::Contract;
pub(crate) use direct_message::{refuses, shown_in, shown_in_room_of};
pub use host_call::{GuestError, HostCall, InDoubt, Recovered};
pub use invocation::Invocation;
pub(crate) use invocation::Plugin;
pub(crate) use invocation::{DryRun, GuestStop, JobRun, ReplayState, RunMode, Timer};
pub(crate) use journaling::working;
pub(crate) use opening::opening;
pub(crate) use opening::{asked, draw_id, is_job_id};
pub(crate) use pipelines::{RUN, Timers, ending, reached, ready, until};
pub use table::CallRow;
pub(crate) use table::HostCalls;
pub(crate) use tally::Tally;

/// The plugins of this host.
pub(crate) type Plugins = crate::plugin::Plugins<Invocation>;
/// The plugin loader of this host.
pub(crate) type Loader = crate::plugin::Loader<Invocation>;
