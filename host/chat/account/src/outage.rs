//! That a server is away, in the log: when it begins, now and then while it lasts, when it ends.

use std::time::{Duration, Instant};

/// How often an outage that goes on is told again.
const REMIND: Duration = Duration::from_secs(300);

/// Says in the log that a server is away.
#[derive(Debug)]
pub struct Outage {
    what: &'static str,
    server: String,
    since: Option<(Instant, Instant)>,
}

impl Outage {
    /// All is well so far. `what` is what people call such a server: `the homeserver`.
    pub fn new(what: &'static str, server: impl Into<String>) -> Self {
        Self { what, server: server.into(), since: None }
    }

    /// It did not answer, or the connection broke.
    pub fn failed(&mut self, error: &str) {
        let (now, what, server) = (Instant::now(), self.what, &self.server);
        match &mut self.since {
            None => {
                tracing::warn!(server, "no connection to {what}, trying again until there is one: {error}");
                self.since = Some((now, now));
            }
            Some((since, told)) if now.duration_since(*told) >= REMIND => {
                let minutes = now.duration_since(*since).as_secs() / 60;
                tracing::warn!(server, minutes, "still no connection to {what}: {error}");
                *told = now;
            }
            Some(_) => {}
        }
    }

    /// It answered.
    pub fn over(&mut self) {
        if let Some((since, _)) = self.since.take() {
            tracing::info!(server = self.server, seconds = since.elapsed().as_secs(), "{} answers again", self.what);
        }
    }
}
