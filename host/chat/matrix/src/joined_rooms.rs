//! Which rooms are served: those of the configuration, those that an admin invited the bot to, and their successors.
//!
//! Architecture Invariant: being in a room gives nobody there a right. A room where the account is for another reason (it was in
//! `rooms` before, or somebody joined it by hand) is not served.
//! Architecture Invariant: inviters, the rooms behind aliases, and upgrades are kept in a file that outlives the session, because
//! a homeserver does not repeat them. Whether the inviter is an admin is checked at each use.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Instant,
};

use matrix_sdk::{
    Client, RoomState,
    ruma::{OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId, RoomOrAliasId, UserId},
};
use serde::{Deserialize, Serialize};
use wardroom_account::{RetrySchedule, RoomMembership, StateFile};

use crate::{Config, error::MatrixError, room_upgrades::MAX_UPGRADES, rooms};

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredRooms {
    /// The account that the file belongs to.
    user: OwnedUserId,
    /// The rooms behind the configured aliases at the last lookup.
    aliases: BTreeMap<OwnedRoomOrAliasId, OwnedRoomId>,
    /// The inviters of the rooms that the configuration does not list.
    #[serde(rename = "invited")]
    inviters: BTreeMap<OwnedRoomId, OwnedUserId>,
    /// The confirmed successors, each with its predecessor.
    #[serde(default, rename = "moved")]
    predecessors: BTreeMap<OwnedRoomId, OwnedRoomId>,
}

/// The rooms that are served.
#[derive(Debug)]
pub(crate) struct JoinedRooms {
    stored: StateFile<StoredRooms>,
    /// The configured rooms. A room without an id is not known to the homeserver; a room that was not looked up is missing here.
    configured: BTreeMap<OwnedRoomOrAliasId, Option<OwnedRoomId>>,
    configured_count: usize,
    /// The aliases to look up, and when the next lookup may run.
    pending_aliases: BTreeSet<OwnedRoomOrAliasId>,
    lookup_retry: RetrySchedule,
    /// Rooms that are named as a successor and are not confirmed yet.
    unconfirmed: BTreeSet<OwnedRoomId>,
    /// Pairs of a room and a successor that was not confirmed, so that it is not checked again.
    rejected_upgrades: BTreeSet<(OwnedRoomId, OwnedRoomId)>,
    /// The rooms whose being ignored was logged.
    reported: HashSet<OwnedRoomId>,
}

impl JoinedRooms {
    /// Loads the account's file. Makes no request.
    pub(crate) fn load(config: &Config) -> Self {
        let path = config.folder.join("rooms.json");
        let consequence = "rooms that `rooms` does not list are ignored until an admin invites the bot again";
        let stored = StateFile::read(&path, consequence).filter(|stored: &StoredRooms| stored.user == config.user);
        let mut stored = stored.unwrap_or_else(|| StoredRooms {
            user: config.user.clone(),
            aliases: BTreeMap::new(),
            inviters: BTreeMap::new(),
            predecessors: BTreeMap::new(),
        });
        // An alias that was removed from the configuration is looked up again when it is added again.
        stored.aliases.retain(|alias, _| config.rooms.contains(alias));
        let mut configured = BTreeMap::new();
        let mut pending_aliases = BTreeSet::new();
        for room in &config.rooms {
            let target: &RoomOrAliasId = room;
            if let Ok(id) = <&RoomId>::try_from(target) {
                configured.insert(room.clone(), Some(id.to_owned()));
                continue;
            }
            pending_aliases.insert(room.clone());
            if let Some(id) = stored.aliases.get(room) {
                configured.insert(room.clone(), Some(id.clone()));
            }
        }
        Self {
            stored: StateFile::new(path, stored, false),
            configured,
            configured_count: config.rooms.len(),
            pending_aliases,
            lookup_retry: RetrySchedule::default(),
            unconfirmed: BTreeSet::new(),
            rejected_upgrades: BTreeSet::new(),
            reported: HashSet::new(),
        }
    }

    /// Whether a room is served now.
    pub(crate) fn membership(&self, room: &RoomId, is_admin: impl Fn(&str) -> bool) -> RoomMembership {
        let is_admitted =
            |room: &RoomId| self.stored.inviters.get(room).is_some_and(|inviter| is_admin(inviter.as_str()));
        if self.with_predecessors(room).into_iter().any(|room| self.is_configured(room) || is_admitted(room)) {
            RoomMembership::Served
        } else if self.configured.len() < self.configured_count || self.unconfirmed.contains(room) {
            RoomMembership::Undecided
        } else {
            RoomMembership::Ignored
        }
    }

    /// A room was named as a successor: it is undecided until that is confirmed.
    pub(crate) fn expect_successor(&mut self, room: &RoomId) {
        self.unconfirmed.insert(room.to_owned());
    }

