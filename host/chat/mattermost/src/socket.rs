//! The WebSocket of an account: opened, kept alive, and reconnected until the account stops.
//!
//! Invariant: the socket does not wait until an event is handled, unless [`MAX_SIGNALS`] signals or events of
//! [`MAX_SIGNAL_BYTES`] wait. In this case it reads nothing until the sync loop has taken a signal. If the server
//! closes the connection meanwhile, the next one is resumed, or the channels are backfilled.
//! Invariant: events are passed on in the server's order. If events can be missing, the socket sends a
//! [`Signal::Connected`] before the next event.
//! Invariant: a connection is resumed only from the last event that was read, and only if the server
//! accepted the token in the header of the connection's first request. A connection over which the token had to be sent
//! is never resumed.

mod connection;
mod handshake;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use wardroom::base::Backoff;
use wardroom_account::Outage;

use crate::{error::MattermostError, event::Event, session::Session};

use connection::Connection;
use handshake::{ResumePoint, open};

/// If a connection lasts longer than this time, the backoff before the next reconnect is reset.
const MIN_LIFETIME: Duration = Duration::from_secs(2);

/// Maximum number of signals that wait for the sync loop, for example while the database is unavailable.
pub(crate) const MAX_SIGNALS: usize = 1_000;
/// Maximum size of the events that wait for the sync loop, in bytes of memory. A larger event waits alone.
const MAX_SIGNAL_BYTES: u32 = 32 * 1024 * 1024;

/// A signal of the socket to the sync loop.
#[derive(Debug)]
pub(crate) enum Signal {
    /// A new connection is open. Earlier events can be missing.
    Connected,
    /// The previous connection was resumed. No event is missing.
    Resumed,
    /// An event, and its share of [`MAX_SIGNAL_BYTES`] until it is handled.
    Event(Event, OwnedSemaphorePermit),
    /// The connection was lost or could not be opened, for this reason.
    Disconnected(String),
}

/// Sends the signals of the socket to the sync loop.
pub(crate) struct SignalSender {
    signals: mpsc::Sender<Signal>,
    free_bytes: Arc<Semaphore>,
}

/// Creates the queue from the socket to the sync loop, for at most `max` signals.
pub(crate) fn signal_queue(max: usize) -> (SignalSender, mpsc::Receiver<Signal>) {
    let (signals, received) = mpsc::channel(max);
    (SignalSender { signals, free_bytes: Arc::new(Semaphore::new(MAX_SIGNAL_BYTES as usize)) }, received)
}

impl SignalSender {
    /// Sends a signal, and waits while the queue is full. Does nothing after the receiver was dropped, which happens
    /// only when the account stops.
    async fn send(&self, signal: Signal) {
        let _ = self.signals.send(signal).await;
    }

    async fn send_event(&self, event: Event) {
        let size = u32::try_from(event.size()).unwrap_or(u32::MAX).min(MAX_SIGNAL_BYTES);
        // The semaphore is never closed.
        if let Ok(share) = self.free_bytes.clone().acquire_many_owned(size).await {
            self.send(Signal::Event(event, share)).await;
        }
    }
}

/// The reason why a connection is not open.
#[derive(Debug)]
enum Disconnect {
    /// The connection could not be opened.
    NotOpened(MattermostError),
    /// The connection was closed. `was_useful` is true if the connection delivered a new event or lasted longer than
    /// [`MIN_LIFETIME`].
    Closed { reason: String, was_useful: bool },
    /// The server did not authenticate the account.
    Unauthenticated { reason: String },
}

impl Disconnect {
    fn closed(reason: impl Into<String>) -> Self {
        Self::Closed { reason: reason.into(), was_useful: false }
    }
}

/// Keeps a connection open, with reconnects, until the server rejects the token. Returns that error. `typing` receives
/// the channels to which a typing notice is sent.
pub(crate) async fn keep_connected(
    session: &Session,
    heartbeat_interval: Duration,
    signals: &SignalSender,
    typing: &mut mpsc::Receiver<String>,
    outage: &mut Outage,
) -> MattermostError {
    let mut resume_point = None;
    let mut backoff = Backoff::default();
    loop {
        let disconnect = run_connection(session, heartbeat_interval, &mut resume_point, signals, typing, outage).await;
        let error = match disconnect {
            Disconnect::Closed { reason, was_useful } => {
                if was_useful {
                    backoff.reset();
                }
                MattermostError::unavailable(reason)
            }
            // The closed socket does not show whether the server rejected the token. The response of the REST API does.
            Disconnect::Unauthenticated { reason } => match session.client.me().await {
                Err(end @ MattermostError::TokenRejected { .. }) => return end,
                _ => MattermostError::unavailable(reason),
            },
            Disconnect::NotOpened(end @ MattermostError::TokenRejected { .. }) => return end,
            Disconnect::NotOpened(error) => error,
        };
        outage.record_failure(error.reason());
        signals.send(Signal::Disconnected(error.reason().to_owned())).await;
        backoff.wait(error.retry_after()).await;
    }
}

