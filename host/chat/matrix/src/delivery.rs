//! One room's events, brought to the inbox.
//!
//! Architecture Invariant: a room's mark moves with what was handed over, and not where it cannot be told
//! whether the room is encrypted: people in an encrypted room count on their words being private.
//! Not here: which rooms, and which of their events.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use matrix_sdk::{
    Client, EncryptionState, Room, RoomState,
    ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId},
};
use wardroom::{
    Timestamp,
    message::{Inbox, Incoming, Position},
    reply::{Text, clean},
};

use crate::{
    Config,
    backoff::Backoff,
    convert::{self, RawEvent, Reader},
    trouble::Trouble,
};

/// The way from the rooms to the inbox.
pub(crate) struct Delivery<'a> {
    config: &'a Config,
    inbox: Arc<Inbox>,
    /// Rooms that were told that we cannot read there.
    told: HashSet<OwnedRoomId>,
    /// What we are called where a room knows no other name.
    called: Option<String>,
}

impl<'a> Delivery<'a> {
    /// Begins; no request yet.
    pub(crate) fn new(config: &'a Config, inbox: Arc<Inbox>) -> Self {
        Self { config, inbox, told: HashSet::new(), called: None }
    }

    /// Asks the homeserver what we are called.
    pub(crate) async fn learn_own_name(&mut self, client: &Client) {
        self.called = client.account().get_display_name().await.ok().flatten();
    }

    /// Brings events to the inbox, oldest first, and moves the mark to the last of them. `late` where they were read back,
    /// and did not come as they were sent.
    ///
    /// # Errors
    /// It cannot be told whether the room is encrypted; nothing was brought then.
    pub(crate) async fn bring(
        &mut self,
        room: &Room,
        events: &[RawEvent],
        names: &BTreeMap<OwnedUserId, String>,
        late: bool,
    ) -> Result<(), Trouble> {
        let encrypted = self.is_encrypted(room).await?;
        let Some(mark) = mark_at(events) else { return Ok(()) };
        let mut messages = Vec::new();
        if !encrypted {
            let called = self.called_in(room).await;
            let direct = room.joined_members_count() + room.invited_members_count() == 2;
            let reader = Reader { me: &self.config.user, bot: &self.config.bot, called: called.as_deref(), direct };
            messages = events.iter().filter_map(|event| reader.message(event)).collect();
            for message in &mut messages {
                message.late = late;
                name_sender(room, message, names).await;
            }
        }
        self.receive(room.room_id(), messages, mark).await;
        Ok(())
    }

    /// Marks a room at its newest event, or at this moment where it has none.
    pub(crate) async fn enter(&self, room: &RoomId, events: &[RawEvent]) {
        let now = Position { event: None, at: Timestamp::now() };
        let mark = mark_at(events).unwrap_or(now);
        self.receive(room, Vec::new(), mark).await;
    }

    /// Hands over until the inbox has it: going on without would lose it.
    async fn receive(&self, room: &RoomId, messages: Vec<Incoming>, mark: Position) {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.receive(room.as_str(), messages.clone(), Some(mark.clone())).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%room, "the inbox does not take the room's messages, trying again: {error}");
                    backoff.pause(None).await;
                }
            }
        }
    }

    /// How far a room was read, asked until the inbox says it; `None` where we never were.
    pub(crate) async fn mark(&self, room: &RoomId) -> Option<Position> {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.mark(room.as_str()).await {
                Ok(mark) => return mark,
                Err(error) => {
                    tracing::error!(%room, "the room's mark cannot be read, trying again: {error}");
                    backoff.pause(None).await;
                }
            }
        }
    }

    /// Whether a room is encrypted; says there that we cannot read it. Nothing of such a room is handled,
    /// also not what is sent there in clear.
    async fn is_encrypted(&mut self, room: &Room) -> Result<bool, Trouble> {
        let state = match room.encryption_state() {
            EncryptionState::Unknown => room.latest_encryption_state().await?,
            state => state,
        };
        if state.is_unknown() {
            let reason = "the homeserver does not say whether the room is encrypted".to_owned();
            return Err(Trouble::Later { after: None, reason });
        }
        let encrypted = state.is_encrypted();
        if encrypted && !self.told.contains(room.room_id()) && room.state() == RoomState::Joined {
            let text = format!(
                "I cannot read encrypted rooms yet, so I do not see commands here. Talk to me in a room without encryption, or invite me ({}) to one.",
                self.config.user
            );
            match self.inbox.say_once(room.room_id().as_str(), "encrypted", Text::lines(text), None).await {
                Ok(()) => {
                    self.told.insert(room.room_id().to_owned());
                }
                Err(error) => {
                    tracing::error!(room = %room.room_id(), "the room is not told yet that it is encrypted: {error}")
                }
            }
        }
        Ok(encrypted)
    }

    async fn called_in(&self, room: &Room) -> Option<String> {
        let member = room.get_member_no_sync(&self.config.user).await.ok().flatten();
        member.and_then(|member| member.display_name().map(ToOwned::to_owned)).or_else(|| self.called.clone())
    }
}

/// The mark at the newest of these events.
fn mark_at(events: &[RawEvent]) -> Option<Position> {
    let (event, at) = events.iter().rev().find_map(convert::id_and_time)?;
    // Another server's clock may run ahead of ours for years; a mark does not.
    Some(Position { event: Some(event.to_string()), at: at.min(Timestamp::now()) })
}

/// Gives a message's sender the name that people read. Rights hang on the id alone.
async fn name_sender(room: &Room, message: &mut Incoming, names: &BTreeMap<OwnedUserId, String>) {
    let Ok(user) = UserId::parse(message.sender.id.as_str()) else { return };
    let name = match names.get(&user) {
        Some(name) => Some(name.clone()),
        None => room
            .get_member_no_sync(&user)
            .await
            .ok()
            .flatten()
            .and_then(|member| member.display_name().map(ToOwned::to_owned)),
    };
    let name = clean(name.as_deref().unwrap_or_default()).trim().chars().take(80).collect::<String>();
    message.sender.name = if name.is_empty() { user.localpart().to_owned() } else { name };
}
