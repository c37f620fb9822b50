//! The interface `chat` of the contract: host calls that post a message in the job's thread, and that change the stage
//! shown on the job's status card.
//!
//! Invariant: a plugin cannot post in another room or under another name, and cannot use markup.

mod host;

use super::table::{CallRow, contract_call};
use crate::model::{CallKind::Notes, EnvironmentFrom};

pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            contract_call("chat.say", Notes, "posts a message in the job's thread").on(&[], EnvironmentFrom::Command),
            host::Say,
        ),
        CallRow::new(
            contract_call("chat.stage", Notes, "changes the stage that the job's status card shows")
                .on(&[], EnvironmentFrom::Command),
            host::Stage,
        ),
    ]
}
