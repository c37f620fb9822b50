//! A Mattermost server in a test's own process: users, bots, teams, channels, posts, threads, reactions and files over REST v4,
//! and the WebSocket with its numbers, its queue of what was sent, and its ways to fail.
//!
//! Written from the documented API, not from any client of it. [`Server`] is the server, [`Person`] somebody with a client,
//! [`Faults`] what goes wrong, [`proxy::Proxy`] a wire that breaks at random.
//!
//! Invariant: a fault is switched on by a test; without one the server behaves as a healthy one of its [`Age`].

mod faults;
mod hub;
mod listen;
mod person;
mod post;
pub mod proxy;
mod routes;
mod socket;
mod world;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use faults::Faults;
pub use person::Person;
pub use post::{Age, Post, Reaction};

use hub::Hub;
use world::World;

/// What the handlers of requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    hub: Mutex<Hub>,
    faults: Mutex<Faults>,
    /// Everything that stands between the server and its clients.
    wires: Mutex<Vec<CancellationToken>>,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wires(&self) -> MutexGuard<'_, Vec<CancellationToken>> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the world, and tells those who are connected what happened.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world();
        let result = change(&mut world);
        let strange = self.faults().strange;
        let mut hub = self.hub();
        for event in world.take_events() {
            hub.publish(&event, strange);
        }
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
    /// Starts one of today.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> Result<Self> {
        Self::of(Age::Today).await
    }

    /// Starts one of an age.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn of(age: Age) -> Result<Self> {
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(age)),
            hub: Mutex::new(Hub::new(age)),
            faults: Mutex::default(),
            wires: Mutex::default(),
        });
        let listener = listen::Wired::bind(shared.clone()).await?;
        let address = listener.address()?;
        let router = routes::router(shared.clone());
        let service = router.into_make_service_with_connect_info::<listen::Wire>();
        let task = tokio::spawn(async move {
            // It ends with the task alone.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { shared, address, task })
    }

    /// The site's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What goes wrong from now on.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.faults());
    }

    /// A new person, who is in every team.
    pub fn person(&self, name: &str) -> Person {
        let id = self.shared.change(|world| world.add_user(name, false));
        Person::new(self.shared.clone(), id)
    }

    /// A new bot, and its token.
    pub fn bot(&self, name: &str) -> (Person, String) {
        let (id, token) = self.shared.change(|world| {
            let id = world.add_user(name, true);
            let token = world.add_token(&id);
            (id, token)
        });
        (Person::new(self.shared.clone(), id), token)
    }

    /// Another token for somebody.
    pub fn token(&self, of: &Person) -> String {
        self.shared.change(|world| world.add_token(of.id()))
    }

    /// A token is good for nothing from now on. Whoever is connected by it stays so, and is told of nothing.
    pub fn revoke(&self, token: &str) {
        let user = self.shared.change(|world| world.revoke(token));
        if let Some(user) = user {
            self.shared.hub().mute(&user);
        }
    }

    /// A new public channel of a team, which is made where there is none; gives its id.
    pub fn channel(&self, team: &str, name: &str) -> String {
        self.shared.change(|world| world.add_channel(team, name))
    }

    /// The channel of two people alone; gives its id.
    pub fn direct(&self, one: &Person, other: &Person) -> String {
        self.shared.change(|world| world.direct(one.id(), other.id()))
    }

    /// Somebody is in a channel, and always was: nobody is told.
    pub fn put(&self, channel: &str, who: &Person) {
        self.shared.change(|world| world.join(channel, who.id()));
    }

    /// Somebody is out of a channel.
    pub fn remove(&self, channel: &str, who: &Person) {
        self.shared.change(|world| world.remove(channel, who.id()));
    }

    /// A channel has another name from now on.
    pub fn rename(&self, channel: &str, name: &str) {
        self.shared.change(|world| world.rename(channel, name));
    }

    /// A post that the server or another program makes, with these fields.
    pub fn post_with(&self, channel: &str, user: &Person, fields: &serde_json::Value) -> String {
        self.shared.change(|world| world.post_with(channel, user.id(), fields))
    }

    /// A post is removed, and nobody is told by whom.
    pub fn purge(&self, post: &str) {
        self.shared.change(|world| world.delete(post, None));
    }

    /// What stands in a channel, oldest first, without what was removed.
    pub fn posts(&self, channel: &str) -> Vec<Post> {
        self.shared.world().posts_of(channel)
    }

    /// What was uploaded as a file.
    pub fn file(&self, id: &str) -> Option<String> {
        self.shared.world().file(id)
    }

    /// How often a call was made, by its method and the beginning of its path behind `/api/v4`.
    pub fn calls(&self, method: &str, path: &str) -> usize {
        let faults = self.shared.faults();
        faults.calls.iter().filter(|(by, of)| by == method && of.starts_with(path)).count()
    }

    /// The channels in which somebody was said to type.
    pub fn typed(&self) -> Vec<String> {
        self.shared.faults().typed.clone()
    }

    /// How many connections were opened, and how many of them took up another one.
    pub fn connections(&self) -> (usize, usize) {
        self.shared.hub().counts()
    }

    /// Whether anybody is connected and known.
    pub fn is_connected(&self) -> bool {
        self.shared.hub().is_connected()
    }

    /// Every connection is gone at once, without a word.
    pub fn cut(&self) {
        for wire in self.shared.wires().drain(..) {
            wire.cancel();
        }
    }

    /// Every connection goes on standing, and nothing passes on it any more.
    pub fn freeze(&self) {
        self.shared.hub().freeze();
    }

    /// The server is started anew: what it kept in memory is gone, what it stored is there.
    pub fn restart(&self) {
        self.shared.hub().forget_all();
        self.shared.world().forget_pending();
        self.cut();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}
