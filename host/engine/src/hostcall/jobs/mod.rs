//! The interface `jobs` of the contract: host calls that schedule actions for a later time, each as a new job, and that
//! list and cancel the scheduled jobs.
//!
//! Invariant: a plugin schedules only its own actions, and only for the person who typed the command. An argument of
//! the scheduled action must be in the command that this person typed, or the plugin's `allow` rule must list the
//! argument's attribute in `beyond`. The scheduled action leaves out no target of that command. A plugin can list and cancel only the jobs that it scheduled.

mod host;
mod later;

use super::table::{CallRow, contract_call};
use crate::model::{
    Attribute::{App, Environment, Parameter, Version},
    CallKind::{Acts, Reads},
    EnvironmentFrom,
};

pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            contract_call("jobs.cancel", Acts, "cancels jobs that the plugin scheduled")
                .on(&[App, Environment], EnvironmentFrom::Target)
                .without_lock(),
            host::Cancel,
        ),
        CallRow::new(
            contract_call("jobs.later", Acts, "schedules an action of the plugin for a later time")
                .on(&[App, Environment, Version, Parameter], EnvironmentFrom::Target)
                .without_lock(),
            later::Later,
        ),
        CallRow::new(contract_call("jobs.list", Reads, "lists the jobs that the plugin scheduled"), host::List),
    ]
}
