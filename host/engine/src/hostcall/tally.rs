//! Counts the host calls of a guest and collects the refused ones, for the audit record and the closing message.

use std::collections::BTreeMap;

use crate::{
    job::Denied,
    model::{CallKind, CallSpec},
    store::CallCount,
};

/// The allowed and refused host calls of one guest run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    // The numbers of allowed and of refused calls, by call name.
    counts: BTreeMap<&'static str, (u64, u64)>,
    acted: bool,
    /// The first [`Tally::MAX_DENIED`] refused host calls, in order. Later refused calls are only counted.
    pub denied: Vec<Denied>,
}

impl Tally {
    /// The maximum number of refused calls that [`Tally::denied`] contains. The maximum bounds the memory that a plugin
    /// with many refused calls can use.
    pub(crate) const MAX_DENIED: usize = 20;

    /// Adds a refused host call to [`Tally::denied`], which the closing message lists. Does nothing if the list already
    /// has [`Tally::MAX_DENIED`] calls.
    pub(crate) fn denied(&mut self, denied: Denied) {
        if self.denied.len() < Self::MAX_DENIED {
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

    /// Returns whether a host call that changes something was allowed, even if that call failed.
    pub(crate) fn acted(&self) -> bool {
        self.acted
    }

    pub(crate) fn counts(&self) -> Vec<CallCount> {
        let counts = self.counts.iter();
        counts.map(|(&call, &(allowed, refused))| CallCount { call: call.to_owned(), allowed, refused }).collect()
    }
}
