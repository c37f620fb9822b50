//! One room's events, brought to the inbox.
//!
//! Architecture Invariant: a room's mark moves with what was handed over, and not where it cannot be told
//! whether the room is encrypted: what comes in clear into an encrypted room is nobody's word.
//! Architecture Invariant: what cannot be decrypted is kept on disk before the mark passes it.
//! Not here: which rooms, and which of their events.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use matrix_sdk::{
    Client, EncryptionState, Room, RoomState,
    ruma::{OwnedUserId, RoomId, UserId},
};
use wardroom::{
    Timestamp,
    message::{Inbox, Incoming, Position},
    reply::clean,
};
use wardroom_account::Backoff;

use crate::{
    Config,
    ciphertext::{self, Named},
    convert::{self, Reader},
    known::Known,
    sealed::{self, Event},
    trouble::Trouble,
    undecrypted::{Entry, Undecrypted},
};

/// What somebody is told whose message the homeserver does not show again.
const NAMELESS: &str =
    "The homeserver does not show it to me, so that I cannot tell whether it is an old one. Say it again.";

/// The way from the rooms to the inbox.
pub(crate) struct Delivery<'a> {
    config: &'a Config,
    inbox: Arc<Inbox>,
    undecrypted: Undecrypted,
    known: Known,
    /// What we are called where a room knows no other name.
    called: Option<String>,
}

impl<'a> Delivery<'a> {
    /// Begins; no request yet.
    pub(crate) fn new(config: &'a Config, inbox: Arc<Inbox>) -> Self {
        Self { config, inbox, undecrypted: Undecrypted::load(config), known: Known::load(config), called: None }
    }

    /// Asks the homeserver what we are called.
    pub(crate) async fn learn_own_name(&mut self, client: &Client) {
        self.called = client.account().get_display_name().await.ok().flatten();
    }

    /// Brings events to the inbox, oldest first, and moves the mark to the last of them. `late` where they were read back,
    /// and did not come as they were sent.
    ///
    /// # Errors
    /// It cannot be told whether the room is encrypted, or what cannot be decrypted cannot be kept; nothing was brought then.
    pub(crate) async fn bring(
        &mut self,
        room: &Room,
        events: Vec<Event>,
        names: &BTreeMap<OwnedUserId, String>,
        late: bool,
    ) -> Result<(), Trouble> {
        let encrypted = is_encrypted(room).await?;
        let Some(mark) = mark_at(&events) else { return Ok(()) };
        let (mut readable, mut sealed) = (Vec::new(), Vec::new());
        for event in events {
            if !event.is_sealed() {
                readable.push(event);
                continue;
            }
            match sealed::open(room, &event).await? {
                Ok(opened) => readable.push(opened),
                // What another device of ours said is nothing for us.
                Err(_) if event.sender().as_ref() == Some(&self.config.user) => {}
                Err(reason) => sealed.push((event.raw, reason)),
            }
        }
        let messages = self.read(room, &readable, names, encrypted, late).await?;
        self.undecrypted.add(room.room_id(), sealed)?;
        self.undecrypted.withdrawn(room.room_id(), &messages);
        self.undecrypted.said(room.room_id(), &self.taken(room.room_id(), &messages))?;
        self.receive(room.room_id(), messages, Some(mark)).await;
        Ok(())
    }

    /// Keys came, these or any: brings what they open, in the rooms that are ours still.
    pub(crate) async fn reopen(
        &mut self,
        client: &Client,
        keys: Option<&HashSet<String>>,
        is_ours: impl Fn(&RoomId) -> bool,
    ) {
        let mut done = HashSet::new();
        let mut rooms: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
        for entry in self.undecrypted.needing(keys) {
            rooms.entry(entry.room.clone()).or_default().push(entry);
        }
        for (id, entries) in rooms {
            // Out of a room: nothing of it is handled, nor asked about.
            let here = client.get_room(&id).filter(|room| room.state() == RoomState::Joined && is_ours(&id));
            let Some(room) = here else {
                done.extend(entries.into_iter().map(|entry| entry.event));
                continue;
            };
            let Ok(encrypted) = is_encrypted(&room).await else { continue };
            let mut messages = Vec::new();
            // The newest first: it may be what somebody said again when they were asked about an older one.
            for entry in entries.into_iter().rev() {
                let Ok(Ok(opened)) = sealed::open(&room, &Event::from(entry.raw)).await else { continue };
                // What cannot be asked now is opened again with the next key, or at the next start.
                let Ok(mut read) = self.read(&room, &[opened], &BTreeMap::new(), encrypted, true).await else {
                    continue;
                };
                done.insert(entry.event.clone());
                let Some(message) = read.pop() else { continue };
                if self.undecrypted.was_sent_again(&entry.event, &message.text) {
                    tracing::info!(room = %id, event = %entry.event, "the key of a message came late, and its sender has said it again: left");
                    continue;
                }
                // In memory this cannot fail to be seen by the older ones; on disk it is tried again with the next.
                let _ = self.undecrypted.said(&id, &self.taken(&id, std::slice::from_ref(&message)));
                tracing::info!(room = %id, event = %entry.event, "the key of a message came late, handling it now");
                messages.push(message);
            }
            messages.reverse();
            if !messages.is_empty() {
                self.receive(&id, messages, None).await;
            }
        }
        // After the inbox has them: a crash in between brings them twice, which it knows.
        self.undecrypted.remove(&done);
    }

