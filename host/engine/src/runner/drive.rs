//! Drives a job from its position in the journal until it waits or ends, one step at a time.
//!
//! Invariant: each step reads the journal, does one thing and writes the result. A job that was interrupted by a crash
//! is therefore resumed by the same code as a job that waited.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{finish::guest_ended, jobs::Jobs};
use crate::{
    adapter::{Body, Outgoing},
    base::{Backoff, Text},
    command::{Command, Value},
    hostcall::{GuestStop, Invocation, JobRun, Plugin, ReplayState, RunMode, working},
    job::{GuestValue, HistoryError, Job, JobHistory, Replay, ReplayPosition, entry, thread_message, title},
    plugin::GuestEnd,
    policy::Request,
    store::{DeploymentLock, EntryKind, InboxRow, JobPhase, JobRow, JobStatus, StoreError, Write},
};

/// The pauses before a step is retried after a store error.
const STORE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// The number of retries after a permanent store error; then the job is held.
const MOST_RETRIES: u32 = 6;

/// The result of a step.
pub(crate) enum Step {
    /// Run the next step.
    Continue,
    /// Stop: the job waits or has ended, or the host shuts down.
    Yield,
}

/// Why a step failed.
pub(crate) enum DriveError {
    /// A store error. Nothing was written; the step is retried.
    Store(StoreError),
    /// The job cannot continue without a person: the reason, and whether its journal is intact.
    Hold(String, bool),
}

impl From<StoreError> for DriveError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<HistoryError> for DriveError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Store(error) => Self::Store(error),
            broken @ HistoryError::Broken(_) => Self::Hold(broken.to_string(), false),
            HistoryError::Plugin(reason) => Self::Hold(reason, true),
        }
    }
}

impl Jobs {
    /// Runs steps until the job waits or ends. Store errors are retried with backoff.
    pub(crate) async fn drive(self: &Arc<Self>, job: &Arc<Job>) {
        let mut backoff = STORE_BACKOFF;
        loop {
            match self.step(job).await {
                Ok(Step::Continue) => backoff.reset(),
                Ok(Step::Yield) => return,
                Err(DriveError::Hold(reason, whole)) => return self.hold(job, &reason, whole).await,
                Err(DriveError::Store(error)) => {
                    tracing::error!(job = job.row().id, %error, "a step of a job failed because of the store; retrying");
                    if backoff.retries() == 1 {
                        // Report it in a task of its own: a slow chat network must not delay the retries.
                        tokio::spawn(self.clone().report_store_outage(job.clone()));
                    }
                    if matches!(error, StoreError::Failed(_)) && backoff.retries() >= MOST_RETRIES {
                        return self.hold(job, &error.to_string(), false).await;
                    }
                    tokio::select! {
                        () = backoff.wait(None) => {}
                        () = self.context.stopping.cancelled() => return,
                    }
                }
            }
        }
    }

    async fn step(self: &Arc<Self>, job: &Arc<Job>) -> Result<Step, DriveError> {
        // Acquire the slot before the journal is read. It bounds the memory of journals when many jobs wake at once.
        let Ok(slot) = self.run_slots.acquire().await else { unreachable!("the semaphore is never closed") };
        let history = job.read(&*self.context.store).await?;
        match history.position() {
            ReplayPosition::Closed => Ok(Step::Yield),
            ReplayPosition::Wait(at) => {
                let waits = self.pending_wait(&history, at)?;
                drop((history, slot));
                self.wait(job, waits).await
            }
            ReplayPosition::InDoubt(at) => {
                let intent = history.entries()[at].clone();
                drop((history, slot));
                self.recover(job, &intent).await
            }
            ReplayPosition::Approval => {
                drop(slot);
                self.wait_for_approval(job, &history).await
            }
            ReplayPosition::Ended(at) => {
                drop(slot);
                self.finish(job, &history, at).await
            }
            ReplayPosition::Run => {
                let ran = self.run(job, history).await;
                drop(slot);
                ran
            }
        }
    }

