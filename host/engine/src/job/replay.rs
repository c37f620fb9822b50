//! Replay: returns the recorded results of host calls from the job's journal when the plugin runs again.
//!
//! Invariant: a host call gets only the result of its own journal entry. If the plugin's call differs from the entry,
//! the call gets no result, and the host does not continue the job.
//! Not here: reading the journal (`history`), and host calls that the journal does not contain (`hostcall`).

use std::sync::Arc;

use serde_json::Value;

use super::history::JobHistory;
use crate::store::{Entry, EntryKind, Store, StoreError};

/// The reason why a host call cannot be replayed from the journal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoReplay {
    /// The journal has another host call at this position. Holds a description of both calls in one line.
    #[error("{0}")]
    Differs(String),
    /// The blob with the body of a journal entry cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The recorded host calls of a job, and the position of the next recorded call.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    history: Arc<JobHistory>,
    at: usize,
}

/// A recorded host call and its result.
#[derive(Debug)]
pub(crate) struct ReplayStep {
    pub(crate) answer: Value,
    /// The entry that recorded the call: a call, a denial, an intent or a wait.
    pub(crate) begun: Entry,
}

impl Replay {
    pub(crate) fn new(history: Arc<JobHistory>) -> Self {
        let mut replay = Self { history, at: 1 };
        replay.skip();
        replay
    }

    /// Returns whether all recorded calls were replayed.
    pub(crate) fn is_over(&self) -> bool {
        self.at >= self.history.entries().len()
    }

    /// Returns a description of the next recorded host call, for messages: `entry 4, store.get ["k"]`. Returns `None`
    /// after the last recorded call.
    pub(crate) fn expected(&self) -> Option<String> {
        let entry = self.history.entries().get(self.at)?;
        Some(format!("entry {}, {} {}", entry.number, entry.call, entry.body["arguments"]))
    }

    /// Returns the recorded result of the plugin's next host call, `call` with `arguments`. Returns `None` after the
    /// last recorded call.
    ///
    /// # Errors
    /// [`NoReplay`].
    pub(crate) async fn next(
        &mut self,
        store: &dyn Store,
        call: &str,
        arguments: &(impl serde::Serialize + Sync),
    ) -> Result<Option<ReplayStep>, NoReplay> {
        if self.is_over() {
            return Ok(None);
        }
        let arguments = serde_json::to_value(arguments).unwrap_or_default();
        let history = self.history.clone();
        while let Some(entry) = history.entries().get(self.at) {
            let body = entry.unpack(store).await?;
            if entry.call != call || body["arguments"] != arguments {
                let expected = self.expected().unwrap_or_default();
                return Err(NoReplay::Differs(format!(
                    "the plugin called {call} {arguments}, but the next call in the journal is {expected}"
                )));
            }
            self.at += 1;
            self.skip();
            let holder = match entry.kind {
                EntryKind::Intent | EntryKind::Wait => history.result_of(entry.number),
                _ => Some(entry),
            };
            let Some(holder) = holder else {
                return Err(NoReplay::Differs(format!("journal entry {} has no result", entry.number)));
            };
            let mut body = if holder.number == entry.number { body } else { holder.unpack(store).await? };
            // The result entry has no answer if a person decided that the effect in doubt did not happen. The host call
            // then gets the result of the next recorded call. After the last recorded call, it is a new call.
            if !body["answer"].is_null() {
                return Ok(Some(ReplayStep { answer: body["answer"].take(), begun: entry.clone() }));
            }
        }
        Ok(None)
    }

    /// Moves to the next journal entry that records a host call of the plugin.
    fn skip(&mut self) {
        let own = |entry: &Entry| {
            matches!(entry.kind, EntryKind::Call | EntryKind::Denied | EntryKind::Intent | EntryKind::Wait)
        };
        while self.history.entries().get(self.at).is_some_and(|entry| !own(entry)) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::history::tests::{entry, history};

    fn replay(entries: Vec<Entry>) -> Replay {
        Replay::new(Arc::new(history(entries)))
    }

    fn next(replay: &mut Replay, call: &str, arguments: Value) -> Result<Option<Value>, String> {
        let store = crate::store::MemoryStore::new();
        let found = futures_util::FutureExt::now_or_never(replay.next(&store, call, &arguments)).unwrap();
        found.map(|found| found.map(|found| found.answer)).map_err(|error| error.to_string())
    }

    #[test]
    fn calls_are_answered_in_order_and_events_are_skipped() {
        let mut replay = replay(vec![
            entry(EntryKind::Invocation, "", json!({})),
            entry(EntryKind::Call, "store.get", json!({ "arguments": ["k"], "answer": { "Ok": 1 } })),
            entry(EntryKind::Event, "", json!({ "event": "cancel" })),
            entry(EntryKind::Intent, "pipelines.trigger", json!({ "arguments": ["p"] })),
            entry(EntryKind::Event, "", json!({ "event": "resumed" })),
            Entry { of: Some(3), ..entry(EntryKind::Result, "pipelines.trigger", json!({ "answer": { "Ok": 2 } })) },
            entry(EntryKind::Denied, "pipelines.trigger", json!({ "arguments": ["q"], "answer": { "Err": 3 } })),
        ]);
        assert_eq!(next(&mut replay, "store.get", json!(["k"])), Ok(Some(json!({ "Ok": 1 }))));
        assert_eq!(next(&mut replay, "pipelines.trigger", json!(["p"])), Ok(Some(json!({ "Ok": 2 }))));
        assert!(!replay.is_over());
        assert_eq!(next(&mut replay, "pipelines.trigger", json!(["q"])), Ok(Some(json!({ "Err": 3 }))));
        assert!(replay.is_over() && replay.expected().is_none());
        assert_eq!(next(&mut replay, "store.get", json!(["k"])), Ok(None));
    }

    #[test]
    fn a_differing_call_is_reported_with_its_entry() {
        let entries = || {
            vec![
                entry(EntryKind::Invocation, "", json!({})),
                entry(EntryKind::Call, "store.get", json!({ "arguments": ["k"], "answer": { "Ok": 1 } })),
            ]
        };
        let other = next(&mut replay(entries()), "store.get", json!(["x"])).unwrap_err();
        assert_eq!(
            other,
            "the plugin called store.get [\"x\"], but the next call in the journal is entry 1, store.get [\"k\"]"
        );
        assert!(next(&mut replay(entries()), "clock.now", json!(["k"])).is_err());
    }

    #[test]
    fn an_effect_settled_as_not_done_is_executed_again() {
        let intent = || entry(EntryKind::Intent, "pipelines.trigger", json!({ "arguments": ["p"] }));
        let not =
            |of| Entry { of: Some(of), ..entry(EntryKind::Result, "pipelines.trigger", json!({ "settled": "no" })) };
        let done = |of| Entry {
            of: Some(of),
            ..entry(EntryKind::Result, "pipelines.trigger", json!({ "answer": { "Ok": 1 } }))
        };
        let first = entry(EntryKind::Invocation, "", json!({}));
        let mut open = replay(vec![first.clone(), intent(), not(1)]);
        assert_eq!(next(&mut open, "pipelines.trigger", json!(["p"])), Ok(None));
        let mut again = replay(vec![first, intent(), not(1), intent(), done(3)]);
        assert_eq!(next(&mut again, "pipelines.trigger", json!(["p"])), Ok(Some(json!({ "Ok": 1 }))));
        assert!(again.is_over());
    }
}
