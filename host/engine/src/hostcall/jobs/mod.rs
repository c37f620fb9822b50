//! `jobs`: actions of a plugin that start at a later time, as jobs of their own.
//!
//! Invariant: a guest schedules only actions of its own plugin, for the person who typed the command, with arguments
//! that were typed or that its grant lists in `beyond`. It lists and cancels only jobs that it scheduled.

mod host;

use super::table::{CallRow, own};
use crate::model::{
    Attribute::{App, Environment, Parameter, Version},
    CallKind, EnvironmentFrom,
};

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            own("jobs.cancel", CallKind::Acts, "cancels jobs that the plugin scheduled")
                .on(&[App, Environment], EnvironmentFrom::Target)
                .without_lock(),
            host::Cancel,
        ),
        CallRow::new(
            own("jobs.later", CallKind::Acts, "leaves work of the plugin's own for later")
                .on(&[App, Environment, Version, Parameter], EnvironmentFrom::Target)
                .without_lock(),
            host::Later,
        ),
        CallRow::new(own("jobs.list", CallKind::Reads, "lists the jobs that the plugin scheduled"), host::List),
    ]
}
