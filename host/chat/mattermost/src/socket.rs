//! The WebSocket of an account: opened, kept alive, and reconnected until the account stops.
//!
//! Architecture Invariant: the socket does not wait until an event is handled. Events are passed on in the server's
//! order. If events can be missing, the socket sends a [`Signal::Connected`] before the next event.
//! Architecture Invariant: a connection is resumed only from the last event that was read, and only if the server
//! accepted the token in the header of the connection's first request. A connection over which the token had to be sent
//! is never resumed.

mod connection;
mod handshake;
mod reconnect;

use std::time::Duration;

use tokio::sync::mpsc;
use wardroom::base::Backoff;
use wardroom_account::Outage;

use crate::{error::MattermostError, event::Event, session::Session};

use reconnect::{Disconnect, Reconnector};

/// A signal of the socket to the sync loop.
#[derive(Debug)]
pub(crate) enum Signal {
    /// A new connection is open. Earlier events can be missing.
    Connected,
    /// The previous connection was resumed. No event is missing.
    Resumed,
    Event(Event),
    /// The connection was lost or could not be opened, for this reason.
    Disconnected(String),
}

/// Keeps a connection open, with reconnects, until the server rejects the token. Returns that error. `typing` receives
/// the channels to which a typing notice is sent.
pub(crate) async fn keep_connected(
    session: &Session,
    heartbeat_interval: Duration,
    signals: &mpsc::UnboundedSender<Signal>,
    typing: &mut mpsc::UnboundedReceiver<String>,
    outage: &mut Outage,
) -> MattermostError {
    let mut reconnector = Reconnector::new(session.me(), heartbeat_interval);
    let mut backoff = Backoff::default();
    loop {
        let error = match reconnector.run(&session.client, signals, typing, outage).await {
            Disconnect::Closed { reason, was_useful } => {
                if was_useful {
                    backoff.reset();
                }
                MattermostError::unavailable(reason)
            }
            // The socket error does not show whether the token was rejected or the server failed. The REST API shows
            // that.
            Disconnect::Unauthenticated { reason } => match session.client.me().await {
                Err(end @ MattermostError::TokenRejected { .. }) => return end,
                _ => MattermostError::unavailable(reason),
            },
            Disconnect::NotOpened(end @ MattermostError::TokenRejected { .. }) => return end,
            Disconnect::NotOpened(error) => error,
        };
        outage.record_failure(error.reason());
        // The receiver is dropped only when the account stops.
        let _ = signals.send(Signal::Disconnected(error.reason().to_owned()));
        backoff.wait(error.retry_after()).await;
    }
}
