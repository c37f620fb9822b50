//! Settles effects in doubt. The journal has an entry that says that such an effect is about to happen, but no entry
//! with its result. The host checks with the backend whether the effect happened. If the backend cannot determine this,
//! the host asks people in the room.
//!
//! Invariant: an effect is performed again only after the backend or a person confirmed that it did not happen.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    backend_backoff,
    drive::{DriveError, Step},
    jobs::Jobs,
    nothing_changed,
};
use crate::{
    base::{PREFIX, Text},
    hostcall::{InDoubt, Recovered, running_status},
    job::{ActiveJob, GuestOutcome, JobHistory, ReplayPosition, about, entry, thread_message, title},
    model::Person,
    store::{Entry, EntryKind, JobPhase, JobRow, JobStatus, Write},
};

/// The timeout of a request that checks with a backend whether an effect happened.
const QUERY_TIMEOUT: Duration = Duration::from_secs(90);

/// A function that returns further changes to the store for a host command, such as its reply and its audit record. The
/// transaction that stores the command's main change also stores these changes. The argument is the text of the reply.
pub(crate) type ExtraWrites<'a> = &'a (dyn Fn(&str) -> Vec<Write> + Sync);

/// A person's answer about an effect in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DoubtAnswer {
    /// The effect happened.
    AssumeDone,
    /// The effect did not happen, so the job performs the effect again. For a held job: the job is retried.
    Again,
}

impl Jobs {
    /// Checks with the backend whether an effect in doubt happened. Retries until the backend responds. `intent` is the
    /// journal entry that says that the effect is about to happen. If the backend cannot determine whether the effect
    /// happened, asks people in the room.
    pub(crate) async fn recover(&self, job: &Arc<ActiveJob>, intent: &Entry) -> Result<Step, DriveError> {
        let calls = &self.context.calls;
        let mut backoff = backend_backoff();
        let body = loop {
            let doubt = InDoubt { context: &self.context, job: job.row(), intent };
            let unavailable = || Some(Recovered::Unavailable("the backend does not answer".to_owned()));
            let recovered = tokio::time::timeout(QUERY_TIMEOUT, calls.recover(doubt)).await;
            let Some(recovered) = recovered.unwrap_or_else(|_| unavailable()) else {
                return Err(DriveError::Hold(format!(
                    "this host does not provide the host call `{}`, so it cannot check whether the effect happened",
                    intent.call
                )));
            };
            match recovered {
                Recovered::Happened(answer) => break json!({ "answer": answer, "settled": "it happened" }),
                Recovered::NotHappened => break json!({ "settled": "it did not happen" }),
                Recovered::Unknowable(reason) => return self.ask_room(job, intent, &reason).await,
                Recovered::Unavailable(reason) => {
                    tracing::warn!(
                        job = job.row().id,
                        call = intent.call,
                        reason,
                        "cannot check whether an effect happened, because the backend is unavailable; retrying"
                    );
                    job.card().stage(format!("checking whether {} happened", intent.call));
                    tokio::select! {
                        () = backoff.wait(None) => {}
                        () = self.context.stopping.cancelled() => return Ok(Step::Yield),
                    }
                }
            }
        };
        let now = self.context.clock.now();
        let result = entry::result(job.row(), intent, body, now);
        job.enter_with_status(&self.context.store, vec![result], running_status(now), Vec::new()).await?;
        Ok(Step::Continue)
    }

