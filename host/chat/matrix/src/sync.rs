//! The sync loop of one session: requests new events, and handles them before the next request.
//!
//! Invariant: the next sync begins only after the inbox holds what the last sync delivered. If events can be missing
//! (when a session starts, after each error, after a sync that left events out), the room is backfilled to its cursor
//! before a newer event moves that cursor.
//! Not here: the events of the rooms (`sync/rooms`), and whether the account may send to it (`sync/permissions`).

mod permissions;
mod rooms;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use matrix_sdk::{
    Client, Room,
    config::SyncSettings,
    ruma::{
        RoomId,
        api::client::{
            filter::{Filter, FilterDefinition, RoomEventFilter},
            sync::sync_events::v3::Filter as SyncFilter,
        },
        uint,
    },
    store::StateStoreDataKey,
    sync::SyncResponse,
};
use tokio::{sync::mpsc, task::JoinSet};
use wardroom::{
    adapter::{Inbox, Link, SendPermissions},
    base::Backoff,
};
use wardroom_account::{BackfillQueue, Outage, RoomMembership};

use crate::{
    Config,
    account::ConfiguredAliases,
    cross_signing::CrossSigning,
    delivery::Delivery,
    error::MatrixError,
    joined_rooms::JoinedRooms,
    joins::{Joined, Joins},
    room_encryption::RoomEncryption,
    room_event::RoomEvent,
    room_upgrades,
};

/// Maximum time for which the homeserver may hold a sync request open while there are no new events.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a sync that delivered events of rooms. The homeserver then handles the requests that these events cause
/// before the next sync, and one sync delivers the events of the bot's own messages together.
const PAUSE: Duration = Duration::from_millis(25);
/// Maximum number of buffered events of a room that waits for a backfill. If more events arrive, the oldest are
/// dropped; the backfill finds the dropped events.
const MAX_BUFFERED: usize = 1_000;

pub(crate) struct SyncLoop<'a> {
    config: &'a Config,
    encryption: &'a RoomEncryption,
    permissions: &'a Arc<SendPermissions>,
    aliases: &'a ConfiguredAliases,
    client: Client,
    inbox: Arc<dyn Inbox>,
    joined_rooms: JoinedRooms,
    joins: Joins,
    backfill: BackfillQueue<RoomId, RoomEvent>,
    delivery: Delivery<'a>,
    cross_signing: CrossSigning<'a>,
}

/// Receives the ids of the Megolm sessions whose room keys arrived; `None` if some ids were missed.
type ArrivedKeys = mpsc::UnboundedReceiver<Option<HashSet<String>>>;

impl<'a> SyncLoop<'a> {
    /// Loads the account's state files. Makes no request.
    pub(crate) fn new(
        config: &'a Config,
        encryption: &'a RoomEncryption,
        permissions: &'a Arc<SendPermissions>,
        aliases: &'a ConfiguredAliases,
        client: Client,
        inbox: Arc<dyn Inbox>,
    ) -> Self {
        Self {
            config,
            encryption,
            permissions,
            aliases,
            cross_signing: CrossSigning::new(config, client.clone()),
            client,
            joined_rooms: JoinedRooms::load(config),
            joins: Joins::default(),
            backfill: BackfillQueue::new(MAX_BUFFERED),
            delivery: Delivery::new(config, encryption, inbox.clone()),
            inbox,
        }
    }

