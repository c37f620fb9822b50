//! Opens one WebSocket connection after the other, and keeps the position at which the last connection can be resumed.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wardroom_account::Outage;

use super::{
    Signal,
    connection::Connection,
    handshake::{ResumePoint, open},
};
use crate::{client::ApiClient, error::MattermostError};

/// Lifetime of a connection, after which the backoff of the next reconnect is reset.
const MIN_LIFETIME: Duration = Duration::from_secs(2);

/// The reason why a connection is not open.
#[derive(Debug)]
pub(super) enum Disconnect {
    /// The connection could not be opened.
    NotOpened(MattermostError),
    /// The connection was closed. `was_useful` is true if the connection delivered a new event or lasted longer than
    /// [`MIN_LIFETIME`].
    Closed { reason: String, was_useful: bool },
    /// The server did not authenticate the account.
    Unauthenticated { reason: String },
}

impl Disconnect {
    pub(super) fn closed(reason: impl Into<String>) -> Self {
        Self::Closed { reason: reason.into(), was_useful: false }
    }
}

#[derive(Debug)]
pub(super) struct Reconnector<'a> {
    me: &'a str,
    heartbeat_interval: Duration,
    resume_point: Option<ResumePoint>,
}

impl<'a> Reconnector<'a> {
    /// Creates a reconnector without an earlier connection. `me` is the id of the bot's account.
    pub(super) fn new(me: &'a str, heartbeat_interval: Duration) -> Self {
        Self { me, heartbeat_interval, resume_point: None }
    }

    /// Opens a connection and passes on its events until it is closed.
    pub(super) async fn run(
        &mut self,
        client: &ApiClient,
        signals: &mpsc::UnboundedSender<Signal>,
        typing: &mut mpsc::UnboundedReceiver<String>,
        outage: &mut Outage,
    ) -> Disconnect {
        let socket = match open(client, self.resume_point.as_ref()).await {
            Ok(socket) => socket,
            Err(error) => return Disconnect::NotOpened(error),
        };
        let opened = Instant::now();
        let resumed_from = self.resume_point.clone();
        let mut connection = Connection::new(socket, self.me, signals, outage, &mut self.resume_point);
        let disconnect = connection.run(client, self.heartbeat_interval, typing).await;
        let summary = connection.summary();
        let is_long = opened.elapsed() > MIN_LIFETIME;
        // Do not resume again after a resume that failed or delivered nothing, because it would fail again.
        if resumed_from.is_some() && self.resume_point == resumed_from && !(summary.is_established && is_long) {
            self.resume_point = None;
        }
        match disconnect {
            // A server that rejects a challenge closes the connection without an answer.
            Disconnect::Closed { reason, .. } if summary.was_challenged && !summary.is_established => {
                Disconnect::Unauthenticated { reason }
            }
            Disconnect::Closed { reason, .. } => {
                let was_useful = summary.is_established && (summary.received_new_event || is_long);
                Disconnect::Closed { reason, was_useful }
            }
            disconnect => disconnect,
        }
    }
}
