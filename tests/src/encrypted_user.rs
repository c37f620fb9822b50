//! A person with an encrypting client: matrix-sdk with in-memory storage, on a verified or unverified device.
//!
//! Invariant: the client syncs in the background, so it exchanges keys like any client. An event that cannot be
//! decrypted is kept and decrypted again at each read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use matrix_sdk::{
    Client, Room, RoomState,
    config::SyncSettings,
    deserialized_responses::TimelineEventKind,
    encryption::{CrossSigningResetAuthType, EncryptionSettings},
    media::{MediaFormat, MediaRequestParameters},
    ruma::{
        EventId, OwnedRoomId, RoomId, UserId,
        api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier},
        events::{
            AnySyncTimelineEvent,
            room::{MediaSource, encrypted::OriginalSyncRoomEncryptedEvent},
        },
        serde::Raw,
    },
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Timeout for an action of the bot, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A person with one encrypting device.
#[derive(Debug)]
pub struct EncryptedUser {
    client: Client,
    /// The person's id, for example `@alice:wardroom.test`.
    pub id: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    syncing: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Seen {
    room: OwnedRoomId,
    raw: Raw<AnySyncTimelineEvent>,
    sealed: bool,
}

impl EncryptedUser {
    /// Logs in to an existing account. The first verified login creates the account's keys.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn login(url: &str, id: &str, password: &str, verified: bool) -> Result<Self> {
        let settings = EncryptionSettings { auto_enable_cross_signing: verified, ..Default::default() };
        let client = Client::builder().homeserver_url(url).with_encryption_settings(settings).build().await?;
        let user = UserId::parse(id)?;
        client.matrix_auth().login_username(&user, password).send().await?;
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        sync_once(&client, &seen, Duration::ZERO).await?;
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        // Fetch the signatures, which arrive with a sync.
        client.encryption().request_user_identity(&user).await?;
        let device = client.encryption().get_own_device().await?.context("the account has no device of its own")?;
        anyhow::ensure!(device.is_cross_signed_by_owner() == verified, "verified: {verified}");
        let syncing = tokio::spawn({
            let (client, seen) = (client.clone(), seen.clone());
            async move {
                loop {
                    // Ignore the error: a test may stop the homeserver.
                    let _ = sync_once(&client, &seen, Duration::from_secs(2)).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        Ok(Self { client, id: id.to_owned(), seen, syncing })
    }

    /// Returns a joined room. Waits until the client has the room with all its members.
    ///
    /// # Errors
    /// Timeout.
    pub async fn room(&self, room: &str) -> Result<Room> {
        let id = RoomId::parse(room)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(room) = self.client.get_room(&id).filter(|room| room.state() == RoomState::Joined) {
                room.sync_members().await?;
                return Ok(room);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{} is not in {room} after {PATIENCE:?}", self.id)
    }

    /// Sends a text, encrypted in an encrypted room. Returns the event's id.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn say(&self, room: &str, body: &str) -> Result<String> {
        self.send(room, "m.room.message", json!({ "msgtype": "m.text", "body": body, "m.mentions": {} })).await
    }

    /// Sends an event, encrypted if the room is encrypted and the event type allows it. Returns its id.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn send(&self, room: &str, kind: &str, content: Value) -> Result<String> {
        let sent = self.room(room).await?.send_raw(kind, content).await?;
        Ok(sent.response.event_id.to_string())
    }

    /// Redacts an event of this person.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn redact(&self, room: &str, event: &str) -> Result<()> {
        self.room(room).await?.redact(&EventId::parse(event)?, None, None).await?;
        Ok(())
    }

    /// Discards the session of a room, so that the next message has a new key.
    ///
    /// # Errors
    /// The store fails.
    pub async fn change_key(&self, room: &str) -> Result<()> {
        Ok(self.room(room).await?.discard_room_key().await?)
    }

    /// Resets the account's cross-signing keys. The new keys sign only this device. Returns the master key.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn reset_keys(&self, password: &str) -> Result<String> {
        let encryption = self.client.encryption();
        if let Some(handle) = encryption.reset_cross_signing().await? {
            let CrossSigningResetAuthType::Uiaa(asked) = handle.auth_type() else {
                bail!("the homeserver does not request a password")
            };
            let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.id.clone()));
            let mut login = Password::new(user, password.to_owned());
            login.session.clone_from(&asked.session);
            handle.auth(Some(AuthData::Password(login))).await?;
        }
        let user = UserId::parse(&self.id)?;
        let identity = encryption
            .request_user_identity(&user)
            .await?
            .context("the account has no cross-signing identity of its own")?;
        Ok(identity.master_key().get_first_key().context("no master key")?.to_base64())
    }

    /// Waits for a past or future event that matches. The event is decrypted if possible.
    ///
    /// # Errors
    /// Timeout; the error lists the other events.
    pub async fn wait(&self, room: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let events = self.events(room).await?;
            if let Some(event) = events.iter().find(|event| fits(event)) {
                return Ok(event.clone());
            }
            if begun.elapsed() > PATIENCE {
                let seen: Vec<String> =
                    events.iter().map(|event| format!("{} {}", event["type"], event["content"])).collect();
                bail!(
                    "`{what}` did not arrive within {PATIENCE:?}; the messages that {} received:\n{}",
                    self.id,
                    seen.join("\n")
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns all events of a room so far, oldest first, decrypted if possible.
    ///
    /// # Errors
    /// The person is not in the room.
    pub async fn events(&self, room: &str) -> Result<Vec<Value>> {
        let room = self.room(room).await?;
        let mut seen = self.lock().clone();
        for seen in seen.iter_mut().filter(|seen| seen.room == room.room_id() && seen.sealed) {
            let sealed = seen.raw.cast_ref_unchecked::<OriginalSyncRoomEncryptedEvent>();
            if let Ok(event) = room.decrypt_event(sealed, None).await
                && !event.kind.is_utd()
            {
                (seen.raw, seen.sealed) = (event.raw().clone(), false);
            }
        }
        let here = seen.into_iter().filter(|seen| seen.room == room.room_id());
        here.map(|seen| Ok(seen.raw.deserialize_as_unchecked::<Value>()?)).collect()
    }

    /// Downloads and decrypts the file of an event.
    ///
    /// # Errors
    /// The homeserver does not return it, or it cannot be decrypted.
    pub async fn file(&self, event: &Value) -> Result<String> {
        let content = &event["content"];
        let source = match content["file"].is_null() {
            true => MediaSource::Plain(serde_json::from_value(content["url"].clone())?),
            false => MediaSource::Encrypted(serde_json::from_value(content["file"].clone())?),
        };
        let request = MediaRequestParameters { source, format: MediaFormat::File };
        Ok(String::from_utf8(self.client.media().get_media_content(&request, false).await?)?)
    }

    /// Returns the ids of the devices of another person that this person trusts.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn verified_devices(&self, id: &str) -> Result<Vec<String>> {
        let user = UserId::parse(id)?;
        self.client.encryption().request_user_identity(&user).await?;
        let devices = self.client.encryption().get_user_devices(&user).await?;
        Ok(devices
            .devices()
            .filter(|device| device.is_cross_signed_by_owner())
            .map(|device| device.device_id().to_string())
            .collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EncryptedUser {
    fn drop(&mut self) {
        self.syncing.abort();
    }
}

async fn sync_once(client: &Client, seen: &Mutex<Vec<Seen>>, wait: Duration) -> Result<()> {
    let answer = client.sync_once(SyncSettings::new().timeout(wait)).await?;
    for room in answer.rooms.invited.keys() {
        if let Some(room) = client.get_room(room) {
            room.join().await?;
        }
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for (room, update) in &answer.rooms.joined {
        seen.extend(update.timeline.events.iter().map(|event| Seen {
            room: room.clone(),
            raw: event.raw().clone(),
            sealed: matches!(event.kind, TimelineEventKind::UnableToDecrypt { .. }),
        }));
    }
    Ok(())
}
