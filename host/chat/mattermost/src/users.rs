//! The accounts of the server: their names, and whether they are bots. Permissions depend on ids alone.
//!
//! Invariant: an account that was not looked up counts neither as a person nor as a bot.
//! Invariant: a name comes from the server's user API only. The name of a post's author that arrives with an event is
//! not used: the server puts `System` there for its own notices, and a webhook chooses the name itself.
//! Invariant: a cached name is only shown. The owner of a handle that somebody typed is requested each time.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use wardroom::model::Person;
use wardroom_account::display_name;

use crate::{
    client::{ApiClient, User},
    config::is_id,
    error::MattermostError,
};

/// Maximum number of accounts in the cache. A full cache is cleared. There is room for the members of a large channel.
const MAX_CACHED: usize = 60_000;
/// Age at which a cached account is looked up again before its next use, because its owner can change its name.
const REFRESH_AGE: Duration = Duration::from_secs(5 * 60);
/// Maximum age of a name. It is longer than [`REFRESH_AGE`], so that names are shown during a short outage.
const MAX_NAME_AGE: Duration = Duration::from_secs(15 * 60);
/// Minimum time between two attempts to look up a cached account again.
const REFRESH_RETRY: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserKind {
    Person,
    Bot,
    /// The account does not exist.
    Missing,
}

#[derive(Debug)]
struct CachedUser {
    /// `None` if the account does not exist.
    user: Option<User>,
    looked_up: Instant,
    /// The time from which the account is looked up again before its next use.
    refresh: Instant,
}

/// A cache of the accounts that were looked up.
#[derive(Debug)]
pub(crate) struct UserCache {
    cached: Mutex<HashMap<String, CachedUser>>,
    refresh_age: Duration,
    max_name_age: Duration,
}

impl Default for UserCache {
    fn default() -> Self {
        Self { cached: Mutex::default(), refresh_age: REFRESH_AGE, max_name_age: MAX_NAME_AGE }
    }
}

impl UserCache {
    fn insert(&self, id: String, user: Option<User>) {
        let now = Instant::now();
        let mut cached = self.cached.lock();
        if cached.len() >= MAX_CACHED {
            cached.clear();
        }
        cached.insert(id, CachedUser { user, looked_up: now, refresh: now + self.refresh_age });
    }

    /// Looks up the accounts that are not cached, and those whose cached name is old. An id without an account is
    /// looked up again each time.
    ///
    /// # Errors
    /// The request to the server fails. The accounts that were not cached stay unknown, and the others stay cached.
    pub(crate) async fn look_up<'i>(
        &self,
        client: &ApiClient,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> Result<(), MattermostError> {
        let wanted = self.start_lookup(ids);
        // A server rejects a whole list if one entry is not an id.
        let (wanted, invalid): (Vec<String>, Vec<String>) = wanted.into_iter().partition(|id| is_id(id));
        for id in invalid {
            self.insert(id, None);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut found: HashMap<String, User> =
            client.users(&wanted).await?.into_iter().map(|user| (user.id.clone(), user)).collect();
        for id in wanted {
            let user = found.remove(&id);
            self.insert(id, user);
        }
        Ok(())
    }

    /// Returns those of the ids that must be requested. Removes the ids without an account from the cache, and
    /// postpones the next lookup of the others.
    fn start_lookup<'i>(&self, ids: impl IntoIterator<Item = &'i str>) -> BTreeSet<String> {
        let now = Instant::now();
        let mut cached = self.cached.lock();
        let mut wanted = BTreeSet::new();
        for id in ids {
            match cached.get_mut(id) {
                Some(known) if known.user.is_some() && known.refresh > now => continue,
                Some(known) if known.user.is_some() => known.refresh = now + REFRESH_RETRY,
                _ => drop(cached.remove(id)),
            }
            wanted.insert(id.to_owned());
        }
        wanted
    }

    /// Returns the account that has the name `handle` now; `None` if no account has it. Sends one request, and does not
    /// use the cache, because an account can give up its name and another one can take it.
    ///
    /// # Errors
    /// The request to the server fails.
    pub(crate) async fn owner_of_handle(
        &self,
        client: &ApiClient,
        handle: &str,
    ) -> Result<Option<Person>, MattermostError> {
        let handle = handle.to_lowercase();
        // A name can have the form of an id. A person who types the id of an account means that account.
        if !is_username(&handle) || is_id(&handle) {
            return Ok(None);
        }
        let Some(user) = client.user_named(&handle).await? else { return Ok(None) };
        // Compare the name, because a proxy can answer every request with a page of its own.
        if user.name.to_lowercase() != handle {
            return Err(MattermostError::unavailable("the server's response does not contain the requested account"));
        }
        let id = user.id.clone();
        self.insert(id.clone(), Some(user));
        Ok(Some(self.person(&id)))
    }

