//! The open connections of the listener. Their number and the memory of their request bodies are limited.
//!
//! Invariant: at a limit, the table closes the connection that is most likely a slow or hostile client, so that such
//! clients cannot keep others out. A client that sends its request without a delay is not closed in favour of one that
//! does not.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wardroom::CancellationToken;

/// Maximum memory of the request bodies of all connections, in bytes.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Maximum delay before the table is searched again for a connection that may be closed. A connection can change its
/// phase at any time.
const SEARCH_INTERVAL: Duration = Duration::from_millis(10);

/// The phase of a connection. At the limit of connections, connections in an earlier variant are closed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The head of the first request is not complete.
    Head,
    /// A response was sent, and the head of the next request is not complete.
    Idle,
    /// The sender is not authenticated, because the body with the signature is not complete.
    UnverifiedBody,
    /// The server handles a request, or an authenticated sender sends a body.
    Working,
}

impl Phase {
    /// Returns the time for which a connection may stay in this phase although others wait. It is the minimum time that
    /// an honest client has in a flood. It also limits the rate at which a flood is closed: with 256 connections and 50
    /// ms, a backlog of 4096 connections needs 0.8 seconds.
    fn grace(self) -> Duration {
        match self {
            // The clients of a test run in the same thread as the server, and therefore write later.
            Self::Head => Duration::from_millis(if cfg!(test) { 200 } else { 20 }),
            Self::Idle => Duration::ZERO,
            Self::UnverifiedBody => Duration::from_millis(if cfg!(test) { 200 } else { 50 }),
            Self::Working => Duration::from_secs(3),
        }
    }
}

/// The open connections.
pub(crate) struct ConnectionTable {
    limit: usize,
    free: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

/// The connections that are not closed yet, by number. The numbers are in the order of the accepts.
#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    body_bytes: usize,
}

struct Entry {
    phase: Phase,
    /// The start of the phase.
    since: Instant,
    body_bytes: usize,
    closed: CancellationToken,
}

/// An entry of the [`ConnectionTable`]. The drop removes it.
pub(crate) struct Connection {
    number: u64,
    /// Cancelled when the connection must be dropped at once.
    pub(crate) closed: CancellationToken,
    state: Arc<Mutex<State>>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, free: Arc::new(Semaphore::new(limit)), state: Arc::default() }
    }

    /// Adds a connection in the phase [`Phase::Working`]. If the table is full, first closes another connection that
    /// has exceeded the grace of its phase, or waits for one.
    pub(crate) async fn add(&self) -> Arc<Connection> {
        let permit = loop {
            if let Ok(permit) = self.free.clone().try_acquire_owned() {
                break permit;
            }
            let acquire = self.free.clone().acquire_owned();
            let acquired = match self.make_room() {
                // The task of a closed connection ends when it is polled next, so this wait is short.
                Ok(()) => Some(acquire.await),
                Err(delay) => tokio::time::timeout(delay, acquire).await.ok(),
            };
            if let Some(acquired) = acquired {
                break acquired.unwrap_or_else(|_| unreachable!("the semaphore is never closed"));
            }
        };
        let closed = CancellationToken::new();
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        let entry = Entry { phase: Phase::Working, since: Instant::now(), body_bytes: 0, closed: closed.clone() };
        state.entries.insert(number, entry);
        Arc::new(Connection { number, closed, state: self.state.clone(), _permit: permit })
    }

    /// Closes one connection, unless another one is about to end.
    ///
    /// # Errors
    /// Every connection is within the grace of its phase. The error is the delay until the next search.
    fn make_room(&self) -> Result<(), Duration> {
        let mut state = self.state.lock();
        if state.entries.len() < self.limit {
            return Ok(());
        }
        let now = Instant::now();
        let left = |entry: &Entry| entry.phase.grace().saturating_sub(now.duration_since(entry.since));
        let overdue = state.entries.iter().filter(|(_, entry)| left(entry).is_zero());
        if let Some((&number, _)) = overdue.min_by_key(|(_, entry)| (entry.phase, entry.since)) {
            state.close(number);
            return Ok(());
        }
        let next = state.entries.values().map(left).min().unwrap_or(SEARCH_INTERVAL);
        Err(next.clamp(Duration::from_millis(1), SEARCH_INTERVAL))
    }
}

impl State {
    fn close(&mut self, number: u64) {
        if let Some(entry) = self.entries.remove(&number) {
            self.body_bytes -= entry.body_bytes;
            entry.closed.cancel();
        }
    }
}

