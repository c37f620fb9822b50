//! The end of a job. After the plugin ended, the host follows the job's unfinished pipeline runs to their end, then
//! closes the job and sends the closing message.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    closing::closing,
    drive::{DriveError, Step},
    follow::{RunResult, follow},
    jobs::Jobs,
};
use crate::{
    base::{Text, clean, elapsed_text, one_line},
    hostcall::{GuestStop, Tally, shown_in_room_of},
    job::{
        ActiveJob, ApprovalRequest, Decision, Effect, GuestEndKind, GuestOutcome, JobHistory, ShownIn, close, run_of,
        title,
    },
    metrics::job_ended,
    model::{Outcome, Person},
    plugin::GuestEnd,
    store::{Entry, EntryKind, JobOutcome, JobRow, Write},
};

impl Jobs {
    /// Waits for the end of the pipeline runs that the plugin did not wait for, then closes the job. One transaction
    /// stores the last journal entry, the last status card, the closing message and the reaction on the command. `at`
    /// is the index of the journal entry that records the end of the plugin. Returns [`Step::Yield`].
    pub(crate) async fn finish(
        self: &Arc<Self>,
        job: &Arc<ActiveJob>,
        history: &JobHistory,
        at: usize,
    ) -> Result<Step, DriveError> {
        let row = job.row();
        let ended: GuestOutcome = serde_json::from_value(history.entries()[at].body.clone())
            .map_err(|error| DriveError::Hold(format!("journal entry {at} of the job cannot be read: {error}")))?;
        // Step 1: the outcome and text of the guest.
        let (mut outcome, mut text) = closing(row, &ended);
        // Step 2: follow runs that have not ended. If one of them fails, the job fails.
        let unfinished = history.unfinished();
        if !unfinished.is_empty() {
            job.card().stage("the plugin ended; its pipeline run continues".to_owned());
            let meanwhile =
                format!("The plugin of {} ended while the job's pipeline run was still active.", title(row));
            let runs = unfinished.iter().map(|intent| async {
                match (history.recorded_result(intent), run_of(&self.context.catalog, intent)) {
                    (Some(followed), _) => Ok(Some(followed)),
                    (None, Some(run)) => follow(self, job, &run, &meanwhile, history.is_cleanup_run(&run.key)).await,
                    // Without the pipeline's backend, the host cannot query the state of the run.
                    (None, None) => {
                        let line = "The job started a pipeline that is no longer configured, so the state of the \
                                    pipeline run is unknown.";
                        Ok(Some(RunResult { line: line.to_owned(), outcome: None }))
                    }
                }
            });
            for followed in join_all(runs).await {
                let Some(followed) = followed? else { return Ok(Step::Yield) };
                outcome = combined_outcome(outcome, followed.outcome);
                text.push_lines(followed.line);
            }
        }
        // The notes of the runs that the plugin waited for.
        history.run_notes().for_each(|note| text.push_lines(one_line(note)));
        // Step 3: report approved effects that the job did not perform.
        let ask = history.ask();
        let good = matches!(outcome, JobOutcome::Succeeded | JobOutcome::Warnings);
        if let Some(not_done) = ask.as_ref().and_then(|ask| not_done(history, ask)).filter(|_| good) {
            outcome = JobOutcome::Warnings;
            text.push_lines(not_done);
        }
        // Step 4: close the job in one transaction, then release its locks.
        let now = self.context.clock.now();
        job.card().stop().await;
        let shown = self.shown_in(row, history).await?;
        let in_card = self.context.outbox.closes_in_card(row, outcome, &text);
        let took = elapsed_text(row.opened, now);
        let (closed, mut writes) = close(row, outcome, text, (!in_card).then_some(took.as_str()), &shown, now);
        writes.extend(self.context.outbox.outcome_reaction(row, outcome));
        writes.extend(ask.and_then(|ask| self.closed_approval_message(row, ask)));
        let context = &self.context;
        writes.extend(context.notices.closing(&context.outbox, &context.catalog, row, &writes));
        job.enter(&*self.context.store, vec![closed], writes).await?;
        job_ended(outcome);
        self.context.outbox.wake();
        let next = self.context.locks.release(&row.id);
        self.dispatch_next(next).await;
        Ok(Step::Yield)
    }

