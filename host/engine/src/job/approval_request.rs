//! Approval requests of a job, computed from the events in the job's journal.
//!
//! Invariant: the state of an approval request depends only on the job's events and their order. Each person has at
//! most one approval per request. Events after the final decision are ignored.
//! Not here: the check whether a person may approve (`runner`).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Plan;
use crate::{
    command::Asker,
    policy::{Access, Need},
    store::{Entry, EntryKind, Reaction},
};

/// An event about an approval request, in the form that the journal stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The job requests approval and waits for it.
    ApprovalAsked {
        /// The number of the approval request within the job, from 1.
        ask: u32,
        /// The required approvals, one entry for each approval rule.
        needs: Vec<Need>,
        /// The time at which the approval request expires.
        until: Timestamp,
        /// The effects to approve.
        plan: Plan,
        /// A description of the event in one line, which listings of the journal show.
        about: String,
    },
    /// A person approves the approval request.
    ApprovalGiven { ask: u32, by: Counted, about: String },
    /// A person withdraws an approval.
    ApprovalWithdrawn {
        ask: u32,
        /// The id of the person who gave the approval.
        by: String,
        about: String,
    },
    /// The approval request has all approvals that it needs.
    Approved {
        ask: u32,
        /// The time until which the approved effects may begin. Old journals have no value.
        #[serde(default)]
        until: Option<Timestamp>,
        about: String,
    },
    /// A person denied the approval request, or the request expired.
    NotApproved {
        ask: u32,
        /// The id of the person who denied the request; `None` if the request expired.
        by: Option<String>,
        /// The reason why the request was not approved, in one line.
        about: String,
    },
}

/// An approval that a person gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) id: String,
    /// The person's display name.
    pub(crate) name: String,
    /// The required approvals to which this approval contributes, as indexes in [`ApprovalRequest::needs`].
    pub(crate) counts: BTreeSet<usize>,
    /// The event id of the reaction with which the person approved; `None` if the person typed `approve`.
    pub(crate) reaction: Option<String>,
    /// The network and the id of the room in which the person approved. Old journals have no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<(String, String)>,
    /// Whether the person had the role directly, and not through a group or a room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) direct: bool,
}

impl Counted {
    /// Returns whether the person approved with this reaction. `given` is the value of
    /// [`Reaction::Withdrawn`](crate::store::Reaction::Withdrawn).
    pub(crate) fn is_by_reaction(&self, given: &str) -> bool {
        self.reaction.as_deref().is_some_and(|reaction| Reaction::removes(given, reaction))
    }

    /// Returns the approver as the sender of a message to a bot.
    fn asker<'c>(&'c self, bot: &'c str) -> Asker<'c> {
        let room = self.room.as_ref().map(|(network, room)| (network.as_str(), room.as_str()));
        Asker { id: &self.id, bot: Some(bot), room }
    }
}

/// The final result of an approval request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Approved,
    /// The approval request was denied or expired, or the job ended. Holds the reason in one line.
    NotApproved(String),
}

/// An approval request and its answers so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApprovalRequest {
    /// The number of the request within the job, from 1.
    pub(crate) number: u32,
    /// The required approvals, one entry for each approval rule.
    pub(crate) needs: Vec<Need>,
    /// The time at which the approval request expires.
    pub(crate) until: Timestamp,
    /// The effects to approve.
    pub(crate) plan: Plan,
    /// The approvals in the order in which they were given, without withdrawn approvals.
    pub(crate) given: Vec<Counted>,
    /// The final result; `None` while the request is open.
    pub(crate) decision: Option<Decision>,
    /// The time until which the approved effects may begin; `None` without an approval, and in old journals.
    pub(crate) valid_until: Option<Timestamp>,
}

impl ApprovalRequest {
    /// Creates a request without answers.
    pub(crate) fn new(number: u32, needs: Vec<Need>, until: Timestamp, plan: Plan) -> Self {
        Self { number, needs, until, plan, given: Vec::new(), decision: None, valid_until: None }
    }

    /// Returns the number of people who have approved so far, for the entry of [`Self::needs`] with the index `need`.
    pub(crate) fn count(&self, need: usize) -> u32 {
        let counts = self.given.iter().filter(|given| given.counts.contains(&need)).count();
        u32::try_from(counts).unwrap_or(u32::MAX)
    }

