//! `chat`: messages in the job's own thread, and the stage on its status card.
//!
//! Invariant: a guest writes in no other room, under no other name, and no markup.

mod host;

use super::table::{CallRow, own};
use crate::model::{CallKind, EnvironmentFrom};

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            own("chat.say", CallKind::Notes, "says something in the job's own thread")
                .on(&[], EnvironmentFrom::Command),
            host::Say,
        ),
        CallRow::new(
            own("chat.stage", CallKind::Notes, "puts a word on the job's status card")
                .on(&[], EnvironmentFrom::Command),
            host::Stage,
        ),
    ]
}
