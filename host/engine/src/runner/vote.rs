//! Votes on approval requests: a person approves or denies a request, or withdraws an approval.
//!
//! Invariant: the right to vote is checked when the vote arrives, and again when the request has all approvals that it
//! needs and at each effect. Two accounts of one person count as one vote,
//! also if only an identity provider shows that they are of one person. One transaction stores the vote, the updated message of the request and the reply to the command.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use super::{doubt::ExtraWrites, jobs::Jobs, nothing_changed};
use crate::{
    base::{PREFIX, clean, one_line},
    command::Asker,
    hostcall::running_status,
    job::{
        ApprovalRequest, Counted, Decision, Event, HistoryError, JobHistory, ReplayPosition, approval_text, entry,
        first_card, lapsed_text,
    },
    model::name_and_id,
    store::{EntryKind, InboxRow, JobPhase, JobRow, Reaction, StoreError, Write},
};

/// The maximum length of the reason of a denial, in bytes. A longer reason is truncated.
const MAX_REASON_LENGTH: usize = 500;

/// The maximum difference between the clocks of the host and of a chat network. A reaction that is older than its
/// approval request by more than that is not an answer to the request.
const MAX_CLOCK_DIFFERENCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// A vote on an approval request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Approves the request. The value is the event id of the reaction; `None` if the person typed `approve`.
    Approve(Option<String>),
    /// Denies the request. The value is the reason; empty if the person gave none.
    Deny(String),
    /// Withdraws an approval, because its reaction was removed. The value is the event id of the reaction.
    Withdraw(String),
}

/// The reason why a vote changes nothing. The value of each variant is the reply to the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VoteError {
    /// The person may not vote on this request.
    Denied(String),
    /// The job has no open approval request, or the vote is for an older request.
    NotOpen(String),
    /// The store is unavailable or the job is busy. The vote can be retried.
    Unavailable(String),
}

impl Jobs {
    /// Returns whether a person may vote on the open approval request of a job. The person who started the job may not.
    pub(crate) async fn may_vote(&self, row: &JobRow, who: Asker<'_>) -> bool {
        if row.status.phase != JobPhase::Approval || self.context.access.same_principal(&row.caller.id, who.id) {
            return false;
        }
        let Ok(history) = JobHistory::read(&*self.context.store, &row.id).await else { return false };
        let who = Asker { bot: Some(&row.bot), ..who };
        history.ask().is_some_and(|ask| ask.needs.iter().any(|need| self.context.access.may_give(need, who)))
    }

    /// Handles a vote on a job's approval request. `number` is the number of the request; `None` if the person named
    /// only the job. Returns the reply to the person, in one line. The transaction that stores the vote also stores the
    /// changes that `with` returns for this reply.
    ///
    /// # Errors
    /// [`VoteError`]: the vote is rejected and nothing was changed.
    pub(crate) async fn vote(
        self: &Arc<Self>,
        row: JobRow,
        number: Option<u32>,
        message: &InboxRow,
        vote: Vote,
        with: ExtraWrites<'_>,
    ) -> Result<String, VoteError> {
        // Check for an open request before the job is claimed, because the task of a running job may hold the claim for
        // a long time.
        self.open_request(&row.id, number, &vote).await?;
        // Refresh the members of rooms and groups.
        self.context.access.refresh(&*self.context.outbox).await;
        let claim = self.claim(&row.id).await.map_err(VoteError::Unavailable)?;
        // Check again with the claim, then store the events, the status and the messages.
        let (row, history, ask) = self.open_request(&row.id, number, &vote).await?;
        if matches!(message.reaction, Some(Reaction::Given { .. }))
            && history
                .asked_at()
                .is_some_and(|asked| message.at.saturating_add(MAX_CLOCK_DIFFERENCE).is_ok_and(|at| at < asked))
        {
            return Err(VoteError::NotOpen(format!(
                "The reaction is older than the approval request of job {}.",
                row.id
            )));
        }
        let (events, reply) = self.evaluate(&row, &ask, message, vote)?;
        let now = self.context.clock.now();
        let after = events.iter().fold(ask, ApprovalRequest::with);
        let decided = after.decision.is_some();
        let entries = events.iter().map(|event| entry(&row, EntryKind::Event, json!(event), now));
        let mut writes = entry::append(entries, history.next());
        if !events.is_empty() {
            let status = if decided { running_status(now) } else { self.approval_status(&row, &after, now) };
            writes.push(Write::JobStatus { job: row.id.clone(), status: status.clone() });
            writes.push(Write::Send(self.approval_message(&row, &after, now)));
            let edits =
                self.context.outbox.chat(&row.bot, &row.inbox.network).is_some_and(|chat| chat.features().edits);
            // On a network without edits, a new card would repeat the message of the request.
            if !decided && edits {
                writes.push(Write::Send(first_card(&JobRow { status, ..row.clone() })));
            }
        }
        writes.extend(with(&reply));
        self.context.store.commit(writes).await.map_err(unavailable)?;
        self.context.outbox.wake();
        self.context.alarm.notify_one();
        drop(claim);
        if decided {
            self.dispatch(JobRow { status: running_status(now), ..row });
        }
        Ok(reply)
    }

