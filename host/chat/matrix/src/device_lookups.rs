//! Looks up people's devices on the homeserver, within limits.
//!
//! Invariant: the lookups for one sync delay its events by at most [`MAX_WAIT`] times [`MAX_PER_BATCH`]. The homeserver
//! forwards a lookup to the server of the person, and that server can take any time to answer.
//! Not here: the decision about a device (`sender_trust`).

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use matrix_sdk::ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use parking_lot::Mutex;
use tokio::{sync::oneshot, task::JoinSet};

/// Maximum time for which the sync loop waits for a lookup. The lookup continues in the background, so that a later
/// message can use its result.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Minimum interval between two lookups of one person's devices, and between two lookups of people of one other server.
const INTERVAL: Duration = Duration::from_secs(20);
/// Maximum number of lookups for the events of one sync.
const MAX_PER_BATCH: usize = 5;

/// The result of a request for a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceLookup {
    /// The key store has the person's devices of less than [`INTERVAL`] ago.
    Current,
    /// The homeserver did not answer in time, or the limits allow no lookup now.
    Unavailable,
}

/// The lookups of one account. They are cancelled when this value is dropped.
#[derive(Debug)]
pub(crate) struct DeviceLookups {
    limiter: Mutex<LookupLimiter>,
    /// Held during the lookups of some people, so that messages of one person in several rooms share a lookup.
    turns: [tokio::sync::Mutex<()>; 16],
    tasks: Mutex<JoinSet<()>>,
}

impl DeviceLookups {
    /// `own_server` is the name of the account's homeserver, which answers without another server.
    pub(crate) fn new(own_server: &ServerName) -> Self {
        let limiter = Mutex::new(LookupLimiter::new(own_server));
        Self { limiter, turns: Default::default(), tasks: Mutex::default() }
    }

    /// Allows the next [`MAX_PER_BATCH`] lookups. Called for each sync.
    pub(crate) fn begin_batch(&self) {
        self.limiter.lock().begin_batch();
    }

    /// Runs a lookup of a person's devices if the limits allow it. `lookup` returns whether the homeserver answered.
    pub(crate) async fn run(&self, user: &UserId, lookup: impl Future<Output = bool> + Send + 'static) -> DeviceLookup {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let _turn = self.turns[hasher.finish() as usize % self.turns.len()].lock().await;
        let admission = self.limiter.lock().admit(user, Instant::now());
        match admission {
            Admission::LookUp => {}
            Admission::Current => return DeviceLookup::Current,
            Admission::Exceeded => return DeviceLookup::Unavailable,
        }
        let (answer, answered) = oneshot::channel();
        {
            let mut tasks = self.tasks.lock();
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                // The receiver is gone after a timeout.
                let _ = answer.send(lookup.await);
            });
        }
        match tokio::time::timeout(MAX_WAIT, answered).await {
            Ok(Ok(true)) => {
                self.limiter.lock().record_answer(user);
                DeviceLookup::Current
            }
            _ => DeviceLookup::Unavailable,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    LookUp,
    /// The homeserver answered a lookup of this person less than [`INTERVAL`] ago.
    Current,
    Exceeded,
}

#[derive(Debug)]
struct LookupLimiter {
    own_server: OwnedServerName,
    /// The time of the last lookup of each person, and whether the homeserver has answered it.
    people: HashMap<OwnedUserId, (Instant, bool)>,
    /// The time of the last lookup for each other server.
    servers: HashMap<OwnedServerName, Instant>,
    /// The number of further lookups for the events of this sync.
    left: usize,
}

impl LookupLimiter {
    fn new(own_server: &ServerName) -> Self {
        let own_server = own_server.to_owned();
        Self { own_server, people: HashMap::new(), servers: HashMap::new(), left: MAX_PER_BATCH }
    }

    fn begin_batch(&mut self) {
        self.left = MAX_PER_BATCH;
    }

