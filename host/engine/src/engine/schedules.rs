//! Sets schedules off: each time once, also over a restart and under a clock that is set.
//!
//! Invariant: the last time is kept as a mark, which moves in the transaction that takes up the command. A time that came is
//! an event of its room, and the inbox takes an event once.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    announce::{TriggerRoom, TriggeredCommand},
    host::Host,
};
use crate::{
    base::{Text, moment},
    metrics::{ScheduleOutcome, scheduled},
    store::{RoomCursor, StoreError, TriggerSource, Write},
    trigger::{MissedPolicy, Schedule},
};

/// What a mark of a schedule has for its network.
const NETWORK: &str = "schedule";
/// The clock is looked at as often, so that one that is set is seen.
const LOOK: Duration = Duration::from_secs(1);
/// How long a store that is not there is left alone, and at first a room.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a room at most, that is not there again and again.
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// No more times than this are counted.
const MOST_COUNTED: usize = 1_000;

/// What a look at a schedule came to.
enum Look {
    /// The next one is after so long.
    After(Duration),
    /// Its time has come, and its room cannot be reached.
    NoRoom,
}

impl Host {
    /// Sets a schedule off at its times until the host stops.
    pub(crate) async fn keep(self: Arc<Self>, schedule: Schedule) {
        let mut without_room = AGAIN;
        loop {
            let pause = match self.step(&schedule).await {
                Ok(Look::After(pause)) => {
                    without_room = AGAIN;
                    pause
                }
                Ok(Look::NoRoom) => {
                    if without_room == AGAIN {
                        tracing::warn!(
                            schedule = schedule.name, room = %schedule.room,
                            "the room of a schedule cannot be reached, trying again; hint: is the bot in it?"
                        );
                    }
                    let pause = without_room;
                    without_room = (without_room * 2).min(AGAIN_AT_MOST);
                    pause
                }
                Err(error) => {
                    tracing::error!(schedule = schedule.name, %error, "a schedule cannot be kept now; trying again");
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Sets it off if its time has come.
    async fn step(&self, schedule: &Schedule) -> Result<Look, StoreError> {
        let store = &self.context.store;
        let now = self.context.clock.now();
        let Some(cursor) = store.cursor("", NETWORK, &schedule.name).await? else {
            // It is new: no time before this moment was ever its.
            store.commit(vec![at(schedule, now)]).await?;
            return Ok(Look::After(Duration::ZERO));
        };
        if cursor.event.as_deref() != Some(schedule.cron.described().as_str()) {
            // It has other times from now on, and none of them before this moment was ever its.
            store.commit(vec![at(schedule, now.max(cursor.at))]).await?;
            return Ok(Look::After(Duration::ZERO));
        }
        let Some(next) = schedule.cron.next(cursor.at) else { return Ok(Look::After(LOOK)) };
        if next > now {
            let until: Duration = next.duration_since(now).try_into().unwrap_or(LOOK);
            return Ok(Look::After(until.min(LOOK)));
        }
        let Some(venue) = self.venue(schedule.bot.as_deref(), &schedule.room).await else { return Ok(Look::NoRoom) };
        let (due, before) = newest(schedule, next, now);
        let age: Duration = now.duration_since(due).try_into().unwrap_or_default();
        let most = self.voice(venue.bot()).max_age;
        match schedule.missed {
            MissedPolicy::SkipOld if age > most => self.skip(schedule, &venue, due, before + 1).await?,
            MissedPolicy::SkipOld | MissedPolicy::RunLatest => {
                self.fire(schedule, &venue, due, before, age > most).await?
            }
        }
        Ok(Look::After(Duration::ZERO))
    }

    async fn fire(
        &self,
        schedule: &Schedule,
        venue: &TriggerRoom,
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
        let cue = TriggeredCommand {
            event: format!("schedule/{}/{}", schedule.name, due.as_second()),
            deduplication_key: None,
            machine: schedule.machine.clone(),
            started: TriggerSource {
                by: format!("schedule {}", schedule.name),
                words: schedule.command.filled(&Default::default()),
            },
            // Not its time: how old it may be was judged here.
            at: self.context.clock.now(),
            note: (!notes.is_empty()).then(|| notes.join(" ")),
        };
        if self.cue(venue, cue, vec![at(schedule, due)]).await? {
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
        venue: &TriggerRoom,
        due: Timestamp,
        times: usize,
    ) -> Result<(), StoreError> {
        let text = format!(
            "Schedule {}: {} of its times came while I was away, the last at {}, and are not made up for.",
            schedule.name,
            counted(times),
            moment(due)
        );
        tracing::warn!(schedule = schedule.name, times, "times of a schedule are skipped");
        let key = format!("schedule/{}/{}/skipped", schedule.name, due.as_second());
        self.tell(venue, key, Text::lines(text), vec![at(schedule, due)]).await?;
        scheduled(&schedule.name, ScheduleOutcome::Skipped, times);
        Ok(())
    }
}

/// The newest time up to now, and how many came before it since the last one.
fn newest(schedule: &Schedule, first: Timestamp, now: Timestamp) -> (Timestamp, usize) {
    let (mut due, mut before) = (first, 0);
    while let Some(next) = schedule.cron.next(due).filter(|next| *next <= now) {
        (due, before) = (next, before + 1);
        if before == MOST_COUNTED {
            // Of a schedule that comes every minute and a host that was away for a month.
            let within: Duration = now.duration_since(due).try_into().unwrap_or_default();
            return (schedule.cron.last(now, within + Duration::from_secs(1)).unwrap_or(due), before);
        }
    }
    (due, before)
}

fn counted(times: usize) -> String {
    if times >= MOST_COUNTED { format!("more than {MOST_COUNTED}") } else { times.to_string() }
}

/// That a schedule was set off up to a moment.
fn at(schedule: &Schedule, moment: Timestamp) -> Write {
    Write::SetCursor(RoomCursor {
        bot: String::new(),
        network: NETWORK.to_owned(),
        room: schedule.name.clone(),
        // The times that it has: with others it begins anew.
        event: Some(schedule.cron.described()),
        at: moment,
    })
}
