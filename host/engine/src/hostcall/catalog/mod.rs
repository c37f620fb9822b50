//! `catalog`: the configured apps, how each is deployed, and the releases.
//!
//! Invariant: apps and environments that the caller may not see are left out. Only the host records releases, when a
//! pipeline ends.

mod host;

use super::table::{CallRow, own};
use crate::model::{
    Attribute::{App, Environment},
    CallKind, EnvironmentFrom,
};

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            own("catalog.apps", CallKind::Reads, "reads the configured apps and how each is deployed")
                .on(&[App], EnvironmentFrom::Command),
            host::Apps,
        ),
        CallRow::new(
            own("catalog.releases", CallKind::Reads, "reads which versions ran where, since when and by whom")
                .on(&[App, Environment], EnvironmentFrom::Target),
            host::Releases,
        ),
    ]
}