    /// Decides about a lookup of a person's devices, and counts it.
    fn admit(&mut self, user: &UserId, now: Instant) -> Admission {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < INTERVAL;
        self.people.retain(|_, (at, _)| is_recent(*at));
        self.servers.retain(|_, at| is_recent(*at));
        let server = user.server_name();
        match self.people.get(user) {
            Some((_, true)) => return Admission::Current,
            Some((_, false)) => return Admission::Exceeded,
            None if self.left == 0 || self.servers.contains_key(server) => return Admission::Exceeded,
            None => {}
        }
        self.left -= 1;
        self.people.insert(user.to_owned(), (now, false));
        if *server != *self.own_server {
            self.servers.insert(server.to_owned(), now);
        }
        Admission::LookUp
    }

    fn record_answer(&mut self, user: &UserId) {
        if let Some((_, is_answered)) = self.people.get_mut(user) {
            *is_answered = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::{server_name, user_id};

    use super::*;

    fn limiter() -> (LookupLimiter, Instant) {
        (LookupLimiter::new(server_name!("home.x")), Instant::now())
    }

    #[test]
    fn a_persons_devices_are_looked_up_once_in_an_interval() {
        let (mut limiter, now) = limiter();
        let bob = user_id!("@bob:home.x");
        assert_eq!(limiter.admit(bob, now), Admission::LookUp);
        assert_eq!(limiter.admit(bob, now), Admission::Exceeded, "the homeserver has not answered");
        limiter.record_answer(bob);
        assert_eq!(limiter.admit(bob, now + Duration::from_secs(19)), Admission::Current);
        assert_eq!(limiter.admit(bob, now + INTERVAL), Admission::LookUp);
    }

    #[test]
    fn people_of_one_other_server_share_its_interval() {
        let (mut limiter, now) = limiter();
        assert_eq!(limiter.admit(user_id!("@eve1:slow.x"), now), Admission::LookUp);
        assert_eq!(limiter.admit(user_id!("@eve2:slow.x"), now), Admission::Exceeded);
        assert_eq!(limiter.admit(user_id!("@bob:other.x"), now), Admission::LookUp, "another server");
        assert_eq!(limiter.admit(user_id!("@alice:home.x"), now), Admission::LookUp, "the bot's own server");
        assert_eq!(limiter.admit(user_id!("@carol:home.x"), now), Admission::LookUp);
        assert_eq!(limiter.admit(user_id!("@eve2:slow.x"), now + INTERVAL), Admission::LookUp);
    }

    #[test]
    fn the_events_of_one_sync_cause_a_limited_number_of_lookups() {
        let (mut limiter, now) = limiter();
        let admit = |limiter: &mut LookupLimiter, number: usize| {
            limiter.admit(&UserId::parse(format!("@eve:server{number}.x")).expect("an id"), now)
        };
        let admitted = (0..50).filter(|number| admit(&mut limiter, *number) == Admission::LookUp).count();
        assert_eq!(admitted, MAX_PER_BATCH);
        limiter.begin_batch();
        assert_eq!(admit(&mut limiter, 50), Admission::LookUp);
        assert_eq!(admit(&mut limiter, 0), Admission::Exceeded, "its interval is not over");
    }

    #[tokio::test]
    async fn messages_of_one_person_in_two_rooms_share_a_lookup() {
        let lookups = DeviceLookups::new(server_name!("home.x"));
        let bob = user_id!("@bob:home.x");
        let slow = async {
            tokio::task::yield_now().await;
            true
        };
        let (one, other) = tokio::join!(lookups.run(bob, slow), lookups.run(bob, std::future::pending()));
        assert_eq!((one, other), (DeviceLookup::Current, DeviceLookup::Current));
    }

    #[tokio::test]
    async fn a_lookup_without_an_answer_delays_the_sync_by_seconds_only() {
        let lookups = DeviceLookups::new(server_name!("home.x"));
        let began = Instant::now();
        let slow = lookups.run(user_id!("@eve:slow.x"), std::future::pending()).await;
        assert_eq!(slow, DeviceLookup::Unavailable);
        assert!(began.elapsed() < MAX_WAIT * 2, "{:?}", began.elapsed());
        let bob = user_id!("@bob:home.x");
        assert_eq!(lookups.run(bob, async { true }).await, DeviceLookup::Current);
        assert_eq!(lookups.run(bob, std::future::pending()).await, DeviceLookup::Current, "no second lookup");
        assert_eq!(lookups.run(user_id!("@carol:home.x"), async { false }).await, DeviceLookup::Unavailable);
    }
}
