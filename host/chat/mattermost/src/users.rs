//! The accounts of the server: their names, and whether they are bots. Permissions depend on ids alone.
//!
//! Invariant: an account that was not looked up counts neither as a person nor as a bot.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use wardroom::model::Person;
use wardroom_account::display_name;

use crate::{
    client::{ApiClient, User},
    config::is_id,
    error::MattermostError,
};

/// Maximum number of accounts in the cache. A full cache is cleared.
const MAX_CACHED: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserKind {
    Person,
    Bot,
    /// The account does not exist.
    Missing,
}

#[derive(Debug, Default)]
pub(crate) struct UserCache {
    /// The accounts that were looked up; `None` for an account that does not exist.
    looked_up: Mutex<HashMap<String, Option<User>>>,
    /// The names that arrived with messages, by account id. These names are newer than names from a lookup.
    seen_names: Mutex<HashMap<String, String>>,
}

impl UserCache {
    fn insert(&self, id: String, user: Option<User>) {
        let mut looked_up = self.looked_up.lock();
        if looked_up.len() >= MAX_CACHED {
            looked_up.clear();
        }
        looked_up.insert(id, user);
    }

    /// Records an author's name that arrived with a message.
    pub(crate) fn record_name(&self, id: &str, name: &str) {
        let name = name.trim_start_matches('@');
        let mut seen = self.seen_names.lock();
        if seen.len() >= MAX_CACHED {
            seen.clear();
        }
        if !name.is_empty() {
            seen.insert(id.to_owned(), name.to_owned());
        }
    }

    /// Looks up the accounts that are not cached. An id without an account is looked up again each time.
    ///
    /// # Errors
    /// The request to the server fails; the accounts stay unknown.
    pub(crate) async fn look_up<'i>(
        &self,
        client: &ApiClient,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> Result<(), MattermostError> {
        let unknown: BTreeSet<String> = {
            let mut looked_up = self.looked_up.lock();
            let ids = ids.into_iter().filter(|id| !matches!(looked_up.get(*id), Some(Some(_)))).map(str::to_owned);
            let unknown: BTreeSet<String> = ids.collect();
            for id in &unknown {
                looked_up.remove(id);
            }
            unknown
        };
        // A server rejects a whole list if one entry is not an id.
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

    /// Returns the kind of an account; `None` until the account was looked up.
    pub(crate) fn kind(&self, id: &str) -> Option<UserKind> {
        self.looked_up.lock().get(id).map(|user| match user {
            Some(user) if user.is_bot => UserKind::Bot,
            Some(_) => UserKind::Person,
            None => UserKind::Missing,
        })
    }

    /// Returns the name with which an account is mentioned, without `@`; `None` if the name is unknown.
    pub(crate) fn name(&self, id: &str) -> Option<String> {
        let seen = self.seen_names.lock().get(id).cloned();
        seen.or_else(|| Some(self.looked_up.lock().get(id)?.as_ref()?.name.clone())).filter(|name| !name.is_empty())
    }

    /// Returns the person with this account id and the account's name. If the name is unknown, the id is used instead.
    pub(crate) fn person(&self, id: &str) -> Person {
        Person { id: id.to_owned(), name: display_name(self.name(id).as_deref(), id) }
    }
}
