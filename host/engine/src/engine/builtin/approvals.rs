//! Handles votes on approval requests: the commands `approve` and `deny`, and reactions on the approval request.
//!
//! Invariant: a reaction has the same effect as the command, and one function checks both. Reactions on other messages
//! are ignored.

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::jobs::{malformed, only_job, read_failed, text};
use crate::{
    base::{PREFIX, Text},
    command::{Asker, Builtin, Target},
    engine::{
        host::Host,
        verdict::{Refusal, Verdict},
    },
    job::{HistoryError, JobHistory, Thumb, approval_text, thumb},
    messaging::may_have_unsent_request,
    model::parse_job_argument,
    policy::Authorized,
    runner::{Vote, VoteError},
    store::{InboxKey, InboxRow, JobPhase, JobQuery, JobRow, Reaction, StoreError, Write},
};

/// The queue of votes. Votes are handled one after the other in the order of arrival, so that a person's earlier vote
/// never overwrites a later vote of the same person.
#[derive(Debug, Default)]
pub(crate) struct ReactionQueue(Mutex<Option<oneshot::Receiver<()>>>);

/// The position of one vote in the queue. The next vote is handled when this value is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    // Dropped with the turn. The next turn in the queue then ends its wait.
    _done: oneshot::Sender<()>,
}

impl ReactionQueue {
    pub(crate) fn enqueue(&self) -> Turn {
        let (done, next) = oneshot::channel();
        let before = self.0.lock().replace(next);
        Turn { before, _done: done }
    }
}

