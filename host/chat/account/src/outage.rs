//! Log lines about an outage: one at its start, one every five minutes while it lasts, one at its end.

use std::time::{Duration, Instant};

/// How often an outage that lasts is logged again.
const REMINDER_INTERVAL: Duration = Duration::from_secs(300);

/// The outage of one server, if there is one.
#[derive(Debug)]
pub struct Outage {
    kind: &'static str,
    server: String,
    /// When it began, and when it was last logged.
    current: Option<(Instant, Instant)>,
}

impl Outage {
    /// No outage yet. `kind` is the noun for such a server in a sentence, for example `the homeserver`; `server` is its address.
    pub fn new(kind: &'static str, server: impl Into<String>) -> Self {
        Self { kind, server: server.into(), current: None }
    }

    /// A request or the connection failed.
    pub fn record_failure(&mut self, error: &str) {
        let (now, kind, server) = (Instant::now(), self.kind, &self.server);
        match &mut self.current {
            None => {
                tracing::warn!(server, error, "no connection to {kind}; retrying until it answers");
                self.current = Some((now, now));
            }
            Some((began, logged)) if now.duration_since(*logged) >= REMINDER_INTERVAL => {
                let minutes = now.duration_since(*began).as_secs() / 60;
                tracing::warn!(server, error, minutes, "still no connection to {kind}; retrying until it answers");
                *logged = now;
            }
            Some(_) => {}
        }
    }

    /// The server answered.
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
