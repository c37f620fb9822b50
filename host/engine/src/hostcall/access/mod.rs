//! `access`: grants and revocations of roles in chat.
//!
//! Invariant: person, app, environment, role and duration come from the command that the host parsed, never from the
//! guest. A role is granted only if the file allows that (`grant_in_chat`), and only by an admin or an owner of the
//! app.

mod host;
mod target;

use super::table::{CallRow, own};
use crate::model::{
    Attribute::{App, Environment, Person, Role},
    CallKind, EnvironmentFrom, Risk,
};

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            own("access.grant", CallKind::Acts, "adds a person to a role on an app, as it was typed")
                .on(&[Person, Role, App, Environment], EnvironmentFrom::Command)
                .without_lock()
                .risk(Risk::High),
            host::Grant,
        ),
        CallRow::new(
            own("access.list", CallKind::Reads, "reads what was granted in chat")
                .on(&[Person, App], EnvironmentFrom::Command),
            host::List,
        ),
        CallRow::new(
            own("access.revoke", CallKind::Acts, "takes back what was granted in chat, as it was typed")
                .on(&[Person, Role, App, Environment], EnvironmentFrom::Command)
                .without_lock()
                .only_revokes()
                .risk(Risk::High),
            host::Revoke,
        ),
    ]
}
