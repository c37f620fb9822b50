//! Starts the commands of schedules. Each command starts once for each due time, even if the host restarts or the clock
//! changes.
//!
//! Invariant: the store has a cursor for each schedule: the last due time for which the command was started or skipped.
//! One transaction moves the cursor and stores the command in the inbox. The event id of the command contains the due
//! time, so the inbox deduplicates the command.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    announce::{TriggerRoom, TriggeredCommand},
    host::Host,
};
use crate::{
    base::{Backoff, Text, utc_text},
    metrics::{ScheduleOutcome, scheduled},
    store::{RoomCursor, StoreError, TriggerSource, Write},
    trigger::{MissedPolicy, Schedule},
};

/// The value of `network` in the stored cursor of a schedule. No chat network has this name.
const NETWORK: &str = "schedule";
/// The maximum delay between two checks of a schedule. The host detects a changed system clock within this time.
const CLOCK_POLL: Duration = Duration::from_secs(1);
/// The delay before a retry after a store error. Also the first delay before a retry if the schedule's room cannot be
/// reached.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The maximum delay before a retry if the schedule's room cannot be reached.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// The maximum number of missed runs of one schedule that are counted. Beyond this number, the message in the room says
/// `at least`.
const MAX_COUNTED: usize = 1_000;

impl Host {
    /// Starts the command of a schedule at its due times, until the host stops.
    pub(crate) async fn run_schedule(self: Arc<Self>, schedule: Schedule) {
        let mut without_room = Backoff::new(RETRY_DELAY, MAX_RETRY_DELAY);
        loop {
            let pause = match self.step(&schedule).await {
                Ok(Some(pause)) => {
                    without_room.reset();
                    pause
                }
                Ok(None) => {
                    if without_room.retries() == 0 {
                        tracing::warn!(
                            schedule = schedule.name, room = %schedule.room,
                            "cannot start the schedule's command, because the room cannot be reached; retrying; hint: check that the bot is in the room"
                        );
                    }
                    without_room.next_delay()
                }
                Err(error) => {
                    tracing::error!(
                        schedule = schedule.name, %error,
                        "cannot read or write the schedule's state in the database; retrying"
                    );
                    RETRY_DELAY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Starts the command of a schedule if it is due. Returns the delay until the next check; `None` if the schedule is
    /// due, but its room cannot be reached.
    async fn step(&self, schedule: &Schedule) -> Result<Option<Duration>, StoreError> {
        let store = &self.context.store;
        let now = self.context.clock.now();
        let Some(cursor) = store.cursor("", NETWORK, &schedule.name).await? else {
            // The schedule is new. Only times after now are due.
            store.commit(vec![cursor_at(schedule, now)]).await?;
            return Ok(Some(Duration::ZERO));
        };
        if cursor.event.as_deref() != Some(schedule.cron.described().as_str()) {
            // The cron expression or its time zone has changed. Only times after now are due.
            store.commit(vec![cursor_at(schedule, now.max(cursor.at))]).await?;
            return Ok(Some(Duration::ZERO));
        }
        let Some(next) = schedule.cron.next(cursor.at) else { return Ok(Some(CLOCK_POLL)) };
        if next > now {
            let until: Duration = next.duration_since(now).try_into().unwrap_or(CLOCK_POLL);
            return Ok(Some(until.min(CLOCK_POLL)));
        }
        let Some(trigger_room) = self.trigger_room(schedule.bot.as_deref(), &schedule.room).await else {
            return Ok(None);
        };
        let (due, before) = newest(schedule, next, now);
        let age: Duration = now.duration_since(due).try_into().unwrap_or_default();
        let max_age = self.settings_of_bot(&trigger_room.inbox.bot).max_age;
        match schedule.missed {
            MissedPolicy::SkipOld if age > max_age => self.skip(schedule, &trigger_room, due, before + 1).await?,
            MissedPolicy::SkipOld | MissedPolicy::RunLatest => {
                self.fire(schedule, &trigger_room, due, before, age > max_age).await?
            }
        }
        Ok(Some(Duration::ZERO))
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
            notes.push(format!("The command was due at {}, when the host or the room was unavailable.", utc_text(due)));
        }
        if before > 0 {
            notes.push(format!("The schedule skipped {} before that time.", missed_runs(before)));
        }
        let command = TriggeredCommand {
            event: format!("schedule/{}/{}", schedule.name, due.as_second()),
            deduplication: None,
            machine: schedule.machine.clone(),
            started: TriggerSource {
                by: format!("schedule {}", schedule.name),
                words: schedule.command.fill(&Default::default()),
            },
            // Not the due time: the schedule has its own policy for late runs, so `max_age` must not apply again.
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
            "Schedule `{}` skipped {}, because the host or the room was unavailable. The last one was due at {}.",
            schedule.name,
            missed_runs(times),
            utc_text(due)
        );
        tracing::warn!(
            schedule = schedule.name,
            times,
            "skipped runs of the schedule that were due while the host or the room was unavailable; hint: to run the latest one late, set `missed = \"last\"` in [[schedule]]"
        );
        let key = format!("schedule/{}/{}/skipped", schedule.name, due.as_second());
        self.send_once(trigger_room, key, Text::lines(text), vec![cursor_at(schedule, due)]).await?;
        scheduled(&schedule.name, ScheduleOutcome::Skipped, times);
        Ok(())
    }
}

/// Returns the latest due time of a schedule that is not later than `now`, and the number of missed due times before
/// it. `first` is the earliest missed due time. The number is at most [`MAX_COUNTED`].
fn newest(schedule: &Schedule, first: Timestamp, now: Timestamp) -> (Timestamp, usize) {
    let (mut due, mut before) = (first, 0);
    while let Some(next) = schedule.cron.next(due).filter(|next| *next <= now) {
        (due, before) = (next, before + 1);
        if before == MAX_COUNTED {
            // Find the latest time without counting the others, for example every minute of a month.
            let within: Duration = now.duration_since(due).try_into().unwrap_or_default();
            return (schedule.cron.last(now, within + Duration::from_secs(1)).unwrap_or(due), before);
        }
    }
    (due, before)
}

fn missed_runs(count: usize) -> String {
    match count {
        1 => "1 missed run".to_owned(),
        MAX_COUNTED.. => format!("at least {MAX_COUNTED} missed runs"),
        _ => format!("{count} missed runs"),
    }
}

/// Returns the change to the store that moves the cursor of a schedule to a time.
fn cursor_at(schedule: &Schedule, moment: Timestamp) -> Write {
    Write::SetCursor(RoomCursor {
        bot: String::new(),
        network: NETWORK.to_owned(),
        room: schedule.name.clone(),
        // The cron expression with its time zone. A change resets the cursor.
        event: Some(schedule.cron.described()),
        at: moment,
    })
}
