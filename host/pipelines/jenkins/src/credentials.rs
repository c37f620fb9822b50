//! The credentials of one backend: the user's secret, and the crumb with its session.
//!
//! Invariant: a secret that Jenkins rejected is not sent again for [`HOLD`] or [`PASSWORD_HOLD`], unless the configured secret has changed.
//! Repeated wrong passwords can lock an account.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use wardroom::base::{Secret, SecretRef};
use wardroom_remote::RemoteError;

use crate::config::{SignIn, System};

/// How long a rejected token is not sent again.
const HOLD: Duration = Duration::from_secs(30);
/// How long a rejected password is not sent again. A directory locks an account after a few wrong passwords.
const PASSWORD_HOLD: Duration = Duration::from_secs(15 * 60);
/// The maximum length of the cookies of a session, in bytes.
const MAX_COOKIES: usize = 8 << 10;

/// The user and the secret, and what Jenkins answered to them.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    reference: SecretRef,
    pub(crate) sign_in: SignIn,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    secret: Option<Secret>,
    /// The last rejection of `secret`: its time and its reason.
    rejected: Option<(Instant, String)>,
    crumb: Option<Crumb>,
}

/// A crumb, which allows requests that change something, and the session to which it belongs.
#[derive(Debug, Clone)]
pub(crate) enum Crumb {
    /// Jenkins requires none.
    NotRequired,
    Required {
        field: HeaderName,
        value: HeaderValue,
        cookies: Option<HeaderValue>,
    },
}

impl Credentials {
    pub(crate) fn new(system: &System) -> Self {
        Self {
            user: system.user.clone(),
            reference: system.secret.clone(),
            sign_in: system.sign_in,
            state: Mutex::default(),
        }
    }

    /// Returns the secret for a request.
    ///
    /// # Errors
    /// The secret cannot be read, or Jenkins rejected it a short time ago.
    pub(crate) fn secret(&self) -> Result<Secret, RemoteError> {
        let mut state = self.state.lock();
        let hold = match self.sign_in {
            SignIn::Token => HOLD,
            SignIn::Password => PASSWORD_HOLD,
        };
        let held = state.rejected.clone().filter(|(at, _)| at.elapsed() < hold);
        match (&state.secret, held) {
            (Some(secret), None) => Ok(secret.clone()),
            (known, held) => {
                let current = self.resolve()?;
                if let Some((_, reason)) = held.filter(|_| known.as_ref() == Some(&current)) {
                    return Err(RemoteError::Unauthorized { reason });
                }
                *state = State { secret: Some(current.clone()), ..State::default() };
                Ok(current)
            }
        }
    }

    /// Records that Jenkins rejected `used`, and reads the configured secret again. Returns whether it now holds another
    /// value, so that the request can be sent again.
    pub(crate) fn rejected(&self, used: &Secret, reason: &str) -> bool {
        let mut state = self.state.lock();
        match self.resolve() {
            Ok(current) if current != *used => {
                *state = State { secret: Some(current), ..State::default() };
                true
            }
            _ => {
                state.rejected = Some((Instant::now(), reason.to_owned()));
                false
            }
        }
    }

    /// Returns whether the configured secret holds another value than `used`. If it does, later requests use that value.
    pub(crate) fn has_changed(&self, used: &Secret) -> bool {
        let Ok(current) = self.resolve() else { return false };
        let changed = current != *used;
        if changed {
            *self.state.lock() = State { secret: Some(current), ..State::default() };
        }
        changed
    }

    fn resolve(&self) -> Result<Secret, RemoteError> {
        self.reference
            .resolve()
            .map_err(|error| RemoteError::not_sent(format!("cannot read the secret of the Jenkins user: {error:#}")))
    }

    pub(crate) fn crumb(&self) -> Option<Crumb> {
        self.state.lock().crumb.clone()
    }

    pub(crate) fn set_crumb(&self, crumb: Option<Crumb>) {
        self.state.lock().crumb = crumb;
    }
}

impl Crumb {
    /// Creates a crumb from the answer of Jenkins. Returns `None` if the answer has no valid header.
    pub(crate) fn new(field: &str, value: &str, headers: &HeaderMap) -> Option<Self> {
        let field = HeaderName::from_bytes(field.as_bytes()).ok()?;
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        let pairs = headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        let pairs: Vec<&str> = pairs.map(str::trim).filter(|pair| pair.contains('=')).collect();
        let cookies = Some(pairs.join("; ")).filter(|text| !text.is_empty() && text.len() <= MAX_COOKIES);
        let cookies = cookies.and_then(|text| HeaderValue::from_str(&text).ok()).map(|mut cookies| {
            cookies.set_sensitive(true);
            cookies
        });
        Some(Self::Required { field, value, cookies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(path: std::path::PathBuf) -> Credentials {
        Credentials {
            user: "bot".to_owned(),
            reference: SecretRef::File(path),
            sign_in: SignIn::Token,
            state: Mutex::default(),
        }
    }

    #[test]
    fn a_rejected_secret_is_sent_again_only_after_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credentials = credentials(path.clone());
        assert!(credentials.secret().unwrap_err().reason().starts_with("cannot read the secret"));
        std::fs::write(&path, "first-token").unwrap();
        let first = credentials.secret().unwrap();
        assert!(!credentials.rejected(&first, "401"), "the file did not change");
        assert_eq!(credentials.secret().unwrap_err(), RemoteError::Unauthorized { reason: "401".to_owned() });
        std::fs::write(&path, "second-token").unwrap();
        assert_eq!(credentials.secret().unwrap().expose(), "second-token");
        std::fs::write(&path, "third-token").unwrap();
        assert!(credentials.rejected(&Secret::new("second-token"), "401"), "the file changed");
        assert_eq!(credentials.secret().unwrap().expose(), "third-token");
    }

    #[test]
    fn a_crumb_keeps_the_session_of_its_answer() {
        let cookies = ["JSESSIONID.7f=abc; Path=/; HttpOnly", "remember=; Max-Age=0", "broken"];
        let headers: HeaderMap =
            cookies.iter().map(|cookie| (SET_COOKIE, HeaderValue::from_str(cookie).unwrap())).collect();
        let Some(Crumb::Required { field, cookies, .. }) = Crumb::new("Jenkins-Crumb", "c0ffee", &headers) else {
            panic!("a crumb")
        };
        let cookies = cookies.unwrap();
        assert_eq!((field.as_str(), cookies.to_str().unwrap()), ("jenkins-crumb", "JSESSIONID.7f=abc; remember="));
        assert!(Crumb::new("not a header", "x", &headers).is_none());
        assert!(Crumb::new("Crumb", "line\nfeed", &headers).is_none());
    }
}