impl Turn {
    /// Waits until all earlier votes in the queue are handled.
    pub(crate) async fn wait(&mut self) {
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
    /// Adds a message to the queue of votes and returns its position. Returns `None` if the message is not a vote.
    pub(crate) fn vote_turn(&self, row: &InboxRow) -> Option<Turn> {
        let is_vote = row.reaction.is_some()
            || self
                .spec_of(row)
                .is_some_and(|spec| matches!(spec.target, Target::Host(Builtin::Approve | Builtin::Deny)));
        is_vote.then(|| self.votes.enqueue())
    }

    /// Runs `approve [ID]`.
    pub(crate) async fn approve(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        self.vote_on_job(authorized, text(authorized, "id"), Vote::Approve(None)).await
    }

    /// Runs `deny [ID] [REASON...]`.
    pub(crate) async fn deny(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let reason = text(authorized, "reason").unwrap_or_default().to_owned();
        self.vote_on_job(authorized, text(authorized, "id"), Vote::Deny(reason)).await
    }

    async fn vote_on_job(&self, authorized: &Authorized, id: Option<&str>, vote: Vote) -> Result<Verdict, Refusal> {
        let message = authorized.message();
        if id.is_none() && !self.context.outbox.trusts_thread(message) {
            let why = format!(
                "In this room, the bot cannot be sure in which thread your message is, so the job that you mean is \
                 unknown. Add the job's id to the command, for example `{PREFIX}approve 7f3ak`."
            );
            return Err(malformed(why));
        }
        let (row, number) = match (id, self.request_of_thread(message).await.map_err(read_failed)?) {
            (None, Some((row, number))) => (row, Some(number)),
            (Some(word), _) => {
                let (id, number) = parse_job_argument(word);
                (self.votable_job(message, id).await?, number)
            }
            (None, None) => (self.only_votable_job(message).await?, None),
        };
        let answer = self.jobs.vote(row, number, message, vote, &|answer| self.extra_writes(message, answer)).await;
        Ok(Verdict::CarriedOut(answer?))
    }

    /// Returns the job and the number of an approval request, if the message is in the thread of this request. Returns
    /// `None` for other messages.
    async fn request_of_thread(&self, message: &InboxRow) -> Result<Option<(JobRow, u32)>, StoreError> {
        let Some(root) = &message.thread else { return Ok(None) };
        let Some(key) = self.context.store.key_of_event(&message.key.network, root).await? else { return Ok(None) };
        let Some((job, ask)) = approval_text::parse_key(&key) else { return Ok(None) };
        Ok(self.context.store.job(job).await?.map(|job| (job, ask)))
    }

    /// Returns the job with the id `id`, if the sender of the message may see the job or vote on it.
    ///
    /// # Errors
    /// Fails with a refusal if the job does not exist, or if the sender may neither see the job nor vote on it.
    async fn votable_job(&self, message: &InboxRow, id: &str) -> Result<JobRow, Refusal> {
        let job = self.context.store.job(&id.to_lowercase()).await.map_err(read_failed)?;
        if let Some(job) = job
            && self.jobs.may_vote(&job, Asker::from(message)).await
        {
            return Ok(job);
        }
        self.pick(message, &message.sender, Some(id), |_| true).await
    }

    /// Returns the only job on which the sender of the message may vote. If there are several such jobs, returns a
    /// refusal that lists them. If there is no such job, returns the only job that waits for approval and is visible to
    /// the sender. [`Jobs::vote`](crate::runner::Jobs::vote) then refuses the vote and names the missing role.
    async fn only_votable_job(&self, message: &InboxRow) -> Result<JobRow, Refusal> {
        // In the thread of a job, no other job is meant.
        let mut rows = self.jobs_of_thread(message).await?;
        if rows.is_empty() {
            let asking = JobQuery { open: Some(true), phases: Some(vec![JobPhase::Approval]), ..JobQuery::default() };
            rows = self.context.store.jobs(&asking).await.map_err(read_failed)?;
        }
        rows.retain(|job| job.end.is_none() && job.status.phase == JobPhase::Approval);
        let mut may = Vec::new();
        for row in rows {
            if self.jobs.may_vote(&row, Asker::from(message)).await {
                may.push(row);
            }
        }
        let several = |count: usize, ids: &str| {
            format!("{count} jobs wait for your approval: {ids}. Add the id of one of them to the command.")
        };
        match only_job(may, several)? {
            Some(job) => Ok(job),
            None => self.pick(message, &message.sender, None, |job| job.status.phase == JobPhase::Approval).await,
        }
    }

    /// Handles a reaction. One transaction stores the vote and marks the reaction as handled. A reaction that is not a
    /// vote is only marked as handled.
    ///
    /// # Errors
    /// Fails if the store is unavailable. The reaction stays unhandled and is retried.
    pub(crate) async fn handle_reaction(&self, row: &InboxRow, reaction: &Reaction) -> Result<(), StoreError> {
        let store = &self.context.store;
        // A reaction that is retried can be removed meanwhile, which marks it as handled.
        if store.is_handled(&row.key).await? == Some(true) {
            return Ok(());
        }
        // 1. Determine the job, the approval request and the vote.
        let meant = match reaction {
            // Ignore the reaction: the network cannot prove to which message it belongs.
            Reaction::Given { .. } if !self.context.outbox.trusts_thread(row) => None,
            Reaction::Given { on, emoji } => {
                let key = store.key_of_event(&row.key.network, on).await?;
                if key.is_none() && may_have_unsent_request(&**store, &row.key.network).await? {
                    // The reaction can be on an approval request whose event id is not stored yet. Retry the reaction.
                    return Err(StoreError::Unavailable("an approval request is still being sent".to_owned()));
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
                if let Some(job) = self.job_of_message(row, given).await? {
                    return self.retract(row, job).await;
                }
                let vote = Vote::Withdraw(given.clone());
                self.job_of_reaction(given).await?.map(|job| (job, None, vote, None))
            }
        };
        // 2. Mark a reaction that is not a vote as handled. If a reaction was removed before it counted, it never counts.
        let Some((job, ask, vote, thread)) = meant else {
            let mut writes = vec![Write::Handled(row.key.clone())];
            if let Reaction::Withdrawn { given } = reaction {
                let is_removed = |other: &InboxRow| {
                    other.reaction.is_some()
                        && (&other.key.network, &other.key.room) == (&row.key.network, &row.key.room)
                        && Reaction::removes(given, &other.key.event)
                        && other.at <= row.at
                };
                let waiting = store.unhandled().await?.into_iter().filter(is_removed);
                writes.extend(waiting.map(|other| Write::Handled(other.key)));
            }
            store.commit(writes).await?;
            return Ok(());
        };
        // 3. Vote. Answer only a refused vote.
        let silent = |_: &str| vec![Write::Handled(row.key.clone())];
        match self.jobs.vote(job, ask, row, vote, &silent).await {
            Ok(_) => Ok(()),
            Err(VoteError::Unavailable(why)) => Err(StoreError::Unavailable(why)),
            // A reaction has no thread, so the refusal goes into the thread of the approval request.
            Err(VoteError::Denied(why) | VoteError::NotOpen(why)) => {
                let in_thread = InboxRow { thread, ..row.clone() };
                let record = self.refusal_line(&in_thread, why.clone());
                let mut writes = vec![Write::AuditRecord(record), Write::Handled(row.key.clone())];
                if self.reply_limiter.answer(&row.sender.id, &row.key.room, self.context.clock.now()).is_some() {
                    writes.push(Write::Send(self.say(&in_thread, "refusal", Text::lines(why))));
                }
                store.commit(writes).await?;
                self.context.outbox.wake();
                Ok(())
            }
        }
    }

    /// Returns the job that a deleted message had started, if the job waits for approval. `event` is the event id of
    /// the deleted message. Returns `None` if somebody other than the message's sender deleted the message.
    async fn job_of_message(&self, row: &InboxRow, event: &str) -> Result<Option<JobRow>, StoreError> {
        let cause = InboxKey { event: event.to_owned(), ..row.key.clone() };
        let phases = Some(vec![JobPhase::Approval]);
        let query = JobQuery { open: Some(true), phases, inbox: Some(cause), ..JobQuery::default() };
        let jobs = self.context.store.jobs(&query).await?;
        Ok(jobs.into_iter().find(|job| self.context.access.same_person(&job.caller.id, &row.sender.id)))
    }

    /// Cancels a job that waits for approval, because the message with its command was deleted.
    async fn retract(&self, row: &InboxRow, job: JobRow) -> Result<(), StoreError> {
        let done = |_: &str| vec![Write::Handled(row.key.clone())];
        self.jobs.cancel(job, &row.sender, &done).await.map_err(StoreError::Unavailable)?;
        Ok(())
    }

    /// Returns the job whose open approval request counts a reaction as an approval. `reaction` is the event id of the
    /// reaction, or the part of it that ends with `:`. Returns `None` if the reaction does not count as an approval of
    /// any open request.
    async fn job_of_reaction(&self, reaction: &str) -> Result<Option<JobRow>, StoreError> {
        let asking = JobQuery { open: Some(true), phases: Some(vec![JobPhase::Approval]), ..JobQuery::default() };
        for row in self.context.store.jobs(&asking).await? {
            let history = match JobHistory::read(&*self.context.store, &row.id).await {
                Ok(history) => history,
                Err(HistoryError::Store(error)) => return Err(error),
                // The runner holds a job with an unreadable journal.
                Err(_) => continue,
            };
            let gave = |ask: crate::job::ApprovalRequest| ask.given.iter().any(|given| given.is_by_reaction(reaction));
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
