//! The sign-in of one backend: a client certificate, a token, or a user with a password.
//!
//! Invariant: a token or password that Gate rejected is not sent again for a while, unless it has changed.

use reqwest::RequestBuilder;
use wardroom::base::Secret;
use wardroom_remote::{HeldSecret, IdentitySource, RemoteError};

use crate::config::SignIn;

#[derive(Debug)]
pub(crate) enum Credentials {
    /// The connection has the certificate.
    Certificate(IdentitySource),
    Token(HeldSecret),
    Password {
        user: String,
        password: HeldSecret,
    },
}

/// With what a request was signed, for its error text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignedIn {
    Certificate,
    Token,
    Password(String),
}

impl Credentials {
    pub(crate) fn new(sign_in: SignIn) -> Self {
        match sign_in {
            SignIn::Certificate(source) => Self::Certificate(source),
            SignIn::Token(token) => Self::Token(HeldSecret::new(token, "the token for Gate", HeldSecret::TOKEN_HOLD)),
            SignIn::Password { user, password } => {
                let hold = HeldSecret::PASSWORD_HOLD;
                Self::Password { user, password: HeldSecret::new(password, "the password for Gate", hold) }
            }
        }
    }

    pub(crate) fn signed_in(&self) -> SignedIn {
        match self {
            Self::Certificate(_) => SignedIn::Certificate,
            Self::Token(_) => SignedIn::Token,
            Self::Password { user, .. } => SignedIn::Password(user.clone()),
        }
    }

    fn held(&self) -> Option<&HeldSecret> {
        match self {
            Self::Certificate(_) => None,
            Self::Token(secret) | Self::Password { password: secret, .. } => Some(secret),
        }
    }

    /// Returns the secret for a request; `None` with a certificate.
    ///
    /// # Errors
    /// The secret cannot be read, or Gate rejected it a short time ago.
    pub(crate) fn secret(&self) -> Result<Option<Secret>, RemoteError> {
        self.held().map(HeldSecret::get).transpose()
    }

    /// Returns whether a request that failed with `error` can be sent again, because the secret was replaced since.
    pub(crate) fn has_replaced(&self, used: Option<&Secret>, error: &RemoteError) -> bool {
        let (Some(held), Some(used)) = (self.held(), used) else { return false };
        match error {
            RemoteError::Unauthorized { reason } => held.rejected(used, reason),
            RemoteError::Forbidden { .. } => held.has_changed(used),
            _ => false,
        }
    }

    pub(crate) fn sign(&self, request: RequestBuilder, secret: Option<&Secret>) -> RequestBuilder {
        match (self, secret) {
            (Self::Token(_), Some(token)) => request.bearer_auth(token.expose()),
            (Self::Password { user, .. }, Some(password)) => request.basic_auth(user, Some(password.expose())),
            _ => request,
        }
    }
}

impl SignedIn {
    /// Returns the text for a 401.
    pub(crate) fn rejection(&self, status: u16) -> String {
        match self {
            Self::Certificate => format!(
                "Gate does not accept the client certificate ({status}); check that Gate trusts its issuer, that `url` \
                 has Gate's port for certificates (`default.apiPort`), and that the certificate has a role of \
                 `x509.required-roles`"
            ),
            Self::Token => {
                format!("Gate does not accept the token ({status}); put a valid access token into the secret")
            }
            Self::Password(user) => format!(
                "Gate does not accept the user `{user}` with its password ({status}); put the valid password into the \
                 secret"
            ),
        }
    }

    /// Returns what else can be missing if a permission is.
    pub(crate) fn role_hint(&self) -> &'static str {
        match self {
            Self::Certificate => {
                ", and check that the certificate has its roles (`x509.roleOid`, `x509.required-roles`)"
            }
            Self::Token | Self::Password(_) => "",
        }
    }
}