    /// Returns the kind of an account; `None` until the account was looked up.
    pub(crate) fn kind(&self, id: &str) -> Option<UserKind> {
        self.cached.lock().get(id).map(|known| match &known.user {
            Some(user) if user.is_bot => UserKind::Bot,
            Some(_) => UserKind::Person,
            None => UserKind::Missing,
        })
    }

    /// Returns the name of an account, without `@`; `None` if the name is unknown or older than [`MAX_NAME_AGE`].
    pub(crate) fn name(&self, id: &str) -> Option<String> {
        let cached = self.cached.lock();
        let known = cached.get(id).filter(|known| known.looked_up.elapsed() < self.max_name_age)?;
        known.user.as_ref().map(|user| user.name.clone()).filter(|name| !name.is_empty())
    }

    /// Returns the person with this account id once for each display name of the account. A name in the form of an id
    /// is left out, and so are names that are older than the cache keeps them.
    pub(crate) fn display_names(&self, id: &str) -> Vec<Person> {
        let cached = self.cached.lock();
        let known = cached.get(id).filter(|known| known.looked_up.elapsed() < self.max_name_age);
        let user = known.and_then(|known| known.user.as_ref());
        let names = user.map(|user| user.display_names.as_slice()).unwrap_or_default();
        let names = names.iter().filter(|name| !is_id(name));
        names.map(|name| Person { id: id.to_owned(), name: display_name(Some(name), id) }).collect()
    }

    /// Returns the person with this account id and the account's name. If the name is unknown, or has the form of an
    /// id, the id is used instead.
    pub(crate) fn person(&self, id: &str) -> Person {
        let name = self.name(id).filter(|name| !is_id(name));
        Person { id: id.to_owned(), name: display_name(name.as_deref(), id) }
    }
}

/// Returns whether a text has the form of an account's name: lower-case letters, digits, `.`, `-` and `_`.
pub(crate) fn is_username(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use wardroom_fake_mattermost::Server;

    use super::*;
    use crate::client::tests::client_of;

    fn cache(refresh_age: Duration, max_name_age: Duration) -> UserCache {
        UserCache { refresh_age, max_name_age, ..UserCache::default() }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_again_and_an_old_one_is_not_shown() {
        let server = Server::start().await.expect("a server");
        let (client, dave) = (client_of(&server), server.person("dave"));
        let users = cache(Duration::ZERO, MAX_NAME_AGE);
        users.look_up(&client, [dave.id()]).await.expect("an answer");
        dave.rename("david");
        assert_eq!(users.name(dave.id()).as_deref(), Some("dave"));
        users.look_up(&client, [dave.id()]).await.expect("an answer");
        assert_eq!(users.name(dave.id()).as_deref(), Some("david"));
        // A failed lookup keeps the account, and is not repeated at once.
        server.faults(|faults| faults.users_away = true);
        users.look_up(&client, [dave.id()]).await.expect_err("the server is away");
        users.look_up(&client, [dave.id()]).await.expect("no request");
        assert_eq!((users.kind(dave.id()), users.name(dave.id())), (Some(UserKind::Person), Some("david".into())));
        server.faults(|faults| faults.users_away = false);
        let users = cache(REFRESH_AGE, Duration::ZERO);
        users.look_up(&client, [dave.id()]).await.expect("an answer");
        assert_eq!((users.kind(dave.id()), users.name(dave.id())), (Some(UserKind::Person), None));
        assert_eq!(users.person(dave.id()), Person::named_by_id(dave.id()));
    }

    #[tokio::test]
    async fn the_owner_of_a_handle_is_requested_each_time() {
        let server = Server::start().await.expect("a server");
        let (client, eve) = (client_of(&server), server.person("dave"));
        let users = UserCache::default();
        let owner = async |handle: &str| users.owner_of_handle(&client, handle).await.expect("an answer");
        assert_eq!(owner("Dave").await.map(|person| person.id).as_deref(), Some(eve.id()));
        eve.rename("eve");
        assert_eq!(owner("dave").await, None);
        let dave = server.person("dave");
        assert_eq!(owner("dave").await.map(|person| person.id).as_deref(), Some(dave.id()));
        // A text that is no name, or that has the form of an id, is not requested.
        let requests = server.calls("GET", "/users/username");
        eve.rename(&"x".repeat(26));
        for text in ["", "da ve", "@dave:example.org", "../me", &"x".repeat(26)] {
            assert_eq!(owner(text).await, None, "{text}");
        }
        assert_eq!(server.calls("GET", "/users/username"), requests);
        server.faults(|faults| faults.users_away = true);
        users.owner_of_handle(&client, "dave").await.expect_err("the server is away");
    }

    #[tokio::test]
    async fn a_name_in_the_form_of_an_id_is_not_shown_as_a_persons_name() {
        let server = Server::start().await.expect("a server");
        let (client, dave) = (client_of(&server), server.person("dave"));
        let eve = server.person(dave.id());
        let users = UserCache::default();
        users.look_up(&client, [eve.id()]).await.expect("an answer");
        assert_eq!(users.person(eve.id()), Person::named_by_id(eve.id()));
    }
}
