//! The interface `pipelines` of the contract: host calls that start configured pipelines, wait for pipeline runs, and read
//! and change runs that exist.
//!
//! Invariant: app and environment of a pipeline come from the configuration, never from the plugin. In a job, a plugin
//! can wait only for pipeline runs and timers of the same job. A plugin does not receive credentials. When a pipeline
//! run that deployed a version ends, the host records the release.

mod assignments;
mod control;
mod existing;
mod host;
mod wait;

pub(crate) use assignments::assignments;
pub(crate) use wait::{RUN, run_answer, run_end_writes, timer_answer, waiting_until};

use wasmtime::component::{ComponentNamedList, Lower};

use super::{
    host_call::HostCall,
    table::{CallRow, contract_call},
};
use crate::model::{
    Attribute::{App, Environment, Parameter, Pipeline, Version},
    CallKind::{Acts, Reads, Waits},
    CallSpec, EnvironmentFrom, Risk,
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
        CallRow::new(contract_call("pipelines.list", Reads, "lists the opened pipelines of a system"), existing::List),
        reading("pipelines.describe", "reads the parameters and the newest runs of a pipeline", existing::Describe),
        reading("pipelines.status", "reads the state of a run", existing::Status),
        reading("pipelines.output", "reads the output of a run", existing::Output),
        reading("pipelines.tests", "reads the test results of a run", existing::Tests),
        CallRow::new(control_of("pipelines.cancel", "stops a run").only_revokes(), control::Cancel),
        CallRow::new(control_of("pipelines.answer", "answers a gate at which a run waits"), control::Answer),
    ]
}

/// A call that reads something of a pipeline.
fn reading<C: HostCall>(name: &'static str, summary: &'static str, call: C) -> CallRow
where
    Result<C::Answer, C::Error>: Lower,
    (Result<C::Answer, C::Error>,): ComponentNamedList,
{
    let spec = contract_call(name, Reads, summary);
    CallRow::new(spec.on(&[Pipeline, App, Environment], EnvironmentFrom::Target), call)
}

/// The specification of a call that changes a run.
const fn control_of(name: &'static str, summary: &'static str) -> CallSpec {
    let spec = contract_call(name, Acts, summary);
    // The job that started the run can hold the deployment lock.
    spec.on(&[Pipeline, App, Environment, Parameter], EnvironmentFrom::Target).risk(Risk::High).without_lock()
}
