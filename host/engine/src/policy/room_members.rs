//! What is known of the rooms that the configuration names: their ids, and who is in them.
//!
//! Invariant: what is not known, or not any more, is nobody.
//! Not here: which networks there are; [`Accounts`] knows them.

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

/// So long is who is in a room not asked for again.
const FRESH: Duration = Duration::from_secs(5);
/// So long does it count where nobody looked again: a call is judged without asking the network.
const COUNTS: Duration = Duration::from_secs(60);
/// So long is a network waited for: whoever typed waits with it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The rooms that the configuration names.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    // Those whose members are asked for.
    peopled: HashSet<RoomName>,
    all: Vec<RoomName>,
    // The network of those that are named without one.
    network: String,
    known: RwLock<HashMap<RoomName, Known>>,
    looking: tokio::sync::Mutex<()>,
}

/// What is known of one room.
#[derive(Debug, Clone)]
struct Known {
    network: String,
    id: Option<String>,
    members: HashSet<String>,
    at: Instant,
}

impl Rooms {
    /// `peopled` are those whose members count, `named` those that are only told apart.
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

    /// The network of rooms that are named without one.
    pub(crate) fn network(&self) -> &str {
        &self.network
    }

    /// The network of a room.
    pub(crate) fn network_of<'a>(&'a self, name: &'a RoomName) -> &'a str {
        name.network.as_deref().unwrap_or(&self.network)
    }

    /// Whether a message's room is the one of this name.
    pub(crate) fn is(&self, name: &RoomName, (network, room): (&str, &str)) -> bool {
        // A network's own id needs no look.
        let itself = name.name == room && self.network_of(name) == network;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = |known: &Known| known.network == network && known.id.as_deref() == Some(room);
        itself || known.get(name).is_some_and(found)
    }

    /// Whether one of these ids is in a room.
    pub(crate) fn has<'a>(&self, name: &RoomName, mut ids: impl Iterator<Item = &'a str>) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let counts = known.get(name).filter(|known| now.saturating_duration_since(known.at) < COUNTS);
        counts.is_some_and(|known| ids.any(|id| known.members.contains(id)))
    }

    /// Asks the networks for what is not known or was not asked for some seconds.
    pub(crate) async fn look(&self, accounts: &dyn Accounts) {
        if self.all.is_empty() {
            return;
        }
        // One look serves all who wait for it.
        let _one = self.looking.lock().await;
        let looks = self.all.iter().filter(|name| !self.is_fresh(name)).map(|name| self.look_at(name, accounts));
        join_all(looks).await;
    }

    /// The id of a room and who is in it, as one account knows it; `None` where it is in no such room.
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

    async fn look_at(&self, name: &RoomName, accounts: &dyn Accounts) {
        let network = self.network_of(name);
        // Of several identities in one network each may be in some of its rooms only.
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
            tracing::warn!(room = %name, why, "who is in a room is not known, so it counts for nobody");
            // A room keeps its id while its network is away.
            known.id = known.id.or(before.and_then(|before| before.id));
            known.members.clear();
        }
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), known);
    }
}
