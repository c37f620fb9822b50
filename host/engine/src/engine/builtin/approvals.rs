//! What people say of a job that asks: `approve`, `deny`, and reactions on the message that asks.
//!
//! Invariant: a reaction is worth what the command is worth, and is judged by the same function. One on any other message is
//! no business of the bot's.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::jobs::{carried_out, malformed, text, unread};
use crate::{
    base::Text,
    command::{Asker, Builtin, Target},
    engine::{
        host::Host,
        verdict::{Refusal, Verdict},
    },
    hostcall::is_job_id,
    job::{HistoryError, JobHistory, Thumb, approval_text, thumb},
    messaging::may_have_unsent_request,
    policy::Authorized,
    runner::{Vote, VoteError},
    store::{InboxKey, InboxRow, JobPhase, JobQuery, JobRow, Reaction, StoreError, Write},
};

/// The line of those messages that say something of a job that asks: they are handled one after the other, in the order in
/// which they came, so that nobody's word overtakes another of theirs.
#[derive(Debug, Default)]
pub(crate) struct ReactionQueue(Mutex<Option<oneshot::Receiver<()>>>);

/// A place in the line.
#[derive(Debug)]
pub(crate) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    // Dropped when it is done, which is what the next one waits for.
    _done: oneshot::Sender<()>,
}

impl ReactionQueue {
    /// Takes the next place.
    pub(crate) fn enqueue(&self) -> Turn {
        let (done, next) = oneshot::channel();
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(next);
        Turn { before, _done: done }
    }
}

impl Turn {
    /// Waits until all that came before are done.
    pub(crate) async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = before.await;
        }
    }
}

impl From<VoteError> for Refusal {
    fn from(why: VoteError) -> Self {
        match why {
            VoteError::Denied(why) => Self::Denied(why),
            VoteError::NotOpen(why) => Self::Malformed(why),
            VoteError::Unavailable(why) => Self::Unable(why),
        }
    }
}

impl Host {
    /// The place in line of a message that says something of a job that asks; none for any other.
    pub(crate) fn turn(&self, row: &InboxRow) -> Option<Turn> {
        let command = || self.spec_of(row);
        let answers = |builtin: &Builtin| matches!(builtin, Builtin::Approve | Builtin::Deny);
        let is_vote = row.reaction.is_some()
            || command().is_some_and(|spec| matches!(&spec.target, Target::Host(builtin) if answers(builtin)));
        is_vote.then(|| self.votes.enqueue())
    }

    /// `approve [ID]`
    pub(crate) async fn approve(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        self.say_of_job(authorized, text(authorized, "id"), Vote::Approve(None)).await
    }

    /// `deny [ID] [REASON...]`
    pub(crate) async fn deny(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (mut id, reason) = (text(authorized, "id"), text(authorized, "reason"));
        let mut words: Vec<&str> = reason.into_iter().collect();
        // Where the id is left out the reason begins where it would stand.
        if let Some(word) = id
            && !is_job_id(approval_text::parse_argument(&word.to_lowercase()).0)
        {
            words.insert(0, word);
            id = None;
        }
        self.say_of_job(authorized, id, Vote::Deny(words.join(" "))).await
    }

    async fn say_of_job(&self, authorized: &Authorized, id: Option<&str>, vote: Vote) -> Result<Verdict, Refusal> {
        let message = authorized.message();
        if id.is_none() && !self.context.outbox.trusts_thread(message) {
            let why = "In this room it cannot be proven which thread a message stands in. Put the job's id behind the command.";
            return Err(malformed(why));
        }
        let (row, number) = match (id, self.asked_in(message).await.map_err(|error| unread(&error))?) {
            (None, Some((row, number))) => (row, Some(number)),
            (Some(word), _) => {
                let (id, number) = approval_text::parse_argument(word);
                (self.asking(message, id).await?, number)
            }
            (None, None) => (self.only_asking(message).await?, None),
        };
        let told = self.jobs.vote(row, number, message, vote, &|told| self.extra_writes(message, told)).await;
        carried_out(told.map_err(Refusal::from))
    }

    /// The job whose asking message a thread hangs on.
    async fn asked_in(&self, message: &InboxRow) -> Result<Option<(JobRow, u32)>, StoreError> {
        let Some(root) = &message.thread else { return Ok(None) };
        let Some(key) = self.context.store.key_of_event(&message.key.network, root).await? else { return Ok(None) };
        match approval_text::parse_key(&key) {
            Some((job, ask)) => Ok(self.context.store.job(job).await?.map(|job| (job, ask))),
            None => Ok(None),
        }
    }

    /// The job of an id, for whoever may answer it, whatever else they may see.
    async fn asking(&self, message: &InboxRow, id: &str) -> Result<JobRow, Refusal> {
        let job = self.context.store.job(&id.to_lowercase()).await.map_err(|error| unread(&error))?;
        if let Some(job) = job
            && self.jobs.may_vote(&job, Asker::from(message)).await
        {
            return Ok(job);
        }
        self.pick(message, &message.sender, Some(id), |_| true).await
    }

