//! Handles the events of the rooms: as they arrive, or after a backfill.
//!
//! Invariant: no event of an ignored room is handled. The room's cursor moves past the ignored events, so
//! that these events are not handled if the bot handles the room later.

use std::{collections::BTreeMap, time::Instant};

use futures_util::future::join_all;
use matrix_sdk::{
    Room, RoomState,
    ruma::{OwnedRoomId, RoomId, api::client::membership::joined_rooms},
};
use wardroom_account::RoomMembership;

use super::SyncLoop;
use crate::{
    backfill::{self, Backfill},
    convert,
    error::MatrixError,
    room_event::RoomEvent,
};

/// The events of one room that are delivered without a backfill.
pub(super) struct Deliverable {
    room: Room,
    events: Vec<RoomEvent>,
}

impl SyncLoop<'_> {
    /// Returns the events that a sync delivered for one room, if they can be delivered to the inbox now. Otherwise skips
    /// them, or queues the room for a backfill. `is_limited` is true if the homeserver left older events out of the sync;
    /// `is_initial` is true for the first sync of a device.
    pub(super) async fn deliverable(
        &mut self,
        id: OwnedRoomId,
        events: Vec<RoomEvent>,
        is_limited: bool,
        is_initial: bool,
    ) -> Option<Deliverable> {
        let membership = self.membership(&id);
        if membership == RoomMembership::Ignored {
            self.ignore(&id, &events).await;
            return None;
        }
        let cursor = self.delivery.cursor(&id).await;
        let has_join = || events.iter().any(|event| convert::is_own_join(event, &self.config.user));
        if is_initial && cursor.is_none() {
            // The account was in the room before the bot first ran. Skip these events, because they are older than
            // that.
            self.delivery.skip(&id, &events).await;
            self.backfill.remove(&id);
        } else if cursor.is_none() || has_join() {
            // The events can be older than the bot's join. The backfill finds the join.
            self.backfill.add(id);
        } else if is_limited || membership == RoomMembership::Undecided || self.backfill.contains(&id) {
            self.backfill.add(id.clone());
            self.backfill.buffer(id, events);
        } else {
            return self.client.get_room(&id).map(|room| Deliverable { room, events });
        }
        None
    }

    /// Delivers the events of several rooms at the same time, so that they share a transaction and no room waits for the
    /// lookups of another one. Queues a room for a backfill if its delivery fails.
    pub(super) async fn deliver(&mut self, rooms: Vec<Deliverable>) {
        let delivery = &self.delivery;
        let deliveries = rooms.into_iter().map(|Deliverable { room, events }| async move {
            let result = delivery.deliver(&room, events.clone(), &BTreeMap::new(), false).await;
            result.err().map(|error| (room, events, error))
        });
        for (room, events, error) in join_all(deliveries).await.into_iter().flatten() {
            let id = room.room_id();
            self.backfill.add(id.to_owned());
            self.backfill.buffer(id.to_owned(), events);
            self.schedule_retry(id, &error);
        }
    }

    /// Moves the cursor of an ignored room past these events without handling them, and removes the room from the
    /// backfill queue. Logs once that the bot ignores the room.
    async fn ignore(&mut self, id: &RoomId, events: &[RoomEvent]) {
        if self.joined_rooms.report_ignored(id) {
            let (bot, me) = (&self.config.bot, &self.config.user);
            tracing::warn!(room = %id, "ignoring a room that the bot is in, because `rooms` does not list the room and nobody in `[people] admins` invited the bot; hint: add \"{id}\" to `rooms` of [bot.{bot}.matrix], or remove {me} and have an admin invite {me} again");
        }
        self.delivery.skip(id, events).await;
        self.backfill.remove(id);
    }

    /// Backfills each queued room that is due. If a backfill fails, the room stays queued. If the homeserver is
    /// unavailable, the remaining rooms wait for the next sync.
    ///
    /// # Errors
    /// The session ended.
    pub(super) async fn read_back_due_rooms(&mut self) -> Result<(), MatrixError> {
        for id in self.backfill.due(Instant::now()) {
            let Some(room) = self.client.get_room(&id).filter(|room| room.state() == RoomState::Joined) else {
                self.backfill.remove(&id);
                continue;
            };
            match self.membership(&id) {
                RoomMembership::Served => {}
                RoomMembership::Ignored => {
                    let buffered = self.backfill.buffered(&id).to_vec();
                    self.ignore(&id, &buffered).await;
                    continue;
                }
                RoomMembership::Undecided => {
                    // The failed lookup of the alias is logged already.
                    self.backfill.record_failure(&id, Instant::now(), None);
                    continue;
                }
            }
            match self.read_back(&room).await {
                Ok(()) => self.backfill.remove(&id),
                Err(end) if end.ends_session() => return Err(end),
                Err(MatrixError::Rejected { .. }) if self.has_left(&id).await => self.backfill.remove(&id),
                Err(error) => {
                    self.schedule_retry(&id, &error);
                    if error.is_transient() {
                        // The other rooms would most likely fail, too. The next sync shows whether the homeserver
                        // answers.
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn read_back(&mut self, room: &Room) -> Result<(), MatrixError> {
        let id = room.room_id();
        let cursor = self.delivery.cursor(id).await;
        let backfill = backfill::read(&self.client, &self.config.user, id, cursor.as_ref()).await?;
        let synced = self.backfill.buffered(id).to_vec();
        let Some(backfill) = backfill else {
            tracing::warn!(room = %id, "cannot find out when the bot joined the room; messages up to now are skipped; hint: ask people in the room to send unanswered commands again");
            self.delivery.skip(id, &synced).await;
            return Ok(());
        };
        let Backfill { events, names } = backfill.with_synced(synced);
        self.delivery.deliver(room, events, &names, true).await
    }

    /// Schedules the retry of a room's failed backfill, and logs the first failure.
    fn schedule_retry(&mut self, id: &RoomId, error: &MatrixError) {
        if self.backfill.record_failure(id, Instant::now(), error.retry_after()) {
            tracing::warn!(room = %id, %error, "cannot backfill the room; retrying");
        }
    }

    /// Requests the bot's rooms from the homeserver, and returns whether the bot has left this room. A sync does not
    /// always report that the bot has left a room.
    async fn has_left(&self, id: &RoomId) -> bool {
        let joined = self.client.send(joined_rooms::v3::Request::new()).await;
        joined.is_ok_and(|joined| !joined.joined_rooms.iter().any(|room| room == id))
    }
}
