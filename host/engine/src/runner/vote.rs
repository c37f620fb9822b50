//! Answers to requests for approval: approve, deny, withdraw.
//!
//! Invariant: the right to answer is checked at the moment of the answer, for the person and not for the account. An
//! answer is one transaction with the updated message and the mark that the command was handled.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use super::{doubt::ExtraWrites, jobs::Jobs};
use crate::{
    base::clean,
    command::Asker,
    hostcall::working,
    job::{
        ApprovalRequest, Counted, Decision, Event, HistoryError, JobHistory, ReplayPosition, approval_text, entry,
        first_card,
    },
    model::who_is,
    store::{Entry, EntryKind, InboxRow, JobPhase, JobRow, StoreError, Write},
};

/// The maximum length of a reason, in bytes. Longer reasons are truncated.
const LONGEST_REASON: usize = 500;

/// An answer to a request for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Approval; the event id of the reaction, if it was one.
    Approve(Option<String>),
    /// Denial, with the reason.
    Deny(String),
    /// The reaction with this event id was removed.
    Withdraw(String),
}

/// Why an answer changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VoteError {
    /// The person has no right to answer.
    Denied(String),
    /// No request is open, or another one.
    NotOpen(String),
    /// The store is unavailable; try again.
    Unavailable(String),
}

impl Jobs {
    /// Whether a person may answer the open request of a job.
    pub(crate) async fn may_vote(&self, row: &JobRow, who: Asker<'_>) -> bool {
        if row.status.phase != JobPhase::Approval || self.context.access.same_person(&row.caller.id, who.id) {
            return false;
        }
        match JobHistory::read(&*self.context.store, &row.id).await {
            Ok(history) => {
                let who = Asker { bot: Some(&row.bot), ..who };
                history.ask().is_some_and(|ask| ask.needs.iter().any(|need| self.counts_for(need, who)))
            }
            Err(_) => false,
        }
    }

    /// Handles an answer. `number` is the number of the request, if the answer named it. Returns one line for the
    /// person; the same line is passed to `with`, whose writes are part of the transaction.
    ///
    /// # Errors
    /// [`VoteError`]; nothing was changed.
    pub(crate) async fn vote(
        self: &Arc<Self>,
        row: JobRow,
        number: Option<u32>,
        message: &InboxRow,
        vote: Vote,
        with: ExtraWrites<'_>,
    ) -> Result<String, VoteError> {
        // Check for an open request before the claim: a running job may hold its claim for long.
        self.open_request(&row.id, number, &vote).await?;
        // Refresh the members of rooms and groups.
        self.context.access.refresh(&*self.context.outbox).await;
        let Some(claim) = self.context.claims.claim_with_retry(&row.id).await else {
            return Err(VoteError::Unavailable(format!(
                "job {} is busy; send the command again in a few seconds",
                row.id
            )));
        };
        // Check again under the claim, then write the events, the status and the messages.
        let (row, history, ask) = self.open_request(&row.id, number, &vote).await?;
        let (events, told) = self.evaluate(&row, &ask, message, vote)?;
        let now = self.context.clock.now();
        let after = events.iter().fold(ask, ApprovalRequest::with);
        let decided = after.decision.is_some();
        let mut writes = Vec::new();
        for (event, number) in events.iter().zip(history.next()..) {
            let entry = entry(&row, EntryKind::Event, json!(event), now);
            writes.push(Write::Append(Entry { number, ..entry }));
        }
        if !events.is_empty() {
            let status = if decided { working(now) } else { self.approval_status(&row, &after, now) };
            writes.push(Write::JobStatus { job: row.id.clone(), status: status.clone() });
            writes.push(Write::Send(self.approval_message(&row, &after, now)));
            let edits =
                self.context.outbox.chat(&row.bot, &row.inbox.network).is_some_and(|chat| chat.features().edits);
            // In a network without edits a new card would repeat the request's message.
            if !decided && edits {
                writes.push(Write::Send(first_card(&JobRow { status, ..row.clone() })));
            }
        }
        writes.extend(with(&told));
        self.context.store.commit(writes).await.map_err(|error| unavailable(&error))?;
        self.context.outbox.wake();
        self.context.alarm.notify_one();
        drop(claim);
        if decided {
            self.dispatch(JobRow { status: working(now), ..row });
        }
        Ok(told)
    }

