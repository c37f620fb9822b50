//! A secret that a server checks, and what the server answered to it.
//!
//! Invariant: a secret that the server rejected is not sent again for a while, unless the configured secret has changed.
//! Repeated wrong passwords can lock an account.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wardroom::base::{Secret, SecretRef};

use crate::RemoteError;

/// A configured secret with its last rejection.
#[derive(Debug)]
pub struct HeldSecret {
    reference: SecretRef,
    /// The secret for people: `the token for Spinnaker`.
    what: &'static str,
    hold: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    secret: Option<Secret>,
    /// The last rejection of `secret`: its time and its reason.
    rejected: Option<(Instant, String)>,
}

impl HeldSecret {
    /// How long a rejected token is not sent again.
    pub const TOKEN_HOLD: Duration = Duration::from_secs(30);
    /// How long a rejected password is not sent again. A directory locks an account after a few wrong passwords.
    pub const PASSWORD_HOLD: Duration = Duration::from_secs(15 * 60);

    /// Creates the secret. Reads nothing. `what` is the secret for people: `the token for Spinnaker`. `hold` is how long
    /// it is not sent again after a rejection.
    pub fn new(reference: SecretRef, what: &'static str, hold: Duration) -> Self {
        Self { reference, what, hold, state: Mutex::default() }
    }

    /// Returns the secret for a request.
    ///
    /// # Errors
    /// The secret cannot be read, or the server rejected it a short time ago.
    pub fn get(&self) -> Result<Secret, RemoteError> {
        let mut state = self.state.lock();
        let held = state.rejected.clone().filter(|(at, _)| at.elapsed() < self.hold);
        // The value of a secret store is in memory, and can be replaced or end.
        let can_change = matches!(self.reference, SecretRef::Stored { .. });
        match (&state.secret, held) {
            (Some(secret), None) if !can_change => Ok(secret.clone()),
            (known, held) => {
                let current = self.resolve()?;
                if let Some((_, reason)) = held.filter(|_| known.as_ref() == Some(&current)) {
                    return Err(RemoteError::Unauthorized { reason });
                }
                *state = State { secret: Some(current.clone()), rejected: None };
                Ok(current)
            }
        }
    }

    /// Records that the server rejected `used`, and reads the configured secret again. Returns whether it now holds
    /// another value, so that the request can be sent again.
    pub fn rejected(&self, used: &Secret, reason: &str) -> bool {
        if self.has_changed(used) {
            return true;
        }
        self.state.lock().rejected = Some((Instant::now(), reason.to_owned()));
        false
    }

    /// Returns whether the configured secret holds another value than `used`. If it does, later requests use that value.
    pub fn has_changed(&self, used: &Secret) -> bool {
        let mut state = self.state.lock();
        let Ok(current) = self.resolve() else { return false };
        let changed = current != *used;
        if changed {
            *state = State { secret: Some(current), rejected: None };
        }
        changed
    }

    fn resolve(&self) -> Result<Secret, RemoteError> {
        let read = self.reference.resolve();
        read.map_err(|error| RemoteError::not_sent(format!("cannot read {}: {error:#}", self.what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_secret_is_sent_again_only_after_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = HeldSecret::new(SecretRef::File(path.clone()), "the token for Spinnaker", HeldSecret::TOKEN_HOLD);
        assert!(
            secret.get().unwrap_err().reason().starts_with("cannot read the token for Spinnaker: the secret file `")
        );
        std::fs::write(&path, "first-token").unwrap();
        let first = secret.get().unwrap();
        assert!(!secret.rejected(&first, "401"), "the file did not change");
        assert_eq!(secret.get().unwrap_err(), RemoteError::Unauthorized { reason: "401".to_owned() });
        std::fs::write(&path, "second-token").unwrap();
        assert_eq!(secret.get().unwrap().expose(), "second-token");
        std::fs::write(&path, "third-token").unwrap();
        assert!(secret.rejected(&Secret::new("second-token"), "401"), "the file changed");
        assert_eq!(secret.get().unwrap().expose(), "third-token");
    }
}
