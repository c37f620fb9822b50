//! The interface `pipelines` of the contract: host calls that start configured pipelines and wait for pipeline runs.
//!
//! Invariant: app and environment of a pipeline come from the configuration, never from the plugin. In a job, a plugin
//! can wait only for pipeline runs and timers of the same job. A plugin does not receive credentials. When a pipeline
//! run that deployed a version ends, the host records the release.

mod host;
mod wait;

pub(crate) use wait::{RUN, run_answer, run_end_writes, timer_answer, waiting_until};

use super::table::{CallRow, contract_call};
use crate::model::{
    Attribute::{App, Environment, Parameter, Pipeline, Version},
    CallKind::{Acts, Waits},
    EnvironmentFrom, Risk,
};

pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            contract_call("pipelines.trigger", Acts, "starts a pipeline")
                .on(&[Pipeline, App, Environment, Version, Parameter], EnvironmentFrom::Target)
                .risk(Risk::High),
            host::Trigger,
        ),
        CallRow::new(
            contract_call("pipelines.wait", Waits, "waits for pipeline runs and timers of the same job")
                .on(&[Pipeline, App, Environment], EnvironmentFrom::Target),
            wait::Wait,
        ),
    ]
}
