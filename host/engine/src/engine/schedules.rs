//! Starts scheduled commands: each due time once, even over restarts and changes of the clock.
//!
//! Invariant: the store holds a cursor with the last due time of each schedule. The cursor moves in the transaction
//! that stores the command in the inbox. The event id of the command contains the due time, and the inbox takes an
//! event once.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    announce::{TriggerRoom, TriggeredCommand},
    host::Host,
};
use crate::{
    base::{Backoff, Text, moment},
    metrics::{ScheduleOutcome, scheduled},
    store::{RoomCursor, StoreError, TriggerSource, Write},
    trigger::{MissedPolicy, Schedule},
};

/// The network in a schedule's cursor row. It is no chat network.
const NETWORK: &str = "schedule";
/// The interval at which the clock is read, so that a change of the clock takes effect.
const CLOCK_POLL: Duration = Duration::from_secs(1);
/// The delay before a retry after a store error, and the first delay while the room is unreachable.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The longest delay before a retry while the room is unreachable.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// The most missed times that are counted.
const MAX_COUNTED: usize = 1_000;

/// The next step of a schedule's loop.
enum NextStep {
    /// Check the schedule again after this time.
    After(Duration),
    /// The schedule is due and its room cannot be reached: retry with backoff.
    NoRoom,
}

impl Host {
    /// Starts a schedule's command at its due times until the host stops.
    pub(crate) async fn run_schedule(self: Arc<Self>, schedule: Schedule) {
        let mut without_room = Backoff::new(RETRY_DELAY, MAX_RETRY_DELAY);
        loop {
            let pause = match self.step(&schedule).await {
                Ok(NextStep::After(pause)) => {
                    without_room.reset();
                    pause
                }
                Ok(NextStep::NoRoom) => {
                    if without_room.retries() == 0 {
                        tracing::warn!(
                            schedule = schedule.name, room = %schedule.room,
                            "the room of a schedule cannot be reached; retrying; check that the bot is in it"
                        );
                    }
                    without_room.next_delay()
                }
                Err(error) => {
                    tracing::error!(schedule = schedule.name, %error, "the store failed for a schedule; retrying");
                    RETRY_DELAY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Starts the schedule's command if it is due.
    async fn step(&self, schedule: &Schedule) -> Result<NextStep, StoreError> {
        let store = &self.context.store;
        let now = self.context.clock.now();
        let Some(cursor) = store.cursor("", NETWORK, &schedule.name).await? else {
            // The schedule is new. It starts now, and no earlier time is due.
            store.commit(vec![cursor_at(schedule, now)]).await?;
            return Ok(NextStep::After(Duration::ZERO));
        };
        if cursor.event.as_deref() != Some(schedule.cron.described().as_str()) {
            // The cron line or its time zone has changed. The schedule starts anew, and no earlier time is due.
            store.commit(vec![cursor_at(schedule, now.max(cursor.at))]).await?;
            return Ok(NextStep::After(Duration::ZERO));
        }
        let Some(next) = schedule.cron.next(cursor.at) else { return Ok(NextStep::After(CLOCK_POLL)) };
        if next > now {
            let until: Duration = next.duration_since(now).try_into().unwrap_or(CLOCK_POLL);
            return Ok(NextStep::After(until.min(CLOCK_POLL)));
        }
        let Some(trigger_room) = self.trigger_room(schedule.bot.as_deref(), &schedule.room).await else {
            return Ok(NextStep::NoRoom);
        };
        let (due, before) = newest(schedule, next, now);
        let age: Duration = now.duration_since(due).try_into().unwrap_or_default();
        let most = self.settings_of_bot(trigger_room.bot()).max_age;
        match schedule.missed {
            MissedPolicy::SkipOld if age > most => self.skip(schedule, &trigger_room, due, before + 1).await?,
            MissedPolicy::SkipOld | MissedPolicy::RunLatest => {
                self.fire(schedule, &trigger_room, due, before, age > most).await?
            }
        }
        Ok(NextStep::After(Duration::ZERO))
    }

    async fn fire(
        &self,
        schedule: &Schedule,
        trigger_room: &TriggerRoom,
        due: Timestamp,
        before: usize,
        late: bool,
    ) -> Result<(), StoreError> {
        let mut notes = Vec::new();
        if late {
            notes.push(format!("It was due at {}, when I was away.", moment(due)));
        }
        if before > 0 {
            notes.push(format!(
                "{} of its times before that came while I was away, and are not made up for.",
                counted(before)
            ));
        }
        let command = TriggeredCommand {
            event: format!("schedule/{}/{}", schedule.name, due.as_second()),
            deduplication_key: None,
            machine: schedule.machine.clone(),
            started: TriggerSource {
                by: format!("schedule {}", schedule.name),
                words: schedule.command.fill(&Default::default()),
            },
            // The current time and not the due time: the age of the due time is already checked here against `max_age`.
            at: self.context.clock.now(),
            note: (!notes.is_empty()).then(|| notes.join(" ")),
        };
        if self.start_triggered(trigger_room, command, vec![cursor_at(schedule, due)]).await? {
            scheduled(&schedule.name, ScheduleOutcome::Fired, 1);
        }
        if before > 0 {
            scheduled(&schedule.name, ScheduleOutcome::Skipped, before);
        }
        Ok(())
    }

    async fn skip(
        &self,
        schedule: &Schedule,
        trigger_room: &TriggerRoom,
        due: Timestamp,
        times: usize,
    ) -> Result<(), StoreError> {
        let text = format!(
            "Schedule {}: {} of its times came while I was away, the last at {}, and are not made up for.",
            schedule.name,
            counted(times),
            moment(due)
        );
        tracing::warn!(schedule = schedule.name, times, "skipped missed times of a schedule");
        let key = format!("schedule/{}/{}/skipped", schedule.name, due.as_second());
        self.send_once(trigger_room, key, Text::lines(text), vec![cursor_at(schedule, due)]).await?;
        scheduled(&schedule.name, ScheduleOutcome::Skipped, times);
        Ok(())
    }
}

/// The latest due time up to `now`, and the number of due times from `first` to it, without itself. Counts up to
/// [`MAX_COUNTED`].
fn newest(schedule: &Schedule, first: Timestamp, now: Timestamp) -> (Timestamp, usize) {
    let (mut due, mut before) = (first, 0);
    while let Some(next) = schedule.cron.next(due).filter(|next| *next <= now) {
        (due, before) = (next, before + 1);
        if before == MAX_COUNTED {
            // A schedule for every minute after an outage of a month: find the latest time without counting all of
            // them.
            let within: Duration = now.duration_since(due).try_into().unwrap_or_default();
            return (schedule.cron.last(now, within + Duration::from_secs(1)).unwrap_or(due), before);
        }
    }
    (due, before)
}

fn counted(times: usize) -> String {
    if times >= MAX_COUNTED { format!("more than {MAX_COUNTED}") } else { times.to_string() }
}

/// The write that moves a schedule's cursor to a time.
fn cursor_at(schedule: &Schedule, moment: Timestamp) -> Write {
    Write::SetCursor(RoomCursor {
        bot: String::new(),
        network: NETWORK.to_owned(),
        room: schedule.name.clone(),
        // The cron line with its time zone: a change of either resets the cursor.
        event: Some(schedule.cron.described()),
        at: moment,
    })
}
