//! Host calls: the functions that plugins import from the host. Contains the gate (the function that checks and
//! performs every call), the call table, and a folder for each interface of the contract.
//!
//! Reading order: `host_call` (the trait of a call), `table` (all calls), `capability` (calls that a program adds when
//! it embeds the engine), `gate` (the path of every call), `authorize`, `deny_rules` and `approval_gate` (the checks),
//! `journaling` (the journal entries).
//!
//! To add a call to the contract, add its function to `wit/`, add a type that implements [`HostCall`] to the folder of
//! the call's interface, and add a row for the call to the folder's `mod.rs`. A test fails if a function of the
//! contract has no row.

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
mod performed_effects;
mod pipelines;
mod redaction;
mod settings;
mod store;
mod table;
mod tally;
#[cfg(test)]
mod tests;

pub use crate::plugin::bindings::types::{Denial, Error};
pub(crate) use approval_gate::{OVERRIDDEN, Unapproved};
pub use capability::Capability;
pub(crate) use context::Context;
pub(crate) use contract::Contract;
pub(crate) use direct_message::{refuses, shown_in, shown_in_room_of};
pub use host_call::{GuestError, HostCall, InDoubt, Recovered};
pub use invocation::Invocation;
pub(crate) use invocation::{DryRun, GuestStop, JobRun, Plugin, ReplayState, RunMode, Timer, Timers};
pub(crate) use journaling::running_status;
pub(crate) use opening::{guest_invocation, new_job, random_job_id};
pub(crate) use pipelines::{RUN, run_answer, run_end_writes, timer_answer, waiting_until};
pub use table::CallRow;
pub(crate) use table::HostCalls;
pub(crate) use tally::Tally;

pub(crate) type Plugins = crate::plugin::Plugins<Invocation>;
pub(crate) type Loader = crate::plugin::Loader<Invocation>;