    /// Returns the further rooms in which a job from a direct message is announced: the room of the command's app, and
    /// the rooms of the other apps that the job changed.
    async fn shown_in(&self, row: &JobRow, history: &JobHistory) -> Result<Vec<ShownIn>, DriveError> {
        let start = history.start_entry()?;
        let mut shown: Vec<ShownIn> = start.shown.into_iter().collect();
        let message = crate::runner::drive::message(row, start.direct);
        for app in history.apps().into_iter().filter(|app| row.app.as_deref() != Some(app)) {
            let Some(app) = self.context.catalog.app(app) else { continue };
            shown.extend(shown_in_room_of(&self.context, &message, app).await);
        }
        shown.sort();
        shown.dedup();
        Ok(shown)
    }
}

/// Returns a line that lists the approved effects that the job did not perform. Returns `None` if the job performed all
/// of them, or if the approval request `ask` was not approved.
fn not_done(history: &JobHistory, ask: &ApprovalRequest) -> Option<String> {
    if ask.decision != Some(Decision::Approved) {
        return None;
    }
    // The result of an effect that did not happen has no answer.
    let happened = |entry: &&Entry| {
        let result = history.result_of(entry.number).filter(|_| entry.kind == EntryKind::Intent);
        result.is_some_and(|result| !result.body["answer"].is_null())
    };
    let done = history.entries().iter().filter(happened).count();
    let left: Vec<String> = ask.plan.effects.iter().skip(done).map(Effect::about).collect();
    (!left.is_empty()).then(|| format!("These approved effects were not performed: {}.", left.join("; ")))
}

/// Returns the changes to the store that close a job whose journal is broken. Adds no entry to the journal. `by` is the
/// person who cancelled the job. `shown` is the other room in which the job was announced, if any.
pub(crate) fn close_broken(row: &JobRow, by: &Person, shown: Option<&ShownIn>, now: jiff::Timestamp) -> Vec<Write> {
    let mut text = Text::lines(format!("`{}` (job {}) was closed by {}.", row.line, row.id, clean(&by.name)));
    text.push_lines("The job's journal is broken, so it is unknown which effects happened. No effect was undone.");
    let took = "closed, because the job's journal is broken";
    close(row, JobOutcome::Unknown, text, Some(took), shown.map_or(&[], std::slice::from_ref), now).1
}

/// Combines the job's outcome with the outcome of a pipeline run that the plugin did not wait for, and returns the
/// worse one. `run` is `None` if the pipeline run never started or its outcome is unknown.
fn combined_outcome(outcome: JobOutcome, run: Option<Outcome>) -> JobOutcome {
    match (outcome, run) {
        (JobOutcome::Succeeded | JobOutcome::Warnings, Some(Outcome::Failed)) => JobOutcome::Failed,
        (JobOutcome::Succeeded | JobOutcome::Warnings, Some(Outcome::Cancelled)) => JobOutcome::Cancelled,
        (JobOutcome::Succeeded | JobOutcome::Warnings | JobOutcome::Cancelled, Some(Outcome::Unknown) | None) => {
            JobOutcome::Unknown
        }
        (outcome, _) => outcome,
    }
}

/// Converts the end of a plugin's run into the form that the journal stores. `tally` contains the plugin's denied
/// calls.
pub(crate) fn guest_ended(end: GuestEnd<GuestStop>, tally: Tally) -> GuestOutcome {
    let (end, text, code, warnings) = match end {
        GuestEnd::Reply(reply) => (GuestEndKind::Reply, reply.text, String::new(), reply.warnings),
        GuestEnd::Failure(failure) => (GuestEndKind::Failure, failure.message, failure.code, false),
        GuestEnd::Limit(limit) => (GuestEndKind::Limit, limit.to_string(), String::new(), false),
        GuestEnd::Trap(why) => (GuestEndKind::Trap, why, String::new(), false),
        // Unreachable, because a stopped guest is run again. Recorded as a trap, so that it never counts as a success.
        GuestEnd::Stopped(stop) => (GuestEndKind::Trap, stop.to_string(), String::new(), false),
    };
    GuestOutcome { end, text, code, warnings, acted: tally.acted(), denied: tally.denied }
}
