//! `pipelines`: starts the configured pipelines and waits for their runs.
//!
//! Invariant: app and environment of a pipeline come from the configuration, not from the guest. A guest waits only for
//! runs of its own job and receives no credential. When the run of a deployment ends, the host records the release.

mod host;
mod wait;

pub(crate) use wait::{RUN, Timers, ending, reached, ready, until};

use super::table::{CallRow, own};
use crate::model::{
    Attribute::{App, Environment, Parameter, Pipeline, Version},
    CallKind, EnvironmentFrom, Risk,
};

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            own("pipelines.trigger", CallKind::Acts, "starts a pipeline")
                .on(&[Pipeline, App, Environment, Version, Parameter], EnvironmentFrom::Target)
                .risk(Risk::High),
            host::Trigger,
        ),
        CallRow::new(
            own("pipelines.wait", CallKind::Waits, "waits for runs of the same job, and for times")
                .on(&[Pipeline, App, Environment], EnvironmentFrom::Target),
            wait::Wait,
        ),
    ]
}
