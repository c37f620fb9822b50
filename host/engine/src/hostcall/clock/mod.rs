//! The interface `clock` of the contract: host calls that read the host's time and set timers. A plugin has no other
//! clock.

mod host;

pub(crate) use host::{instant, later};

use super::table::{CallRow, contract_call};
use crate::model::CallKind::Given;

pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(contract_call("clock.after", Given, "sets a timer for `pipelines.wait`"), host::After),
        CallRow::new(contract_call("clock.now", Given, "reads the time"), host::Now),
    ]
}
