//! Rooms: coming into those of the configuration and those that an admin invites us to, and who is in one.
//!
//! Architecture Invariant: nobody but an admin brings the bot into a room of their own.

use std::collections::{HashMap, HashSet};

use matrix_sdk::{
    Client, Room, RoomMemberships, RoomState,
    ruma::{
        OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId, RoomOrAliasId,
        api::client::{alias::get_alias, membership::join_room_by_id_or_alias},
    },
};
use tokio::task::JoinSet;
use wardroom::{
    message::{Inbox, Person},
    port::SendError,
};
use wardroom_account::Backoff;

use crate::{delivery::shown, moves, places::Places, trouble::Trouble};

/// How often one room may have taken the place of another.
pub(crate) const UPGRADES: usize = 32;

/// How often an invitation is tried before it counts as withdrawn. A homeserver may send one a moment before
/// it can be accepted, and refuses until then.
const INVITATION_TRIES: usize = 20;

/// What a join that ended tells.
#[derive(Debug)]
pub(crate) enum Joined {
    /// We came into a room of the configuration, which has this id.
    Configured(OwnedRoomOrAliasId, OwnedRoomId),
    /// The second room really took the first one's place, or it did not.
    Moved(OwnedRoomId, OwnedRoomId, bool),
}

/// The joins under way. Dropping this ends them.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    tasks: JoinSet<Option<Joined>>,
    following: HashSet<OwnedRoomId>,
    accepting: HashSet<OwnedRoomId>,
    /// Told once each, so that a homeserver that repeats an invitation does not fill the log.
    ignored: HashMap<OwnedRoomId, OwnedUserId>,
}

impl Joins {
    /// Comes into a room of the configuration, however long that takes.
    pub(crate) fn configured(&mut self, client: &Client, room: OwnedRoomOrAliasId) {
        let client = client.clone();
        self.tasks.spawn(async move {
            let mut backoff = Backoff::default();
            let mut told = false;
            loop {
                match join(&client, &room).await {
                    Ok(id) => return Some(Joined::Configured(room, id)),
                    Err(trouble) => {
                        if let Trouble::Refused { reason } = &trouble
                            && !told
                        {
                            told = true;
                            let me = client.user_id().map(ToString::to_string).unwrap_or_default();
                            tracing::warn!(%room, "cannot join the room, trying again now and then: {reason}; hint: invite {me} there");
                        }
                        backoff.pause(trouble.after()).await;
                    }
                }
            }
        });
    }

    /// Comes into the room that is said to have taken the place of this one, and finds out whether it has.
    pub(crate) fn follow(&mut self, room: &Room, to: OwnedRoomId) {
        if !self.following.insert(to.clone()) {
            return;
        }
        let room = room.clone();
        self.tasks.spawn(async move {
            let mut backoff = Backoff::default();
            let mut told = false;
            loop {
                match moves::follow(&room, &to).await {
                    Ok(really) => return Some(Joined::Moved(room.room_id().to_owned(), to, really)),
                    Err(trouble) => {
                        if let Trouble::Refused { reason } = &trouble
                            && !std::mem::replace(&mut told, true)
                        {
                            let me = room.own_user_id();
                            tracing::warn!(room = %room.room_id(), %to, "the room was upgraded, and the bot cannot join the new one, trying again now and then: {reason}; hint: invite {me} there");
                        }
                        backoff.pause(trouble.after()).await;
                    }
                }
            }
        });
    }

