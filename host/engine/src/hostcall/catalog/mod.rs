//! The interface `catalog` of the contract: host calls that read the configured apps and the releases. A release is a
//! deployment that has ended.
//!
//! Invariant: an answer omits apps and environments that the caller may not see. A plugin cannot record a release: the
//! host records a release when a pipeline run ends.

mod host;

use super::table::{CallRow, contract_call};
use crate::model::{
    Attribute::{App, Environment},
    CallKind::Reads,
    EnvironmentFrom,
};

pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            contract_call("catalog.apps", Reads, "reads the configured apps and their deployments")
                .on(&[App], EnvironmentFrom::Command),
            host::Apps,
        ),
        CallRow::new(
            contract_call("catalog.rollbacks", Reads, "reads the pipelines that roll apps back")
                .on(&[App], EnvironmentFrom::Command),
            host::Rollbacks,
        ),
        CallRow::new(
            contract_call("catalog.releases", Reads, "reads the releases: version, environment, time and person")
                .on(&[App, Environment], EnvironmentFrom::Target),
            host::Releases,
        ),
    ]
}