    /// Runs the plugin from its start: recorded calls are replayed, later calls are executed.
    async fn run(self: &Arc<Self>, job: &Arc<Job>, history: JobHistory) -> Result<Step, DriveError> {
        if self.context.stopping.is_cancelled() {
            return Ok(Step::Yield);
        }
        // Step 1: load the plugin that the job started with.
        let start = history.start_entry()?;
        let row = job.row();
        let plugin = self.plugins.of_job(row, &start, &*self.context.store).await?;
        // Step 2: check the caller's rights as they are now, with current room and group members.
        self.context.access.refresh(&*self.context.outbox).await;
        let request = self.request(row, &plugin, &start)?;
        // Step 3: with `--wait`, queue for the deployment lock before the plugin reads anything, so that it reads
        // current data.
        if let (true, true, Some(lock)) =
            (start.options.wait && !job.is_cancelled(), history.is_fresh(), row.deployment_lock())
            && let Step::Yield = self.enqueue(job, &lock).await?
        {
            return Ok(Step::Yield);
        }
        // Step 4: show the job as running.
        if job.phase() != JobPhase::Running {
            let status = working(self.context.clock.now());
            job.enter_with_status(&*self.context.store, Vec::new(), status, Vec::new()).await?;
            self.context.outbox.wake();
        }
        // Step 5: run the guest.
        let (told, ask) = (history.cancel_was_delivered(), history.ask());
        let replay = ReplayState::new(Replay::new(Arc::new(history)), start.settings.clone());
        let purpose = RunMode::Job(Box::new(JobRun::new(job.clone(), replay, ask, told)));
        let invocation = Invocation::new(self.context.clone(), request.clone(), purpose, plugin.clone(), start.limits);
        let ran = crate::plugin::run(&plugin, invocation, &start.invocation).await;
        let left = ran.invocation.replays();
        // Step 6: handle the way in which it ended. A guest that ended during the replay has diverged from its journal.
        match (ran.end, left) {
            (GuestEnd::Stopped(GuestStop::Approval(held)), _) => {
                self.release_reservations(job).await;
                self.request_approval(job, &plugin, &request, &start, *held).await
            }
            (GuestEnd::Stopped(stop), _) => self.stopped(job, stop).await,
            (GuestEnd::Limit(limit), Some(left)) => Err(diverged(&limit.to_string(), &left)),
            (GuestEnd::Trap(why), Some(left)) => Err(diverged(&format!("it crashed: {why}"), &left)),
            (GuestEnd::Reply(_) | GuestEnd::Failure(_), Some(left)) => Err(diverged("it ended", &left)),
            (end, None) => {
                let ended = guest_ended(end, ran.invocation.tally);
                let entry = entry(row, EntryKind::End, json!(ended), self.context.clock.now());
                job.enter(&*self.context.store, vec![entry], Vec::new()).await?;
                Ok(Step::Continue)
            }
        }
    }

    /// Handles a guest that the host stopped.
    async fn stopped(self: &Arc<Self>, job: &Arc<Job>, stop: GuestStop) -> Result<Step, DriveError> {
        // A job that waits or queues keeps only the locks of its effects. Keeping reservations could cause a deadlock.
        if matches!(stop, GuestStop::Parked | GuestStop::InLine(_)) {
            self.release_reservations(job).await;
        }
        match stop {
            GuestStop::Parked => Ok(Step::Continue),
            GuestStop::Stopping => Ok(Step::Yield),
            GuestStop::Unkept(error) => Err(error.into()),
            GuestStop::Diverged(why) => {
                Err(DriveError::Hold(format!("its plugin differs from its journal: {why}"), true))
            }
            GuestStop::InLine(lock) => self.enqueue(job, &lock).await,
            // `run` handles the first; only dry runs end with the second.
            stop @ (GuestStop::Approval(_) | GuestStop::Unforetold) => Err(DriveError::Hold(stop.to_string(), true)),
        }
    }

    /// Releases the locks that were only reserved for a job.
    async fn release_reservations(self: &Arc<Self>, job: &Job) {
        let next = self.context.locks.release_reserved(&job.row().id);
        self.dispatch_next(next).await;
    }

    /// Queues a job for a lock; continues at once if the lock is free.
    async fn enqueue(&self, job: &Arc<Job>, lock: &DeploymentLock) -> Result<Step, DriveError> {
        let row = job.row();
        let now = self.context.clock.now();
        let since = if row.status.phase == JobPhase::Queued { row.status.since } else { now };
        let Some(about) = self.context.locks.enqueue(lock, row, since) else { return Ok(Step::Continue) };
        let status = JobStatus { phase: JobPhase::Queued, about, since, wake: None };
        job.enter_with_status(&*self.context.store, Vec::new(), status, Vec::new()).await?;
        self.context.outbox.wake();
        Ok(Step::Yield)
    }