    /// The open request of a job.
    async fn open_request(
        &self,
        id: &str,
        number: Option<u32>,
        vote: &Vote,
    ) -> Result<(JobRow, JobHistory, ApprovalRequest), VoteError> {
        let over = |why: &str| VoteError::NotOpen(format!("Job {id} does not wait for approval{why}."));
        let row = self.context.store.job(id).await.map_err(|error| unavailable(&error))?.ok_or_else(|| over(""))?;
        if row.end.is_some() {
            return Err(over(": it has ended"));
        }
        let history = match JobHistory::read(&*self.context.store, id).await {
            Ok(history) => history,
            Err(HistoryError::Store(error)) => return Err(unavailable(&error)),
            Err(broken) => return Err(over(&format!(": {broken}"))),
        };
        let ask = match (history.position(), history.ask()) {
            (ReplayPosition::Approval, Some(ask)) => ask,
            (_, Some(ApprovalRequest { decision: Some(Decision::Approved), .. })) => {
                return Err(over(": it was approved"));
            }
            (_, Some(ApprovalRequest { decision: Some(Decision::NotApproved(_)), .. })) => {
                return Err(over(": it was not approved"));
            }
            _ => return Err(over("")),
        };
        match number {
            Some(number) if number != ask.number => {
                return Err(VoteError::NotOpen(format!(
                    "Job {id} has asked again since; that message is out of date. Answer the newest message."
                )));
            }
            // A person who typed only the job's id may have read only the first request.
            None if ask.number > 1 && matches!(vote, Vote::Approve(_)) => {
                let handle = approval_text::argument(id, ask.number);
                return Err(VoteError::NotOpen(format!(
                    "Job {id} has asked again with another plan: read it, then run `approve {handle}`."
                )));
            }
            _ => {}
        }
        if self.context.monotonic.now() >= ask.until {
            return Err(over(": the deadline has passed"));
        }
        Ok((row, history, ask))
    }

    /// The events that an answer adds to the journal, and the reply to the person.
    fn evaluate(
        &self,
        row: &JobRow,
        ask: &ApprovalRequest,
        message: &InboxRow,
        vote: Vote,
    ) -> Result<(Vec<Event>, String), VoteError> {
        let (access, number) = (&self.context.access, ask.number);
        // Roles that were granted through another bot do not count for this job.
        let (by, who) = (&message.sender, Asker { bot: Some(&row.bot), ..Asker::from(message) });
        let name = who_is(&by.id, &by.name);
        if let Vote::Withdraw(reaction) = &vote {
            let given = ask.given.iter().find(|given| given.reaction.as_ref() == Some(reaction));
            let Some(given) = given else {
                return Err(VoteError::NotOpen(format!("That reaction was no approval of job {}.", row.id)));
            };
            let about = format!("{} withdraws the approval", who_is(&given.id, &given.name));
            let event = Event::ApprovalWithdrawn { ask: number, by: given.id.clone(), about: about.clone() };
            return Ok((vec![event], format!("job {}: {about}", row.id)));
        }
        if access.same_person(&by.id, &row.caller.id) {
            let help = self.who_can(row, ask);
            return Err(VoteError::Denied(format!(
                "You started job {} yourself, so somebody else has to approve it: {help}.",
                row.id
            )));
        }
        let counts: BTreeSet<usize> =
            ask.needs.iter().enumerate().filter(|(_, need)| self.counts_for(need, who)).map(|(at, _)| at).collect();
        if counts.is_empty() {
            let help = self.who_can(row, ask);
            return Err(VoteError::Denied(format!("You may not approve job {}. It needs {help}.", row.id)));
        }
        match vote {
            Vote::Deny(reason) => {
                let mut reason = clean(reason.trim());
                reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                let about = format!("denied by {name}{why}");
                let event = Event::NotApproved { ask: number, by: Some(by.id.clone()), about };
                Ok((vec![event], format!("job {} is not approved", row.id)))
            }
            Vote::Approve(reaction)
                if let Some(given) = ask.given.iter().find(|given| access.same_person(&given.id, &by.id)) =>
            {
                // A typed approval replaces one by reaction, so removing the reaction no longer withdraws it.
                let typed = reaction.is_none() && given.reaction.is_some();
                let about = format!("{name} also approves by command");
                let again = Counted { reaction: None, ..given.clone() };
                let event = typed.then_some(Event::ApprovalGiven { ask: number, by: again, about });
                let told = format!("job {}: you have already approved; {}", row.id, approval_text::approval_line(ask));
                Ok((event.into_iter().collect(), told))
            }
            Vote::Approve(reaction) => {
                let counted = Counted { id: by.id.clone(), name: clean(&by.name), counts, reaction };
                let given = Event::ApprovalGiven { ask: number, by: counted, about: format!("{name} approves") };
                let after = ask.clone().with(&given);
                if !after.is_met() {
                    return Ok((vec![given], format!("job {}: {}", row.id, approval_text::approval_line(&after))));
                }
                let approved = Event::Approved { ask: number, about: "it is approved".to_owned() };
                Ok((vec![given, approved], format!("job {} is approved and continues", row.id)))
            }
            Vote::Withdraw(_) => unreachable!("handled above"),
        }
    }

    /// The roles and people that can approve, for messages.
    fn who_can(&self, row: &JobRow, ask: &ApprovalRequest) -> String {
        let roles: BTreeSet<&str> = ask.needs.iter().flat_map(|need| &need.from).map(String::as_str).collect();
        let roles: Vec<&str> = roles.into_iter().collect();
        let called = self.people_to_mention(row, ask);
        match called.is_empty() {
            true => format!("the role {}", roles.join(" or ")),
            false => format!("the role {}: {}", roles.join(" or "), called.join(", ")),
        }
    }
}

fn unavailable(error: &StoreError) -> VoteError {
    VoteError::Unavailable(format!("nothing was changed: {error}"))
}
