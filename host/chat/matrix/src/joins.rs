//! Joins rooms in the background: configured rooms, rooms to which an admin invited the bot, and successors of upgraded
//! rooms.
//!
//! Invariant: only an admin's invitation brings the bot into a room that the configuration does not list.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use matrix_sdk::{
    Client, Room, RoomState,
    ruma::{OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId, api::client::membership::join_room_by_id_or_alias},
};
use tokio::task::JoinSet;
use wardroom::{
    adapter::{Inbox, SendPermissions},
    base::Backoff,
};

use crate::{error::MatrixError, joined_rooms::JoinedRooms, room_upgrades, rooms};

/// Maximum number of rejected attempts to accept an invitation. After that, the bot no longer tries to join the room.
/// The first attempts can be rejected, because a homeserver can deliver an invitation a moment before it accepts the
/// join.
const MAX_REJECTIONS: usize = 20;

/// A join that has finished.
#[derive(Debug)]
pub(crate) enum Joined {
    /// The bot has joined a configured room. The fields are the alias or id in the configuration, and the room's id.
    Configured(OwnedRoomOrAliasId, OwnedRoomId),
    /// An upgrade was checked. The fields are the upgraded room, the successor that it names, and whether the successor
    /// names that room as its predecessor.
    Successor(OwnedRoomId, OwnedRoomId, bool),
}

/// The running joins. They are cancelled when this value is dropped.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    tasks: JoinSet<Option<Joined>>,
    /// The successors that are being joined.
    successors: HashSet<OwnedRoomId>,
    /// The rooms whose invitations are being accepted.
    invitations: HashSet<OwnedRoomId>,
    /// The inviters of the ignored invitations that were logged, by room. If the homeserver delivers such an invitation
    /// again, it is not logged again.
    ignored: HashMap<OwnedRoomId, OwnedUserId>,
}

impl Joins {
    /// Joins a configured room. Retries until the join succeeds. While the homeserver rejects the join, `permissions`
    /// holds the room.
    pub(crate) fn join_configured(
        &mut self,
        client: &Client,
        room: OwnedRoomOrAliasId,
        permissions: Arc<SendPermissions>,
    ) {
        let client = client.clone();
        self.tasks.spawn(async move {
            let report = |reason: &str| {
                permissions.block(room.as_str(), format!("the bot is not in the room: {reason}"));
                let me = client.user_id().map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%room, error = reason, "the bot cannot join the room, because the homeserver rejects the join; retrying; hint: invite {me} to the room");
            };
            let id = retry(|| join(&client, &room), report).await;
            permissions.allow(room.as_str());
            Some(Joined::Configured(room, id))
        });
    }

    /// Joins the successor that an upgraded room names, and checks that the successor names the room as its
    /// predecessor. Retries until both requests succeed.
    pub(crate) fn join_successor(&mut self, room: &Room, successor: OwnedRoomId) {
        if !self.successors.insert(successor.clone()) {
            return;
        }
        let room = room.clone();
        self.tasks.spawn(async move {
            let report = |reason: &str| {
                let me = room.own_user_id();
                tracing::warn!(room = %room.room_id(), %successor, error = reason, "the bot cannot join the successor of an upgraded room; retrying; hint: invite {me} to the successor");
            };
            let is_confirmed = retry(|| room_upgrades::join_successor(&room, &successor), report).await;
            Some(Joined::Successor(room.room_id().to_owned(), successor, is_confirmed))
        });
    }

    /// Returns the results of the joins that finished since the last call.
    pub(crate) fn take_finished(&mut self) -> Vec<Joined> {
        let mut finished = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            finished.extend(ended.ok().flatten());
        }
        for joined in &finished {
            if let Joined::Successor(_, successor, _) = joined {
                self.successors.remove(successor);
            }
        }
        finished
    }

    /// Handles the invitation to a room. If the inviter is an admin, joins the room in the background. Otherwise logs
    /// the invitation once and ignores it.
    pub(crate) async fn handle_invitation(&mut self, room: &Room, inbox: &dyn Inbox, joined_rooms: &mut JoinedRooms) {
        if room.state() != RoomState::Invited {
            return;
        }
        // Look up the inviter.
        let inviter = match room.invite_details().await {
            Ok(invite) => invite.inviter_id,
            Err(error) => {
                tracing::warn!(room = %room.room_id(), %error, "ignored an invitation to a room, because the homeserver does not report the inviter; hint: have a person in `[people] admins` invite the bot");
                return;
            }
        };
        if !inbox.is_admin(inviter.as_str()) {
            if self.ignored.insert(room.room_id().to_owned(), inviter.clone()).as_ref() != Some(&inviter) {
                tracing::info!(room = %room.room_id(), %inviter, "ignored an invitation to a room, because the inviter is not in `[people] admins`; hint: have one of these admins invite the bot");
            }
            return;
        }
        if !self.invitations.insert(room.room_id().to_owned()) {
            return;
        }
        // Store the invitation before the join, so that the room is served after a crash, too.
        joined_rooms.admit(room.room_id(), &inviter);
        joined_rooms.save();
        tracing::info!(room = %room.room_id(), %inviter, "an admin invited the bot; joining the room");
        // Join in the background.
        let room = room.clone();
        self.tasks.spawn(async move {
            let mut backoff = Backoff::default();
            let mut rejections = 0;
            let target = OwnedRoomOrAliasId::from(room.room_id().to_owned());
            while rejections < MAX_REJECTIONS && room.state() == RoomState::Invited {
                match join(&room.client(), &target).await {
                    Ok(_) => return None,
                    Err(error) => {
                        rejections += usize::from(matches!(error, MatrixError::Rejected { .. }));
                        if rejections == MAX_REJECTIONS {
                            tracing::warn!(room = %room.room_id(), %error, "the bot cannot join a room to which an admin invited the bot; not retrying; hint: have a person in `[people] admins` invite the bot again");
                        }
                        backoff.wait(error.retry_after()).await;
                    }
                }
            }
            None
        });
    }

    /// Removes the record of an invitation after the bot joined or left the room, so that the next invitation is
    /// handled as a new one.
    pub(crate) fn remove_invitation(&mut self, room: &RoomId) {
        self.invitations.remove(room);
        self.ignored.remove(room);
    }
}

/// Calls `join` until it succeeds. Calls `report` with the reason of the first rejection.
async fn retry<T, F>(join: impl Fn() -> F, report: impl Fn(&str)) -> T
where
    F: Future<Output = Result<T, MatrixError>>,
{
    let mut backoff = Backoff::default();
    let mut reported = false;
    loop {
        match join().await {
            Ok(joined) => return joined,
            Err(error) => {
                if let MatrixError::Rejected { reason } = &error
                    && !std::mem::replace(&mut reported, true)
                {
                    report(reason);
                }
                backoff.wait(error.retry_after()).await;
            }
        }
    }
}

/// Joins a room if the bot is not in the room yet. Returns the room's id.
async fn join(client: &Client, room: &OwnedRoomOrAliasId) -> Result<OwnedRoomId, MatrixError> {
    if let Some(id) = rooms::resolve(client, room).await?
        && client.get_room(&id).is_some_and(|room| room.state() == RoomState::Joined)
    {
        return Ok(id);
    }
    let joined = client.send(join_room_by_id_or_alias::v3::Request::new(room.clone())).await?;
    tracing::info!(%room, "joined the room");
    Ok(joined.room_id)
}