    /// Returns a job with its history and its open approval request.
    ///
    /// # Errors
    /// [`VoteError::NotOpen`] in each of these cases:
    /// - The job has no open request.
    /// - `number` is the number of another request.
    /// - The vote approves the second or a later request of the job, but does not name its number.
    /// - The deadline of the request has passed.
    ///
    /// [`VoteError::Unavailable`] if the store is unavailable.
    async fn open_request(
        &self,
        id: &str,
        number: Option<u32>,
        vote: &Vote,
    ) -> Result<(JobRow, JobHistory, ApprovalRequest), VoteError> {
        let over = |why: &str| VoteError::NotOpen(format!("Job {id} does not wait for approval{why}."));
        let row = self.context.store.job(id).await.map_err(unavailable)?.ok_or_else(|| over(""))?;
        if row.end.is_some() {
            return Err(over(": it has ended"));
        }
        let history = match JobHistory::read(&*self.context.store, id).await {
            Ok(history) => history,
            Err(HistoryError::Store(error)) => return Err(unavailable(error)),
            Err(broken) => return Err(over(&format!(": {broken}"))),
        };
        let ask = history.ask().ok_or_else(|| over(""))?;
        match (history.position(), &ask.decision) {
            (ReplayPosition::AwaitingApproval, _) => {}
            (_, Some(Decision::Approved)) => return Err(over(": it was approved")),
            (_, Some(Decision::NotApproved(_))) => return Err(over(": it was not approved")),
            (_, None) => return Err(over("")),
        }
        match number {
            Some(number) if number != ask.number => {
                return Err(VoteError::NotOpen(format!(
                    "Job {id} has requested approval again, so this vote is out of date. Vote on the newest request."
                )));
            }
            // A person who typed only the job's id may not have read the newest request.
            None if ask.number > 1 && matches!(vote, Vote::Approve(_)) => {
                let handle = approval_text::argument(id, ask.number);
                return Err(VoteError::NotOpen(format!(
                    "Job {id} has requested approval again with another plan. Read the new plan, then run \
                     `{PREFIX}approve {handle}`."
                )));
            }
            _ => {}
        }
        if self.context.monotonic.now() >= ask.until {
            return Err(over(": the deadline has passed"));
        }
        if matches!(vote, Vote::Approve(_)) && self.was_given_up(id, &ask).await.map_err(unavailable)? {
            return Err(VoteError::NotOpen(format!(
                "The chat server rejected the text of this request, so nobody could read what job {id} will do, and \
                 nobody can approve it. Run `{PREFIX}cancel {id}`."
            )));
        }
        Ok((row, history, ask))
    }

    /// Returns whether the message of an approval request was given up, because the network does not accept its text.
    async fn was_given_up(&self, id: &str, ask: &ApprovalRequest) -> Result<bool, StoreError> {
        let (store, key) = (&self.context.store, approval_text::key(id, ask.number));
        if store.event_of_key(&key).await?.is_some() {
            return Ok(false);
        }
        // The message was sent or waits, or it was given up.
        let waits = store.outbox().await?.iter().any(|pending| pending.row.key == key);
        Ok(!waits && store.event_of_key(&key).await?.is_none())
    }