impl Connection {
    /// Starts a phase. In the phases without a request, the connection has no body in memory.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut state = self.state.lock();
        let State { entries, body_bytes, .. } = &mut *state;
        let Some(entry) = entries.get_mut(&self.number) else { return };
        (entry.phase, entry.since) = (phase, Instant::now());
        if matches!(phase, Phase::Head | Phase::Idle) {
            *body_bytes -= std::mem::take(&mut entry.body_bytes);
        }
    }

    /// Counts `bytes` of the body of the present request. If all bodies together exceed [`MAX_BODY_BYTES`], closes the
    /// connection whose unverified body has been incomplete for the longest time; if all bodies are verified, the
    /// connection with the oldest body. Slow senders, however many, therefore cannot keep out a fast sender.
    pub(crate) fn add_body_bytes(&self, bytes: usize) {
        let mut state = self.state.lock();
        let Some(entry) = state.entries.get_mut(&self.number) else { return };
        entry.body_bytes += bytes;
        state.body_bytes += bytes;
        while state.body_bytes > MAX_BODY_BYTES {
            let with_body = state.entries.iter().filter(|(_, entry)| entry.body_bytes > 0);
            let oldest = with_body.min_by_key(|(_, entry)| (entry.phase != Phase::UnverifiedBody, entry.since));
            let Some((&oldest, _)) = oldest else { return };
            state.close(oldest);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.lock().close(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts the start of a connection's phase into the past.
    fn age(connection: &Connection, by: Duration) {
        let mut state = connection.state.lock();
        let entry = state.entries.get_mut(&connection.number).unwrap();
        entry.since = entry.since.checked_sub(by).unwrap();
    }

    #[tokio::test]
    async fn a_full_table_closes_the_earliest_phase_first_and_within_it_the_oldest_connection() {
        let table = ConnectionTable::new(5);
        let phases = [Phase::Working, Phase::UnverifiedBody, Phase::Head, Phase::Idle, Phase::Head];
        let mut open = Vec::new();
        for phase in phases {
            let connection = table.add().await;
            connection.enter(phase);
            age(&connection, Duration::from_secs(60));
            open.push(Some(connection));
        }
        age(open[4].as_ref().unwrap(), Duration::from_secs(1));
        for expected in [4, 2, 3, 1, 0] {
            table.make_room().unwrap();
            let closed: Vec<usize> = (0..5)
                .filter(|at| open[*at].as_ref().is_some_and(|connection| connection.closed.is_cancelled()))
                .collect();
            assert_eq!(closed, [expected]);
            // A connection is about to end, so nothing else is closed.
            table.make_room().unwrap();
            open[expected] = None;
            // The new connection is within its grace.
            open.push(Some(table.add().await));
        }
        assert!(table.make_room().is_err());
        assert!(open.iter().flatten().all(|connection| !connection.closed.is_cancelled()));
    }

    #[tokio::test]
    async fn a_new_connection_waits_until_another_one_exceeds_its_grace_or_ends() {
        let table = ConnectionTable::new(2);
        let (first, second) = (table.add().await, table.add().await);
        first.enter(Phase::Head);
        let began = Instant::now();
        let closed = first.closed.clone();
        let ends = async move {
            closed.cancelled().await;
            drop(first);
        };
        let (third, ()) = tokio::join!(table.add(), ends);
        assert!(began.elapsed() >= Phase::Head.grace(), "a connection has a minimum time for its head");
        drop(second);
        table.add().await;
        assert!(!third.closed.is_cancelled(), "a table that is not full closes no connection");
    }

    #[tokio::test]
    async fn the_oldest_unverified_body_gives_way_if_the_bodies_need_too_much_memory() {
        let table = ConnectionTable::new(4);
        let (trusted, first, second, new) =
            (table.add().await, table.add().await, table.add().await, table.add().await);
        first.enter(Phase::UnverifiedBody);
        second.enter(Phase::UnverifiedBody);
        new.enter(Phase::UnverifiedBody);
        trusted.add_body_bytes(MAX_BODY_BYTES / 2);
        first.add_body_bytes(MAX_BODY_BYTES / 8);
        second.add_body_bytes(MAX_BODY_BYTES / 8);
        let closed = || [&trusted, &first, &second, &new].map(|connection| connection.closed.is_cancelled());
        new.add_body_bytes(MAX_BODY_BYTES / 4);
        assert_eq!(closed(), [false; 4]);
        new.add_body_bytes(1);
        assert_eq!(closed(), [false, true, false, false], "a new body is not closed for its size");
        second.add_body_bytes(MAX_BODY_BYTES / 8 - 1);
        assert_eq!(closed(), [false, true, false, false], "the closed body counts no more");
        new.enter(Phase::Working);
        new.add_body_bytes(1);
        assert_eq!(closed(), [false, true, true, false], "verified bodies are closed last");
        new.enter(Phase::Idle);
        assert_eq!(table.state.lock().body_bytes, MAX_BODY_BYTES / 2);
        trusted.add_body_bytes(MAX_BODY_BYTES);
        assert_eq!(closed(), [true, true, true, false]);
        assert_eq!(table.state.lock().body_bytes, 0);
    }
}
