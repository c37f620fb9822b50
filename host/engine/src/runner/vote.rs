//! What people say of a job that asks.
//!
//! Invariant: who may say it is judged at that moment, on the person and not on the id. What is said is one transaction with
//! the message that shows it and the mark that it was dealt with.
//! Not here: what is asked (`approval`), and how answers are counted (`crate::approval`).

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use super::{doubt::WithOrder, jobs::Jobs};
use crate::{
    base::clean,
    command::Asker,
    hostcall::working,
    job::{
        ApprovalRequest, Counted, Decision, Event, HistoryError, JobHistory, ReplayPosition, approval_text, entry,
        first as first_card,
    },
    model::who_is,
    store::{Entry, EntryKind, InboxRow, JobPhase, JobRow, StoreError, Write},
};

/// A reason is kept up to here, in bytes.
const LONGEST_REASON: usize = 500;

/// What somebody says of an ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Yes; the event of the reaction, if it was one.
    Approve(Option<String>),
    /// No; why.
    Deny(String),
    /// The reaction of this event was taken away.
    Withdraw(String),
}

/// Why what somebody says changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoVote {
    /// They may not say it.
    Denied(String),
    /// There is nothing to be said, or not any more.
    Over(String),
    /// It cannot be written down now.
    Unable(String),
}

impl Jobs {
    /// Whether a person may answer for a job that asks.
    pub(crate) async fn may_vote(&self, row: &JobRow, who: Asker<'_>) -> bool {
        if row.stand.phase != JobPhase::Approval || self.context.access.same_person(&row.caller.id, who.id) {
            return false;
        }
        match JobHistory::read(&*self.context.store, &row.id).await {
            Ok(history) => {
                let who = Asker { bot: Some(&row.bot), ..who };
                history.ask().is_some_and(|ask| ask.needs.iter().any(|need| self.stands(need, who)))
            }
            Err(_) => false,
        }
    }

    /// Somebody answers. `number` says which ask is meant, where that is known. Gives what happens now, one line; `with` is given
    /// the same.
    ///
    /// # Errors
    /// [`NoVote`]; nothing was changed.
    pub(crate) async fn vote(
        self: &Arc<Self>,
        row: JobRow,
        number: Option<u32>,
        message: &InboxRow,
        vote: Vote,
        with: WithOrder<'_>,
    ) -> Result<String, NoVote> {
        // A job that does not ask is at work, perhaps for long: nobody waits for that.
        self.asking(&row.id, number, &vote).await?;
        // Who is in which room and group, as it is now.
        self.context.access.look(&*self.context.outbox).await;
        let Some(claim) = self.context.claims.claim_soon(&row.id).await else {
            return Err(NoVote::Unable(format!("job {} is being looked at; try again", row.id)));
        };
        let (row, history, ask) = self.asking(&row.id, number, &vote).await?;
        let (events, told) = self.counted(&row, &ask, message, vote)?;
        let now = self.context.clock.now();
        let after = events.iter().fold(ask, ApprovalRequest::with);
        let decided = after.decision.is_some();
        let mut writes = Vec::new();
        for (event, number) in events.iter().zip(history.next()..) {
            let entry = entry(&row, EntryKind::Event, json!(event), now);
            writes.push(Write::Enter(Entry { number, ..entry }));
        }
        if !events.is_empty() {
            let stand = if decided { working(now) } else { self.stand_of(&row, &after, now) };
            writes.push(Write::JobStatus { job: row.id.clone(), stand: stand.clone() });
            writes.push(Write::Say(self.asks(&row, &after, now)));
            let edits =
                self.context.outbox.chat(&row.bot, &row.inbox.network).is_some_and(|chat| chat.abilities().edits);
            // Elsewhere the message that asks says it once more, and that is enough.
            if !decided && edits {
                writes.push(Write::Say(first_card(&JobRow { stand, ..row.clone() })));
            }
        }
        writes.extend(with(&told));
        self.context.store.commit(writes).await.map_err(|error| unable(&error))?;
        self.context.outbox.wake();
        self.context.alarm.notify_one();
        drop(claim);
        if decided {
            self.take_up(JobRow { stand: working(now), ..row });
        }
        Ok(told)
    }

