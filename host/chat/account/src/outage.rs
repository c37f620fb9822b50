//! Logs an outage: its start, a reminder every five minutes, and its end.

use std::time::{Duration, Instant};

/// Interval of the reminders that an outage continues.
const REMINDER_INTERVAL: Duration = Duration::from_secs(300);

/// Records and logs the outages of one server.
#[derive(Debug)]
pub struct Outage {
    kind: &'static str,
    server: String,
    /// Start of the current outage and time of its last log line; `None` while the server answers.
    current: Option<(Instant, Instant)>,
}

impl Outage {
    /// Creates a record without an outage. `kind` is the noun for the server in a log line, for example `the
    /// homeserver`; `server` is its address.
    pub fn new(kind: &'static str, server: impl Into<String>) -> Self {
        Self { kind, server: server.into(), current: None }
    }

    /// Records a failed request or a lost connection. Logs the start of an outage, and a reminder every five minutes.
    pub fn record_failure(&mut self, error: &str) {
        let (now, kind, server) = (Instant::now(), self.kind, &self.server);
        match &mut self.current {
            None => {
                tracing::warn!(server, error, "no connection to {kind}; retrying until {kind} answers");
                self.current = Some((now, now));
            }
            Some((began, logged)) if now.duration_since(*logged) >= REMINDER_INTERVAL => {
                let minutes = now.duration_since(*began).as_secs() / 60;
                tracing::warn!(server, error, minutes, "still no connection to {kind}; retrying until {kind} answers");
                *logged = now;
            }
            Some(_) => {}
        }
    }

    /// Records an answer of the server. Logs the end of an outage.
    pub fn record_recovery(&mut self) {
        if let Some((began, _)) = self.current.take() {
            tracing::info!(
                server = self.server,
                seconds = began.elapsed().as_secs(),
                "connected to {} again",
                self.kind
            );
        }
    }
}