    /// Asks those whose messages could not be decrypted to send them again, where it is time.
    pub(crate) async fn ask(&mut self) {
        let asks = self.undecrypted.due_asks(Instant::now());
        for ask in asks {
            let key = format!("sealed/{}", ask.event);
            let said = self.inbox.say_once(ask.room.as_str(), &key, ask.text, Some(ask.thread.to_string())).await;
            if let Err(error) = &said {
                tracing::error!(room = %ask.room, "who sent what cannot be decrypted is not told yet: {error}");
            }
            self.undecrypted.asked(said.is_err().then_some(&ask.event));
        }
    }

    /// How long until somebody is to be asked.
    pub(crate) fn next_ask(&self, now: Instant) -> Option<Duration> {
        self.undecrypted.next_due(now)
    }

    /// Marks a room at its newest event, or at this moment where it has none.
    pub(crate) async fn enter(&self, room: &RoomId, events: &[Event]) {
        let now = Position { event: None, at: Timestamp::now() };
        let mark = mark_at(events).unwrap_or(now);
        self.receive(room, Vec::new(), Some(mark)).await;
    }

    async fn read(
        &self,
        room: &Room,
        events: &[Event],
        names: &BTreeMap<OwnedUserId, String>,
        encrypted: bool,
        late: bool,
    ) -> Result<Vec<Incoming>, Trouble> {
        let called = self.called_in(room).await;
        let direct = room.joined_members_count() + room.invited_members_count() == 2;
        let reader = Reader { me: &self.config.user, bot: &self.config.bot, called: called.as_deref(), direct };
        let mut messages = Vec::new();
        for event in events {
            let Some(mut message) = reader.message(event) else { continue };
            message.late = late;
            // A reaction is never encrypted, so that it can prove nothing, and what is left needs no proof.
            let to_prove = encrypted && message.reaction.is_none();
            if to_prove && self.inbox.takes(room.room_id().as_str(), &message) {
                message.unproven = sealed::doubt(room, event, self.config, &self.known).await;
                if event.opened.is_some() {
                    match ciphertext::name_of_opened(room, event).await? {
                        Named::Name(name) => message.once = Some(name),
                        // It is answered, and does nothing: it could be an old one.
                        Named::Nameless => message.unproven = Some(NAMELESS.to_owned()),
                        Named::Gone => {
                            tracing::warn!(room = %room.room_id(), event = message.event, "left: the homeserver shows no encrypted event that says this");
                            continue;
                        }
                    }
                }
            }
            name_sender(room, &mut message, names).await;
            messages.push(message);
        }
        Ok(messages)
    }

    /// Those of which something becomes: what people say to each other is not kept, nor compared with anything.
    fn taken(&self, room: &RoomId, messages: &[Incoming]) -> Vec<Incoming> {
        messages.iter().filter(|message| self.inbox.takes(room.as_str(), message)).cloned().collect()
    }

    /// Hands over until the inbox has it: going on without would lose it.
    async fn receive(&self, room: &RoomId, messages: Vec<Incoming>, mark: Option<Position>) {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.receive(room.as_str(), messages.clone(), mark.clone()).await {
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

    async fn called_in(&self, room: &Room) -> Option<String> {
        let member = room.get_member_no_sync(&self.config.user).await.ok().flatten();
        member.and_then(|member| member.display_name().map(ToOwned::to_owned)).or_else(|| self.called.clone())
    }
}

async fn is_encrypted(room: &Room) -> Result<bool, Trouble> {
    let state = match room.encryption_state() {
        EncryptionState::Unknown => room.latest_encryption_state().await?,
        state => state,
    };
    if state.is_unknown() {
        let reason = "the homeserver does not say whether the room is encrypted".to_owned();
        return Err(Trouble::Later { after: None, reason });
    }
    Ok(state.is_encrypted())
}

/// The mark at the newest of these events.
fn mark_at(events: &[Event]) -> Option<Position> {
    let (event, at) = events.iter().rev().find_map(|event| convert::id_and_time(&event.raw))?;
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
    message.sender.name = shown(name.as_deref(), &user);
}

/// The name by which people are to know somebody: theirs, without what does not show and what turns the reading order.
pub(crate) fn shown(name: Option<&str>, user: &UserId) -> String {
    let name = clean(name.unwrap_or_default()).trim().chars().take(80).collect::<String>();
    if name.is_empty() { user.localpart().to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::user_id;

    use super::*;

    #[test]
    fn a_name_turns_no_line_around_and_hides_nobody() {
        let bob = user_id!("@bob:x");
        assert_eq!(shown(Some("\u{202e}ecila\u{202c} \u{200b}"), bob), "ecila");
        assert_eq!(shown(Some("\u{2066}\u{200f}\u{2069}"), bob), "bob");
        assert_eq!(shown(None, bob), "bob");
        assert_eq!(shown(Some(&"x".repeat(500)), bob).len(), 80);
    }
}
