//! What a job asked and what people said: read back from the events of its journal.
//!
//! Invariant: pure, and a fold over events in their order. Nobody counts twice, the one who asked never counts, and a decision
//! is final.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Plan;
use crate::{
    policy::Need,
    store::{Entry, EntryKind},
};

/// What is written down of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The job waits for others.
    ApprovalAsked {
        /// Counts the times that this job asked, from 1.
        ask: u32,
        /// What the rules want.
        needs: Vec<Need>,
        /// Until when.
        until: Timestamp,
        /// What they approve of.
        plan: Plan,
        /// In words.
        about: String,
    },
    /// Somebody approves.
    ApprovalGiven {
        /// Of which ask.
        ask: u32,
        /// Who.
        by: Counted,
        /// In words.
        about: String,
    },
    /// Somebody takes that back.
    ApprovalWithdrawn {
        /// Of which ask.
        ask: u32,
        /// Whose.
        by: String,
        /// In words.
        about: String,
    },
    /// Enough people approved.
    Approved {
        /// Of which ask.
        ask: u32,
        /// In words.
        about: String,
    },
    /// It is not approved.
    NotApproved {
        /// Of which ask.
        ask: u32,
        /// Who said no; `None` where the time was over.
        by: Option<String>,
        /// Why, one line.
        about: String,
    },
}

/// Somebody who approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Their id.
    pub(crate) id: String,
    /// What people call them.
    pub(crate) name: String,
    /// Which of the needs they count for, by place.
    pub(crate) counts: BTreeSet<usize>,
    /// The event of the reaction by which they said so, if it was one.
    pub(crate) reaction: Option<String>,
}

/// How an ask ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Enough people approved.
    Approved,
    /// It is not approved; why, one line.
    NotApproved(String),
}

/// What a job asked, and how that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApprovalRequest {
    /// Counts the times that this job asked, from 1.
    pub(crate) number: u32,
    /// What the rules want.
    pub(crate) needs: Vec<Need>,
    /// Until when.
    pub(crate) until: Timestamp,
    /// What is approved of.
    pub(crate) plan: Plan,
    /// Who approves, in the order in which they said so.
    pub(crate) given: Vec<Counted>,
    /// How it ended, if it did.
    pub(crate) decision: Option<Decision>,
}

impl ApprovalRequest {
    /// How many count for a need.
    pub(crate) fn count(&self, need: usize) -> u32 {
        let counts = self.given.iter().filter(|given| given.counts.contains(&need)).count();
        u32::try_from(counts).unwrap_or(u32::MAX)
    }

    /// Whether all that the rules want is there.
    pub(crate) fn is_met(&self) -> bool {
        !self.needs.is_empty() && self.needs.iter().enumerate().all(|(at, need)| self.count(at) >= need.count)
    }

    /// The same with one event more.
    pub(crate) fn with(mut self, event: &Event) -> Self {
        self.apply(event);
        self
    }

    fn apply(&mut self, event: &Event) {
        // What comes behind a decision changes nothing.
        if self.decision.is_some() {
            return;
        }
        match event {
            Event::ApprovalGiven { ask, by, .. } if *ask == self.number => {
                match self.given.iter_mut().find(|given| given.id == by.id) {
                    Some(given) => given.reaction.clone_from(&by.reaction),
                    None => self.given.push(by.clone()),
                }
            }
            Event::ApprovalWithdrawn { ask, by, .. } if *ask == self.number => {
                self.given.retain(|given| given.id != *by);
            }
            Event::Approved { ask, .. } if *ask == self.number => self.decision = Some(Decision::Approved),
            Event::NotApproved { ask, about, .. } if *ask == self.number => {
                self.decision = Some(Decision::NotApproved(about.clone()));
            }
            _ => {}
        }
    }
}

/// The newest ask of a job, as its journal has it.
pub(crate) fn latest(entries: &[Entry]) -> Option<ApprovalRequest> {
    let mut latest: Option<ApprovalRequest> = None;
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Event) {
        let Some(event) = read(&entry.body) else { continue };
        match (event, &mut latest) {
            (Event::ApprovalAsked { ask, needs, until, plan, .. }, latest) => {
                *latest = Some(ApprovalRequest { number: ask, needs, until, plan, given: Vec::new(), decision: None });
            }
            (event, Some(ask)) => ask.apply(&event),
            _ => {}
        }
    }
    latest
}

/// An event of an approval; `None` for any other.
fn read(body: &Value) -> Option<Event> {
    let word = body["event"].as_str()?;
    // Most events are others, and are not read for nothing.
    if !word.starts_with("approv") && word != "not-approved" {
        return None;
    }
    Event::deserialize(body).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::plan::PlanEnd;

    fn counted(id: &str, counts: &[usize]) -> Counted {
        Counted { id: id.to_owned(), name: id.to_owned(), counts: counts.iter().copied().collect(), reaction: None }
    }

    fn given(id: &str, counts: &[usize]) -> Event {
        Event::ApprovalGiven { ask: 1, by: counted(id, counts), about: String::new() }
    }

    fn need(count: u32) -> Need {
        Need {
            id: "r".into(),
            rule: "r".into(),
            count,
            from: vec!["deployer".into()],
            within: 1,
            places: BTreeSet::new(),
        }
    }

    fn ask(needs: Vec<Need>) -> ApprovalRequest {
        let plan = Plan { effects: Vec::new(), end: PlanEnd::Ended };
        ApprovalRequest { number: 1, needs, until: Timestamp::UNIX_EPOCH, plan, given: Vec::new(), decision: None }
    }

    #[test]
    fn each_need_is_met_by_people_who_count_for_it() {
        let ask = ask(vec![need(1), need(2)]).with(&given("a", &[0, 1]));
        assert!(!ask.is_met());
        assert!(!ask.clone().with(&given("a", &[1])).is_met(), "nobody counts twice");
        assert!(!ask.clone().with(&given("b", &[0])).is_met());
        assert!(ask.with(&given("b", &[1])).is_met());
    }

    #[test]
    fn what_needs_nobody_is_not_met_by_nobody() {
        assert!(!ask(Vec::new()).is_met());
    }

    #[test]
    fn a_word_that_is_taken_back_counts_no_more_and_a_decision_is_final() {
        let ask = ask(vec![need(1)]).with(&given("a", &[0]));
        assert!(ask.is_met());
        let back = Event::ApprovalWithdrawn { ask: 1, by: "a".into(), about: String::new() };
        assert!(!ask.clone().with(&back).is_met());
        let no = Event::NotApproved { ask: 1, by: None, about: "late".into() };
        let over = ask.clone().with(&no).with(&Event::Approved { ask: 1, about: String::new() });
        assert_eq!(over.decision, Some(Decision::NotApproved("late".into())));
        let other = Event::Approved { ask: 2, about: String::new() };
        assert_eq!(ask.with(&other).decision, None, "about another ask");
    }

    #[test]
    fn events_are_read_back_as_they_were_written() {
        let event = given("a", &[0, 3]);
        assert_eq!(read(&json!(event)), Some(event));
        for other in [json!({ "event": "cancel" }), json!({ "event": "approved" }), json!({}), json!(null)] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
