//! The interface `log` of the contract: a host call that writes a line to the host's log, with the plugin's name and
//! the job's id. Log lines are not posted in the room.

mod host;

use super::table::{CallRow, contract_call};
use crate::model::CallKind::Notes;

pub(super) fn rows() -> Vec<CallRow> {
    vec![CallRow::new(contract_call("log.write", Notes, "writes a line to the host's log"), host::Write)]
}
