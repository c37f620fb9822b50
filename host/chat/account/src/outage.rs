//! Logs the outage of a chat server: its start, a reminder every five minutes, and its end.

use std::time::{Duration, Instant};

/// Minimum interval between two log lines about a continuing outage.
const REMINDER_INTERVAL: Duration = Duration::from_secs(300);

/// Records whether one server answers, and logs the start and the end of each outage.
#[derive(Debug)]
pub struct Outage {
    kind: &'static str,
    server: String,
    /// Start of the current outage and time of its last log line; `None` while the server answers.
    current: Option<(Instant, Instant)>,
}

impl Outage {
    /// Creates the record of a server without an outage. `kind` is the noun for the server in a log line, for example
    /// `the homeserver`; `server` is its address.
    pub fn new(kind: &'static str, server: impl Into<String>) -> Self {
        Self { kind, server: server.into(), current: None }
    }

    /// Records a failed request or a lost connection. `error` is the cause, for the log. The first failure logs the
    /// start of an outage. Later failures log a reminder, at most once in five minutes.
    pub fn record_failure(&mut self, error: &str) {
        let (now, kind, server) = (Instant::now(), self.kind, &self.server);
        match &mut self.current {
            None => {
                tracing::warn!(server, error, "no connection to {kind}; retrying until {kind} answers");
                self.current = Some((now, now));
            }
            Some((began, logged)) if now.duration_since(*logged) >= REMINDER_INTERVAL => {
                let outage_minutes = now.duration_since(*began).as_secs() / 60;
                tracing::warn!(
                    server,
                    error,
                    outage_minutes,
                    "still no connection to {kind}; retrying until {kind} answers"
                );
                *logged = now;
            }
            Some(_) => {}
        }
    }

    /// Records that the server answered. Logs the end of an outage, if there was one.
    pub fn record_recovery(&mut self) {
        if let Some((began, _)) = self.current.take() {
            tracing::info!(
                server = self.server,
                outage_seconds = began.elapsed().as_secs(),
                "connected to {} again",
                self.kind
            );
        }
    }
}
