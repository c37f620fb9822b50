//! The rooms whose messages the bot handles: configured rooms, rooms to which an admin invited the bot, and successors
//! of these rooms.
//!
//! Invariant: the bot's presence in a room gives nobody in the room a permission. The bot ignores every room of the
//! account that is none of the above, for example a room that the configuration no longer lists, or a room that
//! somebody joined with the account.
//! Invariant: inviters, resolved aliases and upgrades are stored in a file that outlives the session,
//! because a homeserver does not deliver them again. Each use of a stored invitation checks whether the inviter is
//! still an admin.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::{Duration, Instant},
};

use matrix_sdk::{
    Client, RoomState,
    ruma::{OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId, RoomOrAliasId, UserId},
};
use serde::{Deserialize, Serialize};
use wardroom_account::{RetrySchedule, RoomMembership, StateFile};

use crate::{Config, error::MatrixError, room_upgrades::MAX_UPGRADES, rooms};

/// Maximum time for which the sync loop waits for the lookup of an alias, which another server may have to answer. The
/// join of the room, which runs in the background, looks the alias up, too.
const MAX_LOOKUP: Duration = Duration::from_secs(2);

/// The content of `rooms.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredRooms {
    /// The account that the file belongs to.
    user: OwnedUserId,
    /// The configured aliases, each with the room that it named at the last lookup.
    aliases: BTreeMap<OwnedRoomOrAliasId, OwnedRoomId>,
    /// The admin who invited the bot, for each room that the configuration does not list.
    #[serde(rename = "invited")]
    inviters: BTreeMap<OwnedRoomId, OwnedUserId>,
    /// For each confirmed successor of an upgraded room, the id of the upgraded room.
    #[serde(default, rename = "moved")]
    predecessors: BTreeMap<OwnedRoomId, OwnedRoomId>,
}

#[derive(Debug)]
pub(crate) struct JoinedRooms {
    stored: StateFile<StoredRooms>,
    /// The room ids of the entries in the configuration key `rooms`; `None` if the homeserver does not have the room.
    /// An alias that was never looked up successfully is missing.
    configured: BTreeMap<OwnedRoomOrAliasId, Option<OwnedRoomId>>,
    configured_count: usize,
    /// The configured aliases that this session has not looked up yet.
    pending_aliases: BTreeSet<OwnedRoomOrAliasId>,
    lookup_retry: RetrySchedule,
    /// The successors of upgraded rooms that are neither confirmed nor rejected yet.
    unconfirmed: BTreeSet<OwnedRoomId>,
    /// Pairs of a room and a rejected successor, which are not checked again.
    rejected_upgrades: BTreeSet<(OwnedRoomId, OwnedRoomId)>,
    /// The ignored rooms that were logged already.
    reported: HashSet<OwnedRoomId>,
}