    /// Whether it was checked if a room is the successor of another.
    pub(crate) fn is_upgrade_checked(&self, room: &RoomId, successor: &RoomId) -> bool {
        let is_confirmed = self.stored.predecessors.get(successor).is_some_and(|before| before == room);
        is_confirmed || self.rejected_upgrades.contains(&(room.to_owned(), successor.to_owned()))
    }

    /// Records whether a room is the successor of another.
    pub(crate) fn record_upgrade(&mut self, room: &RoomId, successor: &RoomId, is_confirmed: bool) {
        self.unconfirmed.remove(successor);
        if !is_confirmed {
            self.rejected_upgrades.insert((room.to_owned(), successor.to_owned()));
            return;
        }
        let before = self.stored.predecessors.insert(successor.to_owned(), room.to_owned());
        let mut changed = before.as_deref() != Some(room);
        if let Some(inviter) = self.stored.inviters.get(room).cloned() {
            // The invitation is copied, because the entry of the old room is removed when the bot leaves it.
            changed |= self.stored.inviters.insert(successor.to_owned(), inviter.clone()).as_ref() != Some(&inviter);
        }
        self.stored.mark_changed(changed);
    }

    /// A room and the rooms that it succeeded, newest first.
    fn with_predecessors<'r>(&'r self, room: &'r RoomId) -> Vec<&'r RoomId> {
        let before = |room: &&RoomId| self.stored.predecessors.get(*room).map(|room| &**room);
        std::iter::successors(Some(room), before).take(MAX_UPGRADES).collect()
    }

    /// Whether an ignored room is to be logged: once in a session, and not where the room was upgraded.
    pub(crate) fn report_ignored(&mut self, room: &RoomId) -> bool {
        let was_upgraded = self.stored.predecessors.values().any(|before| before == room);
        !was_upgraded && self.reported.insert(room.to_owned())
    }

    /// Looks up the aliases that were not looked up since the start. After a failure the stored rooms stay in use.
    pub(crate) async fn look_up_aliases(&mut self, client: &Client) {
        if !self.lookup_retry.is_due(Instant::now()) {
            return;
        }
        while let Some(alias) = self.pending_aliases.first().cloned() {
            match rooms::resolve(client, &alias).await {
                Ok(id) => self.set_configured(alias, id),
                Err(error) => return self.retry_lookup(&alias, &error),
            }
        }
        self.lookup_retry.record_success();
    }

    fn retry_lookup(&mut self, alias: &RoomOrAliasId, error: &MatrixError) {
        if self.lookup_retry.record_failure(Instant::now(), error.retry_after()) {
            tracing::warn!(room = %alias, %error, "the room of this alias cannot be looked up; retrying");
        }
    }

    /// Records the id of a configured room; `None` where the homeserver does not know it.
    pub(crate) fn set_configured(&mut self, room: OwnedRoomOrAliasId, id: Option<OwnedRoomId>) {
        self.pending_aliases.remove(&room);
        let changed = match id.as_ref().filter(|id| room.as_str() != id.as_str()) {
            Some(id) => self.stored.aliases.insert(room.clone(), id.clone()).as_ref() != Some(id),
            None => self.stored.aliases.remove(&room).is_some(),
        };
        self.stored.mark_changed(changed);
        self.configured.insert(room, id);
    }

    /// An admin invited the bot. The invitation to a configured room is not stored: the room is no longer served once it is
    /// removed from the configuration.
    pub(crate) fn admit(&mut self, room: &RoomId, inviter: &UserId) {
        if !self.is_configured(room) {
            let before = self.stored.inviters.insert(room.to_owned(), inviter.to_owned());
            self.stored.mark_changed(before.as_deref() != Some(inviter));
        }
    }

    /// The bot left a room: its invitation and its upgrade no longer count.
    pub(crate) fn remove(&mut self, room: &RoomId) {
        let mut changed = self.stored.inviters.remove(room).is_some();
        changed |= self.stored.predecessors.remove(room).is_some();
        self.stored.mark_changed(changed);
        self.reported.remove(room);
    }

    /// Removes the invitations to rooms that the bot left while it did not run.
    pub(crate) fn prune(&mut self, client: &Client) {
        let is_in = |room: &RoomId| {
            client.get_room(room).is_some_and(|room| matches!(room.state(), RoomState::Joined | RoomState::Invited))
        };
        let before = self.stored.inviters.len();
        self.stored.inviters.retain(|room, _| is_in(room));
        let changed = self.stored.inviters.len() != before;
        self.stored.mark_changed(changed);
    }

    /// Writes what changed to the file.
    pub(crate) fn save(&mut self) {
        self.stored.save();
    }

    fn is_configured(&self, room: &RoomId) -> bool {
        self.configured.values().flatten().any(|id| id == room)
    }
}

#[cfg(test)]
mod tests;
