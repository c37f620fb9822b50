//! Authenticates a webhook delivery with the secret of its hook, and returns the delivery's signed id.
//!
//! Invariant: secrets are compared in constant time. Every failed authentication has the same response.
//! Invariant: only a client that has the secret can choose a delivery id, for these reasons:
//! - A Standard Webhooks signature is computed over the id, too.
//! - A signature of `sign = "hub"` is computed over the body, and the id is the digest of the body or a value in it.
//! - If the hook has a token, a request without the token is rejected.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use wardroom::trigger::{Hook, HookAuth as Scheme};

use crate::{
    secret_key::SecretKeys,
    signature::{StandardHeaders, bearer_token, hub, single_header},
};

pub(crate) struct HookAuth {
    scheme: Scheme,
    keys: SecretKeys,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// The token or the signature of a delivery is missing, malformed, expired or wrong.
    Unauthenticated,
}

/// The state of a delivery's authentication after a check of its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderCheck {
    /// The sender has the token of the hook.
    Authenticated,
    /// The signature is well-formed. The sender is not authenticated until the signature is verified with the body.
    BodyRequired,
}

impl HookAuth {
    /// Creates the authentication of a hook, and reads the hook's secret.
    ///
    /// # Errors
    /// The secret cannot be read or cannot authenticate a delivery.
    pub(crate) fn new(hook: &Hook) -> anyhow::Result<Self> {
        Ok(Self { scheme: hook.auth.clone(), keys: SecretKeys::new(hook)? })
    }

    /// Checks the headers of a delivery. Called before the body of the delivery is read. If the hook has a token,
    /// compares the token. If the hook uses signatures, checks that a signature is present and well-formed. A Standard
    /// Webhooks timestamp may differ from the host's clock by at most the configured tolerance.
    pub(crate) fn check_headers(&self, headers: &HeaderMap) -> Result<HeaderCheck, AuthError> {
        match &self.scheme {
            Scheme::Token { header, .. } => {
                let given = match header {
                    Some(header) => single_header(headers, header),
                    None => single_header(headers, "authorization").and_then(bearer_token),
                };
                // All digests have the same length, so the comparison does not reveal the secret's length.
                let given = Sha256::digest(given.ok_or(AuthError::Unauthenticated)?);
                let equal = |key: &Vec<u8>| given.ct_eq(&Sha256::digest(key));
                let known = self.keys.get().iter().map(equal).fold(Choice::from(0), |known, equal| known | equal);
                if known.into() { Ok(HeaderCheck::Authenticated) } else { Err(AuthError::Unauthenticated) }
            }
            Scheme::Hub { header, .. } => hub(headers, header.as_deref()).map(|_| HeaderCheck::BodyRequired),
            Scheme::Standard { tolerance, .. } => {
                StandardHeaders::parse(headers, *tolerance).map(|_| HeaderCheck::BodyRequired)
            }
        }
    }

    /// Returns whether the hook uses signatures and the headers contain a well-formed one.
    pub(crate) fn has_signature(&self, headers: &HeaderMap) -> bool {
        // Do not compare the token of a hook with a token.
        !matches!(self.scheme, Scheme::Token { .. }) && self.check_headers(headers).is_ok()
    }

    /// Returns whether the hook verifies a signature of the body in the header of a code host.
    pub(crate) fn is_of_code_host(&self) -> bool {
        matches!(self.scheme, Scheme::Hub { header: None, .. })
    }

    /// Verifies the signature over the body, and returns the id that it covers. If the hook has a token, checks nothing
    /// and returns `None`: the caller must call [`Self::check_headers`] first.
    pub(crate) fn signed_id(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<String>, AuthError> {
        match &self.scheme {
            Scheme::Token { .. } => Ok(None),
            Scheme::Hub { header, .. } => {
                self.verify(&[body], &[hub(headers, header.as_deref())?])?;
                // The signature does not cover the id header, so the id is the digest of the body.
                Ok(Some(hex::encode(Sha256::digest(body))))
            }
            Scheme::Standard { tolerance, .. } => {
                let StandardHeaders { id, timestamp, signatures } = StandardHeaders::parse(headers, *tolerance)?;
                self.verify(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body], &signatures)?;
                Ok(Some(id.to_owned()))
            }
        }
    }

    /// Returns whether the signature may cover the JSON text in a form instead of the form, as Gitea computes it.
    pub(crate) fn can_sign_form_text(&self) -> bool {
        matches!(self.scheme, Scheme::Hub { .. })
    }

    /// Checks that one of `signatures` is the HMAC-SHA-256 of the concatenated `parts` with one of the keys.
    fn verify(&self, parts: &[&[u8]], signatures: &[Vec<u8>]) -> Result<(), AuthError> {
        let keys = self.keys.get();
        let is_valid = |key: &Vec<u8>| {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
            parts.iter().for_each(|part| mac.update(part));
            signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
        };
        if keys.iter().any(is_valid) { Ok(()) } else { Err(AuthError::Unauthenticated) }
    }

    /// Marks the cached secret as expired, so that the next delivery reads the secret again.
    #[cfg(test)]
    pub(crate) fn expire_cache(&self) {
        self.keys.expire_cache();
    }
}

/// Computes the signature of a body that no hook verifies, and discards it. The response to a delivery to an unknown
/// hook then takes as long as the response to a wrong signature.
pub(crate) fn discard_signature(body: &[u8]) {
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&[0; 32]) {
        mac.update(body);
        std::hint::black_box(mac.verify_slice(&[0; 32]).is_ok());
    }
}
