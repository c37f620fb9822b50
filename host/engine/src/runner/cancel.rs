//! Cancels jobs: their pipeline runs are cancelled, and their plugin receives the cancellation so that it can clean up.

use std::sync::Arc;

use serde_json::json;

use super::{doubt::ExtraWrites, finish::close_broken, jobs::Jobs};
use crate::{
    hostcall::working,
    job::{CANCEL, Claim, GuestOutcome, HistoryError, JobHistory, ReplayPosition, ShownIn, cancel_before_start, entry},
    metrics::{ends, job_ended},
    model::Person,
    store::{EntryKind, JobPhase, JobRow, StoreError, Write},
};

impl Jobs {
    /// Cancels a job. Returns one line that says what happens next; the same line is passed to `with`, whose writes are
    /// part of the transaction.
    ///
    /// # Errors
    /// Why the job cannot be cancelled, in one line.
    pub(crate) async fn cancel(
        self: &Arc<Self>,
        row: JobRow,
        by: &Person,
        with: ExtraWrites<'_>,
    ) -> Result<String, String> {
        let unavailable = |error: StoreError| format!("nothing was changed: {error}");
        let event = |row: &JobRow| {
            let about = json!({ "event": CANCEL, "by": by.id, "about": "" });
            entry(row, EntryKind::Event, about, self.context.clock.now())
        };
        // A running job: store the cancellation, then signal it to the job's task.
        if let Some(job) = self.running(&row.id) {
            if job.is_cancelled() {
                let told = format!("job {} is already cancelled and is still stopping", row.id);
                self.context.store.commit(with(&told)).await.map_err(unavailable)?;
                return Ok(told);
            }
            let told = format!("job {} is cancelled: `{}` is being stopped", row.id, row.line);
            job.enter(&*self.context.store, vec![event(&row)], with(&told)).await.map_err(unavailable)?;
            job.cancel();
            self.dispatch(row.clone());
            return Ok(told);
        }
        let Some(claim) = self.context.claims.claim_with_retry(&row.id).await else {
            return Err(format!("job {} is busy; send the command again in a few seconds", row.id));
        };
        // Read the row again: it can have changed before the claim.
        let row = self.context.store.job(&row.id).await.map_err(unavailable)?.unwrap_or(row);
        if let Some(end) = &row.end {
            return Err(format!("job {} has already ended: {}", row.id, end.outcome.as_str()));
        }
        let head = self.context.store.journal_head(&row.id).await.map_err(unavailable)?;
        let next = head.map_or(0, |(next, _)| next);
        // A job that queues before its first call has nothing to clean up.
        let start = !(row.status.phase == JobPhase::Scheduled || (row.status.phase == JobPhase::Queued && next == 1));
        // A held or doubtful job cannot run its plugin: close it in its current state.
        if matches!(row.status.phase, JobPhase::Held | JobPhase::InDoubt) {
            match JobHistory::read(&*self.context.store, &row.id).await {
                Ok(history) => return self.end_in_current_state(row, &history, by, claim, with).await,
                Err(HistoryError::Store(error)) => return Err(unavailable(error)),
                // Nothing is appended to a broken journal. Only the row records the end.
                Err(_) => {
                    let told = format!("job {} is closed in its current state: its journal cannot be read", row.id);
                    let shown = ShownIn::read(&*self.context.store, &row.id).await;
                    let writes = close_broken(&row, by, shown.as_ref(), self.context.clock.now());
                    return self.close_idle(&row, told, writes, claim, with).await;
                }
            }
        }
        // A job whose plugin did not run yet is closed at once.
        if !start {
            let told = format!("job {} is cancelled", row.id);
            let shown = ShownIn::read(&*self.context.store, &row.id).await;
            let writes = cancel_before_start(&row, next, by, shown.as_ref(), self.context.clock.now());
            return self.close_idle(&row, told, writes, claim, with).await;
        }
        // Any other waiting job runs its plugin once more to deliver the cancellation.
        let mut event = event(&row);
        event.number = next;
        let told = format!("job {} is cancelled: `{}` is being stopped", row.id, row.line);
        // The status `working` makes a restarted host continue this cancellation.
        let status = working(self.context.clock.now());
        let mut writes = vec![Write::Append(event), Write::JobStatus { job: row.id.clone(), status }];
        writes.extend(with(&told));
        self.context.store.commit(writes).await.map_err(unavailable)?;
        drop(claim);
        self.context.locks.leave_queues(&row.id);
        self.dispatch(row);
        Ok(told)
    }

    /// Ends a job whose plugin cannot be run again. Its runs are cancelled and followed to their end.
    async fn end_in_current_state(
        self: &Arc<Self>,
        row: JobRow,
        history: &JobHistory,
        by: &Person,
        claim: Claim,
        with: ExtraWrites<'_>,
    ) -> Result<String, String> {
        let now = self.context.clock.now();
        let about = json!({ "event": CANCEL, "by": by.id, "about": "" });
        let mut entries = vec![entry(&row, EntryKind::Event, about, now)];
        if !matches!(history.position(), ReplayPosition::Ended(_) | ReplayPosition::Closed) {
            let who = crate::base::clean(&by.name);
            let text = format!("`{}` (job {}) was cancelled by {who} in its current state.", row.line, row.id);
            entries.push(entry(&row, EntryKind::End, json!(GuestOutcome::cancelled(text)), now));
        }
        let told = format!("job {} is cancelled", row.id);
        let mut writes = Vec::new();
        for (mut entry, number) in entries.into_iter().zip(history.next()..) {
            entry.number = number;
            writes.push(Write::Append(entry));
        }
        writes.push(Write::JobStatus { job: row.id.clone(), status: working(now) });
        writes.extend(with(&told));
        self.context.store.commit(writes).await.map_err(|error| format!("nothing was changed: {error}"))?;
        drop(claim);
        self.dispatch(JobRow { status: working(now), ..row });
        Ok(told)
    }

    /// Closes a job that no task works on, and dispatches the next jobs in the queues of its locks.
    async fn close_idle(
        self: &Arc<Self>,
        row: &JobRow,
        told: String,
        closing: Vec<Write>,
        claim: Claim,
        with: ExtraWrites<'_>,
    ) -> Result<String, String> {
        let mut writes = with(&told);
        let context = &self.context;
        writes.extend(context.notices.closing(&context.outbox, &context.catalog, row, &closing));
        let ends = ends(&closing);
        writes.extend(closing);
        self.context.store.commit(writes).await.map_err(|error| format!("nothing was changed: {error}"))?;
        ends.into_iter().for_each(job_ended);
        self.context.outbox.wake();
        drop(claim);
        let free = self.context.locks.release(&row.id);
        self.dispatch_next(free).await;
        Ok(told)
    }
}
