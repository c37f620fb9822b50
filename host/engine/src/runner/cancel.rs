//! Cancels jobs. The host cancels the job's pipeline runs and delivers the cancellation to the plugin, so that the
//! plugin can clean up.

use std::sync::Arc;

use serde_json::json;

use super::{doubt::ExtraWrites, finish::close_broken, jobs::Jobs, nothing_changed};
use crate::{
    hostcall::running_status,
    job::{Claim, GuestOutcome, HistoryError, JobHistory, ReplayPosition, ShownIn, cancel_before_start, entry},
    metrics::{closed_outcomes, job_ended},
    model::Person,
    store::{EntryKind, JobOutcome, JobPhase, JobRow, Write},
};

impl Jobs {
    /// Cancels a job. Returns the reply to the person `by`, in one line. The transaction that stores the cancellation
    /// also stores the changes that `with` returns for this reply.
    ///
    /// # Errors
    /// Fails if the job cannot be cancelled now. The error is the reason, in one line for the person.
    pub(crate) async fn cancel(
        self: &Arc<Self>,
        row: JobRow,
        by: &Person,
        with: ExtraWrites<'_>,
    ) -> Result<String, String> {
        // If the job has a running task, store the cancellation, then signal it to the task.
        if let Some(job) = self.running(&row.id) {
            if job.is_cancelled() {
                let reply = format!("job {} is already cancelled and is still stopping", row.id);
                self.context.store.commit(with(&reply)).await.map_err(nothing_changed)?;
                return Ok(reply);
            }
            let reply = format!("job {} is cancelled: `{}` is being stopped", row.id, row.line);
            let event = entry::cancellation(&row, by, self.context.clock.now());
            // The signal comes before any later entry, so that no effect begins after the cancellation unnoticed.
            let signal = job.clone();
            let store = self.context.store.clone();
            let stored = job.enter_and_apply(store, vec![event], with(&reply), move || signal.cancel()).await;
            stored.map_err(nothing_changed)?;
            self.dispatch(row);
            return Ok(reply);
        }
        let claim = self.claim(&row.id).await?;
        // Read the row again, because it may have changed before the claim.
        let row = self.context.store.job(&row.id).await.map_err(nothing_changed)?.unwrap_or(row);
        if let Some(end) = &row.end {
            return Err(format!("job {} has already ended: {}", row.id, end.outcome.as_str()));
        }
        let head = self.context.store.journal_head(&row.id).await.map_err(nothing_changed)?;
        let next = head.map_or(0, |(next, _)| next);
        // A held job or a job in doubt cannot run its plugin, so it ends without a cleanup.
        if matches!(row.status.phase, JobPhase::Held | JobPhase::InDoubt) {
            match JobHistory::read(&*self.context.store, &row.id).await {
                Ok(history) => return self.end_without_cleanup(row, &history, by, claim, with).await,
                Err(HistoryError::Store(error)) => return Err(nothing_changed(error)),
                // Append nothing to a broken journal. Only the job's row records the end.
                Err(_) => {
                    let reply =
                        format!("job {} is closed without a cleanup, because its journal cannot be read", row.id);
                    let shown = ShownIn::read(&*self.context.store, &row.id).await;
                    let mut writes = close_broken(&row, by, shown.as_ref(), self.context.clock.now());
                    writes.extend(self.context.outbox.outcome_reaction(&row, JobOutcome::Unknown));
                    return self.close_idle(&row, reply, writes, claim, with).await;
                }
            }
        }
        // A scheduled job has not run. A job that queues before its first call has nothing to clean up.
        if row.status.phase == JobPhase::Scheduled || (row.status.phase == JobPhase::Queued && next == 1) {
            let reply = format!("job {} is cancelled", row.id);
            let shown = ShownIn::read(&*self.context.store, &row.id).await;
            let mut writes = cancel_before_start(&row, next, by, shown.as_ref(), self.context.clock.now());
            writes.extend(self.context.outbox.outcome_reaction(&row, JobOutcome::Cancelled));
            return self.close_idle(&row, reply, writes, claim, with).await;
        }
        // Any other waiting job runs its plugin again, which receives the cancellation.
        let reply = format!("job {} is cancelled: `{}` is being stopped", row.id, row.line);
        let now = self.context.clock.now();
        let mut writes = entry::append([entry::cancellation(&row, by, now)], next);
        // With the phase `Running`, a restarted host continues the cancellation.
        writes.push(Write::JobStatus { job: row.id.clone(), status: running_status(now) });
        writes.extend(with(&reply));
        self.context.store.commit(writes).await.map_err(nothing_changed)?;
        drop(claim);
        self.context.locks.leave_queues(&row.id);
        self.dispatch(row);
        Ok(reply)
    }

    /// Ends a job that is held or in doubt, without running its plugin. Cancels the job's pipeline runs and follows
    /// them to their end.
    async fn end_without_cleanup(
        self: &Arc<Self>,
        row: JobRow,
        history: &JobHistory,
        by: &Person,
        claim: Claim,
        with: ExtraWrites<'_>,
    ) -> Result<String, String> {
        let now = self.context.clock.now();
        let mut entries = vec![entry::cancellation(&row, by, now)];
        if !matches!(history.position(), ReplayPosition::PluginEnded(_) | ReplayPosition::Closed) {
            let who = crate::base::clean(&by.name);
            let text = format!("`{}` (job {}) was cancelled by {who}. The plugin did not clean up.", row.line, row.id);
            entries.push(entry(&row, EntryKind::End, json!(GuestOutcome::cancelled(text)), now));
        }
        let reply = format!("job {} is cancelled", row.id);
        let mut writes = entry::append(entries, history.next());
        writes.push(Write::JobStatus { job: row.id.clone(), status: running_status(now) });
        writes.extend(with(&reply));
        self.context.store.commit(writes).await.map_err(nothing_changed)?;
        drop(claim);
        self.dispatch(JobRow { status: running_status(now), ..row });
        Ok(reply)
    }

    /// Stores `closing`, the changes that close a job. The job has no running task. Then dispatches the jobs that are
    /// queued for the deployment locks of this job.
    async fn close_idle(
        self: &Arc<Self>,
        row: &JobRow,
        reply: String,
        closing: Vec<Write>,
        claim: Claim,
        with: ExtraWrites<'_>,
    ) -> Result<String, String> {
        let mut writes = with(&reply);
        let context = &self.context;
        writes.extend(context.notices.closing(&context.outbox, &context.catalog, row, &closing));
        let outcomes = closed_outcomes(&closing);
        writes.extend(closing);
        self.context.store.commit(writes).await.map_err(nothing_changed)?;
        outcomes.into_iter().for_each(job_ended);
        self.context.outbox.wake();
        drop(claim);
        let next = self.context.locks.release(&row.id);
        self.dispatch_next(next).await;
        Ok(reply)
    }
}
