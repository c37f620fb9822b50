//! A history read back to a plugin that runs anew.
//!
//! Invariant: a call is answered with what its own entry holds, or not at all: one that differs from its entry holds the job.
//! Not here: where the history comes from (`history`), and what is done beyond its end (`capability`).

use std::sync::Arc;

use serde_json::Value;

use super::history::JobHistory;
use crate::{
    journal::blob,
    store::{Entry, EntryKind, Store, StoreError},
};

/// Why a call is not answered from the history.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoReplay {
    /// The history has another call here; both in one line.
    #[error("{0}")]
    Differs(String),
    /// What stands beside it cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a history back for a plugin that runs anew.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    history: Arc<JobHistory>,
    at: usize,
}

/// What a call finds on the history.
#[derive(Debug)]
pub(crate) struct ReplayStep {
    /// Its answer.
    pub(crate) answer: Value,
    /// The entry that it began with.
    pub(crate) begun: Entry,
}

impl Replay {
    pub(crate) fn new(history: Arc<JobHistory>) -> Self {
        let mut replay = Self { history, at: 1 };
        replay.skip();
        replay
    }

    /// Whether what comes now was recorded.
    pub(crate) fn is_over(&self) -> bool {
        self.at >= self.history.entries().len()
    }

    /// The call that comes next on the history, for people.
    pub(crate) fn expected(&self) -> Option<String> {
        let entry = self.history.entries().get(self.at)?;
        Some(format!("entry {}, {} {}", entry.number, entry.call, entry.body["arguments"]))
    }

    /// The answer of this call; `None` where the history ends.
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
            let body = blob::unpack(store, entry).await?;
            if entry.call != call || body["arguments"] != arguments {
                let expected = self.expected().unwrap_or_default();
                return Err(NoReplay::Differs(format!("it called {call} {arguments}, and the journal has {expected}")));
            }
            self.at += 1;
            self.skip();
            let holder = match entry.kind {
                EntryKind::Intent | EntryKind::Wait => history.result_of(entry.number),
                _ => Some(entry),
            };
            let Some(holder) = holder else {
                return Err(NoReplay::Differs(format!("entry {} has no result", entry.number)));
            };
            let mut body = if holder.number == entry.number { body } else { blob::unpack(store, holder).await? };
            // Settled as not done: the same call comes again, on the history or beyond it.
            if !body["answer"].is_null() {
                return Ok(Some(ReplayStep { answer: body["answer"].take(), begun: entry.clone() }));
            }
        }
        Ok(None)
    }

    /// Steps over what the plugin did not do itself.
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
    fn calls_are_answered_in_their_order_and_events_are_stepped_over() {
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
    fn a_call_that_differs_is_shown_with_its_entry() {
        let entries = || {
            vec![
                entry(EntryKind::Invocation, "", json!({})),
                entry(EntryKind::Call, "store.get", json!({ "arguments": ["k"], "answer": { "Ok": 1 } })),
            ]
        };
        let other = next(&mut replay(entries()), "store.get", json!(["x"])).unwrap_err();
        assert_eq!(other, "it called store.get [\"x\"], and the journal has entry 1, store.get [\"k\"]");
        assert!(next(&mut replay(entries()), "clock.now", json!(["k"])).is_err());
    }

    #[test]
    fn an_effect_that_did_not_happen_is_done_beyond_the_end() {
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
