//! The interface `log`: lines in the host's log, with the plugin's name and the job's id. The room does not get them.

mod host;

use super::table::{CallRow, contract_call};
use crate::model::CallKind;

pub(super) fn rows() -> Vec<CallRow> {
    vec![CallRow::new(contract_call("log.write", CallKind::Notes, "writes a line to the host's log"), host::Write)]
}
