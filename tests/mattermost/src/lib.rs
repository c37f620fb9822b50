//! A Mattermost server in the process of the test: users, bots, teams, channels, posts, threads, reactions and files
//! over REST v4, and the WebSocket with its sequence numbers, its queue for resumed connections, and its faults.
//!
//! The code follows the documented API and shares none with a client. [`Server`] is the server, [`Person`] a user with
//! a client, [`Faults`] the faults, [`proxy::Proxy`] a connection that breaks at random.
//!
//! Invariant: only a test switches a fault on. Without faults the server behaves like a real one of its
//! [`ServerVersion`].

mod data;
mod faults;
mod hub;
mod person;
mod post;
pub mod proxy;
mod routes;
mod socket;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use tokio::{sync::watch, task::JoinHandle};
use wardroom_fake_server::{ConnectionCut, Connections, CuttableListener};

pub use faults::Faults;
pub use person::Person;
pub use post::{Post, Reaction, ServerVersion};

use data::ServerData;
use hub::Hub;

/// The state that request handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    data: Mutex<ServerData>,
    hub: Mutex<Hub>,
    faults: Mutex<Faults>,
    connections: Connections,
    /// Changed after each change of the data.
    changes: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn data(&self) -> MutexGuard<'_, ServerData> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the data, and publishes the events of the change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut ServerData) -> T) -> T {
        let mut data = self.data();
        let result = change(&mut data);
        let strange = self.faults().strange;
        let mut hub = self.hub();
        for event in data.take_events() {
            hub.publish(&event, strange);
        }
        self.changes.send_replace(());
        result
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server of a current version.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        Self::of(ServerVersion::Current).await
    }

    /// Starts a server that behaves like `version`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn of(version: ServerVersion) -> Result<Self> {
        let shared = Arc::new(Shared {
            data: Mutex::new(ServerData::new(version)),
            hub: Mutex::new(Hub::new(version)),
            faults: Mutex::default(),
            connections: Connections::default(),
            changes: watch::Sender::default(),
        });
        let listener = CuttableListener::bind(shared.connections.clone()).await?;
        let address = listener.address()?;
        let router = routes::router(shared.clone());
        let service = router.into_make_service_with_connect_info::<ConnectionCut>();
        let task = tokio::spawn(async move {
            // Ignore the error: the server ends when its task is dropped.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { shared, address, task })
    }

    /// Returns the base URL, for example `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the port on which the server listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes the faults. The change takes effect at once.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.faults());
    }

    /// Creates a person who is a member of every team.
    pub fn person(&self, name: &str) -> Person {
        let id = self.shared.change(|data| data.add_user(name, false));
        Person::new(self.shared.clone(), id)
    }

    /// Creates a bot. Returns the bot and its token.
    pub fn bot(&self, name: &str) -> (Person, String) {
        let (id, token) = self.shared.change(|data| {
            let id = data.add_user(name, true);
            let token = data.add_token(&id);
            (id, token)
        });
        (Person::new(self.shared.clone(), id), token)
    }

    /// Returns the person or bot with this id.
    pub fn person_of(&self, id: &str) -> Person {
        Person::new(self.shared.clone(), id.to_owned())
    }

    /// Sets whether webhooks may choose the name of their posts. They may not by default.
    pub fn allow_username_override(&self, allow: bool) {
        self.shared.change(|data| data.allows_username_override = allow);
    }

    /// Numbers the events of each new connection from `first`. A real server begins with 0.
    pub fn number_events_from(&self, first: i64) {
        self.shared.hub().set_first(first);
    }

    /// Creates another token for a person.
    pub fn token(&self, of: &Person) -> String {
        self.shared.change(|data| data.add_token(of.id()))
    }

    /// Revokes a token. Its connections stay open and receive no events.
    pub fn revoke(&self, token: &str) {
        let user = self.shared.change(|data| data.revoke(token));
        if let Some(user) = user {
            self.shared.hub().mute(&user);
        }
    }

    /// Creates a public channel, and its team if the team does not exist. Returns the channel's id.
    pub fn channel(&self, team: &str, name: &str) -> String {
        self.shared.change(|data| data.add_channel(team, name))
    }

    /// Returns the id of the direct channel of two people.
    pub fn direct(&self, one: &Person, other: &Person) -> String {
        self.shared.change(|data| data.direct(one.id(), other.id()))
    }

    /// Adds a person to a channel without an event.
    pub fn put(&self, channel: &str, who: &Person) {
        self.shared.change(|data| data.join(channel, who.id()));
    }

    /// Removes a person from a channel.
    pub fn remove(&self, channel: &str, who: &Person) {
        self.shared.change(|data| data.remove(channel, who.id()));
    }

    /// Sets whether the members of a channel, the bot included, may not post in it.
    pub fn moderate(&self, channel: &str, is_moderated: bool) {
        self.shared.change(|data| data.moderate(channel, is_moderated));
    }

    /// Archives or restores a channel.
    pub fn archive(&self, channel: &str, is_archived: bool) {
        self.shared.change(|data| data.archive(channel, is_archived));
    }

    /// Renames a channel.
    pub fn rename(&self, channel: &str, name: &str) {
        self.shared.change(|data| data.rename(channel, name));
    }

    /// Creates a post with these fields, as the server or another program would.
    pub fn post_with(&self, channel: &str, user: &Person, fields: &serde_json::Value) -> String {
        self.shared.change(|data| data.post_with(channel, user.id(), fields))
    }

    /// Removes a post. The event does not contain a user.
    pub fn purge(&self, post: &str) {
        self.shared.change(|data| data.delete(post, None));
    }

    /// Returns the posts of a channel without removed ones, oldest first.
    pub fn posts(&self, channel: &str) -> Vec<Post> {
        self.shared.data().posts_of(channel)
    }

    /// Returns a post; `None` if there is no such post.
    pub fn post(&self, id: &str) -> Option<Post> {
        self.shared.data().post(id).cloned()
    }

    /// Returns a receiver that is changed after each change of the server's data, when its events are published.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changes.subscribe()
    }

    /// Returns the content of an uploaded file.
    pub fn file(&self, id: &str) -> Option<String> {
        self.shared.data().file(id)
    }

    /// Returns the number of calls with this method whose path after `/api/v4` begins with `path`.
    pub fn calls(&self, method: &str, path: &str) -> usize {
        let faults = self.shared.faults();
        faults.calls.iter().filter(|(by, of)| by == method && of.starts_with(path)).count()
    }

    /// Returns the channels in which a person was shown as typing.
    pub fn typed(&self) -> Vec<String> {
        self.shared.faults().typed.clone()
    }

    /// Returns the number of opened connections, and the number of those that resumed an earlier one.
    pub fn connections(&self) -> (usize, usize) {
        self.shared.hub().counts()
    }

    /// Returns true if any user has an authenticated connection.
    pub fn is_connected(&self) -> bool {
        self.shared.hub().is_connected()
    }

    /// Cuts every connection without a closing handshake.
    pub fn cut(&self) {
        self.shared.connections.cut();
    }

    /// Blocks every connection without closing it.
    pub fn freeze(&self) {
        self.shared.hub().freeze();
    }

    /// Restarts the server. It loses the state of connections and pending ids, and keeps its data.
    pub fn restart(&self) {
        self.shared.hub().clear();
        self.shared.data().forget_pending();
        self.cut();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}
