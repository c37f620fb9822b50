//! The end of a job: its plugin ended, its runs are followed to theirs, and the room is told.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{closing::closing, drive::{Step, Trouble}, follow::{Followed, follow}, jobs::Jobs};
use crate::{base::{Text, took}, hostcall::{ShownIn, Tally}, job::{Ask, Decision, Denied, Effect, Ended, Job, Tape, emoji, entry, run_of, said, title}, metrics::job_ended, model::{Outcome, Person}, plugin::GuestEnd, store::{Entry, EntryKind, JobEnd, JobOutcome, JobRow, OutboxRow, Purpose, Write}};

impl Jobs {
    /// Follows the runs that the plugin did not wait for, and closes the job: its last entry, the last card, the closing
    /// line and the emoji are one transaction.
    pub(crate) async fn finish(self: &Arc<Self>, job: &Arc<Job>, tape: &Tape, at: usize) -> Result<Step, Trouble> {
        let row = job.row();
        let ended: Ended = serde_json::from_value(tape.entries()[at].body.clone())
            .map_err(|error| Trouble::Hold(format!("entry {at} cannot be read: {error}"), true))?;
        let (mut outcome, mut text) = closing(row, &ended);
        let unfinished = tape.unfinished();
        if !unfinished.is_empty() {
            job.card().stage("the plugin ended before its run".to_owned());
            let meanwhile = format!("{} ended before its run did.", title(row));
            let runs = unfinished.iter().map(|intent| async {
                match (tape.followed(intent), run_of(&self.shared.catalog, intent)) {
                    (Some(followed), _) => Ok(Some(followed)),
                    (None, Some(run)) => follow(self, job, &run, &meanwhile, tape.tidies_up(&run.key)).await,
                    (None, None) => Ok(Some(Followed::lost())),
                }
            });
            for followed in join_all(runs).await {
                let Some(followed) = followed? else { return Ok(Step::Rest) };
                outcome = with_run(outcome, followed.outcome);
                text.push_lines(followed.line);
            }
        }
        let ask = tape.ask();
        let good = matches!(outcome, JobOutcome::Succeeded | JobOutcome::Warnings);
        if let Some(left_out) = ask.as_ref().and_then(|ask| left_out(tape, ask)).filter(|_| good) {
            outcome = JobOutcome::Warnings;
            text.push_lines(left_out);
        }
        let now = self.shared.clock.now();
        let card = job.card().end(outcome, &took(row.opened, now)).await;
        let shown = self.shown_in(row, tape).await?;
        let (closed, mut writes) = close(row, outcome, text, card, &shown, now);
        writes.extend(ask.and_then(|ask| self.asks_no_more(row, ask)));
        let shared = &self.shared;
        writes.extend(shared.notices.closing(&shared.outbox, &shared.catalog, row, &writes));
        job.enter(&*self.shared.store, vec![closed], writes).await?;
        job_ended(outcome);
        self.shared.outbox.wake();
        let next = self.shared.places.release(&row.id);
        self.call_next(next).await;
        Ok(Step::Rest)
    }

    /// The rooms that a job is shown in beside its own: that of the app that was typed, and of those that it touched.
    async fn shown_in(&self, row: &JobRow, tape: &Tape) -> Result<Vec<ShownIn>, Trouble> {
        let begun = tape.begun()?;
        let mut shown: Vec<ShownIn> = begun.shown.into_iter().collect();
        let message = crate::runner::drive::message(row, begun.direct);
        for app in tape.apps().into_iter().filter(|app| row.app.as_deref() != Some(app)) {
            let Some(app) = self.shared.catalog.app(app) else { continue };
            shown.extend(ShownIn::of_app(&self.shared, &message, app).await);
        }
        shown.sort();
        shown.dedup();
        Ok(shown)
    }
}

/// What was approved and did not happen, in words.
fn left_out(tape: &Tape, ask: &Ask) -> Option<String> {
    if ask.decision != Some(Decision::Approved) {
        return None;
    }
    // One that did not happen was tried again, or is not done.
    let happened = |entry: &&Entry| {
        let result = tape.result_of(entry.number).filter(|_| entry.kind == EntryKind::Intent);
        result.is_some_and(|result| !result.body["answer"].is_null())
    };
    let done = tape.entries().iter().filter(happened).count();
    let left: Vec<String> = ask.plan.effects.iter().skip(done).map(Effect::about).collect();
    (!left.is_empty()).then(|| format!("Approved, and not done: {}.", left.join("; ")))
}

/// The last entry of a job, and all that goes with it.
pub(crate) fn close(
    row: &JobRow,
    outcome: JobOutcome,
    text: Text,
    card: OutboxRow,
    shown: &[ShownIn],
    now: jiff::Timestamp,
) -> (crate::store::Entry, Vec<Write>) {
    let end = JobEnd { outcome, at: now, summary: text.plain() };
    let body = json!({ "outcome": outcome.as_str(), "said": end.summary });
    let closed = entry(row, EntryKind::Closed, body, now);
    let told: Vec<Write> = shown.iter().map(|room| room.closed(row, text.clone())).collect();
    let mut writes =
        vec![Write::Close { job: row.id.clone(), end }, Write::Say(card), Write::Say(said(row, "closing", text))];
    writes.extend(told);
    // One that was left for later has no message of its own.
    if row.parent.is_none() {
        writes.push(Write::Say(reaction(row, emoji(outcome))));
    }
    (closed, writes)
}

/// Closes a job whose journal is broken, and enters nothing behind what cannot be trusted.
pub(crate) fn close_unread(row: &JobRow, by: &Person, shown: Option<&ShownIn>, now: jiff::Timestamp) -> Vec<Write> {
    let who = crate::base::clean(&by.name);
    let mut text = Text::lines(format!("`{}` (job {}) was closed by {who}.", row.line, row.id));
    text.push_lines("Its journal is broken: what it had begun stays as it is, and how far it came is not known.");
    let card = crate::job::last(row, JobOutcome::Unknown, "closed as it stood");
    close(row, JobOutcome::Unknown, text, card, shown.map_or(&[], std::slice::from_ref), now).1
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
        (JobOutcome::Succeeded | JobOutcome::Warnings | JobOutcome::Cancelled, Some(Outcome::Unknown) | None) => {
            JobOutcome::Unknown
        }
        (outcome, _) => outcome,
    }
}
