//! Effects in doubt: an intent without a result. The backend is asked; if it cannot tell, people are.
//!
//! Invariant: an effect is executed again only after the backend or a person confirmed that it did not happen.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    away_backoff,
    drive::{DriveError, Step},
    jobs::Jobs,
};
use crate::{
    base::Text,
    hostcall::{InDoubt, Recovered, working},
    job::{GuestOutcome, Job, JobHistory, ReplayPosition, about, entry, thread_message, title},
    model::Person,
    store::{Entry, EntryKind, JobPhase, JobRow, JobStatus, StoreError, Write},
};

/// The timeout of a request to a backend.
const ANSWER: Duration = Duration::from_secs(90);

/// Writes that are committed with a change; they get the line that answers the person's command.
pub(crate) type ExtraWrites<'a> = &'a (dyn Fn(&str) -> Vec<Write> + Sync);

/// A person's answer about an effect in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DoubtAnswer {
    /// It happened.
    AssumeDone,
    /// It did not happen: it is executed again.
    Again,
}

impl Jobs {
    /// Asks the backend whether an effect happened, until it answers.
    pub(crate) async fn recover(&self, job: &Arc<Job>, intent: &Entry) -> Result<Step, DriveError> {
        let calls = &self.context.calls;
        let mut backoff = away_backoff();
        let body = loop {
            let doubt = InDoubt { context: &self.context, job: job.row(), intent };
            let away = || Some(Recovered::Away("the backend does not answer".to_owned()));
            let asked = tokio::time::timeout(ANSWER, calls.recover(doubt)).await.unwrap_or_else(|_| away());
            let Some(recovered) = asked else {
                return Err(DriveError::Hold(format!("this host has no call `{}`", intent.call), true));
            };
            match recovered {
                Recovered::Happened(answer) => break json!({ "answer": answer, "settled": "it happened" }),
                Recovered::Not => break json!({ "settled": "it did not happen" }),
                Recovered::Unknowable(reason) => return self.ask_room(job, intent, &reason).await,
                Recovered::Away(reason) => {
                    tracing::warn!(
                        job = job.row().id,
                        reason,
                        "the result of an effect is not yet known from the backend; retrying"
                    );
                    job.card().stage(format!("checking whether {} happened", intent.call));
                    tokio::select! {
                        () = backoff.wait(None) => {}
                        () = self.context.stopping.cancelled() => return Ok(Step::Yield),
                    }
                }
            }
        };
        self.store_result(job, intent, body).await?;
        Ok(Step::Continue)
    }

    /// Asks the room whether an effect happened, and parks the job.
    async fn ask_room(&self, job: &Arc<Job>, intent: &Entry, reason: &str) -> Result<Step, DriveError> {
        let row = job.row();
        let now = self.context.clock.now();
        // A job that was cancelled meanwhile ends in its current state; nobody is asked.
        if job.is_cancelled() {
            let text = format!("`{}` (job {}) was cancelled in its current state.", row.line, row.id);
            let end = entry(row, EntryKind::End, json!(GuestOutcome::cancelled(text)), now);
            job.enter(&*self.context.store, vec![end], Vec::new()).await?;
            return Ok(Step::Continue);
        }
        let what = about(intent);
        let since = if row.status.phase == JobPhase::InDoubt { row.status.since } else { now };
        let status = JobStatus {
            phase: JobPhase::InDoubt,
            about: format!("waits for an answer: did {what} happen?"),
            since,
            wake: None,
        };
        let text = format!(
            "{}: it is unknown whether {what} happened: {reason}. Check it, then run `job {} assume done` if it did, or \
             `job {} again` if it did not. Nothing more is done until then.",
            title(row),
            row.id,
            row.id
        );
        let say = Write::Send(thread_message(row, &format!("doubt-{}", intent.number), Text::lines(text)));
        job.enter_with_status(&*self.context.store, Vec::new(), status, vec![say]).await?;
        self.context.outbox.wake();
        Ok(Step::Yield)
    }

    async fn store_result(&self, job: &Job, intent: &Entry, body: Value) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let result = entry::result(job.row(), intent, body, now);
        job.enter_with_status(&*self.context.store, vec![result], working(now), Vec::new()).await
    }

    /// Settles an effect in doubt by a person's answer, or retries a held job. Returns one line for the person.
    ///
    /// # Errors
    /// Why that is not possible, in one line.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        row: JobRow,
        by: &Person,
        given: DoubtAnswer,
        with: ExtraWrites<'_>,
    ) -> Result<String, String> {
        let unavailable = |error: StoreError| format!("nothing was changed: {error}");
        // A claim keeps the runner from working on the job meanwhile.
        let Some(claim) = self.context.claims.claim_with_retry(&row.id).await else {
            return Err(format!("job {} is busy; send the command again in a few seconds", row.id));
        };
        // Read the row again: it can have changed before the claim.
        let row = self.context.store.job(&row.id).await.map_err(unavailable)?.unwrap_or(row);
        let history = JobHistory::read(&*self.context.store, &row.id).await.map_err(|error| error.to_string())?;
        let mut writes = vec![Write::JobStatus { job: row.id.clone(), status: working(self.context.clock.now()) }];
        let told = match (row.status.phase, history.position(), given) {
            (JobPhase::InDoubt, ReplayPosition::InDoubt(at), given) => {
                let intent = &history.entries()[at];
                let doubt = InDoubt { context: &self.context, job: &row, intent };
                let body = match given {
                    DoubtAnswer::AssumeDone => {
                        let Some(answer) = self.context.calls.assumed(&doubt) else {
                            let call = &intent.call;
                            return Err(format!(
                                "`{call}` has no result that could be assumed: run `job {} again`",
                                row.id
                            ));
                        };
                        json!({ "answer": answer, "settled": "assumed", "by": by.id })
                    }
                    DoubtAnswer::Again => json!({ "settled": "again", "by": by.id }),
                };
                let mut result = entry::result(&row, intent, body, self.context.clock.now());
                result.number = history.next();
                writes.insert(0, Write::Append(result));
                match given {
                    DoubtAnswer::AssumeDone => {
                        format!("job {} continues: {} is assumed to have happened", row.id, about(intent))
                    }
                    DoubtAnswer::Again => format!("job {} continues: {} is executed again", row.id, about(intent)),
                }
            }
            (JobPhase::Held, _, DoubtAnswer::Again) => {
                let about = json!({ "event": "again", "by": by.id, "about": "" });
                let mut event = entry(&row, EntryKind::Event, about, self.context.clock.now());
                event.number = history.next();
                writes.insert(0, Write::Append(event));
                format!("job {} is retried", row.id)
            }
            (JobPhase::Held, _, DoubtAnswer::AssumeDone) => {
                return Err(format!("job {} is held and has no question: run `job {} again`", row.id, row.id));
            }
            _ => {
                return Err(format!(
                    "job {} has no open question: its status is `{}`",
                    row.id,
                    row.status.phase.as_str()
                ));
            }
        };
        writes.extend(with(&told));
        self.context.store.commit(writes).await.map_err(unavailable)?;
        drop(claim);
        let status = working(self.context.clock.now());
        self.dispatch(JobRow { status, ..row });
        Ok(told)
    }
}
