//! Drives a job, one step at a time, from the job's position in its journal until the job waits or ends.
//!
//! Invariant: each step reads the journal, performs one operation and writes the result. Therefore the same code
//! resumes a job after a crash and after a wait.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{finish::guest_ended, jobs::Jobs};
use crate::{
    adapter::{Body, Outgoing},
    base::{Backoff, PREFIX, Text},
    command::Command,
    hostcall::{GuestStop, Invocation, JobRun, Plugin, ReplayState, RunMode, running_status},
    job::{
        ActiveJob, GuestOutcome, HistoryError, INTERRUPTED, JobHistory, Replay, ReplayPosition, entry, thread_message,
        title,
    },
    plugin::GuestEnd,
    policy::Request,
    store::{DeploymentLock, EntryKind, InboxRow, JobPhase, JobRow, JobStatus, StoreError, Write},
};

/// The delays between the retries of a step that failed with a store error.
const STORE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// The maximum number of retries of a step that fails with [`StoreError::Failed`]. After the last retry, the job is
/// held: it does not continue until a person decides.
const MAX_RETRIES: u32 = 6;

/// The result of a step: whether the job has a next step now.
pub(crate) enum Step {
    /// The job continues with its next step.
    Continue,
    /// The job has no next step now, because it waits or has ended, or because the host is shutting down.
    Yield,
}

/// The reason why a step of a job failed.
pub(crate) enum DriveError {
    /// The store failed or is unavailable. The step wrote nothing and is retried.
    Store(StoreError),
    /// The job is held until a person decides. The value is the reason.
    Hold(String),
    /// The job's journal is broken. The job is held until a person decides, and nothing is appended to the journal. The
    /// value is the reason.
    Broken(String),
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
            broken @ HistoryError::Broken(_) => Self::Broken(broken.to_string()),
            HistoryError::Plugin(reason) => Self::Hold(reason),
        }
    }
}

/// The number of times in a row that the host can end while a job's plugin runs, before the job is held. The number is
/// large enough for a host that is restarted repeatedly for other reasons.
const MAX_INTERRUPTIONS: usize = 8;
/// The number of waits of a cancelled job that end at once, after which the host ends the job. The cleanup of a plugin
/// waits for runs that it starts, so it does not reach this number.
const MAX_IDLE_WAITS: usize = 20;

