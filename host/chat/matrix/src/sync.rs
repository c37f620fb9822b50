//! What happens in the rooms, brought to the inbox in order, for as long as the session lives.
//!
//! Architecture Invariant: the next sync begins when the inbox holds what came with the last one. Where
//! anything may be missing (at each start, after each error, where the homeserver left events out), a room
//! is read back to its mark before anything newer moves that mark.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use matrix_sdk::{
    Client, EncryptionState, Room, RoomState,
    config::SyncSettings,
    ruma::{
        OwnedRoomId, OwnedUserId, RoomId, UserId,
        api::client::{
            filter::{Filter, FilterDefinition, RoomEventFilter},
            sync::sync_events::v3::Filter as SyncFilter,
        },
        uint,
    },
    store::StateStoreDataKey,
    sync::SyncResponse,
};
use wardroom::{
    Timestamp,
    message::{Inbox, Incoming},
    port::store::Mark,
    reply::{Text, clean},
};

use crate::{
    Config, NETWORK,
    backfill::{self, Found},
    backoff::{Backoff, Outage},
    convert::{self, RawEvent, Reader},
    rooms::Joins,
    trouble::Trouble,
};

/// How long the homeserver may hold a sync back while there is nothing new.
const WAIT: Duration = Duration::from_secs(30);

/// One session's view of its rooms.
pub(crate) struct Rooms<'a> {
    config: &'a Config,
    client: Client,
    inbox: Arc<Inbox>,
    joins: Joins,
    /// Rooms to be read back to their marks, with what came of them meanwhile.
    behind: BTreeMap<OwnedRoomId, Vec<RawEvent>>,
    /// Rooms that were told that we cannot read there.
    told: HashSet<OwnedRoomId>,
    /// What we are called where a room knows no other name.
    called: Option<String>,
}

impl<'a> Rooms<'a> {
    /// Begins; no request yet.
    pub(crate) fn new(config: &'a Config, client: Client, inbox: Arc<Inbox>) -> Self {
        Self {
            config,
            client,
            inbox,
            joins: Joins::default(),
            behind: BTreeMap::new(),
            told: HashSet::new(),
            called: None,
        }
    }

    /// Syncs until the session is over; gives why it is.
    pub(crate) async fn run(&mut self, outage: &mut Outage) -> Trouble {
        let mut backoff = Backoff::default();
        // A homeserver that was never asked tells of all rooms as if they were new.
        let mut initial = !self.has_position().await;
        let mut first = true;
        let mut told = false;
        loop {
            let wait = if first || !self.behind.is_empty() { Duration::ZERO } else { WAIT };
            let settings = SyncSettings::new().filter(filter()).timeout(wait);
            match self.client.sync_once(settings).await.map_err(Trouble::from) {
                Err(trouble @ Trouble::LoggedOut { .. }) => return trouble,
                Err(trouble) => {
                    outage.failed(trouble.reason());
                    self.everything_is_behind();
                    backoff.pause(trouble.after()).await;
                    continue;
                }
                Ok(response) => {
                    outage.over();
                    if first {
                        self.began().await;
                    }
                    self.take(response, initial).await;
                }
            }
            (first, initial) = (false, false);
            match self.catch_up().await {
                Ok(()) => {
                    backoff.reset();
                    told = false;
                }
                Err(trouble @ Trouble::LoggedOut { .. }) => return trouble,
                Err(trouble) => {
                    if !told {
                        told = true;
                        tracing::warn!("a room cannot be read back to where it was left, trying again: {trouble}");
                    }
                    backoff.pause(trouble.after()).await;
                }
            }
        }
    }

    async fn has_position(&self) -> bool {
        self.client.state_store().get_kv_data(StateStoreDataKey::SyncToken).await.is_ok_and(|token| token.is_some())
    }

    fn everything_is_behind(&mut self) {
        for room in self.client.joined_rooms() {
            self.behind.entry(room.room_id().to_owned()).or_default();
        }
    }

    /// The first sync worked: the homeserver is there.
    async fn began(&mut self) {
        tracing::info!(user = %self.config.user, homeserver = %self.config.homeserver, "connected");
        self.called = self.client.account().get_display_name().await.ok().flatten();
        self.everything_is_behind();
        for room in &self.config.rooms {
            self.joins.configured(&self.client, room.clone());
        }
        for room in self.client.invited_rooms() {
            self.joins.invited(&room, &self.inbox).await;
        }
    }

    /// Takes what a sync brought.
    async fn take(&mut self, response: SyncResponse, initial: bool) {
        for room in response.rooms.invited.keys() {
            if let Some(room) = self.client.get_room(room) {
                self.joins.invited(&room, &self.inbox).await;
            }
        }
        for room in response.rooms.left.keys() {
            self.joins.settled(room);
            self.behind.remove(room);
        }
        for (id, update) in response.rooms.joined {
            self.joins.settled(&id);
            let events: Vec<RawEvent> = update.timeline.events.iter().map(|event| event.raw().clone()).collect();
            let known = self.mark(&id).await;
            if initial && known.is_none() {
                // We were here before the engine was: what stands there now is from before its time.
                self.enter(&id, &events).await;
                self.behind.remove(&id);
            } else if known.is_none() || events.iter().any(|event| convert::is_own_arrival(event, &self.config.user)) {
                // What came along may be from before we did; reading back finds where that begins.
                self.behind.entry(id).or_default();
            } else if update.timeline.limited || self.behind.contains_key(&id) {
                self.behind.entry(id).or_default().extend(events);
            } else if let Some(room) = self.client.get_room(&id) {
                self.bring(&room, events, &BTreeMap::new()).await;
            }
        }
    }