    /// Syncs until the session ends, and returns the reason. Calls `ready` after the first sync; messages can be sent
    /// from then on.
    pub(crate) async fn run(&mut self, outage: &mut Outage, link: &Link, ready: impl Fn()) -> MatrixError {
        let mut backoff = Backoff::default();
        let mut tasks = JoinSet::new();
        let mut keys = watch_room_keys(&self.client, &mut tasks).await;
        tasks.spawn(self.delivery.trust_store().clone().watch_published(self.client.clone()));
        let mut key_conflicts = self.client.subscribe_to_duplicate_key_upload_errors();
        // The first sync of a device delivers every room as a new room.
        let mut is_initial = !self.has_sync_position().await;
        let mut is_first = true;
        self.publish_aliases();
        // Record the rooms before the homeserver can report another state.
        self.encryption.record_joined(&self.client);
        loop {
            let has_events;
            let timeout = if is_first { Duration::ZERO } else { self.time_until_due(Instant::now()).min(SYNC_TIMEOUT) };
            match self.sync(timeout, &mut keys).await {
                Err(error) if error.ends_session() => return error,
                Err(error) => {
                    outage.record_failure(error.reason());
                    link.down(error.reason());
                    self.queue_all_rooms();
                    backoff.wait(error.retry_after()).await;
                    continue;
                }
                Ok(response) => {
                    outage.record_recovery();
                    backoff.reset();
                    self.encryption.record_joined(&self.client);
                    self.delivery.begin_batch();
                    // Sign the device before the bot reads or sends, because other devices decide at its first message
                    // whether they trust it.
                    self.cross_signing.set_up_when_due().await;
                    if is_first {
                        self.start().await;
                        ready();
                    }
                    let has_joined = self.update_joined_rooms().await;
                    if is_first || has_joined || permissions::may_change(&response, &self.config.user) {
                        self.update_permissions(&response).await;
                    }
                    has_events = !response.rooms.joined.is_empty();
                    self.handle(response, is_initial).await;
                }
            }
            (is_first, is_initial) = (false, false);
            if key_conflicts.try_recv().is_ok() {
                let reason = "the one-time keys of this device on the homeserver differ from those in the key store; the key store is an old copy, or two programs use the device".to_owned();
                return MatrixError::DeviceKeysLost { reason };
            }
            if let Err(end) = self.read_back_due_rooms().await {
                return end;
            }
            self.joined_rooms.save();
            link.up();
            if has_events {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Returns the time until a backfill or the set-up of the account's keys is due, or [`SYNC_TIMEOUT`] if neither is
    /// planned.
    fn time_until_due(&self, now: Instant) -> Duration {
        let backfill = match self.backfill.due(now).is_empty() {
            false => Some(Duration::ZERO),
            true => self.backfill.next_retry(now).map(|due| due.saturating_duration_since(now)),
        };
        let due = backfill.into_iter().chain(self.cross_signing.time_until_due(now)).min();
        due.unwrap_or(SYNC_TIMEOUT)
    }

    /// Runs one sync. While the sync waits, pending events are decrypted when their keys arrive, due requests to send a
    /// message again are sent, and pending events that are too old are removed. The sync is a task that always runs to
    /// its end, because the homeserver deletes delivered keys.
    async fn sync(&mut self, timeout: Duration, keys: &mut ArrivedKeys) -> Result<SyncResponse, MatrixError> {
        let client = self.client.clone();
        let mut sync = JoinSet::new();
        sync.spawn(async move { client.sync_once(SyncSettings::new().filter(filter()).timeout(timeout)).await });
        loop {
            // Computed anew in each iteration. Without pending events the sleep is longer than any sync.
            let update_in = self.delivery.time_until_update(Instant::now()).unwrap_or(SYNC_TIMEOUT * 2);
            tokio::select! {
                done = sync.join_next() => {
                    return match done {
                        Some(Ok(done)) => done.map_err(MatrixError::from),
                        Some(Err(error)) => Err(MatrixError::local("the sync task failed", &error)),
                        None => Err(MatrixError::Local { reason: "internal error: the sync task did not start; report this bug with the host's log".into() }),
                    };
                }
                Some(sessions) = keys.recv() => self.retry_decryption(sessions.as_ref()).await,
                () = tokio::time::sleep(update_in) => self.delivery.update_pending().await,
            }
        }
    }

    async fn has_sync_position(&self) -> bool {
        self.client.state_store().get_kv_data(StateStoreDataKey::SyncToken).await.is_ok_and(|token| token.is_some())
    }

    fn queue_all_rooms(&mut self) {
        for room in self.client.joined_rooms() {
            self.backfill.add(room.room_id().to_owned());
        }
    }

    /// Starts the background work of a session after its first sync.
    async fn start(&mut self) {
        tracing::info!(user = %self.config.user, homeserver = %self.config.homeserver, "connected to the homeserver");
        self.delivery.look_up_own_name(&self.client).await;
        self.queue_all_rooms();
        self.joined_rooms.prune(&self.client);
        for room in &self.config.rooms {
            self.joins.join_configured(&self.client, room.clone(), self.permissions.clone());
        }
        for room in self.client.invited_rooms() {
            self.joins.handle_invitation(&room, &*self.inbox, &mut self.joined_rooms).await;
        }
        for room in self.client.joined_rooms() {
            self.follow_upgrade(&room);
        }
        // Use the keys that arrived while the bot did not run.
        self.retry_decryption(None).await;
    }

    /// Decrypts pending events of all rooms that are not ignored. `sessions` are the Megolm sessions whose keys
    /// arrived; `None` retries all pending events.
    async fn retry_decryption(&mut self, sessions: Option<&HashSet<String>>) {
        let Self { client, delivery, joined_rooms, inbox, .. } = self;
        let is_served =
            |room: &RoomId| joined_rooms.membership(room, |person| inbox.is_admin(person)) != RoomMembership::Ignored;
        delivery.retry_decryption(client, sessions, is_served).await;
    }

    /// If a room was upgraded, joins its successor in the background. Does nothing if the bot ignores the room or has
    /// checked the upgrade before.
    fn follow_upgrade(&mut self, room: &Room) {
        let Some(successor) = room_upgrades::announced_successor(room) else { return };
        let is_ignored = self.membership(room.room_id()) == RoomMembership::Ignored;
        if is_ignored || self.joined_rooms.is_upgrade_checked(room.room_id(), &successor) {
            return;
        }
        self.joined_rooms.expect_successor(&successor);
        self.joins.join_successor(room, successor);
    }

    /// Records the finished joins, and looks up the configured aliases. Returns `true` if a join has finished.
    async fn update_joined_rooms(&mut self) -> bool {
        let finished = self.joins.take_finished();
        let has_joined = !finished.is_empty();
        for joined in finished {
            match joined {
                Joined::Configured(room, id) => self.joined_rooms.set_configured(room, Some(id)),
                Joined::Successor(room, successor, is_confirmed) => {
                    if is_confirmed && let Err(error) = self.encryption.inherit(&room, &successor) {
                        // The upgrade is checked again after the next sync or start.
                        tracing::warn!(%room, %successor, %error, "cannot follow a room upgrade; retrying");
                        continue;
                    }
                    self.joined_rooms.record_upgrade(&room, &successor, is_confirmed);
                }
            }
        }
        self.joined_rooms.look_up_aliases(&self.client).await;
        self.publish_aliases();
        has_joined
    }

    /// Copies the rooms of the configured aliases to the account.
    fn publish_aliases(&self) {
        self.aliases.write().clone_from(self.joined_rooms.aliases());
    }

    fn membership(&self, room: &RoomId) -> RoomMembership {
        self.joined_rooms.membership(room, |person| self.inbox.is_admin(person))
    }

    /// Handles the response of a sync. `is_initial` is true for the first sync of a device.
    async fn handle(&mut self, response: SyncResponse, is_initial: bool) {
        // One sync can have a room in both lists, if the bot left the room and was invited again.
        for room in response.rooms.left.keys() {
            self.joins.remove_invitation(room);
            self.joined_rooms.remove(room);
            self.backfill.remove(room);
        }
        for room in response.rooms.invited.keys() {
            if let Some(room) = self.client.get_room(room) {
                self.joins.handle_invitation(&room, &*self.inbox, &mut self.joined_rooms).await;
            }
        }
        let mut rooms = Vec::new();
        for (id, update) in response.rooms.joined {
            self.joins.remove_invitation(&id);
            if let Some(room) = self.client.get_room(&id) {
                self.follow_upgrade(&room);
            }
            let events: Vec<RoomEvent> = update.timeline.events.iter().map(RoomEvent::from).collect();
            rooms.extend(self.deliverable(id, events, update.timeline.limited, is_initial).await);
        }
        self.deliver(rooms).await;
    }
}

/// Starts a task that receives the ids of the Megolm sessions whose room keys arrive, by sync or from the backup. The
/// task runs until `tasks` is dropped.
async fn watch_room_keys(client: &Client, tasks: &mut JoinSet<()>) -> ArrivedKeys {
    let (sender, keys) = mpsc::unbounded_channel();
    if let Some(stream) = client.encryption().room_keys_received_stream().await {
        tasks.spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(arrived) = stream.next().await {
                let sessions = arrived.ok().map(|keys| keys.into_iter().map(|key| key.session_id).collect());
                if sender.send(sessions).is_err() {
                    return;
                }
            }
        });
    }
    keys
}

/// Returns the filter of the sync: events and members of rooms, without presence, typing notices and receipts.
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
