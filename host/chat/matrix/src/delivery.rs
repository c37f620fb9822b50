//! Writes the events of a room to the engine's inbox, and moves the room's cursor past these events.
//!
//! Invariant: a room's cursor moves in the transaction in which the last messages before it are stored, or later. The
//! cursor does not move while the room's encryption state is unknown, because an unencrypted message in an encrypted
//! room can be forged.
//! Invariant: an event that cannot be decrypted is on disk before the cursor moves past it.
//! Not here: the write to the inbox (`store`), and the choice of the rooms and events that are delivered (`sync`).

mod store;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use matrix_sdk::{
    Client, Room, RoomState,
    ruma::{OwnedUserId, RoomId, UserId},
};
use parking_lot::Mutex;
use wardroom::{
    Timestamp,
    adapter::{Inbox, Incoming, Position},
};
use wardroom_account::{InboxWriter, display_name};

use crate::{
    Config,
    ciphertext_id::{self, Lookup},
    convert::Converter,
    decryption::decrypt,
    device_lookups::DeviceLookups,
    error::MatrixError,
    pending_decryption::{PendingDecryption, PendingEvent},
    room_encryption::RoomEncryption,
    room_event::{self, RoomEvent},
    sender_trust,
    trust_store::TrustStore,
};

use self::store::UnverifiedSenders;

/// The text that a sender receives in a room without encryption, if the configuration requires encryption.
const NOT_ENCRYPTED: &str = "This room is not encrypted, and the bot accepts actions only in encrypted rooms.";
/// The time after which a message counts as late, even if a sync delivered it. The homeserver of the sender can hold
/// messages back, for example during an outage.
const LATE_AFTER: Duration = Duration::from_secs(600);
/// The text that a sender receives if the homeserver does not return the message's encrypted event. The message then
/// starts no action.
const UNAVAILABLE: &str = "The homeserver does not return the encrypted message, so the bot cannot check whether it has handled the message before. Send the message again.";

/// Converted events of a room.
struct Converted {
    messages: Vec<Incoming>,
    unverified: UnverifiedSenders,
}

/// Writes the events of one account's rooms to its inbox.
pub(crate) struct Delivery<'a> {
    config: &'a Config,
    encryption: &'a RoomEncryption,
    inbox: InboxWriter,
    pending: Mutex<PendingDecryption>,
    trust_store: Arc<TrustStore>,
    lookups: DeviceLookups,
    /// The account's global display name, for rooms in which the account has no other display name.
    display_name: Option<String>,
}

