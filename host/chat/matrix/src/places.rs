//! Which rooms are ours: those of the configuration, and those that an admin invited us to.
//!
//! Architecture Invariant: being in a room gives nobody there a right. A room where the account is for another
//! reason (it was in `rooms` once, somebody joined it by hand) is not ours.
//! Architecture Invariant: who invited us, which room an alias stood for and which room took another's place, outlive the
//! session in a file of their own; a homeserver need not say it again. Whether that person is an admin is asked each time.
//! Architecture Invariant: a room takes another's place only where each of them names the other.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
    time::Instant,
};

use matrix_sdk::{
    Client, RoomState,
    ruma::{OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId, RoomOrAliasId, UserId},
};
use serde::{Deserialize, Serialize};
use wardroom_account::Backoff;

use crate::{Config, folder, rooms, trouble::Trouble};

/// What a room is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Handled.
    Ours,
    /// Not handled.
    Foreign,
    /// It may be one of the configuration whose alias could not be looked up yet.
    Unknown,
}

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The account that this is about.
    user: OwnedUserId,
    /// The rooms that the configuration's aliases stood for when they were last looked up.
    aliases: BTreeMap<OwnedRoomOrAliasId, OwnedRoomId>,
    /// Who invited us to the rooms that are not the configuration's.
    invited: BTreeMap<OwnedRoomId, OwnedUserId>,
    /// The rooms that took the place of another, with that.
    #[serde(default)]
    moved: BTreeMap<OwnedRoomId, OwnedRoomId>,
}

/// The rooms that are ours.
#[derive(Debug)]
pub(crate) struct Places {
    file: PathBuf,
    /// The configuration's rooms. One that stands for no room has `None`, one that is not looked up yet is
    /// not here.
    configured: BTreeMap<OwnedRoomOrAliasId, Option<OwnedRoomId>>,
    wanted: usize,
    to_ask: BTreeSet<OwnedRoomOrAliasId>,
    /// The rooms that are said to take another's place, which is not sure yet.
    expected: BTreeSet<OwnedRoomId>,
    /// What was said of rooms and turned out wrong, so that it is not looked into again and again.
    wrong: BTreeSet<(OwnedRoomId, OwnedRoomId)>,
    ask_after: Option<Instant>,
    backoff: Backoff,
    kept: Kept,
    unsaved: bool,
    told_unsaved: bool,
    told_foreign: HashSet<OwnedRoomId>,
}

impl Places {
    /// Takes up what is on disk; no request yet.
    pub(crate) fn load(config: &Config) -> Self {
        let file = config.folder.join("rooms.json");
        let kept = read(&file, &config.user);
        let mut places = Self {
            file,
            configured: BTreeMap::new(),
            wanted: config.rooms.len(),
            to_ask: BTreeSet::new(),
            expected: BTreeSet::new(),
            wrong: BTreeSet::new(),
            ask_after: None,
            backoff: Backoff::default(),
            kept,
            unsaved: false,
            told_unsaved: false,
            told_foreign: HashSet::new(),
        };
        for room in &config.rooms {
            let target: &RoomOrAliasId = room;
            if let Ok(id) = <&RoomId>::try_from(target) {
                places.configured.insert(room.clone(), Some(id.to_owned()));
                continue;
            }
            places.to_ask.insert(room.clone());
            if let Some(id) = places.kept.aliases.get(room) {
                places.configured.insert(room.clone(), Some(id.clone()));
            }
        }
        // An alias that left the configuration is looked up anew when it comes back.
        places.kept.aliases.retain(|alias, _| config.rooms.contains(alias));
        places
    }

    /// What a room is to us now.
    pub(crate) fn standing(&self, room: &RoomId, is_admin: impl Fn(&str) -> bool) -> Standing {
        let invited = |room: &RoomId| self.kept.invited.get(room).is_some_and(|inviter| is_admin(inviter.as_str()));
        if self.line_of(room).into_iter().any(|room| self.is_configured(room) || invited(room)) {
            Standing::Ours
        } else if self.configured.len() < self.wanted || self.expected.contains(room) {
            Standing::Unknown
        } else {
            Standing::Foreign
        }
    }

    /// A room is said to take another's place: it is not foreign until that is known.
    pub(crate) fn expect(&mut self, room: &RoomId) {
        self.expected.insert(room.to_owned());
    }

    /// Whether it is known already if a room took the place of another.
    pub(crate) fn knows_move(&self, from: &RoomId, to: &RoomId) -> bool {
        let moved = self.kept.moved.get(to).is_some_and(|before| before == from);
        moved || self.wrong.contains(&(from.to_owned(), to.to_owned()))
    }

