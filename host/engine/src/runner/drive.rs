//! Takes a job from where its journal says that it stands to where it rests or ends, step by step.
//!
//! Invariant: each step reads the journal, does one thing and writes what came of it. So a job that a crash left
//! is taken up by the same code, at the same place, as one that only waited.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{finish::guest_ended, jobs::Jobs};
use crate::{
    adapter::{Body, Outgoing},
    base::{Backoff, Text},
    command::{Command, Value},
    hostcall::{GuestStop, Invocation, JobRun, Plugin, ReplayState, RunMode, working},
    job::{GuestValue, HistoryError, Job, JobHistory, Replay, ReplayPosition, entry, said, title},
    plugin::GuestEnd,
    policy::Authorized,
    store::{DeploymentLock, EntryKind, InboxRow, JobPhase, JobRow, JobStatus, StoreError, Write},
};

/// The delays before a job is tried again whose journal could not be read or written.
const STORE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// How often a store that says that something can never be written is asked again, before the job is left as it stands.
const MOST_RETRIES: u32 = 6;

/// What a step came to.
pub(crate) enum Step {
    /// The next one can follow.
    GoOn,
    /// The job rests, is over, or the host stops.
    Rest,
}

/// Why a step came to nothing.
pub(crate) enum DriveError {
    /// The store. Nothing was written; the step is taken again.
    Store(StoreError),
    /// The job cannot go on by itself. Whether its journal is whole.
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
    /// Takes step after step.
    pub(crate) async fn drive(self: &Arc<Self>, job: &Arc<Job>) {
        let mut backoff = STORE_BACKOFF;
        loop {
            match self.step(job).await {
                Ok(Step::GoOn) => backoff.reset(),
                Ok(Step::Rest) => return,
                Err(DriveError::Hold(reason, whole)) => return self.hold(job, &reason, whole).await,
                Err(DriveError::Store(error)) => {
                    tracing::error!(job = job.row().id, %error, "a job cannot go on now; it is tried again");
                    if backoff.retries() == 1 {
                        // A network that is away must not keep the job.
                        tokio::spawn(self.clone().say_unkept(job.clone()));
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
        // Before the journal is read: what many that wake at once have read must not fill the memory.
        let Ok(turn) = self.turns.acquire().await else { unreachable!("the semaphore is never closed") };
        let history = job.read(&*self.context.store).await?;
        match history.standing() {
            ReplayPosition::Over => Ok(Step::Rest),
            ReplayPosition::Waits(at) => {
                let waits = self.waits(&history, at)?;
                drop((history, turn));
                self.wait(job, waits).await
            }
            ReplayPosition::InDoubt(at) => {
                let intent = history.entries()[at].clone();
                drop((history, turn));
                self.settle(job, &intent).await
            }
            ReplayPosition::Asks => {
                drop(turn);
                self.wait_for_others(job, &history).await
            }
            ReplayPosition::Ended(at) => {
                drop(turn);
                self.finish(job, &history, at).await
            }
            ReplayPosition::Runs => {
                let ran = self.run(job, history).await;
                drop(turn);
                ran
            }
        }
    }

    /// Runs the plugin, from its beginning through what is recorded and on.
    async fn run(self: &Arc<Self>, job: &Arc<Job>, history: JobHistory) -> Result<Step, DriveError> {
        if self.context.stopping.is_cancelled() {
            return Ok(Step::Rest);
        }
        let begun = history.begun()?;
        let row = job.row();
        let plugin = self.plugins.of_job(row, &begun, &*self.context.store).await?;
        // The rights that count are those of this moment, also where rooms say who has them.
        self.context.access.look(&*self.context.outbox).await;
        let authorized = self.authorized(row, &plugin, &begun)?;
        // Before the plugin reads anything: what it reads must be as it is when its turn comes.
        if let (true, true, Some(place)) = (begun.options.wait && !job.is_cancelled(), history.is_fresh(), row.place())
            && let Step::Rest = self.enqueue(job, &place).await?
        {
            return Ok(Step::Rest);
        }
        if job.phase() != JobPhase::Working {
            let stand = working(self.context.clock.now());
            job.enter_and_stand(&*self.context.store, Vec::new(), stand, Vec::new()).await?;
            self.context.outbox.wake();
        }
        let (told, ask) = (history.told(), history.ask());
        let authorized = Arc::new(authorized);
        let replay = ReplayState::new(Replay::new(Arc::new(history)), begun.settings.clone());
        let purpose = RunMode::Job(Box::new(JobRun::new(job.clone(), replay, ask, told)));
        let invocation =
            Invocation::new(self.context.clone(), authorized.clone(), purpose, plugin.clone(), begun.limits);
        let ran = crate::plugin::run(&plugin, invocation, &begun.invocation).await;
        let left = ran.invocation.replays();
        match (ran.end, left) {
            (GuestEnd::Stopped(GuestStop::Approval(held)), _) => {
                self.let_others_pass(job).await;
                self.ask_others(job, &plugin, &authorized, &begun, *held).await
            }
            (GuestEnd::Stopped(stop), _) => self.stopped(job, stop).await,
            (GuestEnd::Limit(limit), Some(left)) => Err(unlike(&limit.to_string(), &left)),
            (GuestEnd::Trap(why), Some(left)) => Err(unlike(&format!("it broke: {why}"), &left)),
            (GuestEnd::Reply(_) | GuestEnd::Failure(_), Some(left)) => Err(unlike("it ended", &left)),
            (end, None) => {
                let ended = guest_ended(end, ran.invocation.tally);
                let entry = entry(row, EntryKind::End, json!(ended), self.context.clock.now());
                job.enter(&*self.context.store, vec![entry], Vec::new()).await?;
                Ok(Step::GoOn)
            }
        }
    }

    /// The host ended the plugin.
    async fn stopped(self: &Arc<Self>, job: &Arc<Job>, stop: GuestStop) -> Result<Step, DriveError> {
        // Who waits, or stands in line elsewhere, holds nothing but what its effects took: others would wait for each other.
        if matches!(stop, GuestStop::Parked | GuestStop::InLine(_)) {
            self.let_others_pass(job).await;
        }
        match stop {
            GuestStop::Parked => Ok(Step::GoOn),
            GuestStop::Stopping => Ok(Step::Rest),
            GuestStop::Unkept(error) => Err(error.into()),
            GuestStop::Diverged(why) => {
                Err(DriveError::Hold(format!("its plugin does not do what it did: {why}"), true))
            }
            GuestStop::InLine(place) => self.enqueue(job, &place).await,
            // The one is taken before, the other ends dry runs alone.
            stop @ (GuestStop::Approval(_) | GuestStop::Unforetold) => Err(DriveError::Hold(stop.to_string(), true)),
        }
    }

    /// Lets go of a place that was only kept for a job.
    async fn let_others_pass(self: &Arc<Self>, job: &Job) {
        let next = self.context.places.release_held(&job.row().id);
        self.call_next(next).await;
    }

    /// Puts a job in line for a place.
    async fn enqueue(&self, job: &Arc<Job>, place: &DeploymentLock) -> Result<Step, DriveError> {
        let row = job.row();
        let now = self.context.clock.now();
        let since = if row.stand.phase == JobPhase::Line { row.stand.since } else { now };
        let Some(about) = self.context.places.enqueue(place, row, since) else { return Ok(Step::GoOn) };
        let stand = JobStatus { phase: JobPhase::Line, about, since, wake: None };
        job.enter_and_stand(&*self.context.store, Vec::new(), stand, Vec::new()).await?;
        self.context.outbox.wake();
        Ok(Step::Rest)
    }

    /// What the plugin is run with: the command as it was typed, and the rights that its caller has now.
    fn authorized(
        &self,
        row: &JobRow,
        plugin: &Plugin,
        begun: &crate::job::StartEntry,
    ) -> Result<Authorized, DriveError> {
        let asked = &begun.invocation;
        let spec = plugin.description.commands.iter().find(|spec| spec.name == asked.command);
        let Some(spec) = spec else {
            return Err(DriveError::Hold(format!("its plugin has no command `{}`", row.command), true));
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
        let command = Command::recorded(spec.clone(), &given, begun.line.clone(), begun.options.clone());
        Ok(self.context.access.resume(command, message(row, begun.direct)))
    }

    /// A job cannot go on by itself: it stays open, and the room and the operator are told.
    pub(crate) async fn hold(self: &Arc<Self>, job: &Arc<Job>, reason: &str, whole: bool) {
        let row = job.row();
        tracing::error!(job = row.id, line = row.line, reason, "a job is held");
        let now = self.context.clock.now();
        let stand = JobStatus { phase: JobPhase::Held, about: format!("held: {reason}"), since: now, wake: None };
        let text = format!(
            "{} is held: {reason}. Nothing more of it is done until somebody looks at it: `job {}` shows where it stands, \
             `job {} again` tries again, `cancel {}` ends it.",
            title(row),
            row.id,
            row.id,
            row.id
        );
        let key = format!("held-{}", now.as_millisecond());
        let say = Write::Say(said(row, &key, Text::lines(text)));
        // An entry behind a broken one would say that all before it is good.
        let about = json!({ "event": "held", "about": reason });
        let entries = if whole { vec![entry(row, EntryKind::Event, about, now)] } else { Vec::new() };
        let mut backoff = STORE_BACKOFF;
        while let Err(error) =
            job.enter_and_stand(&*self.context.store, entries.clone(), stand.clone(), vec![say.clone()]).await
        {
            tracing::error!(job = row.id, %error, "that a job is held cannot be kept; trying again");
            tokio::select! {
                () = backoff.wait(None) => {}
                () = self.context.stopping.cancelled() => return,
            }
        }
        self.context.outbox.wake();
        // It may have been kept a place that it does not take now.
        let next = self.context.places.release_held(&row.id);
        self.call_next(next).await;
    }

    /// Tells the room why a job does not go on. The store cannot keep these words, so they are sent as they are.
    async fn say_unkept(self: Arc<Self>, job: Arc<Job>) {
        let row = job.row();
        let Some(chat) = self.context.outbox.chat(&row.bot, &row.inbox.network).cloned() else { return };
        let text = format!(
            "{} waits: what it does cannot be written down now. It goes on when it can; nothing more is started until then.",
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

/// The message that caused a job, as far as its row knows it.
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

/// A plugin that runs anew ended differently, which is never the outcome.
fn unlike(how: &str, left: &str) -> DriveError {
    DriveError::Hold(format!("its plugin does not do what it did: {how}, and the journal has {left}"), true)
}