    /// The only job that asks and that a person may answer; where there is none, the only one that asks.
    async fn only_asking(&self, message: &InboxRow) -> Result<JobRow, Refusal> {
        let asking = JobQuery { open: Some(true), phases: Some(vec![JobPhase::Approval]), ..JobQuery::default() };
        let rows = self.context.store.jobs(&asking).await.map_err(|error| unread(&error))?;
        let mut may = Vec::new();
        for row in rows {
            if self.jobs.may_vote(&row, Asker::from(message)).await {
                may.push(row);
            }
        }
        match may.len() {
            1 => may.pop().ok_or_else(|| malformed("There is no such job.")),
            // Whoever may not answer the only one there is, is told why.
            0 => self.pick(message, &message.sender, None, |job| job.status.phase == JobPhase::Approval).await,
            _ => {
                let ids: Vec<&str> = may.iter().take(5).map(|job| job.id.as_str()).collect();
                Err(malformed(format!(
                    "Which job? {} wait for your approval: {}. Put its id behind the command.",
                    may.len(),
                    ids.join(", ")
                )))
            }
        }
    }

    /// A reaction, from the inbox to what it changes. It is dealt with in the transaction that holds this, or without a word
    /// where it says nothing to us.
    ///
    /// # Errors
    /// The store's; the reaction is kept and handled again.
    pub(crate) async fn reacted(&self, row: &InboxRow, reaction: &Reaction) -> Result<(), StoreError> {
        let store = &self.context.store;
        let meant = match reaction {
            // As if it had not been given.
            Reaction::Given { .. } if !self.context.outbox.trusts_thread(row) => None,
            Reaction::Given { on, emoji } => {
                let key = store.key_of_event(&row.key.network, on).await?;
                if key.is_none() && may_have_unsent_request(&**store, &row.key.network).await? {
                    // It may be on a message of which it is not known yet that it was sent.
                    return Err(StoreError::Unavailable("a message that asks is just being sent".to_owned()));
                }
                let asked = key.as_deref().and_then(approval_text::parse_key);
                let vote = thumb(emoji).map(|thumb| match thumb {
                    Thumb::Up => Vote::Approve(Some(row.key.event.clone())),
                    Thumb::Down => Vote::Deny(String::new()),
                });
                match (asked, vote) {
                    (Some((job, ask)), Some(vote)) => {
                        store.job(job).await?.map(|job| (job, Some(ask), vote, Some(on.clone())))
                    }
                    _ => None,
                }
            }
            Reaction::Withdrawn { given } => {
                if let Some(job) = self.asked_by(row, given).await? {
                    return self.taken_back(row, job).await;
                }
                let vote = Vote::Withdraw(given.clone());
                self.given_by(given).await?.map(|job| (job, None, vote, None))
            }
        };
        let Some((job, ask, vote, thread)) = meant else {
            store.commit(vec![Write::Handled(row.key.clone())]).await?;
            return Ok(());
        };
        let silent = |_: &str| vec![Write::Handled(row.key.clone())];
        match self.jobs.vote(job, ask, row, vote, &silent).await {
            Ok(_) => Ok(()),
            Err(VoteError::Unavailable(why)) => Err(StoreError::Unavailable(why)),
            // Said below the message that asks: a reaction has no thread of its own.
            Err(VoteError::Denied(why) | VoteError::NotOpen(why)) => {
                let said = InboxRow { thread, ..row.clone() };
                let mut writes =
                    vec![Write::AuditRecord(self.refusal_line(&said, why.clone())), Write::Handled(row.key.clone())];
                if self.reply_limiter.answer(&row.sender.id, &row.key.room, self.context.clock.now()).is_some() {
                    writes.push(Write::Send(self.say(&said, "refusal", Text::lines(why))));
                }
                store.commit(writes).await?;
                self.context.outbox.wake();
                Ok(())
            }
        }
    }

    /// The job that asks, where it was caused by this message and who takes the message back is who wrote it.
    async fn asked_by(&self, row: &InboxRow, event: &str) -> Result<Option<JobRow>, StoreError> {
        let cause = InboxKey { event: event.to_owned(), ..row.key.clone() };
        let phases = Some(vec![JobPhase::Approval]);
        let query = JobQuery { open: Some(true), phases, inbox: Some(cause), ..JobQuery::default() };
        let jobs = self.context.store.jobs(&query).await?;
        Ok(jobs.into_iter().find(|job| self.context.access.same_person(&job.caller.id, &row.sender.id)))
    }

    /// Whoever takes their command back before anybody approved of it calls it off.
    async fn taken_back(&self, row: &InboxRow, job: JobRow) -> Result<(), StoreError> {
        let done = |_: &str| vec![Write::Handled(row.key.clone())];
        match self.jobs.cancel(job, &row.sender, &done).await {
            Ok(_) => Ok(()),
            Err(why) => Err(StoreError::Unavailable(why)),
        }
    }

    /// The job of which something was said by a reaction.
    async fn given_by(&self, reaction: &str) -> Result<Option<JobRow>, StoreError> {
        let asking = JobQuery { open: Some(true), phases: Some(vec![JobPhase::Approval]), ..JobQuery::default() };
        for row in self.context.store.jobs(&asking).await? {
            let history = match JobHistory::read(&*self.context.store, &row.id).await {
                Ok(history) => history,
                Err(HistoryError::Store(error)) => return Err(error),
                // It is held when it is taken up.
                Err(_) => continue,
            };
            let gave = |ask: crate::job::ApprovalRequest| {
                ask.given.iter().any(|given| given.reaction.as_deref() == Some(reaction))
            };
            if history.ask().is_some_and(gave) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbs_of_any_skin_and_nothing_else() {
        for emoji in ["👍", "👍\u{fe0f}", "👍🏽", "👍🏿"] {
            assert_eq!(thumb(emoji), Some(Thumb::Up), "{emoji:?}");
        }
        assert_eq!(thumb("👎🏻"), Some(Thumb::Down));
        for emoji in ["", "🏽", "👍👍", "✅", "👌", "+1"] {
            assert_eq!(thumb(emoji), None, "{emoji:?}");
        }
    }
}
