//! What happens in the rooms, for as long as the session lives: each sync, and what has to be read besides.
//!
//! Architecture Invariant: the next sync begins when the inbox holds what came with the last one. Where
//! anything may be missing (at each start, after each error, where the homeserver left events out), a room
//! is read back to its mark before anything newer moves that mark.
//! Architecture Invariant: of a room that is not ours nothing is handled; its mark moves on, so that nothing
//! from then is handled should it become ours.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use matrix_sdk::{
    Client, Room, RoomState,
    config::SyncSettings,
    ruma::{
        OwnedRoomId, RoomId,
        api::client::{
            filter::{Filter, FilterDefinition, RoomEventFilter},
            membership::joined_rooms,
            sync::sync_events::v3::Filter as SyncFilter,
        },
        uint,
    },
    store::StateStoreDataKey,
    sync::SyncResponse,
};
use tokio::{sync::mpsc, task::JoinSet};
use wardroom::{message::Inbox, port::Link};
use wardroom_account::{Backoff, LONGEST_ASKED, Outage};

use crate::{
    Config,
    backfill::{self, Found},
    behind::Behind,
    convert,
    delivery::Delivery,
    identity::Identity,
    moves,
    places::{Places, Standing},
    rooms::{Joined, Joins},
    sealed::Event,
    trouble::Trouble,
};

/// How long the homeserver may hold a sync back while there is nothing new.
const WAIT: Duration = Duration::from_secs(30);

/// One session's view of its rooms.
pub(crate) struct Rooms<'a> {
    config: &'a Config,
    client: Client,
    inbox: Arc<Inbox>,
    places: Places,
    joins: Joins,
    /// Rooms to be read back to their marks, with what came of them meanwhile.
    behind: Behind,
    delivery: Delivery<'a>,
    identity: Identity<'a>,
}

/// The keys that came, as names of sessions; all where some names were missed.
type Keys = mpsc::UnboundedReceiver<Option<HashSet<String>>>;

impl<'a> Rooms<'a> {
    /// Begins; no request yet.
    pub(crate) fn new(config: &'a Config, client: Client, inbox: Arc<Inbox>) -> Self {
        Self {
            config,
            identity: Identity::new(config, client.clone()),
            client,
            places: Places::load(config),
            joins: Joins::default(),
            behind: Behind::default(),
            delivery: Delivery::new(config, inbox.clone()),
            inbox,
        }
    }

    /// Syncs until the session is over; gives why it is. `link` is told whether messages flow, and `ready` is called when
    /// messages can be sent.
    pub(crate) async fn run(&mut self, outage: &mut Outage, link: &Link, ready: impl Fn()) -> Trouble {
        let mut backoff = Backoff::default();
        let mut tasks = JoinSet::new();
        let mut keys = listen(&self.client, &mut tasks).await;
        let mut clashes = self.client.subscribe_to_duplicate_key_upload_errors();
        // A homeserver that was never asked tells of all rooms as if they were new.
        let mut initial = !self.has_position().await;
        let mut first = true;
        loop {
            let now = Instant::now();
            let next_due = self.behind.next_due(now).into_iter().chain(self.identity.next_due(now)).min();
            let wait = if first { Duration::ZERO } else { next_due.map_or(WAIT, |due| due.min(WAIT)) };
            match self.sync(wait, &mut keys).await {
                Err(trouble) if trouble.is_the_end() => return trouble,
                Err(trouble) => {
                    outage.failed(trouble.reason());
                    link.down(trouble.reason());
                    self.everything_is_behind();
                    backoff.pause(trouble.after()).await;
                    continue;
                }
                Ok(response) => {
                    outage.over();
                    backoff.reset();
                    // Before anything is read or said: others believe a device from its first word on, or not.
                    self.identity.settle().await;
                    if first {
                        self.began().await;
                        ready();
                    }
                    self.know_places().await;
                    self.take(response, initial).await;
                }
            }
            (first, initial) = (false, false);
            if clashes.try_recv().is_ok() {
                let reason = "the homeserver has other one-time keys of this device, so its store is an old copy or two programs use it".to_owned();
                return Trouble::KeysLost { reason };
            }
            if let Some(over) = self.catch_up().await {
                return over;
            }
            self.places.save();
            link.up();
        }
    }

