//! One WebSocket connection: authentication, heartbeats, and the sequence of its events.
//!
//! Invariant: events are numbered. A repeated event is passed on again, and the inbox deduplicates it. If an event is
//! missing, the connection is closed and then resumed at the missing event.

use std::{convert::Infallible, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{Error, Message};
use wardroom_account::Outage;

use super::{
    Disconnect, Signal, SignalSender,
    handshake::{ResumePoint, Socket},
};
use crate::{client::ApiClient, event::Frame};

/// Timeout of one write to the WebSocket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Divisor for the timeout of the server's greeting: the timeout is the heartbeat interval divided by this number.
const GREETING_SHARE: u32 = 6;

pub(super) struct Connection<'t> {
    socket: Socket,
    me: &'t str,
    signals: &'t SignalSender,
    outage: &'t mut Outage,
    /// The position at which this connection can be resumed; `None` if it cannot be resumed.
    resume_point: &'t mut Option<ResumePoint>,
    /// Whether the connection was opened to resume an earlier one.
    is_resuming: bool,
    pub(super) is_established: bool,
    /// The number of the next event; `None` until the server has sent a number.
    next_seq: Option<i64>,
    pub(super) received_new_event: bool,
    /// Whether a frame arrived since the last heartbeat. If no frame arrived, the next heartbeat closes the connection.
    is_alive: bool,
    /// The number of the last request that was sent over the WebSocket. Mattermost calls such a request an action.
    last_action: i64,
    /// The number of the request that sent the token over the WebSocket; `None` if the token was not sent that way.
    pub(super) challenge: Option<i64>,
    /// Whether the server sent something that only an authenticated account receives.
    is_authenticated: bool,
}

impl<'t> Connection<'t> {
    /// Wraps an open socket. If `resume_point` is set, the connection resumes an earlier one.
    pub(super) fn new(
        socket: Socket,
        me: &'t str,
        signals: &'t SignalSender,
        outage: &'t mut Outage,
        resume_point: &'t mut Option<ResumePoint>,
    ) -> Self {
        Self {
            socket,
            me,
            signals,
            outage,
            next_seq: resume_point.as_ref().map(|point| point.next_seq),
            is_resuming: resume_point.is_some(),
            resume_point,
            is_established: false,
            received_new_event: false,
            is_alive: true,
            last_action: 0,
            challenge: None,
            is_authenticated: false,
        }
    }

