//! What an invocation did, for its line, its closing words and the reviewer: counts, and each refusal.

use std::collections::BTreeMap;

use crate::{
    job::Denied,
    model::{CallKind, CallSpec},
    store::CallCount,
};

/// What an invocation did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    // By the call's name: how often it was allowed, and how often refused.
    counts: BTreeMap<&'static str, (u64, u64)>,
    acted: bool,
    /// Each refused call, in order; at most [`Tally::MOST_DENIED`] are kept, all are counted.
    pub denied: Vec<Denied>,
}

impl Tally {
    /// A guest that asks again and again fills no memory.
    pub(crate) const MOST_DENIED: usize = 20;

    /// Keeps a refused call for the room.
    pub(crate) fn denied(&mut self, denied: Denied) {
        if self.denied.len() < Self::MOST_DENIED {
            self.denied.push(denied);
        }
    }

    pub(crate) fn allow(&mut self, call: &CallSpec) {
        self.acted |= matches!(call.kind, CallKind::Acts | CallKind::Keeps);
        self.counts.entry(call.name).or_default().0 += 1;
    }

    pub(crate) fn refuse(&mut self, call: &CallSpec) {
        self.counts.entry(call.name).or_default().1 += 1;
    }

    /// Whether a call that changes anything was allowed, whatever came of it.
    pub(crate) fn acted(&self) -> bool {
        self.acted
    }

    /// How often each call was made.
    pub(crate) fn counts(&self) -> Vec<CallCount> {
        let rows = self.counts.iter().map(|(call, (allowed, refused))| CallCount {
            call: (*call).to_owned(),
            allowed: *allowed,
            refused: *refused,
        });
        rows.collect()
    }
}
