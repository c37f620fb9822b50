//! `log`: lines in the operator's log, with the plugin's name and the job's id. The room does not see them.

mod host;

use super::table::{CallRow, own};
use crate::model::CallKind;

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![CallRow::new(own("log.write", CallKind::Notes, "writes a line to the operator's log"), host::Write)]
}