impl<'a> Delivery<'a> {
    /// Loads the account's state files. Makes no request.
    pub(crate) fn new(config: &'a Config, encryption: &'a RoomEncryption, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            config,
            encryption,
            inbox: InboxWriter::new(inbox),
            pending: Mutex::new(PendingDecryption::load(config)),
            trust_store: Arc::new(TrustStore::load(config)),
            lookups: DeviceLookups::new(config.user.server_name()),
            display_name: None,
        }
    }

    pub(crate) fn trust_store(&self) -> &Arc<TrustStore> {
        &self.trust_store
    }

    /// Prepares the delivery of the events of a sync. Called before these events are delivered.
    pub(crate) fn begin_batch(&self) {
        self.lookups.begin_batch();
    }

    /// Looks up the account's global display name. If the lookup fails, the bot has no display name.
    pub(crate) async fn look_up_own_name(&mut self, client: &Client) {
        self.display_name = client.account().get_display_name().await.ok().flatten();
    }

    /// Converts a room's events to messages, stores these in the inbox, and moves the room's cursor to the newest
    /// event. `events` is sorted oldest first. If an event cannot be decrypted yet, stores it until its key arrives.
    /// `names` holds the senders' display names that a backfill received. `late` is true if a backfill found the
    /// events.
    ///
    /// # Errors
    /// A request to the homeserver or an operation on a file failed. No message was stored. A retry can succeed.
    pub(crate) async fn deliver(
        &self,
        room: &Room,
        events: Vec<RoomEvent>,
        names: &BTreeMap<OwnedUserId, String>,
        late: bool,
    ) -> Result<(), MatrixError> {
        let is_encrypted = self.encryption.is_encrypted(room).await?;
        let Some(cursor) = cursor_at(&events) else { return Ok(()) };
        // Decrypt the events.
        let (mut readable, mut undecrypted) = (Vec::new(), Vec::new());
        for event in events {
            if !event.is_encrypted() {
                readable.push(event);
                continue;
            }
            match decrypt(room, &event).await? {
                Ok(decrypted) => readable.push(decrypted),
                // Events of the account's other devices are not handled.
                Err(_) if event.sender().as_ref() == Some(&self.config.user) => {}
                Err(failure) => undecrypted.push((event.raw, failure)),
            }
        }
        // Store the events that cannot be decrypted, then the messages and the cursor.
        let Converted { messages, unverified } = self.convert(room, &readable, names, is_encrypted, late).await?;
        {
            let mut pending = self.pending.lock();
            pending.add(room.room_id(), undecrypted);
            pending.remove_withdrawn(room.room_id(), &messages);
            pending.record_messages(room.room_id(), &self.accepted(room.room_id(), &messages));
            pending.remove_outdated();
            pending.store()?;
        }
        store::receive(&self.inbox, room.room_id(), messages, &unverified, Some(cursor), Timestamp::now()).await;
        Ok(())
    }

    /// Decrypts pending events after their keys arrived, and stores their messages in the inbox. Skips an event if its
    /// sender has sent the same text again. Drops the events of a room that the bot no longer serves. `sessions` are
    /// the Megolm sessions whose keys arrived; `None` retries all pending events.
    pub(crate) async fn retry_decryption(
        &self,
        client: &Client,
        sessions: Option<&HashSet<String>>,
        is_served: impl Fn(&RoomId) -> bool,
    ) {
        let mut done = HashSet::new();
        let mut rooms: BTreeMap<_, Vec<PendingEvent>> = BTreeMap::new();
        let waiting = self.pending.lock().waiting_for(sessions);
        for event in waiting {
            rooms.entry(event.room.clone()).or_default().push(event);
        }
        for (id, events) in rooms {
            // Events of a room that is not served are dropped.
            let room = client.get_room(&id).filter(|room| room.state() == RoomState::Joined && is_served(&id));
            let Some(room) = room else {
                done.extend(events.into_iter().map(|event| event.event));
                continue;
            };
            let Ok(is_encrypted) = self.encryption.is_encrypted(&room).await else { continue };
            let (mut messages, mut unverified) = (Vec::new(), UnverifiedSenders::new());
            // Newest first: a newer message can repeat an older one. The newer message must be recorded before the
            // older one is compared with it.
            for event in events.into_iter().rev() {
                let Ok(Ok(decrypted)) = decrypt(&room, &RoomEvent::from(event.raw)).await else { continue };
                // A failed lookup is repeated when the next key arrives, or when the host starts.
                let converted = self.convert(&room, &[decrypted], &BTreeMap::new(), is_encrypted, true).await;
                let Ok(mut converted) = converted else { continue };
                done.insert(event.event.clone());
                let Some(message) = converted.messages.pop() else { continue };
                if self.pending.lock().was_sent_again(&event.event, &message.text) {
                    tracing::info!(room = %id, event_id = %event.event, "skipped a message whose decryption key arrived late, because its sender has sent the same text again");
                    continue;
                }
                // The record is written below. After a crash before that, all events are compared again.
                self.pending.lock().record_messages(&id, &self.accepted(&id, std::slice::from_ref(&message)));
                tracing::info!(room = %id, event_id = %event.event, "the decryption key of a message arrived late; handling the message now");
                messages.push(message);
                unverified.append(&mut converted.unverified);
            }
            messages.reverse();
            if !messages.is_empty() {
                store::receive(&self.inbox, &id, messages, &unverified, None, Timestamp::now()).await;
            }
        }
        // Remove the events after their messages are stored. After a crash in between, the inbox deduplicates the
        // messages.
        let mut pending = self.pending.lock();
        pending.remove(&done);
        pending.store_or_log();
    }

    /// Asks the senders of messages that cannot be decrypted to send the messages again. Sends only the requests that
    /// are due. Removes stored events that are too old.
    pub(crate) async fn update_pending(&self) {
        let requests = self.pending.lock().take_due_requests(Instant::now());
        for request in requests {
            let key = format!("sealed/{}", request.event);
            let thread = Some(request.thread.to_string());
            let stored = self.inbox.inbox().say_once(request.room.as_str(), &key, request.text, thread).await;
            if let Err(error) = &stored {
                tracing::error!(room = %request.room, event_id = %request.event, %error, "cannot store the reply that asks a person to send an undecryptable message again; retrying");
            }
            if stored.is_err() {
                self.pending.lock().retry_request(&request.event);
            }
        }
        // Write the requests after they are in the outbox. After a crash in between, the outbox deduplicates them.
        self.pending.lock().store_or_log();
    }

    /// Returns the time until [`Delivery::update_pending`] is due; `None` if no event is stored.
    pub(crate) fn time_until_update(&self, now: Instant) -> Option<Duration> {
        self.pending.lock().time_until_due(now, Timestamp::now())
    }

    /// Returns a room's cursor; `None` if the bot never handled the room.
    pub(crate) async fn cursor(&self, room: &RoomId) -> Option<Position> {
        self.inbox.cursor(room.as_str()).await
    }

    /// Moves a room's cursor to the newest of these events without handling them. If there are no events, moves it to
    /// the present time.
    pub(crate) async fn skip(&self, room: &RoomId, events: &[RoomEvent]) {
        let now = Position { event: None, at: Timestamp::now() };
        let cursor = cursor_at(events).unwrap_or(now);
        self.inbox.receive(room.as_str(), Vec::new(), Some(cursor)).await;
    }

    /// Converts events to messages. If a message must not start an action, sets the message's field `unproven` to the
    /// reason.
    async fn convert(
        &self,
        room: &Room,
        events: &[RoomEvent],
        names: &BTreeMap<OwnedUserId, String>,
        is_encrypted: bool,
        late: bool,
    ) -> Result<Converted, MatrixError> {
        let own_name = member_name(room, &self.config.user).await.or_else(|| self.display_name.clone());
        let direct = room.joined_members_count() + room.invited_members_count() == 2;
        let converter =
            Converter { me: &self.config.user, bot: &self.config.bot, display_name: own_name.as_deref(), direct };
        let (mut messages, mut unverified) = (Vec::new(), UnverifiedSenders::new());
        for event in events {
            let Some(mut message) = converter.message(event) else { continue };
            message.late = late || is_older_than(message.at, LATE_AFTER);
            if self.config.requires_encryption && !is_encrypted {
                message.unproven = Some(NOT_ENCRYPTED.to_owned());
            }
            // Reactions are never encrypted, so their sender cannot be proven; `trusts_relations` decides whether they
            // are accepted. Messages that the inbox ignores need no proof.
            let needs_proof = is_encrypted && message.reaction.is_none();
            if needs_proof && self.inbox.inbox().handles(room.room_id().as_str(), &message) {
                let trust_store = &self.trust_store;
                message.unproven =
                    sender_trust::distrust_reason(room, event, self.config, trust_store, &self.lookups).await;
                if message.unproven.is_some()
                    && let Some(owner) = sender_trust::unverified_owner(room, event, self.config).await
                {
                    unverified.insert(message.event.clone(), owner);
                }
                if event.encryption_info.is_some() {
                    match ciphertext_id::look_up(room, event).await? {
                        Lookup::Found(id) => message.deduplication_key = Some(id),
                        // A duplicate cannot be ruled out, so the message is answered but cannot start an action.
                        Lookup::Unavailable => message.unproven = Some(UNAVAILABLE.to_owned()),
                        Lookup::Replaced => {
                            tracing::warn!(room = %room.room_id(), event_id = message.event, "skipped a message, because it was deleted or the homeserver now returns other content for its event id; hint: if nobody deleted it, check the homeserver");
                            continue;
                        }
                    }
                }
            }
            set_sender_name(room, &mut message, names).await;
            messages.push(message);
        }
        Ok(Converted { messages, unverified })
    }

    /// Returns the messages that the bot handles. Leaves out messages of conversations between people.
    fn accepted(&self, room: &RoomId, messages: &[Incoming]) -> Vec<Incoming> {
        let accepted = messages.iter().filter(|message| self.inbox.inbox().handles(room.as_str(), message));
        accepted.cloned().collect()
    }
}