/// Opens a connection and passes on its events until it is closed. `resume_point` is the position at which an earlier
/// connection is resumed; afterwards it is the position at which this connection can be resumed.
async fn run_connection(
    session: &Session,
    heartbeat_interval: Duration,
    resume_point: &mut Option<ResumePoint>,
    signals: &SignalSender,
    typing: &mut mpsc::Receiver<String>,
    outage: &mut Outage,
) -> Disconnect {
    let socket = match open(&session.client, resume_point.as_ref()).await {
        Ok(socket) => socket,
        Err(error) => return Disconnect::NotOpened(error),
    };
    let opened = Instant::now();
    let resumed_from = resume_point.clone();
    let mut connection = Connection::new(socket, session.me(), signals, outage, resume_point);
    let Err(disconnect) = connection.run(&session.client, heartbeat_interval, typing).await;
    let (is_established, was_challenged) = (connection.is_established, connection.challenge.is_some());
    let received_new_event = connection.received_new_event;
    let is_long = opened.elapsed() > MIN_LIFETIME;
    // Do not resume again after a resume that failed or soon ended without a new event: it would probably fail again.
    if resumed_from.is_some() && *resume_point == resumed_from && !(is_established && is_long) {
        *resume_point = None;
    }
    match disconnect {
        // A server that rejects the token in an authentication challenge closes the connection without an answer.
        Disconnect::Closed { reason, .. } if was_challenged && !is_established => {
            Disconnect::Unauthenticated { reason }
        }
        Disconnect::Closed { reason, .. } => {
            let was_useful = is_established && (received_new_event || is_long);
            Disconnect::Closed { reason, was_useful }
        }
        disconnect => disconnect,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};
    use wardroom_fake_mattermost::Server;

    use super::*;
    use crate::session::tests::session_of;

    #[tokio::test]
    async fn no_more_signals_wait_than_the_channel_holds_and_none_is_lost() {
        let server = Server::start().await.expect("a server");
        let (bot, token) = server.bot("ops-bot");
        let (channel, alice) = (server.channel("eng", "ops"), server.person("alice"));
        server.put(&channel, &bot);
        let session = session_of(&server, &token).await;
        let (signals, mut received) = signal_queue(3);
        let connected = tokio::spawn(async move {
            let (_keep, mut typing) = mpsc::channel(1);
            let mut outage = Outage::new("Mattermost", "test");
            keep_connected(&session, Duration::from_secs(30), &signals, &mut typing, &mut outage).await
        });
        let first = timeout(Duration::from_secs(10), received.recv()).await.expect("in time");
        assert!(matches!(first, Some(Signal::Connected)), "{first:?}");
        let posted: Vec<String> = (0..50).map(|number| alice.post(&channel, &number.to_string())).collect();
        sleep(Duration::from_millis(300)).await;
        assert_eq!(received.len(), 3, "the socket reads no further");
        let mut arrived = Vec::new();
        while arrived.len() < posted.len() {
            match timeout(Duration::from_secs(10), received.recv()).await.expect("in time") {
                Some(Signal::Event(Event::Posted { post }, _)) => arrived.push(post.id),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(arrived, posted);
        connected.abort();
    }

    #[tokio::test]
    async fn the_events_that_wait_are_limited_in_size() {
        let (signals, mut received) = signal_queue(100);
        let large = || {
            let message = "x".repeat(MAX_SIGNAL_BYTES as usize);
            let post = crate::client::Post::read(&serde_json::json!({ "id": "p", "message": message }).to_string());
            Event::Posted { post: Box::new(post.expect("a post")) }
        };
        signals.send_event(large()).await;
        assert!(futures_util::FutureExt::now_or_never(signals.send_event(large())).is_none(), "the first one waits");
        assert!(matches!(received.recv().await, Some(Signal::Event(..))));
        signals.send_event(large()).await;
    }
}
