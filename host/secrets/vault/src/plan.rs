//! When a secret of a server is read next, and until when its value is valid.

use std::sync::Arc;

use tokio::time::Instant;
use wardroom::base::Backoff;

use crate::{
    entry::Entry,
    read::{Lease, Mount},
    timing::Timing,
};

/// The next read of a secret.
pub(crate) struct Plan {
    pub(crate) entry: Arc<Entry>,
    /// `None` before the first read, and after a failed one.
    pub(crate) mount: Option<Mount>,
    pub(crate) due: Instant,
    pub(crate) lease: Option<Lease>,
    /// The time at which the value ends; `None` for a value without a lease.
    pub(crate) ends: Option<Instant>,
    pub(crate) backoff: Backoff,
    /// The problem that was logged last.
    pub(crate) logged: Option<String>,
}

impl Plan {
    /// Plans the first read of a secret, which is due now.
    pub(crate) fn new(entry: Arc<Entry>, timing: &Timing) -> Self {
        let backoff = Backoff::new(timing.secret_retry.0, timing.secret_retry.1);
        Self { entry, mount: None, due: Instant::now(), lease: None, ends: None, backoff, logged: None }
    }

    /// Logs a new problem, or the end of one.
    pub(crate) fn log(&mut self, server: &str, problem: Option<String>) {
        if self.logged == problem {
            return;
        }
        let secret = self.entry.source.to_string();
        match &problem {
            Some(error) => tracing::warn!(server, secret, error, "a secret cannot be read; retrying"),
            None => tracing::info!(server, secret, "the secret can be read again"),
        }
        self.logged = problem;
    }
}