    /// What a job asks now.
    async fn asking(
        &self,
        id: &str,
        number: Option<u32>,
        vote: &Vote,
    ) -> Result<(JobRow, JobHistory, ApprovalRequest), NoVote> {
        let over = |why: &str| NoVote::Over(format!("Job {id} waits for no approval{why}."));
        let row = self.context.store.job(id).await.map_err(|error| unable(&error))?.ok_or_else(|| over(""))?;
        if row.end.is_some() {
            return Err(over(": it is over"));
        }
        let history = match JobHistory::read(&*self.context.store, id).await {
            Ok(history) => history,
            Err(HistoryError::Store(error)) => return Err(unable(&error)),
            Err(broken) => return Err(over(&format!(": {broken}"))),
        };
        let ask = match (history.standing(), history.ask()) {
            (ReplayPosition::Asks, Some(ask)) => ask,
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
                return Err(NoVote::Over(format!("Job {id} asked again since; this is about what it asked before.")));
            }
            // Whoever types the job's id alone may have seen the first message alone.
            None if ask.number > 1 && matches!(vote, Vote::Approve(_)) => {
                let handle = approval_text::handle(id, ask.number);
                return Err(NoVote::Over(format!(
                    "Job {id} asked again, for something else: look at that, and say `approve {handle}`."
                )));
            }
            _ => {}
        }
        if self.context.steady.now() >= ask.until {
            return Err(over(" any more: the time is over"));
        }
        Ok((row, history, ask))
    }

    /// What an answer adds to the journal, and what is told.
    fn counted(
        &self,
        row: &JobRow,
        ask: &ApprovalRequest,
        message: &InboxRow,
        vote: Vote,
    ) -> Result<(Vec<Event>, String), NoVote> {
        let (access, number) = (&self.context.access, ask.number);
        // What was granted through another identity than the job's does not count for it.
        let (by, who) = (&message.sender, Asker { bot: Some(&row.bot), ..Asker::from(message) });
        let name = who_is(&by.id, &by.name);
        if let Vote::Withdraw(reaction) = &vote {
            let given = ask.given.iter().find(|given| given.reaction.as_ref() == Some(reaction));
            let Some(given) = given else {
                return Err(NoVote::Over(format!("Nothing was said of job {} by that.", row.id)));
            };
            let about = format!("{} takes the approval back", who_is(&given.id, &given.name));
            let event = Event::ApprovalWithdrawn { ask: number, by: given.id.clone(), about: about.clone() };
            return Ok((vec![event], format!("job {}: {about}", row.id)));
        }
        if access.same_person(&by.id, &row.caller.id) {
            let help = self.who_can(row, ask);
            return Err(NoVote::Denied(format!(
                "You asked for job {} yourself: somebody else has to approve ({help}).",
                row.id
            )));
        }
        let counts: BTreeSet<usize> =
            ask.needs.iter().enumerate().filter(|(_, need)| self.stands(need, who)).map(|(at, _)| at).collect();
        if counts.is_empty() {
            let help = self.who_can(row, ask);
            return Err(NoVote::Denied(format!("You may not approve job {}: that takes {help}.", row.id)));
        }
        match vote {
            Vote::Deny(reason) => {
                let mut reason = clean(reason.trim());
                reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                let about = format!("{name} said no{why}");
                let event = Event::NotApproved { ask: number, by: Some(by.id.clone()), about };
                Ok((vec![event], format!("job {} is not approved", row.id)))
            }
            Vote::Approve(reaction)
                if let Some(given) = ask.given.iter().find(|given| access.same_person(&given.id, &by.id)) =>
            {
                // What is typed stands, also where a reaction that said it first is taken away.
                let typed = reaction.is_none() && given.reaction.is_some();
                let about = format!("{name} approves by command too");
                let again = Counted { reaction: None, ..given.clone() };
                let event = typed.then_some(Event::ApprovalGiven { ask: number, by: again, about });
                let told = format!("job {}: you approved already; {}", row.id, approval_text::approval_line(ask));
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
                Ok((vec![given, approved], format!("job {} is approved and goes on", row.id)))
            }
            Vote::Withdraw(_) => unreachable!("it was taken above"),
        }
    }

    /// Who can approve, in words.
    fn who_can(&self, row: &JobRow, ask: &ApprovalRequest) -> String {
        let roles: BTreeSet<&str> = ask.needs.iter().flat_map(|need| &need.from).map(String::as_str).collect();
        let roles: Vec<&str> = roles.into_iter().collect();
        let called = self.called(row, ask);
        match called.is_empty() {
            true => format!("the role {}", roles.join(" or ")),
            false => format!("the role {}: {}", roles.join(" or "), called.join(", ")),
        }
    }
}

fn unable(error: &StoreError) -> NoVote {
    NoVote::Unable(format!("nothing was changed: {error}"))
}
