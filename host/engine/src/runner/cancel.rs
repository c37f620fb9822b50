//! Cancels jobs. The host cancels the job's pipeline runs and delivers the cancellation to the plugin, so that the
//! plugin can clean up.

use std::sync::Arc;

use serde_json::json;

use super::{doubt::ExtraWrites, finish::close_broken, jobs::Jobs};
use crate::{
    hostcall::running_status,
    job::{CANCEL, Claim, GuestOutcome, HistoryError, JobHistory, ReplayPosition, ShownIn, cancel_before_start, entry},
    metrics::{closed_outcomes, job_ended},
    model::Person,
    store::{EntryKind, JobPhase, JobRow, StoreError, Write},
};

impl Jobs {
    /// Cancels a job. Returns the reply to the person `by`, in one line. `with` returns further writes for a reply; the
    /// transaction that stores the cancellation also stores these writes.
    ///
    /// # Errors
    /// The reason why the job cannot be cancelled now, in one line for the person.
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
        // If the job has a running task, store the cancellation, then signal it to the task.
        if let Some(job) = self.running(&row.id) {
            if job.is_cancelled() {
                let reply = format!("job {} is already cancelled and is still stopping", row.id);
                self.context.store.commit(with(&reply)).await.map_err(unavailable)?;
                return Ok(reply);
            }
            let reply = format!("job {} is cancelled: `{}` is being stopped", row.id, row.line);
            job.enter(&*self.context.store, vec![event(&row)], with(&reply)).await.map_err(unavailable)?;
            job.cancel();
            self.dispatch(row.clone());
            return Ok(reply);
        }
        let Some(claim) = self.context.claims.claim_with_retry(&row.id).await else {
            return Err(format!("job {} is busy; send the command again in a few seconds", row.id));
        };
        // Read the row again, because it may have changed before the claim.
        let row = self.context.store.job(&row.id).await.map_err(unavailable)?.unwrap_or(row);
        if let Some(end) = &row.end {
            return Err(format!("job {} has already ended: {}", row.id, end.outcome.as_str()));
        }
        let head = self.context.store.journal_head(&row.id).await.map_err(unavailable)?;
        let next = head.map_or(0, |(next, _)| next);
        // A scheduled job has not run. A job that queues before its first call has nothing to clean up.
        let has_run = !(row.status.phase == JobPhase::Scheduled || (row.status.phase == JobPhase::Queued && next == 1));
        // A held job or a job in doubt cannot run its plugin, so it ends without a cleanup.
        if matches!(row.status.phase, JobPhase::Held | JobPhase::InDoubt) {
            match JobHistory::read(&*self.context.store, &row.id).await {
                Ok(history) => return self.end_without_cleanup(row, &history, by, claim, with).await,
                Err(HistoryError::Store(error)) => return Err(unavailable(error)),
                // Append nothing to a broken journal. Only the job's row records the end.
                Err(_) => {
                    let reply =
                        format!("job {} is closed without a cleanup, because its journal cannot be read", row.id);
                    let shown = ShownIn::read(&*self.context.store, &row.id).await;
                    let writes = close_broken(&row, by, shown.as_ref(), self.context.clock.now());
                    return self.close_idle(&row, reply, writes, claim, with).await;
                }
            }
        }
        // Close a job whose plugin has nothing to clean up.
        if !has_run {
            let reply = format!("job {} is cancelled", row.id);
            let shown = ShownIn::read(&*self.context.store, &row.id).await;
            let writes = cancel_before_start(&row, next, by, shown.as_ref(), self.context.clock.now());
            return self.close_idle(&row, reply, writes, claim, with).await;
        }
        // Any other waiting job runs its plugin again, which receives the cancellation.
        let mut event = event(&row);
        event.number = next;
        let reply = format!("job {} is cancelled: `{}` is being stopped", row.id, row.line);
        // With the phase `Running`, a restarted host continues the cancellation.
        let status = running_status(self.context.clock.now());
        let mut writes = vec![Write::Append(event), Write::JobStatus { job: row.id.clone(), status }];
        writes.extend(with(&reply));
        self.context.store.commit(writes).await.map_err(unavailable)?;
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
        let about = json!({ "event": CANCEL, "by": by.id, "about": "" });
        let mut entries = vec![entry(&row, EntryKind::Event, about, now)];
        if !matches!(history.position(), ReplayPosition::PluginEnded(_) | ReplayPosition::Closed) {
            let who = crate::base::clean(&by.name);
            let text = format!("`{}` (job {}) was cancelled by {who}. The plugin did not clean up.", row.line, row.id);
            entries.push(entry(&row, EntryKind::End, json!(GuestOutcome::cancelled(text)), now));
        }
        let reply = format!("job {} is cancelled", row.id);
        let mut writes = Vec::new();
        for (mut entry, number) in entries.into_iter().zip(history.next()..) {
            entry.number = number;
            writes.push(Write::Append(entry));
        }
        writes.push(Write::JobStatus { job: row.id.clone(), status: running_status(now) });
        writes.extend(with(&reply));
        self.context.store.commit(writes).await.map_err(|error| format!("nothing was changed: {error}"))?;
        drop(claim);
        self.dispatch(JobRow { status: running_status(now), ..row });
        Ok(reply)
    }

    /// Stores the writes `closing`, which close a job that has no running task. Then dispatches the jobs that are
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
        self.context.store.commit(writes).await.map_err(|error| format!("nothing was changed: {error}"))?;
        outcomes.into_iter().for_each(job_ended);
        self.context.outbox.wake();
        drop(claim);
        let next = self.context.locks.release(&row.id);
        self.dispatch_next(next).await;
        Ok(reply)
    }
}
