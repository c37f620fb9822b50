//! The executions as they were seen last, with the questions of their manual judgements.
//!
//! The poller requests lists without details. The output of a run is made from them without a further request, and the
//! question of a judgement is requested once.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use wardroom::adapter::Gate;

use crate::client::Execution;

/// The number of executions that are kept. The ids are ordered by the times at which the executions were started.
const MAX_KEPT: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<BTreeMap<String, Snapshot>>);

#[derive(Debug, Default)]
struct Snapshot {
    execution: Arc<Execution>,
    /// By the id of the stage.
    gates: BTreeMap<String, Gate>,
}

impl Snapshots {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Execution>> {
        self.0.lock().get(id).map(|snapshot| snapshot.execution.clone())
    }

    /// Keeps an execution, and the gates of its stages that wait for a person now.
    pub(crate) fn keep(&self, execution: Arc<Execution>, gates: &[Gate]) {
        let mut kept = self.0.lock();
        let gates = gates.iter().map(|gate| (gate.id.clone(), gate.clone())).collect();
        kept.insert(execution.id.clone(), Snapshot { execution, gates });
        if kept.len() > MAX_KEPT {
            kept.pop_first();
        }
    }

    /// Returns the gate of a stage, if it was requested before.
    pub(crate) fn gate(&self, id: &str, stage: &str) -> Option<Gate> {
        self.0.lock().get(id)?.gates.get(stage).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_executions_are_dropped() {
        let snapshots = Snapshots::default();
        for at in 0..=MAX_KEPT {
            let execution = Execution { id: format!("{at:05}"), ..Execution::default() };
            snapshots.keep(Arc::new(execution), &[]);
        }
        assert!(snapshots.get("00000").is_none() && snapshots.get("00001").is_some());
        let gate = Gate { id: "j".to_owned(), message: "Go?".to_owned(), choices: Vec::new() };
        let execution = Execution { id: "00001".to_owned(), ..Execution::default() };
        snapshots.keep(Arc::new(execution), std::slice::from_ref(&gate));
        assert_eq!((snapshots.gate("00001", "j"), snapshots.gate("00002", "j")), (Some(gate), None));
    }
}
