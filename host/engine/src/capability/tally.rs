//! What an invocation did, for its line, its closing words and the reviewer: counts, and each refusal.

use std::collections::BTreeMap;

use super::{Kind, Reason, TABLE};
use crate::port::store::CallCount;

/// A call that was refused, for the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The call's name.
    pub call: &'static str,
    /// What it was about: `cms/production version 1.0.2`.
    pub about: String,
    /// Everything that stands in its way.
    pub reasons: Vec<Reason>,
}

impl Denied {
    /// The reasons in one line.
    pub fn texts(&self) -> String {
        let texts: Vec<&str> = self.reasons.iter().map(|reason| reason.text.as_str()).collect();
        texts.join("; ")
    }
}

/// What an invocation did.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) allowed: BTreeMap<usize, u64>,
    pub(super) refused: BTreeMap<usize, u64>,
    /// Each refused call, in order; at most [`Tally::MOST_DENIED`] are kept, all are counted.
    pub denied: Vec<Denied>,
}

impl Tally {
    /// A guest that asks again and again fills no memory.
    pub const MOST_DENIED: usize = 20;

    /// Whether an acting call was allowed, whatever came of it.
    pub fn acted(&self) -> bool {
        self.allowed.keys().any(|index| TABLE[*index].kind == Kind::Acts)
    }

    /// How often each call was made.
    pub fn counts(&self) -> Vec<CallCount> {
        let rows = (0..TABLE.len()).filter_map(|index| {
            let (allowed, refused) = (self.allowed.get(&index).copied(), self.refused.get(&index).copied());
            (allowed.is_some() || refused.is_some()).then(|| CallCount {
                call: TABLE[index].name.to_owned(),
                allowed: allowed.unwrap_or(0),
                refused: refused.unwrap_or(0),
            })
        });
        rows.collect()
    }
}