    /// One sync. While it waits for news, what was undecryptable is seen to. It runs by itself and always to its end: what a
    /// sync brought is gone from the homeserver, and some of it is keys.
    async fn sync(&mut self, wait: Duration, keys: &mut Keys) -> Result<SyncResponse, Trouble> {
        let client = self.client.clone();
        let mut sync = JoinSet::new();
        sync.spawn(async move { client.sync_once(SyncSettings::new().filter(filter()).timeout(wait)).await });
        loop {
            // Asked anew each time round; without anybody to ask, a pause that is never waited for to its end.
            let ask = self.delivery.next_ask(Instant::now()).unwrap_or(WAIT * 2);
            tokio::select! {
                done = sync.join_next() => {
                    return match done {
                        Some(Ok(done)) => done.map_err(Trouble::from),
                        Some(Err(error)) => Err(Trouble::local("a sync ended in the middle", &error)),
                        None => Err(Trouble::Local { reason: "a sync was never begun".into() }),
                    };
                }
                Some(came) = keys.recv() => self.reopen(came.as_ref()).await,
                () = tokio::time::sleep(ask) => self.delivery.ask().await,
            }
        }
    }

    async fn has_position(&self) -> bool {
        self.client.state_store().get_kv_data(StateStoreDataKey::SyncToken).await.is_ok_and(|token| token.is_some())
    }

    fn everything_is_behind(&mut self) {
        for room in self.client.joined_rooms() {
            self.behind.add(room.room_id().to_owned(), Vec::new());
        }
    }

    /// The first sync worked: the homeserver is there.
    async fn began(&mut self) {
        tracing::info!(user = %self.config.user, homeserver = %self.config.homeserver, "connected");
        self.delivery.learn_own_name(&self.client).await;
        self.everything_is_behind();
        self.places.prune(&self.client);
        for room in &self.config.rooms {
            self.joins.configured(&self.client, room.clone());
        }
        for room in self.client.invited_rooms() {
            self.joins.invited(&room, &self.inbox, &mut self.places).await;
        }
        for room in self.client.joined_rooms() {
            self.follow(&room);
        }
        // What came while nobody listened.
        self.reopen(None).await;
    }

    /// Keys came, these or any: what they open is handled, also where it is not known yet whether the room is ours any more.
    async fn reopen(&mut self, keys: Option<&HashSet<String>>) {
        let Self { client, delivery, places, inbox, .. } = self;
        let is_ours = |room: &RoomId| places.standing(room, |person| inbox.is_admin(person)) != Standing::Foreign;
        delivery.reopen(client, keys, is_ours).await;
    }

    /// Goes after a room of ours that was upgraded.
    fn follow(&mut self, room: &Room) {
        let Some(to) = moves::announced(room) else { return };
        if self.standing(room.room_id()) == Standing::Foreign || self.places.knows_move(room.room_id(), &to) {
            return;
        }
        self.places.expect(&to);
        self.joins.follow(room, to);
    }

    /// Learns which rooms the configuration's aliases stand for.
    async fn know_places(&mut self) {
        for joined in self.joins.done() {
            match joined {
                Joined::Configured(room, id) => self.places.learn(room, Some(id)),
                Joined::Moved(from, to, really) => self.places.moved(&from, &to, really),
            }
        }
        self.places.ask(&self.client).await;
    }

    fn standing(&self, room: &RoomId) -> Standing {
        self.places.standing(room, |person| self.inbox.is_admin(person))
    }

    /// Takes what a sync brought.
    async fn take(&mut self, response: SyncResponse, initial: bool) {
        for room in response.rooms.invited.keys() {
            if let Some(room) = self.client.get_room(room) {
                self.joins.invited(&room, &self.inbox, &mut self.places).await;
            }
        }
        for room in response.rooms.left.keys() {
            self.joins.settled(room);
            self.places.left(room);
            self.behind.remove(room);
        }
        for (id, update) in response.rooms.joined {
            self.joins.settled(&id);
            if let Some(room) = self.client.get_room(&id) {
                self.follow(&room);
            }
            let events: Vec<Event> = update.timeline.events.iter().map(Event::from).collect();
            self.take_room(id, events, update.timeline.limited, initial).await;
        }
    }

