//! The interface `access` of the contract: host calls that grant, revoke and list roles in chat.
//!
//! Invariant: person, app, environment, role and duration of a grant come from the command that the host parsed, never
//! from the plugin. A role can be granted only if it has `grant_in_chat = true`, and only by an admin or an owner of
//! the app.

mod host;
mod target;

use super::table::{CallRow, contract_call};
use crate::model::{
    Attribute::{App, Environment, Person, Role},
    CallKind::{Acts, Reads},
    EnvironmentFrom, Risk,
};

pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            contract_call("access.grant", Acts, "grants a role on an app to the person whom the command names")
                .on(&[Person, Role, App, Environment], EnvironmentFrom::Command)
                .without_lock()
                .risk(Risk::High),
            host::Grant,
        ),
        CallRow::new(
            contract_call("access.list", Reads, "reads the roles that were granted in chat")
                .on(&[Person, App], EnvironmentFrom::Command),
            host::List,
        ),
        CallRow::new(
            contract_call("access.revoke", Acts, "revokes roles that the person in the command was granted in chat")
                .on(&[Person, Role, App, Environment], EnvironmentFrom::Command)
                .without_lock()
                .only_revokes()
                .risk(Risk::High),
            host::Revoke,
        ),
    ]
}
