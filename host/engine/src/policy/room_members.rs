//! The rooms that the configuration names: their ids and members.
//!
//! Invariant: a room whose members are unknown or out of date counts as empty.
//! Not here: the networks ([`Accounts`]).

use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use crate::{
    adapter::{Accounts, Chat, SendError},
    model::RoomName,
};

/// The time for which members are not requested again.
const FRESH: Duration = Duration::from_secs(5);
/// The time for which members count without a new request, so that calls of a job need no request to the network.
const COUNTS: Duration = Duration::from_secs(60);
/// The timeout of a request: the sender of a command waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(crate) struct Rooms {
    // The rooms whose members are needed.
    peopled: HashSet<RoomName>,
    all: Vec<RoomName>,
    // The default network of rooms without one.
    network: String,
    known: RwLock<HashMap<RoomName, Known>>,
    refreshing: tokio::sync::Mutex<()>,
}

/// The result of the last request for a room.
#[derive(Debug, Clone)]
struct Known {
    network: String,
    id: Option<String>,
    members: HashSet<String>,
    at: Instant,
}

impl Rooms {
    /// `peopled` are rooms whose members are needed, `named` rooms of which only the id is needed.
    pub(crate) fn new(
        peopled: impl IntoIterator<Item = RoomName>,
        named: impl IntoIterator<Item = RoomName>,
        network: String,
    ) -> Self {
        let peopled: HashSet<RoomName> = peopled.into_iter().collect();
        let mut all: Vec<RoomName> = peopled.iter().cloned().chain(named).collect();
        all.sort();
        all.dedup();
        Self { peopled, all, network, ..Self::default() }
    }

    /// The default network of rooms without one.
    pub(crate) fn network(&self) -> &str {
        &self.network
    }

    pub(crate) fn network_of<'a>(&'a self, name: &'a RoomName) -> &'a str {
        name.network.as_deref().unwrap_or(&self.network)
    }

    /// Whether a room of a network has this name in the configuration.
    pub(crate) fn is(&self, name: &RoomName, (network, room): (&str, &str)) -> bool {
        // The name can be the network's own id of the room.
        let itself = name.name == room && self.network_of(name) == network;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = |known: &Known| known.network == network && known.id.as_deref() == Some(room);
        itself || known.get(name).is_some_and(found)
    }

    /// Whether one of these ids is a member of a room.
    pub(crate) fn has<'a>(&self, name: &RoomName, mut ids: impl Iterator<Item = &'a str>) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let counts = known.get(name).filter(|known| now.saturating_duration_since(known.at) < COUNTS);
        counts.is_some_and(|known| ids.any(|id| known.members.contains(id)))
    }

    /// Requests ids and members that are unknown or no longer fresh.
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

    /// The id and members of a room, from one account; `None` if the account is not in such a room.
    async fn ask(&self, chat: &dyn Chat, name: &RoomName) -> Result<Option<(String, HashSet<String>)>, SendError> {
        let Some(id) = chat.room(&name.name).await? else { return Ok(None) };
        if !self.peopled.contains(name) {
            return Ok(Some((id, HashSet::new())));
        }
        let members = chat.members(&id).await?.into_iter().map(|person| person.id).collect();
        Ok(Some((id, members)))
    }

    fn is_fresh(&self, name: &RoomName) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = |known: &Known| Instant::now().saturating_duration_since(known.at) < FRESH;
        known.get(name).is_some_and(fresh)
    }

    async fn refresh_room(&self, name: &RoomName, accounts: &dyn Accounts) {
        let network = self.network_of(name);
        // Of several bots on a network, each can be in some of its rooms only.
        let accounts = accounts.of_room(network, &name.name);
        if accounts.is_empty() {
            return;
        }
        let before = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let mut known = Known { network: network.to_owned(), id: None, members: HashSet::new(), at: Instant::now() };
        let asked = async {
            let mut failed = None;
            for chat in accounts {
                match self.ask(&*chat, name).await {
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
        let failed = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        if let Some(why) = failed {
            tracing::warn!(room = %name, why, "the members of a room cannot be read, so the room grants no rights; check the bot's membership and its network");
            // The id of a room remains valid while its network is unavailable.
            known.id = known.id.or(before.and_then(|before| before.id));
            known.members.clear();
        }
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), known);
    }
}