    /// Asks people in the room whether an effect in doubt happened, and makes the job wait until somebody replies.
    /// `reason` states why the backend cannot determine whether the effect happened.
    async fn ask_room(&self, job: &Arc<ActiveJob>, intent: &Entry, reason: &str) -> Result<Step, DriveError> {
        let row = job.row();
        let now = self.context.clock.now();
        let what = about(intent);
        // A job that was cancelled in the meantime ends without a question.
        if job.is_cancelled() {
            let text = format!(
                "`{}` (job {}) was cancelled. It is unknown whether {what} happened: {reason}.",
                row.line, row.id
            );
            let end = entry(row, EntryKind::End, json!(GuestOutcome::cancelled(text)), now);
            job.enter(&*self.context.store, vec![end], Vec::new()).await?;
            return Ok(Step::Continue);
        }
        let since = if row.status.phase == JobPhase::InDoubt { row.status.since } else { now };
        let status = JobStatus {
            phase: JobPhase::InDoubt,
            about: format!("waits for an answer: did {what} happen?"),
            since,
            wake: None,
        };
        let text = format!(
            "{}: it is unknown whether {what} happened: {reason}. Check whether it happened, then run \
             `{PREFIX}job {} assume done` if it did, or `{PREFIX}job {} again` if it did not. The job waits until then.",
            title(row),
            row.id,
            row.id
        );
        let say = Write::Send(thread_message(row, &format!("doubt-{}", intent.number), Text::lines(text)));
        job.enter_with_status(&self.context.store, Vec::new(), status, vec![say]).await?;
        self.context.outbox.wake();
        Ok(Step::Yield)
    }

    /// Continues a job in doubt or a held job after a person's decision. For a job in doubt, `given` states whether the
    /// effect happened. A held job is retried. Returns the reply to the person `by`, in one line. The transaction that
    /// stores the decision also stores the changes that `with` returns for this reply.
    ///
    /// # Errors
    /// Fails if the answer changes nothing. The error is the reason, in one line for the person.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        row: JobRow,
        by: &Person,
        given: DoubtAnswer,
        with: ExtraWrites<'_>,
    ) -> Result<String, String> {
        // The claim prevents other tasks from changing the job at the same time.
        let claim = self.claim(&row.id).await?;
        // Read the row again, because it may have changed before the claim.
        let row = self.context.store.job(&row.id).await.map_err(nothing_changed)?.unwrap_or(row);
        let history = JobHistory::read(&*self.context.store, &row.id).await.map_err(|error| error.to_string())?;
        let now = self.context.clock.now();
        let (decision, reply) = match (row.status.phase, history.position(), given) {
            (JobPhase::InDoubt, ReplayPosition::InDoubt(at), given) => {
                let intent = &history.entries()[at];
                let (body, what) = match given {
                    DoubtAnswer::AssumeDone => {
                        let doubt = InDoubt { context: &self.context, job: &row, intent };
                        let Some(answer) = self.context.calls.assumed(&doubt) else {
                            let call = &intent.call;
                            return Err(format!(
                                "the host cannot derive the result of `{call}`, so `assume done` does not \
                                 work for this job: run `{PREFIX}job {} again` to repeat the call",
                                row.id
                            ));
                        };
                        (json!({ "answer": answer, "settled": "assumed", "by": by.id }), "is assumed to have happened")
                    }
                    DoubtAnswer::Again => (json!({ "settled": "again", "by": by.id }), "is performed again"),
                };
                let reply = format!("job {} continues: {} {what}", row.id, about(intent));
                (entry::result(&row, intent, body, now), reply)
            }
            (JobPhase::Held, _, DoubtAnswer::Again) => {
                let event = json!({ "event": "again", "by": by.id, "about": "" });
                (entry(&row, EntryKind::Event, event, now), format!("job {} is retried", row.id))
            }
            (JobPhase::Held, _, DoubtAnswer::AssumeDone) => {
                return Err(format!(
                    "job {} is held, so `assume done` does not apply: run `{PREFIX}job {} again` to retry the job",
                    row.id, row.id
                ));
            }
            _ => {
                return Err(format!(
                    "job {} does not wait for an answer about an effect: its status is `{}`",
                    row.id,
                    row.status.phase.as_str()
                ));
            }
        };
        let status = running_status(now);
        let mut writes = entry::append([decision], history.next());
        writes.push(Write::JobStatus { job: row.id.clone(), status: status.clone() });
        writes.extend(with(&reply));
        self.context.store.commit(writes).await.map_err(nothing_changed)?;
        drop(claim);
        self.dispatch(JobRow { status, ..row });
        Ok(reply)
    }
}