    /// Checks a vote. Returns the events to add to the job's journal, and the reply to the person. `ask` is the open
    /// request. `message` is the command or the reaction.
    ///
    /// # Errors
    /// [`VoteError::Denied`] if the person may not vote. [`VoteError::NotOpen`] if a reaction was removed that is not
    /// an approval of the request.
    fn evaluate(
        &self,
        row: &JobRow,
        ask: &ApprovalRequest,
        message: &InboxRow,
        vote: Vote,
    ) -> Result<(Vec<Event>, String), VoteError> {
        let (access, number) = (&self.context.access, ask.number);
        // Only roles that count for the job's bot apply.
        let (by, who) = (&message.sender, Asker { bot: Some(&row.bot), ..Asker::from(message) });
        let name = name_and_id(&by.id, &by.name);
        if let Vote::Withdraw(reaction) = &vote {
            let given = ask.given.iter().find(|given| given.is_by_reaction(reaction));
            let Some(given) = given else {
                return Err(VoteError::NotOpen(format!("The removed reaction was not an approval of job {}.", row.id)));
            };
            let approver = name_and_id(&given.id, &given.name);
            // On some networks a moderator can remove another person's reaction.
            let about = match access.same_person(&given.id, &by.id) {
                true => format!("{approver} withdraws the approval"),
                false => format!("{name} removes the approval of {approver}"),
            };
            let event = Event::ApprovalWithdrawn { ask: number, by: given.id.clone(), about: about.clone() };
            return Ok((vec![event], format!("job {}: {about}", row.id)));
        }
        if access.same_principal(&by.id, &row.caller.id) {
            return Err(VoteError::Denied(format!(
                "You started job {} yourself, so somebody else has to approve it: {}.",
                row.id,
                self.who_can(row, ask)
            )));
        }
        let counts: BTreeSet<usize> =
            ask.needs.iter().enumerate().filter(|(_, need)| access.may_give(need, who)).map(|(at, _)| at).collect();
        if counts.is_empty() {
            let help = self.who_can(row, ask);
            return Err(VoteError::Denied(format!("You may not approve job {}. It needs {help}.", row.id)));
        }
        match vote {
            Vote::Deny(reason) => {
                let mut reason = one_line(reason.trim());
                reason.truncate(reason.floor_char_boundary(MAX_REASON_LENGTH));
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                let about = format!("denied by {name}{why}");
                let event = Event::NotApproved { ask: number, by: Some(by.id.clone()), about };
                Ok((vec![event], format!("job {} is not approved", row.id)))
            }
            Vote::Approve(reaction)
                if let Some(given) = ask.given.iter().find(|given| access.same_principal(&given.id, &by.id))
                    && !ask.lapsed(access, &row.bot).any(|lapsed| lapsed.id == given.id) =>
            {
                // An approval by command replaces an approval by reaction. If the reaction is removed later, the
                // approval stays.
                let typed = reaction.is_none() && given.reaction.is_some();
                let about = format!("{name} approves again by command");
                let repeated = Counted { reaction: None, ..given.clone() };
                let event = typed.then_some(Event::ApprovalGiven { ask: number, by: repeated, about });
                let reply = format!("job {}: you have already approved; {}", row.id, approval_text::approval_line(ask));
                Ok((event.into_iter().collect(), reply))
            }
            Vote::Approve(reaction) => {
                // 1. Withdraw the approvals of people who have lost their role since they approved.
                let lapsed = ask.lapsed(access, &row.bot).map(|given| Event::ApprovalWithdrawn {
                    ask: number,
                    by: given.id.clone(),
                    about: lapsed_text(given),
                });
                let mut events: Vec<Event> = lapsed.collect();
                // 2. Add the approval.
                let room = Some((message.key.network.clone(), message.key.room.clone()));
                let is_direct = |at: &usize| access.may_give_directly(&ask.needs[*at], who);
                let direct = counts.iter().all(is_direct);
                let counted = Counted { id: by.id.clone(), name: clean(&by.name), counts, reaction, room, direct };
                events.push(Event::ApprovalGiven { ask: number, by: counted, about: format!("{name} approves") });
                let after = events.iter().fold(ask.clone(), ApprovalRequest::with);
                if !after.is_met() {
                    return Ok((events, format!("job {}: {}", row.id, approval_text::approval_line(&after))));
                }
                let until = ask.valid_from(self.context.monotonic.now());
                events.push(Event::Approved { ask: number, until, about: "the job is approved".to_owned() });
                Ok((events, format!("job {} is approved and continues", row.id)))
            }
            Vote::Withdraw(_) => unreachable!("handled above"),
        }
    }

    /// Describes who can approve an approval request: `the role deployer: @bob:example.org`.
    fn who_can(&self, row: &JobRow, ask: &ApprovalRequest) -> String {
        let roles: BTreeSet<&str> = ask.needs.iter().flat_map(|need| &need.from).map(String::as_str).collect();
        let roles: Vec<&str> = roles.into_iter().collect();
        let people = self.people_to_mention(row, ask);
        let roles = format!("the role {}", roles.join(" or "));
        if people.is_empty() { roles } else { format!("{roles}: {}", people.join(", ")) }
    }
}

fn unavailable(error: StoreError) -> VoteError {
    VoteError::Unavailable(nothing_changed(error))
}