    /// Passes events on to the sync loop, and sends heartbeats and typing notices, until the connection is closed.
    ///
    /// # Errors
    /// Never returns `Ok`. The error is the reason why the connection was closed.
    pub(super) async fn run(
        &mut self,
        client: &ApiClient,
        heartbeat_interval: Duration,
        typing: &mut mpsc::Receiver<String>,
    ) -> Result<Infallible, Disconnect> {
        // Ping at once, to detect whether the connection was resumed: on a new connection the server sends a greeting
        // before the answer, on a resumed one it sends only the answer.
        self.ping().await?;
        let greeting_timeout = heartbeat_interval / GREETING_SHARE;
        let mut deadline = tokio::time::Instant::now() + greeting_timeout;
        let mut heartbeats = interval_at(tokio::time::Instant::now() + heartbeat_interval, heartbeat_interval);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let handled = tokio::select! {
                frame = self.socket.next() => self.handle(frame, client).await,
                () = sleep_until(deadline), if !self.is_established => {
                    deadline += greeting_timeout;
                    self.handle_missing_greeting(client).await
                }
                _ = heartbeats.tick() => self.send_heartbeat().await,
                Some(channel) = typing.recv() => {
                    let data = json!({ "channel_id": channel, "parent_id": "" });
                    self.send_action("user_typing", &data).await.map(drop)
                }
            };
            handled?;
        }
    }

    /// Handles the timeout of the server's greeting. If the server has authenticated the account without a greeting,
    /// records a new connection. Otherwise sends the token over the WebSocket. If the token was sent that way before,
    /// returns an error.
    async fn handle_missing_greeting(&mut self, client: &ApiClient) -> Result<(), Disconnect> {
        if self.is_authenticated {
            // The server answers without a greeting, so it is unknown which events are missing.
            self.establish(None, "").await;
            return Ok(());
        }
        if self.challenge.is_some() {
            return Err(Disconnect::Unauthenticated {
                reason: "the server sent no greeting within the timeout".to_owned(),
            });
        }
        self.send_challenge(client).await
    }

    /// Sends the token over the WebSocket, for a server that did not receive the token in the header of the first
    /// request.
    async fn send_challenge(&mut self, client: &ApiClient) -> Result<(), Disconnect> {
        let data = json!({ "token": client.token() });
        self.challenge = Some(self.send_action("authentication_challenge", &data).await?);
        Ok(())
    }

    async fn send_heartbeat(&mut self) -> Result<(), Disconnect> {
        if !std::mem::take(&mut self.is_alive) {
            return Err(Disconnect::closed("the server sent nothing within the heartbeat interval"));
        }
        self.write(Message::Ping(Default::default())).await?;
        self.ping().await
    }

    async fn ping(&mut self) -> Result<(), Disconnect> {
        self.send_action("ping", &Value::Null).await.map(drop)
    }

    /// Sends a request over the WebSocket and returns its number. `action` is the name of the request.
    async fn send_action(&mut self, action: &str, data: &Value) -> Result<i64, Disconnect> {
        self.last_action += 1;
        let mut frame = json!({ "seq": self.last_action, "action": action });
        if !data.is_null() {
            frame["data"] = data.clone();
        }
        self.write(Message::text(frame.to_string())).await?;
        Ok(self.last_action)
    }

    async fn write(&mut self, message: Message) -> Result<(), Disconnect> {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Disconnect::closed(error.to_string())),
            Err(_) => Err(Disconnect::closed("a write to the server timed out")),
        }
    }

    async fn handle(&mut self, frame: Option<Result<Message, Error>>, client: &ApiClient) -> Result<(), Disconnect> {
        self.is_alive = true;
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_))) | None => {
                return Err(Disconnect::closed("the server closed the connection"));
            }
            Some(Ok(_)) => return Ok(()),
            Some(Err(error)) => return Err(Disconnect::closed(error.to_string())),
        };
        match Frame::read(&text, self.me) {
            Frame::Hello { connection, version, seq } => {
                let next_seq = seq.max(0).saturating_add(1);
                self.next_seq = Some(seq.saturating_add(1));
                let resume_point = connection.map(|connection| ResumePoint { connection, next_seq });
                self.establish(resume_point, &version).await;
                Ok(())
            }
            Frame::Event { seq, event } => self.handle_event(seq, event).await,
            Frame::Answer { failure: None, .. } => {
                self.is_authenticated = true;
                // An answer without an earlier greeting means that the previous connection is resumed.
                if self.is_resuming && !self.is_established {
                    self.resume().await;
                }
                Ok(())
            }
            Frame::Answer { to, failure: Some(failure) } => self.handle_failure(to, &failure, client).await,
            Frame::Unknown => Ok(()),
        }
    }

    async fn handle_event(&mut self, seq: Option<i64>, event: Option<crate::event::Event>) -> Result<(), Disconnect> {
        // The server sends events to authenticated accounts only.
        self.is_authenticated = true;
        if !self.is_established {
            match self.is_resuming {
                true => self.resume().await,
                false => self.establish(None, "").await,
            }
        }
        match (seq, self.next_seq) {
            (Some(seq), Some(next)) if seq > next => {
                return Err(Disconnect::closed(format!("the server sent event {seq}, but event {next} is missing")));
            }
            // A repeated event, or an event of a server that restarted its numbers without a greeting.
            (Some(seq), Some(next)) if seq < next => {}
            (Some(seq), _) => {
                let next_seq = seq.saturating_add(1);
                self.next_seq = Some(next_seq);
                self.received_new_event = true;
                if let Some(resume_point) = self.resume_point.as_mut() {
                    resume_point.next_seq = next_seq;
                }
            }
            (None, _) => {}
        }
        if let Some(event) = event {
            self.signals.send_event(event).await;
        }
        Ok(())
    }

    /// Handles the server's rejection of a request. If the server requires a login, sends the token over the WebSocket.
    /// If the token was already sent that way, or the connection was already established, returns an error instead. If
    /// the server rejected the request for another reason, only logs the rejection.
    async fn handle_failure(&mut self, to: i64, failure: &str, client: &ApiClient) -> Result<(), Disconnect> {
        let is_about_login = failure.contains("authenticat") || failure.contains("session");
        let was_tried = self.is_established || self.challenge.is_some();
        if self.challenge == Some(to) || (is_about_login && was_tried) {
            let reason = format!("the server rejected the account's authentication: {failure}");
            return Err(Disconnect::Unauthenticated { reason });
        }
        if is_about_login {
            return self.send_challenge(client).await;
        }
        tracing::debug!(error = failure, "the server rejected a request on the WebSocket");
        Ok(())
    }

    /// Records a new connection, and signals that earlier events can be missing.
    async fn establish(&mut self, resume_point: Option<ResumePoint>, version: &str) {
        self.is_authenticated = true;
        self.is_established = true;
        *self.resume_point = resume_point;
        self.outage.record_recovery();
        tracing::info!(version, "connected to Mattermost");
        self.signals.send(Signal::Connected).await;
    }

    /// Records that the previous connection was resumed, and signals that no event is missing.
    async fn resume(&mut self) {
        self.is_established = true;
        self.outage.record_recovery();
        tracing::info!("resumed the connection to Mattermost; no event was lost");
        self.signals.send(Signal::Resumed).await;
    }
}