    async fn take_room(&mut self, id: OwnedRoomId, events: Vec<Event>, limited: bool, initial: bool) {
        let standing = self.standing(&id);
        if standing == Standing::Foreign {
            return self.ignore(&id, &events).await;
        }
        let known = self.delivery.mark(&id).await;
        if initial && known.is_none() {
            // We were here before the engine was: what stands there now is from before its time.
            self.delivery.enter(&id, &events).await;
            self.behind.remove(&id);
        } else if known.is_none() || events.iter().any(|event| convert::is_own_arrival(event, &self.config.user)) {
            // What came along may be from before we did; reading back finds where that begins.
            self.behind.add(id, Vec::new());
        } else if limited || standing == Standing::Unknown || self.behind.contains(&id) {
            self.behind.add(id, events);
        } else if let Some(room) = self.client.get_room(&id)
            && let Err(trouble) = self.delivery.bring(&room, events.clone(), &BTreeMap::new(), false).await
        {
            self.behind.add(id.clone(), events);
            self.put_off(&id, &trouble);
        }
    }

    /// Handles nothing of a room that is not ours, and says so once.
    async fn ignore(&mut self, id: &RoomId, events: &[Event]) {
        if self.places.is_news(id) {
            let (bot, me) = (&self.config.bot, &self.config.user);
            tracing::warn!(room = %id, "ignoring a room that is not in `rooms` and that no admin invited the bot to; hint: add \"{id}\" to `rooms` of [bot.{bot}.matrix], or take {me} out of it and let an admin invite it");
        }
        self.delivery.enter(id, events).await;
        self.behind.remove(id);
    }

    /// Reads back every room where something may be missing and whose time has come. What fails stays behind.
    /// Gives why the session is over, if it is.
    async fn catch_up(&mut self) -> Option<Trouble> {
        for id in self.behind.due(Instant::now()) {
            let Some(room) = self.client.get_room(&id).filter(|room| room.state() == RoomState::Joined) else {
                self.behind.remove(&id);
                continue;
            };
            match self.standing(&id) {
                Standing::Ours => {}
                Standing::Foreign => {
                    let came = self.behind.came(&id);
                    self.ignore(&id, &came).await;
                    continue;
                }
                Standing::Unknown => {
                    // Said already, about the alias.
                    self.behind.failed(&id, Instant::now(), None);
                    continue;
                }
            }
            match self.read_back(&room).await {
                Ok(()) => self.behind.remove(&id),
                Err(over) if over.is_the_end() => return Some(over),
                Err(Trouble::Refused { .. }) if self.is_out_of(&id).await => self.behind.remove(&id),
                Err(trouble) => {
                    self.put_off(&id, &trouble);
                    if trouble.passes() {
                        // Likely so for every room: the next sync shows.
                        return None;
                    }
                }
            }
        }
        None
    }

    async fn read_back(&mut self, room: &Room) -> Result<(), Trouble> {
        let id = room.room_id();
        let found = match self.delivery.mark(id).await {
            Some(mark) => Some(backfill::since_mark(&self.client, id, &mark).await?),
            None => backfill::since_arrival(&self.client, id).await?,
        };
        let came = self.behind.came(id);
        let Some(found) = found else {
            tracing::warn!(room = %id, "cannot find where the bot came into the room; what is there now is not handled");
            self.delivery.enter(id, &came).await;
            return Ok(());
        };
        let Found { events, names } = found.with_late_ones(came);
        self.delivery.bring(room, events, &names, true).await
    }

    /// Tries a room again later, and says so once.
    fn put_off(&mut self, id: &RoomId, trouble: &Trouble) {
        let now = Instant::now();
        if self.behind.failed(id, now, trouble.after()) {
            tracing::warn!(room = %id, "the room cannot be read back to where it was left, trying again: {trouble}");
        }
        if let Some(asked) = trouble.after() {
            self.behind.rest(now, asked.min(LONGEST_ASKED));
        }
    }

    /// Whether the homeserver says that we are not in a room, of which a sync need not tell.
    async fn is_out_of(&self, id: &RoomId) -> bool {
        let joined = self.client.send(joined_rooms::v3::Request::new()).await;
        joined.is_ok_and(|joined| !joined.joined_rooms.iter().any(|room| room == id))
    }
}

/// Hears of the keys of rooms that come, from a sync or from the back-up, for as long as the tasks live.
async fn listen(client: &Client, tasks: &mut JoinSet<()>) -> Keys {
    let (tell, keys) = mpsc::unbounded_channel();
    if let Some(stream) = client.encryption().room_keys_received_stream().await {
        tasks.spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(came) = stream.next().await {
                let names = came.ok().map(|keys| keys.into_iter().map(|key| key.session_id).collect());
                if tell.send(names).is_err() {
                    return;
                }
            }
        });
    }
    keys
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
