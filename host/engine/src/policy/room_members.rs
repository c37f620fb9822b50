//! The ids and members of the rooms that the configuration names.
//!
//! Invariant: a room whose members are unknown or out of date counts as empty.
//! Not here: the connections to the chat networks ([`Accounts`]).

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use parking_lot::RwLock;

use crate::{
    adapter::{Accounts, Chat, SendError},
    model::RoomName,
};

/// The minimum time between two requests for the members of a room.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// The maximum age of a cached member list. If the list is older, the room counts as empty. The host calls of a job use
/// the cached list, and send no request to the network.
const MAX_AGE: Duration = Duration::from_secs(60);
/// The time limit for all requests about one room together. The limit is short, because the sender of a command waits
/// for the requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(crate) struct Rooms {
    // The rooms that are members of roles or owners of apps. Only for these rooms, the host needs the list of members.
    with_members: HashSet<RoomName>,
    all: Vec<RoomName>,
    // The network of rooms that the configuration names without a network.
    network: String,
    known: RwLock<HashMap<RoomName, CachedRoom>>,
    refreshing: tokio::sync::Mutex<()>,
}

/// The cached result of the last requests for a room's id and members.
#[derive(Debug, Clone)]
struct CachedRoom {
    id: Option<String>,
    members: HashSet<String>,
    /// Whether the last request for the members succeeded.
    is_readable: bool,
    at: Instant,
}

impl Rooms {
    /// Creates the list of rooms, without any members yet. Later, the host requests the ids of all rooms in
    /// `with_members` and `named`, but the members of only the rooms in `with_members`.
    pub(crate) fn new(
        with_members: impl IntoIterator<Item = RoomName>,
        named: impl IntoIterator<Item = RoomName>,
        network: String,
    ) -> Self {
        let with_members: HashSet<RoomName> = with_members.into_iter().collect();
        let mut all: Vec<RoomName> = with_members.iter().cloned().chain(named).collect();
        all.sort();
        all.dedup();
        Self { with_members, all, network, ..Self::default() }
    }

    pub(crate) fn network(&self) -> &str {
        &self.network
    }

    pub(crate) fn network_of<'a>(&'a self, name: &'a RoomName) -> &'a str {
        name.network.as_deref().unwrap_or(&self.network)
    }

    /// Returns whether a room id of a network belongs to the room that the configuration calls `name`.
    pub(crate) fn is(&self, name: &RoomName, (network, room): (&str, &str)) -> bool {
        let has_id = |known: &CachedRoom| known.id.as_deref() == Some(room);
        // The configuration can name a room by its id on the network.
        self.network_of(name) == network && (name.name == room || self.known.read().get(name).is_some_and(has_id))
    }

    /// Returns whether one of these ids is a member of a room. Returns `false` if the host has no member list of the
    /// room, or only one that is older than [`MAX_AGE`].
    pub(crate) fn has<'a>(&self, name: &RoomName, mut ids: impl Iterator<Item = &'a str>) -> bool {
        let known = self.known.read();
        let now = Instant::now();
        let counts = known.get(name).filter(|known| now.saturating_duration_since(known.at) < MAX_AGE);
        counts.is_some_and(|known| ids.any(|id| known.members.contains(id)))
    }

    /// Returns whether the host has a member list of a room that is younger than [`MAX_AGE`].
    pub(crate) fn is_readable(&self, name: &RoomName) -> bool {
        let known = self.known.read();
        known.get(name).is_some_and(|known| known.is_readable && known.at.elapsed() < MAX_AGE)
    }

    /// Requests the ids and members of all rooms whose cached result is missing, or older than
    /// [`MIN_REFRESH_INTERVAL`].
    pub(crate) async fn refresh(&self, accounts: &dyn Accounts) {
        if self.all.is_empty() {
            return;
        }
        // Concurrent callers share one round of requests.
        let _one = self.refreshing.lock().await;
        let requests =
            self.all.iter().filter(|name| !self.is_fresh(name)).map(|name| self.refresh_room(name, accounts));
        join_all(requests).await;
    }

    /// Requests the id and members of a room through one account of a bot. Returns `None` if the account is not in the
    /// room.
    async fn request(&self, chat: &dyn Chat, name: &RoomName) -> Result<Option<(String, HashSet<String>)>, SendError> {
        let Some(id) = chat.room(&name.name).await? else { return Ok(None) };
        if !self.with_members.contains(name) {
            return Ok(Some((id, HashSet::new())));
        }
        let members = chat.members(&id).await?.into_iter().map(|person| person.id).collect();
        Ok(Some((id, members)))
    }

    fn is_fresh(&self, name: &RoomName) -> bool {
        let known = self.known.read();
        let fresh = |known: &CachedRoom| Instant::now().saturating_duration_since(known.at) < MIN_REFRESH_INTERVAL;
        known.get(name).is_some_and(fresh)
    }

    async fn refresh_room(&self, name: &RoomName, accounts: &dyn Accounts) {
        // A network can have several bots, each of them in some rooms only.
        let accounts = accounts.of_room(self.network_of(name), &name.name);
        let before = self.known.read().get(name).cloned();
        let mut known = CachedRoom { id: None, members: HashSet::new(), is_readable: true, at: Instant::now() };
        let request = async {
            let mut failed = None;
            for chat in accounts {
                match self.request(&*chat, name).await {
                    Ok(Some((id, members))) => {
                        (known.id, known.members) = (Some(id), members);
                        return Ok(());
                    }
                    Ok(None) => {}
                    Err(error) => failed = Some(error),
                }
            }
            failed.map_or(Ok(()), Err)
        };
        let failed = match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("the chat network did not answer within {} s", REQUEST_TIMEOUT.as_secs())),
        };
        if let Some(error) = failed {
            tracing::warn!(
                error,
                room = %name,
                "cannot read the members of a room; roles with `room:` members do not apply to them until the next successful read; hint: check that the bot is a member of the room"
            );
            // The id of a room remains valid while its network is unavailable.
            known.id = known.id.or(before.and_then(|before| before.id));
            known.members.clear();
            known.is_readable = false;
        }
        self.known.write().insert(name.clone(), known);
    }
}