impl Jobs {
    /// Runs the steps of a job until the job waits or ends. Retries a step after a store error.
    pub(crate) async fn drive(self: &Arc<Self>, job: &Arc<ActiveJob>) {
        let mut backoff = STORE_BACKOFF;
        loop {
            match self.step(job).await {
                Ok(Step::Continue) => backoff.reset(),
                Ok(Step::Yield) => return,
                Err(DriveError::Hold(reason)) => return self.hold(job, &reason, true).await,
                Err(DriveError::Broken(reason)) => return self.hold(job, &reason, false).await,
                Err(DriveError::Store(error)) => {
                    tracing::error!(job = job.row().id, %error, "the database failed during a step of a job; retrying");
                    if backoff.retries() == 1 {
                        // Report the outage in a separate task, so that a slow chat network does not delay the retries.
                        tokio::spawn(self.clone().report_store_outage(job.clone()));
                    }
                    if matches!(error, StoreError::Failed(_)) && backoff.retries() >= MAX_RETRIES {
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

    async fn step(self: &Arc<Self>, job: &Arc<ActiveJob>) -> Result<Step, DriveError> {
        // The slots bound the memory for journals when many jobs wake at the same time.
        let Ok(slot) = self.run_slots.acquire().await else { unreachable!("the semaphore is never closed") };
        let history = job.read(&*self.context.store).await?;
        match history.position() {
            ReplayPosition::Closed => Ok(Step::Yield),
            ReplayPosition::Waiting(at) => {
                let waits = self.pending_wait(&history, at)?;
                drop((history, slot));
                self.wait(job, waits).await
            }
            ReplayPosition::InDoubt(at) => {
                let intent = history.entries()[at].clone();
                drop((history, slot));
                self.recover(job, &intent).await
            }
            ReplayPosition::AwaitingApproval => {
                drop(slot);
                self.wait_for_approval(job, &history).await
            }
            ReplayPosition::PluginEnded(at) => {
                drop(slot);
                self.finish(job, &history, at).await
            }
            ReplayPosition::Running => {
                let ran = self.run(job, history).await;
                drop(slot);
                ran
            }
        }
    }

    /// Runs the job's plugin from its start. Calls that the journal contains are not performed again: the plugin
    /// receives their results from the journal. Calls that the journal does not contain yet are performed.
    async fn run(self: &Arc<Self>, job: &Arc<ActiveJob>, history: JobHistory) -> Result<Step, DriveError> {
        if self.context.stopping.is_cancelled() {
            return Ok(Step::Yield);
        }
        // A cancelled job ends, even if its plugin ignores the cancellation.
        if history.idle_waits_since_cancellation() >= MAX_IDLE_WAITS {
            let text = format!("it waited {MAX_IDLE_WAITS} times for nothing after the job was cancelled");
            let ended = GuestOutcome::limit(text, history.has_intent());
            let entry = entry(job.row(), EntryKind::End, json!(ended), self.context.clock.now());
            job.enter(&*self.context.store, vec![entry], Vec::new()).await?;
            return Ok(Step::Continue);
        }
        // Step 1: load the plugin that the job started with.
        let start = history.start_entry()?;
        let row = job.row();
        let plugin = self.context.plugins.of_job(row, &start, &*self.context.store).await?;
        // Step 2: check the caller's current rights, with the current members of rooms and groups.
        self.context.access.refresh(&*self.context.outbox).await;
        let request = self.request(row, &plugin, &start)?;
        // Step 3: with `--wait`, queue for the deployment lock before the plugin runs, so that the plugin reads current
        // data.
        if let (true, true, Some(lock)) =
            (start.options.wait && !job.is_cancelled(), history.is_fresh(), row.deployment_lock())
            && let Step::Yield = self.enqueue(job, &lock).await?
        {
            return Ok(Step::Yield);
        }
        // Step 4: a job that used too much processor time in the last minute waits until the minute is over. The first
        // run after a cancellation is exempt, so that the plugin receives the cancellation at once.
        let is_exempt = job.is_cancelled() && !history.has_waited_since_cancellation();
        if !is_exempt && let Some(wait) = self.throttle.wait(&row.id, start.limits.cpu, Instant::now()) {
            let now = self.context.clock.now();
            let wake = self.context.monotonic.now().checked_add(wait).ok();
            let about = "waits because it used too much processor time in the last minute".to_owned();
            let status = JobStatus { phase: JobPhase::Time, about, since: now, wake };
            job.enter_with_status(&self.context.store, Vec::new(), status, Vec::new()).await?;
            self.context.alarm.notify_one();
            return Ok(Step::Yield);
        }
        // Step 5: show the job as running.
        if job.phase() != JobPhase::Running {
            let status = running_status(self.context.clock.now());
            job.enter_with_status(&self.context.store, Vec::new(), status, Vec::new()).await?;
            self.context.outbox.wake();
        }
        // Step 6: run the guest, when the memory budget has room for it. Hold a job during whose runs the host ended
        // many times in a row, because the job may be the cause.
        let _memory = self.context.guest_memory.reserve_for_job(&start.limits).await;
        if self.interrupted.lock().remove(&row.id) {
            let interruptions = history.interruptions() + 1;
            if interruptions > MAX_INTERRUPTIONS {
                return Err(DriveError::Hold(format!(
                    "the host ended {interruptions} times in a row while the job ran"
                )));
            }
            let event = json!({ "event": INTERRUPTED, "about": "the host ended while the plugin ran" });
            let entry = entry(row, EntryKind::Event, event, self.context.clock.now());
            job.enter(&*self.context.store, vec![entry], Vec::new()).await?;
        }
        let (cancel_delivered, ask) = (history.cancel_was_delivered(), history.ask());
        let replay = ReplayState::new(Replay::new(Arc::new(history)), start.settings.clone());
        let mode = RunMode::Job(Box::new(JobRun::new(job.clone(), replay, ask, cancel_delivered)));
        let invocation = Invocation::new(self.context.clone(), request.clone(), mode, plugin.clone(), start.limits);
        let ran = crate::plugin::run(&plugin, invocation, &start.invocation).await;
        self.throttle.add(&row.id, ran.cpu, Instant::now());
        let left = ran.invocation.expected_call();
        // Step 7: handle the end of the guest. A guest that ended before all recorded calls were replayed has diverged
        // from its journal.
        let early =
            |how: &str, left: String| Err(diverged(&format!("{how}, but the next call in the journal is {left}")));
        match (ran.end, left) {
            (GuestEnd::Stopped(GuestStop::NeedsApproval(held)), _) => {
                self.release_reservations(job).await;
                self.request_approval(job, &plugin, &request, &start, *held).await
            }
            (GuestEnd::Stopped(stop), _) => self.stopped(job, stop).await,
            (GuestEnd::Limit(limit), Some(left)) => early(&limit.to_string(), left),
            (GuestEnd::Trap(why), Some(left)) => early(&format!("the plugin crashed: {why}"), left),
            (GuestEnd::Reply(_) | GuestEnd::Failure(_), Some(left)) => early("the plugin ended", left),
            // The limit can end a guest during an effect. First find out whether the effect happened, then run the guest
            // again with the result.
            (GuestEnd::Limit(_), None) if job.read(&*self.context.store).await?.has_unknown_effect() => {
                Ok(Step::Continue)
            }
            (end, None) => {
                let ended = guest_ended(end, ran.invocation.tally);
                let entry = entry(row, EntryKind::End, json!(ended), self.context.clock.now());
                job.enter(&*self.context.store, vec![entry], Vec::new()).await?;
                Ok(Step::Continue)
            }
        }
    }

    /// Handles the end of a plugin's run that the host stopped. `stop` is the reason of the host.
    async fn stopped(self: &Arc<Self>, job: &Arc<ActiveJob>, stop: GuestStop) -> Result<Step, DriveError> {
        // A job that waits or queues keeps only the locks of its effects, because reserved locks could cause a
        // deadlock.
        if matches!(stop, GuestStop::Parked | GuestStop::QueuedForLock(_)) {
            self.release_reservations(job).await;
        }
        match stop {
            GuestStop::Parked => Ok(Step::Continue),
            GuestStop::ShuttingDown => Ok(Step::Yield),
            GuestStop::StoreFailed(error) => Err(error.into()),
            GuestStop::Diverged(why) => Err(diverged(&why)),
            GuestStop::QueuedForLock(lock) => self.enqueue(job, &lock).await,
            // Unreachable: `run` handles `NeedsApproval`, and only dry runs end with `Unpredictable`.
            stop @ (GuestStop::NeedsApproval(_) | GuestStop::Unpredictable) => Err(DriveError::Hold(stop.to_string())),
        }
    }

    /// Releases the deployment locks that are reserved for a job but not acquired by the job. Dispatches the next jobs
    /// in the queues of these locks.
    async fn release_reservations(self: &Arc<Self>, job: &ActiveJob) {
        let next = self.context.locks.release_reserved(&job.row().id);
        self.dispatch_next(next).await;
    }

    /// Queues a job for a deployment lock, and returns [`Step::Yield`]. If the lock is free, does not queue the job,
    /// and returns [`Step::Continue`].
    async fn enqueue(&self, job: &Arc<ActiveJob>, lock: &DeploymentLock) -> Result<Step, DriveError> {
        let row = job.row();
        let now = self.context.clock.now();
        let since = if row.status.phase == JobPhase::Queued { row.status.since } else { now };
        let Some(about) = self.context.locks.enqueue(lock, row, since) else { return Ok(Step::Continue) };
        let status = JobStatus { phase: JobPhase::Queued, about, since, wake: None };
        job.enter_with_status(&self.context.store, Vec::new(), status, Vec::new()).await?;
        self.context.outbox.wake();
        Ok(Step::Yield)
    }

    /// Returns the job's command with the caller's current rights. `start` is the job's first journal entry.
    fn request(
        &self,
        row: &JobRow,
        plugin: &Plugin,
        start: &crate::job::StartEntry,
    ) -> Result<Arc<Request>, DriveError> {
        let invocation = &start.invocation;
        let spec = plugin.description.commands.iter().find(|spec| spec.name == invocation.command);
        let Some(spec) = spec else {
            return Err(DriveError::Hold(format!("its plugin no longer has the command `{}`", row.command)));
        };
        let given = invocation.arguments.iter().map(|argument| (argument.name.as_str(), &argument.value));
        let command = Command::recorded(spec.clone(), given, start.line.clone(), start.options.clone());
        Ok(self.context.access.resume(command, message(row, start.direct)))
    }

    /// Holds a job that cannot continue until a person decides: stores the job's status and reports the reason in the
    /// room and in the log. `intact` is false if the job's journal is broken; nothing is then appended to the journal.
    pub(crate) async fn hold(self: &Arc<Self>, job: &Arc<ActiveJob>, reason: &str, intact: bool) {
        let row = job.row();
        tracing::error!(
            job = row.id,
            line = row.line,
            reason,
            "a job is held until a person decides; hint: in the job's room, send `job {0} again` to retry it or `cancel {0}` to end it",
            row.id
        );
        let now = self.context.clock.now();
        let status = JobStatus { phase: JobPhase::Held, about: format!("held: {reason}"), since: now, wake: None };
        let text = format!(
            "{} is held: {reason}. The job does not continue until somebody decides: `{PREFIX}job {}` shows its status, \
             `{PREFIX}job {} again` retries it, `{PREFIX}cancel {}` ends it.",
            title(row),
            row.id,
            row.id,
            row.id
        );
        let key = format!("held-{}", now.as_millisecond());
        let say = Write::Send(thread_message(row, &key, Text::lines(text)));
        // Append nothing to a broken journal, because a new entry would confirm the broken entries.
        let about = json!({ "event": "held", "about": reason });
        let entries = if intact { vec![entry(row, EntryKind::Event, about, now)] } else { Vec::new() };
        let mut backoff = STORE_BACKOFF;
        while let Err(error) =
            job.enter_with_status(&self.context.store, entries.clone(), status.clone(), vec![say.clone()]).await
        {
            tracing::error!(job = row.id, %error, "cannot store that a job is held; retrying");
            tokio::select! {
                () = backoff.wait(None) => {}
                () = self.context.stopping.cancelled() => return,
            }
        }
        self.context.outbox.wake();
        self.release_reservations(job).await;
    }

    /// Reports in the job's room that the store is unavailable. Sends the message directly, because the outbox is in
    /// the store.
    async fn report_store_outage(self: Arc<Self>, job: Arc<ActiveJob>) {
        let row = job.row();
        let Some(account) = self.context.outbox.account(&row.bot, &row.inbox.network).cloned() else { return };
        let text = format!(
            "{} waits: the database is unavailable. The job continues automatically when the database is available \
             again.",
            title(row)
        );
        let message = Outgoing {
            key: format!("{}/unkept", row.id),
            room: row.inbox.room.clone(),
            body: Body::Say { text: Text::lines(text), thread: row.thread.clone() },
        };
        let stop = self.context.stop.clone();
        stop.run_until_cancelled(self.context.outbox.send(&account, &message, false)).await;
    }
}

/// Returns the message that started a job, restored from the job's row. `direct` is true if the message was a direct
/// message.
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

/// Returns the error for a plugin whose host calls differ from the calls in the journal. `why` describes the
/// difference.
fn diverged(why: &str) -> DriveError {
    DriveError::Hold(format!("the replay failed, because the plugin's host calls differ from the job's journal: {why}"))
}
