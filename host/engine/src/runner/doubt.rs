//! Effects whose result is not in the journal: the system is asked, and where it cannot say, people are.
//!
//! Invariant: an effect is tried again only when the system or a person said that it did not happen.

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
    job::{GuestOutcome, Job, JobHistory, ReplayPosition, about, entry, said, title},
    model::Person,
    store::{Entry, EntryKind, JobPhase, JobRow, JobStatus, StoreError, Write},
};

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(90);

/// What must be on disk together with what an order changes, made of the words that answer it.
pub(crate) type WithOrder<'a> = &'a (dyn Fn(&str) -> Vec<Write> + Sync);

/// What people can say of an effect that nobody knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It happened.
    Done,
    /// It did not: it is done again.
    Again,
}

impl Jobs {
    /// Finds out whether an effect happened.
    pub(crate) async fn settle(&self, job: &Arc<Job>, intent: &Entry) -> Result<Step, DriveError> {
        let calls = &self.context.calls;
        let mut backoff = away_backoff();
        let body = loop {
            let doubt = InDoubt { context: &self.context, job: job.row(), intent };
            let away = || Some(Recovered::Away("it does not answer".to_owned()));
            let asked = tokio::time::timeout(ANSWER, calls.recover(doubt)).await.unwrap_or_else(|_| away());
            let Some(recovered) = asked else {
                return Err(DriveError::Hold(format!("this host has no call {}", intent.call), true));
            };
            match recovered {
                Recovered::Happened(answer) => break json!({ "answer": answer, "settled": "it happened" }),
                Recovered::Not => break json!({ "settled": "it did not happen" }),
                Recovered::Unknowable(reason) => return self.ask(job, intent, &reason).await,
                Recovered::Away(reason) => {
                    tracing::warn!(job = job.row().id, reason, "whether an effect happened is not known yet");
                    job.card().stage(format!("whether {} happened is not known yet", intent.call));
                    tokio::select! {
                        () = backoff.wait(None) => {}
                        () = self.context.stopping.cancelled() => return Ok(Step::Rest),
                    }
                }
            }
        };
        self.settled(job, intent, body).await?;
        Ok(Step::GoOn)
    }

    /// Asks the room.
    async fn ask(&self, job: &Arc<Job>, intent: &Entry, reason: &str) -> Result<Step, DriveError> {
        let row = job.row();
        let now = self.context.clock.now();
        // Somebody called it off while its system was asked: nobody is asked any more.
        if job.is_cancelled() {
            let text = format!("`{}` (job {}) was called off, as it stood.", row.line, row.id);
            let end = entry(row, EntryKind::End, json!(GuestOutcome::called_off(text)), now);
            job.enter(&*self.context.store, vec![end], Vec::new()).await?;
            return Ok(Step::GoOn);
        }
        let what = about(intent);
        let since = if row.stand.phase == JobPhase::Asked { row.stand.since } else { now };
        let stand =
            JobStatus { phase: JobPhase::Asked, about: format!("asks whether {what} happened"), since, wake: None };
        let text = format!(
            "{}: whether {what} happened cannot be known: {reason}. Look, and say `job {} assume done` if it did, or \
             `job {} again` if it did not. Nothing is done until then.",
            title(row),
            row.id,
            row.id
        );
        let say = Write::Say(said(row, &format!("doubt-{}", intent.number), Text::lines(text)));
        job.enter_and_stand(&*self.context.store, Vec::new(), stand, vec![say]).await?;
        self.context.outbox.wake();
        Ok(Step::Rest)
    }

    async fn settled(&self, job: &Job, intent: &Entry, body: Value) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let result = entry::result(job.row(), intent, body, now);
        job.enter_and_stand(&*self.context.store, vec![result], working(now), Vec::new()).await
    }

    /// Somebody said what became of an effect that a job asks about, or that one that is held is to be tried again.
    ///
    /// # Errors
    /// Why that is not possible, one line.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        row: JobRow,
        by: &Person,
        said: Said,
        with: WithOrder<'_>,
    ) -> Result<String, String> {
        let unkept = |error: StoreError| format!("nothing was changed: {error}");
        // Nobody else takes care of a job that asks or is held.
        let Some(claim) = self.context.claims.claim_soon(&row.id).await else {
            return Err(format!("job {} is being looked at; try again", row.id));
        };
        // As it stands now, and not as it was when it was looked up.
        let row = self.context.store.job(&row.id).await.map_err(unkept)?.unwrap_or(row);
        let history = JobHistory::read(&*self.context.store, &row.id).await.map_err(|error| error.to_string())?;
        let mut writes = vec![Write::JobStatus { job: row.id.clone(), stand: working(self.context.clock.now()) }];
        let told = match (row.stand.phase, history.standing(), said) {
            (JobPhase::Asked, ReplayPosition::InDoubt(at), said) => {
                let intent = &history.entries()[at];
                let doubt = InDoubt { context: &self.context, job: &row, intent };
                let body = match said {
                    Said::Done => {
                        let Some(answer) = self.context.calls.assumed(&doubt) else {
                            let call = &intent.call;
                            return Err(format!("{call} has no answer that could be assumed: job {} again", row.id));
                        };
                        json!({ "answer": answer, "settled": "assumed", "by": by.id })
                    }
                    Said::Again => json!({ "settled": "again", "by": by.id }),
                };
                let mut result = entry::result(&row, intent, body, self.context.clock.now());
                result.number = history.next();
                writes.insert(0, Write::Enter(result));
                match said {
                    Said::Done => format!("job {} goes on: {} is taken as done", row.id, about(intent)),
                    Said::Again => format!("job {} goes on: {} is done again", row.id, about(intent)),
                }
            }
            (JobPhase::Held, _, Said::Again) => {
                let about = json!({ "event": "again", "by": by.id, "about": "" });
                let mut event = entry(&row, EntryKind::Event, about, self.context.clock.now());
                event.number = history.next();
                writes.insert(0, Write::Enter(event));
                format!("job {} is tried again", row.id)
            }
            (JobPhase::Held, _, Said::Done) => return Err(format!("job {} asks nothing, it is held", row.id)),
            _ => return Err(format!("job {} asks nothing: {}", row.id, row.stand.phase.as_str())),
        };
        writes.extend(with(&told));
        self.context.store.commit(writes).await.map_err(unkept)?;
        drop(claim);
        let stand = working(self.context.clock.now());
        self.take_up(JobRow { stand, ..row });
        Ok(told)
    }
}