impl JoinedRooms {
    /// Loads the account's file `rooms.json`. Makes no request.
    pub(crate) fn load(config: &Config) -> Self {
        let path = config.folder.join("rooms.json");
        let consequence =
            "a room that is not configured in `rooms` is ignored until an admin invites the bot to it again";
        let stored = StateFile::read(&path, consequence).filter(|stored: &StoredRooms| stored.user == config.user);
        let mut stored = stored.unwrap_or_else(|| StoredRooms {
            user: config.user.clone(),
            aliases: BTreeMap::new(),
            inviters: BTreeMap::new(),
            predecessors: BTreeMap::new(),
        });
        // Drop aliases that the configuration no longer has. An alias that is added again is looked up again.
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

    /// Returns whether the bot handles the messages of a room now. `is_admin` returns whether a person with this id is
    /// an admin.
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

    /// Records a room that an upgraded room names as its successor. Until the upgrade is confirmed or rejected, the
    /// successor is [`RoomMembership::Undecided`].
    pub(crate) fn expect_successor(&mut self, room: &RoomId) {
        self.unconfirmed.insert(room.to_owned());
    }

    /// Returns whether an upgrade from a room to a successor was confirmed or rejected.
    pub(crate) fn is_upgrade_checked(&self, room: &RoomId, successor: &RoomId) -> bool {
        let is_confirmed = self.stored.predecessors.get(successor).is_some_and(|before| before == room);
        is_confirmed || self.rejected_upgrades.contains(&(room.to_owned(), successor.to_owned()))
    }

    /// Records the result of the check of an upgrade. `is_confirmed` is true if the successor names `room` as its
    /// predecessor.
    pub(crate) fn record_upgrade(&mut self, room: &RoomId, successor: &RoomId, is_confirmed: bool) {
        self.unconfirmed.remove(successor);
        if !is_confirmed {
            self.rejected_upgrades.insert((room.to_owned(), successor.to_owned()));
            return;
        }
        let before = self.stored.predecessors.insert(successor.to_owned(), room.to_owned());
        let mut changed = before.as_deref() != Some(room);
        if let Some(inviter) = self.stored.inviters.get(room).cloned() {
            // Copy the invitation, because the entry of the old room is removed when the bot leaves that room.
            changed |= self.stored.inviters.insert(successor.to_owned(), inviter.clone()).as_ref() != Some(&inviter);
        }
        self.stored.mark_changed(changed);
    }

    /// Returns a room and its predecessors, newest first.
    fn with_predecessors<'r>(&'r self, room: &'r RoomId) -> Vec<&'r RoomId> {
        let before = |room: &&RoomId| self.stored.predecessors.get(*room).map(|room| &**room);
        std::iter::successors(Some(room), before).take(MAX_UPGRADES).collect()
    }

    /// Returns `true` if the caller must log that a room is ignored. Returns `false` if the session has logged that
    /// already, or if the room was upgraded.
    pub(crate) fn report_ignored(&mut self, room: &RoomId) -> bool {
        let was_upgraded = self.stored.predecessors.values().any(|before| before == room);
        !was_upgraded && self.reported.insert(room.to_owned())
    }

    /// Looks up the rooms of the pending aliases, if an attempt is due. After a failed lookup, the rooms of the last
    /// successful lookup stay in use.
    pub(crate) async fn look_up_aliases(&mut self, client: &Client) {
        if !self.lookup_retry.is_due(Instant::now()) {
            return;
        }
        while let Some(alias) = self.pending_aliases.first().cloned() {
            let lookup = tokio::time::timeout(MAX_LOOKUP, rooms::resolve(client, &alias)).await;
            match lookup.unwrap_or_else(|_| Err(MatrixError::unavailable("the lookup takes too long"))) {
                Ok(id) => self.set_configured(alias, id),
                Err(error) => {
                    if self.lookup_retry.record_failure(Instant::now(), error.retry_after()) {
                        tracing::warn!(%alias, %error, "cannot look up the room of a configured alias; retrying");
                    }
                    return;
                }
            }
        }
        self.lookup_retry.record_success();
    }

    /// Records `id` as the id of `room`, where `room` is an entry of the configuration key `rooms`. `id` is `None` if
    /// the homeserver does not have the room.
    pub(crate) fn set_configured(&mut self, room: OwnedRoomOrAliasId, id: Option<OwnedRoomId>) {
        self.pending_aliases.remove(&room);
        let changed = match id.as_ref().filter(|id| room.as_str() != id.as_str()) {
            Some(id) => self.stored.aliases.insert(room.clone(), id.clone()).as_ref() != Some(id),
            None => self.stored.aliases.remove(&room).is_some(),
        };
        self.stored.mark_changed(changed);
        self.configured.insert(room, id);
    }

    /// Returns the configured aliases, each with the room that it named at the last successful lookup.
    pub(crate) fn aliases(&self) -> &BTreeMap<OwnedRoomOrAliasId, OwnedRoomId> {
        &self.stored.aliases
    }

    /// Records that an admin invited the bot to a room. If the configuration lists the room, does not store the
    /// invitation, so that the bot ignores the room after an operator has removed the room from the configuration.
    pub(crate) fn admit(&mut self, room: &RoomId, inviter: &UserId) {
        if !self.is_configured(room) {
            let before = self.stored.inviters.insert(room.to_owned(), inviter.to_owned());
            self.stored.mark_changed(before.as_deref() != Some(inviter));
        }
    }

    /// Removes the stored inviter and the stored predecessor of a room that the bot left.
    pub(crate) fn remove(&mut self, room: &RoomId) {
        let mut changed = self.stored.inviters.remove(room).is_some();
        changed |= self.stored.predecessors.remove(room).is_some();
        self.stored.mark_changed(changed);
        self.reported.remove(room);
    }

    /// Removes the stored inviters of rooms that the bot left while the host did not run.
    pub(crate) fn prune(&mut self, client: &Client) {
        let is_in = |room: &RoomId| {
            client.get_room(room).is_some_and(|room| matches!(room.state(), RoomState::Joined | RoomState::Invited))
        };
        let before = self.stored.inviters.len();
        self.stored.inviters.retain(|room, _| is_in(room));
        let changed = self.stored.inviters.len() != before;
        self.stored.mark_changed(changed);
    }

    /// Writes `rooms.json` if its content has changed. A failed write is logged; the next call retries it.
    pub(crate) fn save(&mut self) {
        self.stored.save();
    }

    pub(crate) fn is_configured(&self, room: &RoomId) -> bool {
        self.configured.values().flatten().any(|id| id == room)
    }
}

#[cfg(test)]
mod tests;