    /// Reads back every room where something may be missing. What fails stays behind.
    async fn catch_up(&mut self) -> Result<(), Trouble> {
        let behind: Vec<OwnedRoomId> = self.behind.keys().cloned().collect();
        for id in behind {
            let found = match self.mark(&id).await {
                Some(mark) => backfill::since_mark(&self.client, &id, &mark).await.map(Some),
                None => backfill::since_arrival(&self.client, &id).await,
            };
            let found = match found {
                Ok(found) => found,
                Err(Trouble::Refused { reason }) => {
                    tracing::warn!(room = %id, "the room cannot be read: {reason}");
                    self.behind.remove(&id);
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            let came = self.behind.remove(&id).unwrap_or_default();
            match (found, self.client.get_room(&id)) {
                (Some(found), Some(room)) => {
                    let Found { events, names } = found.with_late_ones(came);
                    self.bring(&room, events, &names).await;
                }
                (None, _) => {
                    tracing::warn!(room = %id, "cannot find where the bot came into the room; what is there now is not handled");
                    self.enter(&id, &came).await;
                }
                (Some(_), None) => {}
            }
        }
        Ok(())
    }

    /// Brings events to the inbox, oldest first, and moves the mark to the last of them.
    async fn bring(&mut self, room: &Room, events: Vec<RawEvent>, names: &BTreeMap<OwnedUserId, String>) {
        let encrypted = self.is_encrypted(room).await;
        let Some(mark) = self.mark_at(room.room_id(), &events) else { return };
        let mut messages = Vec::new();
        if !encrypted {
            let called = self.called_in(room).await;
            let direct = room.joined_members_count() + room.invited_members_count() == 2;
            let reader = Reader { me: &self.config.user, bot: &self.config.bot, called: called.as_deref(), direct };
            messages = events.iter().filter_map(|event| reader.message(event)).collect();
            for message in &mut messages {
                name_sender(room, message, names).await;
            }
        }
        self.receive(room.room_id(), messages, mark).await;
    }

    /// Marks a room at its newest event, or at this moment where it has none.
    async fn enter(&self, room: &RoomId, events: &[RawEvent]) {
        let now = Mark { network: NETWORK.into(), room: room.to_string(), event: None, at: Timestamp::now() };
        let mark = self.mark_at(room, events).unwrap_or(now);
        self.receive(room, Vec::new(), mark).await;
    }

    fn mark_at(&self, room: &RoomId, events: &[RawEvent]) -> Option<Mark> {
        let (event, at) = events.iter().rev().find_map(convert::id_and_time)?;
        // Another server's clock may run ahead of ours for years; a mark does not.
        Some(Mark {
            network: NETWORK.into(),
            room: room.to_string(),
            event: Some(event.to_string()),
            at: at.min(Timestamp::now()),
        })
    }

    /// Hands over until the inbox has it: going on without would lose it.
    async fn receive(&self, room: &RoomId, messages: Vec<Incoming>, mark: Mark) {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.receive(NETWORK, room.as_str(), messages.clone(), Some(mark.clone())).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%room, "the inbox does not take the room's messages, trying again: {error}");
                    backoff.pause(None).await;
                }
            }
        }
    }

    async fn mark(&self, room: &RoomId) -> Option<Mark> {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.mark(NETWORK, room.as_str()).await {
                Ok(mark) => return mark,
                Err(error) => {
                    tracing::error!(%room, "the room's mark cannot be read, trying again: {error}");
                    backoff.pause(None).await;
                }
            }
        }
    }

    /// Whether a room is encrypted; says there that we cannot read it. Nothing of such a room is handled,
    /// also not what is sent there in clear: people there count on their words being private.
    async fn is_encrypted(&mut self, room: &Room) -> bool {
        let encrypted = match room.encryption_state() {
            EncryptionState::Unknown => room.latest_encryption_state().await.is_ok_and(|state| state.is_encrypted()),
            state => state.is_encrypted(),
        };
        if encrypted && !self.told.contains(room.room_id()) && room.state() == RoomState::Joined {
            let text = format!(
                "I cannot read encrypted rooms yet, so I do not see commands here. Talk to me in a room without encryption, or invite me ({}) to one.",
                self.config.user
            );
            match self.inbox.say_once(NETWORK, room.room_id().as_str(), "encrypted", Text::lines(text)).await {
                Ok(()) => {
                    self.told.insert(room.room_id().to_owned());
                }
                Err(error) => {
                    tracing::error!(room = %room.room_id(), "the room is not told yet that it is encrypted: {error}")
                }
            }
        }
        encrypted
    }

    async fn called_in(&self, room: &Room) -> Option<String> {
        let member = room.get_member_no_sync(&self.config.user).await.ok().flatten();
        member.and_then(|member| member.display_name().map(ToOwned::to_owned)).or_else(|| self.called.clone())
    }
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

/// Rooms' events and members, and nothing else: no presence, no typing, no receipts.
fn filter() -> SyncFilter {
    let mut filter = FilterDefinition::default();
    filter.presence = Filter::ignore_all();
    filter.account_data = Filter::ignore_all();
    filter.room.account_data = RoomEventFilter::ignore_all();
    filter.room.ephemeral = RoomEventFilter::ignore_all();
    filter.room.state = RoomEventFilter::with_lazy_loading();
    filter.room.timeline = RoomEventFilter::with_lazy_loading();
    filter.room.timeline.limit = Some(uint!(100));
    SyncFilter::FilterDefinition(filter)
}
