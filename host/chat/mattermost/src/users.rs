//! The accounts of the server: their names, and whether one is a bot. Rights depend on ids alone.
//!
//! Architecture Invariant: an account that was not looked up is neither a person nor a bot.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use wardroom::model::Person;
use wardroom_account::display_name;

use crate::{
    client::{ApiClient, User},
    config::is_id,
    error::MattermostError,
};

/// The most accounts in the cache. A full cache is cleared.
const MAX_CACHED: usize = 20_000;

/// What an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserKind {
    Person,
    Bot,
    /// The account does not exist, or no longer.
    Missing,
}

/// A cache of accounts.
#[derive(Debug, Default)]
pub(crate) struct UserCache {
    /// The answers of the server; `None` for an account that does not exist.
    looked_up: Mutex<HashMap<String, Option<User>>>,
    /// The names that arrived with messages. They are newer than those of a lookup.
    seen_names: Mutex<HashMap<String, String>>,
}

impl UserCache {
    fn looked_up(&self) -> MutexGuard<'_, HashMap<String, Option<User>>> {
        self.looked_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen_names(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.seen_names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, id: String, user: Option<User>) {
        let mut looked_up = self.looked_up();
        if looked_up.len() >= MAX_CACHED {
            looked_up.clear();
        }
        looked_up.insert(id, user);
    }

    /// Records the name of an author that arrived with a message.
    pub(crate) fn record_name(&self, id: &str, name: &str) {
        let name = name.trim_start_matches('@');
        let mut seen = self.seen_names();
        if seen.len() >= MAX_CACHED {
            seen.clear();
        }
        if !name.is_empty() {
            seen.insert(id.to_owned(), name.to_owned());
        }
    }

    /// Looks up the accounts of these ids that are not cached. An id without an account is looked up again each time.
    ///
    /// # Errors
    /// [`MattermostError`]; the kind of these ids stays unknown.
    pub(crate) async fn look_up<'i>(
        &self,
        client: &ApiClient,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> Result<(), MattermostError> {
        let unknown: BTreeSet<String> = {
            let mut looked_up = self.looked_up();
            let ids = ids.into_iter().filter(|id| !matches!(looked_up.get(*id), Some(Some(_)))).map(str::to_owned);
            let unknown: BTreeSet<String> = ids.collect();
            for id in &unknown {
                looked_up.remove(id);
            }
            unknown
        };
        // A server rejects a whole list for one entry that is not an id.
        let (unknown, invalid): (Vec<String>, Vec<String>) = unknown.into_iter().partition(|id| is_id(id));
        for id in invalid {
            self.insert(id, None);
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let mut found: HashMap<String, User> =
            client.users(&unknown).await?.into_iter().map(|user| (user.id.clone(), user)).collect();
        for id in unknown {
            let user = found.remove(&id);
            self.insert(id, user);
        }
        Ok(())
    }

    /// What an id is; `None` until it was looked up.
    pub(crate) fn kind(&self, id: &str) -> Option<UserKind> {
        self.looked_up().get(id).map(|user| match user {
            Some(user) if user.is_bot => UserKind::Bot,
            Some(_) => UserKind::Person,
            None => UserKind::Missing,
        })
    }

    /// The name with which an account is mentioned, without `@`, if it is known.
    pub(crate) fn name(&self, id: &str) -> Option<String> {
        let seen = self.seen_names().get(id).cloned();
        seen.or_else(|| Some(self.looked_up().get(id)?.as_ref()?.name.clone())).filter(|name| !name.is_empty())
    }

    /// An account with the name that is known, or with its id as the name.
    pub(crate) fn person(&self, id: &str) -> Person {
        Person { id: id.to_owned(), name: display_name(self.name(id).as_deref(), id) }
    }
}