    /// It is known now: the room took the other's place, or it did not.
    pub(crate) fn moved(&mut self, from: &RoomId, to: &RoomId, really: bool) {
        self.expected.remove(to);
        if !really {
            self.wrong.insert((from.to_owned(), to.to_owned()));
            return;
        }
        self.unsaved |= self.kept.moved.insert(to.to_owned(), from.to_owned()).as_deref() != Some(from);
        if let Some(inviter) = self.kept.invited.get(from).cloned() {
            // The old room is left some day, and the invitation holds on.
            self.unsaved |= self.kept.invited.insert(to.to_owned(), inviter.clone()).as_ref() != Some(&inviter);
        }
    }

    /// A room, with those whose place it took.
    fn line_of<'r>(&'r self, room: &'r RoomId) -> Vec<&'r RoomId> {
        let before = |room: &&RoomId| self.kept.moved.get(*room).map(|room| &**room);
        std::iter::successors(Some(room), before).take(rooms::UPGRADES).collect()
    }

    /// Whether a foreign room is met for the first time in this session, which is the one to be told.
    pub(crate) fn is_news(&mut self, room: &RoomId) -> bool {
        // That nothing happens any more in a room that was upgraded, its people know.
        let old = self.kept.moved.values().any(|before| before == room);
        !old && self.told_foreign.insert(room.to_owned())
    }

    /// Looks up the aliases that were not looked up since the start. Where that fails, what they stood for
    /// last time goes on counting.
    pub(crate) async fn ask(&mut self, client: &Client) {
        if self.ask_after.is_some_and(|after| Instant::now() < after) {
            return;
        }
        while let Some(alias) = self.to_ask.first().cloned() {
            match rooms::find(client, &alias).await {
                Ok(id) => self.learn(alias, id),
                Err(trouble) => return self.ask_later(&alias, &trouble),
            }
        }
        self.backoff.reset();
    }

    fn ask_later(&mut self, alias: &RoomOrAliasId, trouble: &Trouble) {
        if self.ask_after.is_none() {
            tracing::warn!(%alias, "cannot look up which room this is, trying again: {trouble}");
        }
        self.ask_after = Some(Instant::now() + self.backoff.next_asked(trouble.after()));
    }

    /// A room of the configuration is this one, or none that the homeserver knows.
    pub(crate) fn learn(&mut self, room: OwnedRoomOrAliasId, id: Option<OwnedRoomId>) {
        self.to_ask.remove(&room);
        if let Some(id) = &id
            && room.as_str() != id.as_str()
        {
            self.unsaved |= self.kept.aliases.insert(room.clone(), id.clone()).as_ref() != Some(id);
        } else {
            self.unsaved |= self.kept.aliases.remove(&room).is_some();
        }
        self.configured.insert(room, id);
    }

    /// An admin invited us. A room of the configuration needs no invitation to be ours: taken out of
    /// the configuration it is ours no more.
    pub(crate) fn admit(&mut self, room: &RoomId, inviter: &UserId) {
        if !self.is_configured(room) {
            let before = self.kept.invited.insert(room.to_owned(), inviter.to_owned());
            self.unsaved |= before.as_deref() != Some(inviter);
        }
    }

    /// We are out of a room: what brought us there counts no more.
    pub(crate) fn left(&mut self, room: &RoomId) {
        self.unsaved |= self.kept.invited.remove(room).is_some();
        self.unsaved |= self.kept.moved.remove(room).is_some();
        self.told_foreign.remove(room);
    }

    /// Forgets the invitations to rooms that we are out of, which nobody told us while we were away.
    pub(crate) fn prune(&mut self, client: &Client) {
        let in_it = |room: &RoomId| {
            client.get_room(room).is_some_and(|room| matches!(room.state(), RoomState::Joined | RoomState::Invited))
        };
        let before = self.kept.invited.len();
        self.kept.invited.retain(|room, _| in_it(room));
        self.unsaved |= self.kept.invited.len() != before;
    }

    /// Writes down what changed. What cannot be written is tried again with the next call.
    pub(crate) fn save(&mut self) {
        if !self.unsaved {
            return;
        }
        match folder::write_json(&self.file, &self.kept) {
            Ok(()) => (self.unsaved, self.told_unsaved) = (false, false),
            Err(error) => {
                if !std::mem::replace(&mut self.told_unsaved, true) {
                    tracing::error!(file = %self.file.display(), "cannot write down which rooms the bot was invited to, trying again: {error}");
                }
            }
        }
    }

    fn is_configured(&self, room: &RoomId) -> bool {
        self.configured.values().flatten().any(|id| id == room)
    }
}

fn read(file: &Path, user: &UserId) -> Kept {
    let none =
        Kept { user: user.to_owned(), aliases: BTreeMap::new(), invited: BTreeMap::new(), moved: BTreeMap::new() };
    let kept = folder::read_json::<Kept>(file).map(|kept| kept.unwrap_or_else(|| none.clone()));
    match kept {
        Ok(kept) if kept.user == user => kept,
        Ok(_) => none,
        Err(error) => {
            tracing::warn!(file = %file.display(), "cannot read which rooms the bot was invited to; those that are not in `rooms` are ignored: {error}");
            none
        }
    }
}

#[cfg(test)]
mod tests;