    /// What the joins that ended since the last call tell.
    pub(crate) fn done(&mut self) -> Vec<Joined> {
        let mut done = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            done.extend(ended.ok().flatten());
        }
        for joined in &done {
            if let Joined::Moved(_, to, _) = joined {
                self.following.remove(to);
            }
        }
        done
    }

    /// Looks at an invitation, and accepts an admin's.
    pub(crate) async fn invited(&mut self, room: &Room, inbox: &Inbox, places: &mut Places) {
        if room.state() != RoomState::Invited {
            return;
        }
        let inviter = match room.invite_details().await {
            Ok(invite) => invite.inviter_id,
            Err(error) => {
                tracing::warn!(room = %room.room_id(), "an invitation does not say who sent it, ignored: {error}");
                return;
            }
        };
        if !inbox.is_admin(inviter.as_str()) {
            if self.ignored.insert(room.room_id().to_owned(), inviter.clone()).as_ref() != Some(&inviter) {
                tracing::info!(room = %room.room_id(), %inviter, "ignored an invitation by somebody who is no admin");
            }
            return;
        }
        if !self.accepting.insert(room.room_id().to_owned()) {
            return;
        }
        // On disk before we are in the room: after a crash in between it is known why we are there.
        places.admit(room.room_id(), &inviter);
        places.save();
        tracing::info!(room = %room.room_id(), %inviter, "accepting an admin's invitation");
        let room = room.clone();
        self.tasks.spawn(async move {
            let mut backoff = Backoff::default();
            let mut refusals = 0;
            let target = OwnedRoomOrAliasId::from(room.room_id().to_owned());
            while refusals < INVITATION_TRIES && room.state() == RoomState::Invited {
                match join(&room.client(), &target).await {
                    Ok(_) => return None,
                    Err(trouble) => {
                        refusals += usize::from(matches!(trouble, Trouble::Refused { .. }));
                        if refusals == INVITATION_TRIES {
                            tracing::warn!(room = %room.room_id(), "the invitation cannot be accepted: {trouble}");
                        }
                        backoff.pause(trouble.after()).await;
                    }
                }
            }
            None
        });
    }

    /// We came into a room or are out of it: the next invitation there is a new one.
    pub(crate) fn settled(&mut self, room: &RoomId) {
        self.accepting.remove(room);
        self.ignored.remove(room);
    }
}

/// Joins a room unless we are in it; gives its id.
async fn join(client: &Client, room: &OwnedRoomOrAliasId) -> Result<OwnedRoomId, Trouble> {
    if let Some(id) = find(client, room).await?
        && client.get_room(&id).is_some_and(|room| room.state() == RoomState::Joined)
    {
        return Ok(id);
    }
    let joined = client.send(join_room_by_id_or_alias::v3::Request::new(room.clone())).await?;
    tracing::info!(%room, "joined");
    Ok(joined.room_id)
}

/// The id of a room, asking the homeserver where only its alias is known. `None` where the alias is another
/// server's business, which a join finds out by itself.
pub(crate) async fn find(client: &Client, room: &OwnedRoomOrAliasId) -> Result<Option<OwnedRoomId>, Trouble> {
    let room: &RoomOrAliasId = room;
    let alias = match <&RoomId>::try_from(room) {
        Ok(id) => return Ok(Some(id.to_owned())),
        Err(alias) => alias.to_owned(),
    };
    match client.send(get_alias::v3::Request::new(alias)).await {
        Ok(answer) => Ok(Some(answer.room_id)),
        Err(error) => match Trouble::from(&error) {
            Trouble::Refused { .. } => Ok(None),
            trouble => Err(trouble),
        },
    }
}

/// The id of a room that we are in, by its id or alias.
pub(crate) async fn named(client: &Client, name: &str) -> Result<Option<String>, SendError> {
    // A name of another network is none of ours.
    let Ok(room) = OwnedRoomOrAliasId::try_from(name) else { return Ok(None) };
    let id = find(client, &room).await.map_err(SendError::from)?;
    let Some(id) = id else { return Ok(None) };
    if let Some(next) = successor(client, &id) {
        return Ok(Some(next.room_id().to_string()));
    }
    let joined = client.get_room(&id).is_some_and(|room| room.state() == RoomState::Joined);
    Ok(joined.then(|| id.to_string()))
}

/// The room that we are in and that took the place of this one in the end, where each names the other.
pub(crate) fn successor(client: &Client, id: &RoomId) -> Option<Room> {
    let mut found: Option<Room> = None;
    for _ in 0..UPGRADES {
        let at = found.as_ref().map_or(id, |room| room.room_id()).to_owned();
        let next = client.get_room(&at)?.successor_room().and_then(|next| client.get_room(&next.room_id));
        let next = next.filter(|next| next.state() == RoomState::Joined);
        match next.filter(|next| next.predecessor_room().is_some_and(|before| before.room_id == at)) {
            Some(next) => found = Some(next),
            None => break,
        }
    }
    found
}

/// Who is in a room, without ourselves.
pub(crate) async fn members(client: &Client, room: &str) -> Result<Vec<Person>, SendError> {
    let never = || SendError::Never { reason: format!("we are not in the room {room}") };
    let id = RoomId::parse(room).map_err(|_| never())?;
    let room = client.get_room(&id).filter(|room| room.state() == RoomState::Joined).ok_or_else(never)?;
    let members = room.members(RoomMemberships::JOIN).await.map_err(Trouble::from)?;
    let others = members.iter().filter(|member| Some(member.user_id()) != client.user_id());
    Ok(others
        .map(|member| {
            let name = shown(member.display_name(), member.user_id());
            Person { id: member.user_id().to_string(), name }
        })
        .collect())
}