    /// Returns the approvals of people who no longer have a role that can give these approvals. `bot` is the job's bot.
    /// Leaves out an approval of a member of a group or a room while the members of the role cannot be read.
    pub(crate) fn lapsed<'r>(&'r self, access: &'r Access, bot: &'r str) -> impl Iterator<Item = &'r Counted> {
        self.given.iter().filter(move |given| {
            let may_give = |at: &usize| {
                let may_give = |need: &Need| {
                    access.may_give(need, given.asker(bot)) || !given.direct && !access.knows_members(&need.from)
                };
                self.needs.get(*at).is_some_and(may_give)
            };
            !given.counts.iter().all(may_give)
        })
    }

    /// Returns whether enough people have approved for every entry of [`Self::needs`]. Returns `false` if `needs` is
    /// empty.
    pub(crate) fn is_met(&self) -> bool {
        !self.needs.is_empty() && self.needs.iter().enumerate().all(|(at, need)| self.count(at) >= need.count)
    }

    /// Returns the time until which the effects may begin if the request is approved at the time `now`: the shortest
    /// validity of the required approvals counts.
    pub(crate) fn valid_from(&self, now: Timestamp) -> Option<Timestamp> {
        let valid = self.needs.iter().map(|need| need.valid).min()?;
        let valid = jiff::SignedDuration::from_millis(i64::try_from(valid).unwrap_or(i64::MAX));
        Some(now.saturating_add(valid).unwrap_or(Timestamp::MAX))
    }

    /// Returns this approval request with one more event applied.
    pub(crate) fn with(mut self, event: &Event) -> Self {
        // A decision is final.
        if self.decision.is_some() {
            return self;
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
            Event::Approved { ask, until, .. } if *ask == self.number => {
                self.decision = Some(Decision::Approved);
                self.valid_until = *until;
            }
            Event::NotApproved { ask, about, .. } if *ask == self.number => {
                self.decision = Some(Decision::NotApproved(about.clone()));
            }
            _ => {}
        }
        self
    }
}

/// Returns the newest approval request of a job, or `None` if the job has requested no approval.
pub(crate) fn latest(entries: &[Entry]) -> Option<ApprovalRequest> {
    let events = entries.iter().filter(|entry| entry.kind == EntryKind::Event).filter_map(|entry| read(&entry.body));
    events.fold(None, |latest: Option<ApprovalRequest>, event| match event {
        Event::ApprovalAsked { ask, needs, until, plan, .. } => Some(ApprovalRequest::new(ask, needs, until, plan)),
        answer => latest.map(|ask| ask.with(&answer)),
    })
}

fn read(body: &Value) -> Option<Event> {
    let name = body["event"].as_str()?;
    // Most events are not about approvals. The check of the name avoids parsing these events.
    if !name.starts_with("approv") && name != "not-approved" {
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
        let counts = counts.iter().copied().collect();
        Counted { id: id.to_owned(), name: id.to_owned(), counts, reaction: None, room: None, direct: false }
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
            valid: 1,
            targets: BTreeSet::new(),
        }
    }

    fn ask(needs: Vec<Need>) -> ApprovalRequest {
        let plan = Plan { effects: Vec::new(), end: PlanEnd::Ended };
        ApprovalRequest::new(1, needs, Timestamp::UNIX_EPOCH, plan)
    }

    #[test]
    fn a_reaction_is_recognized_by_its_id_or_by_the_part_before_its_time() {
        let by = |reaction: &str| Counted { reaction: Some(reaction.to_owned()), ..counted("a", &[0]) };
        assert!(by("reaction:p:u:+1:5").is_by_reaction("reaction:p:u:+1:5"));
        assert!(by("reaction:p:u:+1:5").is_by_reaction("reaction:p:u:+1:"));
        for other in ["reaction:p:u:+1:", "reaction:p:u:+1", "", "reaction:p:u:+1:55"] {
            assert!(!by("reaction:p:u:+10:5").is_by_reaction(other), "{other}");
        }
        assert!(!counted("a", &[0]).is_by_reaction("reaction:p:u:+1:"), "an approval by command");
    }

    #[test]
    fn a_need_is_met_only_by_people_who_count_for_it() {
        let ask = ask(vec![need(1), need(2)]).with(&given("a", &[0, 1]));
        assert!(!ask.is_met());
        assert!(!ask.clone().with(&given("a", &[1])).is_met(), "nobody counts twice");
        assert!(!ask.clone().with(&given("b", &[0])).is_met());
        assert!(ask.with(&given("b", &[1])).is_met());
    }

    #[test]
    fn a_request_without_needs_is_never_met() {
        assert!(!ask(Vec::new()).is_met());
    }

    #[test]
    fn a_withdrawn_approval_does_not_count_and_a_decision_is_final() {
        let ask = ask(vec![need(1)]).with(&given("a", &[0]));
        assert!(ask.is_met());
        let back = Event::ApprovalWithdrawn { ask: 1, by: "a".into(), about: String::new() };
        assert!(!ask.clone().with(&back).is_met());
        let no = Event::NotApproved { ask: 1, by: None, about: "late".into() };
        let over = ask.clone().with(&no).with(&Event::Approved { ask: 1, until: None, about: String::new() });
        assert_eq!(over.decision, Some(Decision::NotApproved("late".into())));
        let other = Event::Approved { ask: 2, until: None, about: String::new() };
        assert_eq!(ask.with(&other).decision, None, "the event is for another request");
    }

    #[test]
    fn approval_events_round_trip_through_json() {
        let event = given("a", &[0, 3]);
        assert_eq!(read(&json!(event)), Some(event));
        for other in [json!({ "event": "cancel" }), json!({ "event": "approved" }), json!({}), json!(null)] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
