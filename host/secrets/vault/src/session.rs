//! The token with which the host talks to one Vault server: its login, its renewal, and its end.
//!
//! Invariant: a token is renewed or replaced at two thirds of its lifetime. Only a token of a login of the host is revoked.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use wardroom::base::Secret;

use crate::{
    client::Client,
    config::{Login, Server},
    error::VaultError,
    login::{Granted, LoginError, Unwrapped, log_in, resolve},
    timing::Timing,
};

/// The maximum time for the revocation of a token at a shutdown.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);

/// The current token of a server.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) token: Secret,
    pub(crate) policies: Vec<String>,
    is_own: bool,
    /// The lifetime at the login, in seconds.
    ttl: u64,
    next: Next,
    /// The time of `next`; `None` if the token does not expire, or if nothing can be done before it does.
    due: Option<Instant>,
}

/// What happens with the token at two thirds of its lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Renew,
    LogIn,
}

/// The result of [`Session::keep`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The token is valid, as far as the host can tell.
    Valid,
    /// The token is still valid, but cannot be renewed any longer, so that the host needs another one soon.
    Ending,
    /// The server no longer accepts the token.
    Gone,
}

impl Session {
    /// Logs in.
    ///
    /// # Errors
    /// Same as [`log_in`], or a certificate file cannot be read.
    pub(crate) async fn open(server: &Server, unwrapped: &mut Unwrapped, timing: &Timing) -> Result<Self, LoginError> {
        let client = Client::new(server).map_err(LoginError::new)?;
        let Granted { token, is_own, ttl, renewable, policies } = log_in(server, &client, unwrapped).await?;
        let next = if renewable { Next::Renew } else { Next::LogIn };
        let mut session = Self { client, token, policies, is_own, ttl, next, due: None };
        session.schedule(ttl, timing);
        Ok(session)
    }

    /// Returns the time at which [`Session::keep`] must be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns the token in the reference of a given token, if it is another one now.
    pub(crate) fn replacement(&self, server: &Server) -> Option<Secret> {
        let Login::Token(reference) = &server.login else { return None };
        resolve(reference).ok().filter(|token| *token != self.token)
    }

    /// Renews the token if it is due.
    ///
    /// # Errors
    /// The server does not answer.
    pub(crate) async fn keep(&mut self, timing: &Timing) -> Result<Kept, VaultError> {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return Ok(Kept::Valid);
        }
        if self.next == Next::LogIn {
            return Ok(self.ending());
        }
        // The lifetime of a given token that is left says nothing about its whole lifetime.
        let body = if self.is_own { json!({ "increment": self.ttl }) } else { json!({}) };
        match self.client.post("auth/token/renew-self", Some(&self.token), &body).await {
            Ok(answer) => {
                let ttl = answer.auth.map_or(0, |auth| auth.lease_duration);
                // Near its maximum lifetime, a token is renewed for less time than requested.
                if ttl.saturating_mul(2) < self.ttl {
                    self.next = Next::LogIn;
                }
                self.schedule(ttl, timing);
                Ok(Kept::Valid)
            }
            Err(error @ VaultError::Outage { .. }) => Err(error),
            // A given token may lack the permission to renew itself.
            Err(VaultError::Denied) if self.is_gone().await? => Ok(Kept::Gone),
            Err(VaultError::Denied | VaultError::Missing { .. } | VaultError::Rejected { .. }) => {
                self.next = Next::LogIn;
                Ok(self.ending())
            }
        }
    }

    /// The host cannot replace a given token. Whoever gave it can.
    fn ending(&mut self) -> Kept {
        if self.is_own {
            return Kept::Ending;
        }
        self.due = None;
        Kept::Valid
    }

    /// Delays the next attempt to replace the token.
    pub(crate) fn postpone(&mut self, delay: Duration) {
        self.due = Some(Instant::now() + delay);
    }

    fn schedule(&mut self, ttl: u64, timing: &Timing) {
        let lifetime = Duration::from_secs(ttl);
        self.due = (ttl > 0).then(|| Instant::now() + two_thirds(lifetime).max(timing.min_renewal));
    }

    /// Returns whether the server no longer accepts the token. A policy and an expired token are both answered with 403.
    ///
    /// # Errors
    /// The server does not answer.
    pub(crate) async fn is_gone(&self) -> Result<bool, VaultError> {
        match self.client.get("auth/token/lookup-self", Some(&self.token)).await {
            Ok(_) => Ok(false),
            Err(error @ VaultError::Outage { .. }) => Err(error),
            Err(_) => Ok(true),
        }
    }

    /// Revokes a token of a login of the host, and with it the leases of its secrets.
    pub(crate) async fn close(self) {
        if self.is_own {
            let body = json!({});
            let revoked = self.client.post("auth/token/revoke-self", Some(&self.token), &body);
            let _ = tokio::time::timeout(LOGOUT_TIMEOUT, revoked).await;
        }
    }
}

/// Returns two thirds of a lifetime, after which a token, a lease or a certificate is renewed.
pub(crate) fn two_thirds(lifetime: Duration) -> Duration {
    lifetime / 3 * 2
}
