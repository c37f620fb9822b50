//! `clock`: the host's time, and timers. A guest has no other clock.

mod host;

pub(crate) use host::{instant, later};

use super::table::{CallRow, own};
use crate::model::CallKind;

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(own("clock.after", CallKind::Given, "sets a timer that can be waited for"), host::After),
        CallRow::new(own("clock.now", CallKind::Given, "reads the time"), host::Now),
    ]
}