    /// The job's command, as it was typed, with the rights that its caller has now.
    fn request(
        &self,
        row: &JobRow,
        plugin: &Plugin,
        start: &crate::job::StartEntry,
    ) -> Result<Arc<Request>, DriveError> {
        let asked = &start.invocation;
        let spec = plugin.description.commands.iter().find(|spec| spec.name == asked.command);
        let Some(spec) = spec else {
            return Err(DriveError::Hold(format!("the plugin has no command `{}`", row.command), true));
        };
        let given: Vec<(String, Value)> = asked
            .arguments
            .iter()
            .map(|argument| {
                let value = match &argument.value {
                    GuestValue::Text(text) => Value::Text(text.clone()),
                    GuestValue::Integer(number) => Value::Integer(*number),
                    GuestValue::Boolean(yes) => Value::Boolean(*yes),
                };
                (argument.name.clone(), value)
            })
            .collect();
        let command = Command::recorded(spec.clone(), &given, start.line.clone(), start.options.clone());
        Ok(self.context.access.resume(command, message(row, start.direct)))
    }

    /// Holds a job that cannot continue without a person: stores the status, and reports it to the room and in the log.
    pub(crate) async fn hold(self: &Arc<Self>, job: &Arc<Job>, reason: &str, whole: bool) {
        let row = job.row();
        tracing::error!(
            job = row.id,
            line = row.line,
            reason,
            "a job is held until somebody runs `job ID again` or `cancel ID`"
        );
        let now = self.context.clock.now();
        let status = JobStatus { phase: JobPhase::Held, about: format!("held: {reason}"), since: now, wake: None };
        let text = format!(
            "{} is held: {reason}. Nothing more is done until somebody decides: `job {}` shows its status, \
             `job {} again` retries it, `cancel {}` ends it.",
            title(row),
            row.id,
            row.id,
            row.id
        );
        let key = format!("held-{}", now.as_millisecond());
        let say = Write::Send(thread_message(row, &key, Text::lines(text)));
        // Append nothing to a broken journal: the chain would then cover the broken entries.
        let about = json!({ "event": "held", "about": reason });
        let entries = if whole { vec![entry(row, EntryKind::Event, about, now)] } else { Vec::new() };
        let mut backoff = STORE_BACKOFF;
        while let Err(error) =
            job.enter_with_status(&*self.context.store, entries.clone(), status.clone(), vec![say.clone()]).await
        {
            tracing::error!(job = row.id, %error, "the status `held` of a job cannot be stored; retrying");
            tokio::select! {
                () = backoff.wait(None) => {}
                () = self.context.stopping.cancelled() => return,
            }
        }
        self.context.outbox.wake();
        // Release locks that were reserved for this job.
        let next = self.context.locks.release_reserved(&row.id);
        self.dispatch_next(next).await;
    }

    /// Reports in the room that the store is unavailable. The message bypasses the outbox, which the store cannot
    /// write.
    async fn report_store_outage(self: Arc<Self>, job: Arc<Job>) {
        let row = job.row();
        let Some(chat) = self.context.outbox.chat(&row.bot, &row.inbox.network).cloned() else { return };
        let text = format!(
            "{} waits: the database is unavailable. Nothing more is started. The job is retried automatically.",
            title(row)
        );
        let message = Outgoing {
            key: format!("{}/unkept", row.id),
            room: row.inbox.room.clone(),
            body: Body::Say { text: Text::lines(text), thread: row.thread.clone() },
        };
        let stop = self.context.stop.clone();
        stop.run_until_cancelled(self.context.outbox.send(&chat, &message, false)).await;
    }
}

/// The message that started a job, restored from the job's row.
pub(crate) fn message(row: &JobRow, direct: bool) -> InboxRow {
    InboxRow {
        key: row.inbox.clone(),
        bot: row.bot.clone(),
        thread: row.thread.clone(),
        sender: row.caller.clone(),
        text: row.line.clone(),
        at: row.opened,
        direct,
        reaction: None,
        unproven: None,
        started: None,
    }
}

/// The guest ended before the end of its recorded calls; the result of such a run is never used.
fn diverged(how: &str, left: &str) -> DriveError {
    DriveError::Hold(format!("its plugin differs from its journal: {how}, but the journal has {left}"), true)
}
