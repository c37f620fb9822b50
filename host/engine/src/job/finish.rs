//! The end of a job: its plugin ended, its runs are followed to theirs, and the room is told.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Job, Jobs, Tape,
    drive::{Step, Trouble},
    entry,
    follow::follow,
    run_of, said, title,
};
use crate::{
    capability::{Denied, Tally},
    message::Person,
    plugin::GuestEnd,
    port::{
        Outcome,
        store::{EntryKind, JobEnd, JobOutcome, JobRow, OutboxRow, Purpose, Write},
    },
    reply::{Text, closing, emoji, took},
};

/// How a plugin ended, as it stands in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// How.
    pub(crate) end: Way,
    /// What it said, or why it was ended.
    pub(crate) text: String,
    /// A failure's code.
    pub(crate) code: String,
    /// Whether it says that something went less well than it should.
    pub(crate) warnings: bool,
    /// What the rules refused it.
    pub(crate) denied: Vec<Denied>,
    /// Whether a call that changes anything was allowed.
    pub(crate) acted: bool,
}

/// The ways in which a plugin ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// It did its work.
    Reply,
    /// It says that it did not.
    Failure,
    /// It reached a limit.
    Limit,
    /// It broke.
    Trap,
}

impl Ended {
    pub(crate) fn of(end: GuestEnd, tally: Tally) -> Self {
        let (end, text, code, warnings) = match end {
            GuestEnd::Reply(reply) => (Way::Reply, reply.text, String::new(), reply.warnings),
            GuestEnd::Failure(failure) => (Way::Failure, failure.message, failure.code, false),
            GuestEnd::Limit(limit) => (Way::Limit, limit.to_string(), String::new(), false),
            GuestEnd::Trap(why) => (Way::Trap, why, String::new(), false),
            GuestEnd::Stopped(stop) => (Way::Trap, stop.to_string(), String::new(), false),
        };
        Self { end, text, code, warnings, acted: tally.acted(), denied: tally.denied }
    }
}

impl Jobs {
    /// Follows the runs that the plugin did not wait for, and closes the job: its last entry, the last card, the closing
    /// line and the emoji are one transaction.
    pub(super) async fn finish(self: &Arc<Self>, job: &Arc<Job>, tape: &Tape, at: usize) -> Result<Step, Trouble> {
        let row = job.row();
        let ended: Ended = serde_json::from_value(tape.entries()[at].body.clone())
            .map_err(|error| Trouble::Hold(format!("entry {at} cannot be read: {error}"), true))?;
        let (mut outcome, mut text) = closing(row, &ended);
        let unfinished = tape.unfinished();
        if !unfinished.is_empty() {
            job.card().stage("the plugin ended before its run".to_owned());
            let meanwhile = format!("{} ended before its run did.", title(row));
            let runs = unfinished.iter().map(|intent| async {
                match run_of(&self.shared.catalog, intent) {
                    Some(run) => follow(self, job, &run, &meanwhile).await,
                    None => Some(super::follow::lost()),
                }
            });
            for followed in join_all(runs).await {
                let Some(followed) = followed else { return Ok(Step::Rest) };
                outcome = with_run(outcome, followed.outcome);
                text.push_lines(followed.line);
            }
        }
        let now = self.shared.clock.now();
        let card = job.card().end(outcome, &took(row.opened, now)).await;
        let (closed, writes) = close(row, outcome, text, card, now);
        job.enter(&*self.shared.store, vec![closed], writes).await?;
        self.shared.outbox.wake();
        let next = self.shared.places.release(&row.id);
        self.call_next(next).await;
        Ok(Step::Rest)
    }
}

/// The last entry of a job, and all that goes with it.
fn close(
    row: &JobRow,
    outcome: JobOutcome,
    text: Text,
    card: OutboxRow,
    now: jiff::Timestamp,
) -> (crate::port::store::Entry, Vec<Write>) {
    let end = JobEnd { outcome, at: now, summary: text.plain() };
    let body = json!({ "outcome": outcome.as_str(), "said": end.summary });
    let closed = entry(row, EntryKind::Closed, body, now);
    let mut writes =
        vec![Write::Close { job: row.id.clone(), end }, Write::Say(card), Write::Say(said(row, "closing", text))];
    // One that was left for later has no message of its own.
    if row.parent.is_none() {
        writes.push(Write::Say(reaction(row, emoji(outcome))));
    }
    (closed, writes)
}

/// Closes a job that nobody takes care of: what has not begun, or is held. `next` is the number of its next entry; `begun` says
/// whether its plugin has made a call.
pub(crate) fn call_off(row: &JobRow, next: u32, by: &Person, begun: bool, now: jiff::Timestamp) -> Vec<Write> {
    let who = crate::reply::clean(&by.name);
    let mut text = Text::lines(format!("`{}` (job {}) was called off by {who}.", row.line, row.id));
    text.push_lines(if begun { "What it had begun stays as it is." } else { "Nothing of it was done." });
    let about = json!({ "event": super::CANCEL, "by": by.id, "about": "" });
    let mut event = entry(row, EntryKind::Event, about, now);
    event.number = next;
    let outcome = if begun { JobOutcome::Unknown } else { JobOutcome::Cancelled };
    let card = super::last_card(row, outcome, if begun { "as it stood" } else { "before it began" });
    let (mut closed, writes) = close(row, outcome, text, card, now);
    closed.number = next + 1;
    [Write::Enter(event), Write::Enter(closed)].into_iter().chain(writes).collect()
}

/// An emoji on the message that caused a job.
fn reaction(row: &JobRow, emoji: &str) -> OutboxRow {
    let key = &row.inbox;
    OutboxRow {
        key: format!("{}/{}/{emoji}", key.room, key.event),
        thread: None,
        purpose: Purpose::Reaction { event: key.event.clone(), emoji: emoji.to_owned() },
        ..said(row, "reaction", Text::default())
    }
}

/// A job is not better than a run that nobody waited for.
fn with_run(outcome: JobOutcome, run: Option<Outcome>) -> JobOutcome {
    match (outcome, run) {
        (JobOutcome::Succeeded | JobOutcome::Warnings, Some(Outcome::Failed)) => JobOutcome::Failed,
        (JobOutcome::Succeeded | JobOutcome::Warnings, Some(Outcome::Cancelled)) => JobOutcome::Cancelled,
        (JobOutcome::Succeeded | JobOutcome::Warnings, Some(Outcome::Unknown) | None) => JobOutcome::Unknown,
        (outcome, _) => outcome,
    }
}