/// Returns the cursor position of the newest event that has an id; `None` if no event has an id. `events` is sorted
/// oldest first.
fn cursor_at(events: &[RoomEvent]) -> Option<Position> {
    let (event, at) = events.iter().rev().find_map(|event| room_event::id_and_time(&event.raw))?;
    // The clock of another server can be ahead. A cursor is never in the future.
    Some(Position { event: Some(event.to_string()), at: at.min(Timestamp::now()) })
}

/// Returns whether a time is longer ago than `age`.
fn is_older_than(at: Timestamp, age: Duration) -> bool {
    Duration::try_from(Timestamp::now().duration_since(at)).is_ok_and(|passed| passed > age)
}

/// Sets the display name of a message's sender. Permissions depend on the sender's id alone.
async fn set_sender_name(room: &Room, message: &mut Incoming, names: &BTreeMap<OwnedUserId, String>) {
    let Ok(user) = UserId::parse(message.sender.id.as_str()) else { return };
    let name = match names.get(&user) {
        Some(name) => Some(name.clone()),
        None => member_name(room, &user).await,
    };
    message.sender.name = display_name(name.as_deref(), user.localpart());
}

/// Returns the display name that an account has in a room.
async fn member_name(room: &Room, user: &UserId) -> Option<String> {
    let member = room.get_member_no_sync(user).await.ok().flatten()?;
    member.display_name().map(ToOwned::to_owned)
}
