//! The credentials of one backend: the user's secret, and the crumb with its session.

use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use wardroom::base::Secret;
use wardroom_remote::HeldSecret;

use crate::config::{SignIn, System};

/// The maximum length of the cookies of a session, in bytes.
const MAX_COOKIES: usize = 8 << 10;

/// The user and the secret, and what Jenkins answered to them.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) secret: HeldSecret,
    pub(crate) sign_in: SignIn,
    /// The crumb, and the secret for which it was issued.
    crumb: Mutex<Option<(Secret, Crumb)>>,
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
        let hold = match system.sign_in {
            SignIn::Token => HeldSecret::TOKEN_HOLD,
            SignIn::Password => HeldSecret::PASSWORD_HOLD,
        };
        Self {
            user: system.user.clone(),
            secret: HeldSecret::new(system.secret.clone(), "the secret of the Jenkins user", hold),
            sign_in: system.sign_in,
            crumb: Mutex::default(),
        }
    }

    /// Returns the crumb that was issued for a secret.
    pub(crate) fn crumb(&self, secret: &Secret) -> Option<Crumb> {
        self.crumb.lock().as_ref().filter(|(of, _)| of == secret).map(|(_, crumb)| crumb.clone())
    }

    pub(crate) fn set_crumb(&self, secret: &Secret, crumb: Option<Crumb>) {
        *self.crumb.lock() = crumb.map(|crumb| (secret.clone(), crumb));
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
