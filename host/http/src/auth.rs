//! Authenticates a webhook delivery with the secret of its hook, and returns the delivery's id.
//!
//! Invariant: secrets are compared in constant time. Every failed authentication has the same response.
//! Invariant: only a client that has the secret can choose a delivery id, for these reasons:
//! - A Standard Webhooks signature is computed over the id, too.
//! - A signature in the header `X-Hub-Signature-256` is computed over the body, and the id is the digest of the body.
//! - If the hook has a token, a request without the token is rejected.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::http::HeaderMap;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use wardroom::{
    Timestamp,
    base::{Secret, SecretRef},
    trigger::{Hook, HookAuth as Scheme},
};

/// Time after which a cached secret is read from its file again. An operator can therefore replace the secret without a
/// restart of the host. The host rejects the old secret after at most this time.
const CACHE_TTL: Duration = Duration::from_secs(10);
/// Maximum length of a delivery id, in bytes.
pub(crate) const MAX_ID_BYTES: usize = 256;

pub(crate) struct HookAuth {
    hook: String,
    scheme: Scheme,
    secret: SecretRef,
    cache: Mutex<CachedKey>,
}

struct CachedKey {
    key: Arc<[u8]>,
    read_at: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// The token or the signature of a delivery is missing, malformed, expired or wrong.
    Unauthenticated,
    /// The delivery is authenticated but has no valid delivery id. The value is the name of the header that must
    /// contain the id.
    NoId(String),
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
    /// The secret cannot be read or decoded.
    pub(crate) fn new(hook: &Hook) -> anyhow::Result<Self> {
        let scheme = hook.auth.clone();
        let secret = match &scheme {
            Scheme::Token { token, .. } => token.clone(),
            Scheme::Hub { secret } | Scheme::Standard { secret, .. } => secret.clone(),
        };
        let key = read_key(&secret, &scheme)?;
        let cache = Mutex::new(CachedKey { key, read_at: Instant::now() });
        Ok(Self { hook: hook.name.clone(), scheme, secret, cache })
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
                let given = given.ok_or(AuthError::Unauthenticated)?;
                // All digests have the same length, so the comparison does not reveal the secret's length.
                let (given, key) = (Sha256::digest(given), Sha256::digest(&*self.key()));
                if given.ct_eq(&key).into() { Ok(HeaderCheck::Authenticated) } else { Err(AuthError::Unauthenticated) }
            }
            Scheme::Hub { .. } => hub_signature(headers).map(|_| HeaderCheck::BodyRequired),
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

    /// Returns the delivery's id. If the hook uses signatures, first verifies the signature over the body. If the hook
    /// has a token, checks nothing: the caller must call [`Self::check_headers`] first.
    pub(crate) fn delivery_id(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, AuthError> {
        match &self.scheme {
            Scheme::Token { delivery, .. } => {
                let id = single_header(headers, delivery).filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES);
                id.map(str::to_owned).ok_or_else(|| AuthError::NoId(delivery.clone()))
            }
            Scheme::Hub { .. } => {
                self.verify(&[body], &[hub_signature(headers)?])?;
                // The signature does not cover the id header, so the id is the digest of the body.
                Ok(hex::encode(Sha256::digest(body)))
            }
            Scheme::Standard { tolerance, .. } => {
                let StandardHeaders { id, timestamp, signatures } = StandardHeaders::parse(headers, *tolerance)?;
                self.verify(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body], &signatures)?;
                Ok(id.to_owned())
            }
        }
    }

    /// Checks that one of `signatures` is the HMAC-SHA-256 of the concatenated `parts`.
    fn verify(&self, parts: &[&[u8]], signatures: &[Vec<u8>]) -> Result<(), AuthError> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key()) else { return Err(AuthError::Unauthenticated) };
        parts.iter().for_each(|part| mac.update(part));
        let valid = signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok());
        if valid { Ok(()) } else { Err(AuthError::Unauthenticated) }
    }

    /// Returns the hook's secret from the cache. If the secret is from a file and was read more than [`CACHE_TTL`] ago,
    /// reads the file again. If the file cannot be read, logs a warning and returns the cached secret.
    fn key(&self) -> Arc<[u8]> {
        let mut cache = self.cache.lock();
        if matches!(self.secret, SecretRef::File(_)) && cache.read_at.elapsed() >= CACHE_TTL {
            cache.read_at = Instant::now();
            match read_key(&self.secret, &self.scheme) {
                Ok(key) => cache.key = key,
                // The file can be incomplete while a secret rotation writes it.
                Err(error) => tracing::warn!(
                    hook = self.hook, %error,
                    "cannot reload the hook's secret from its file; the previous secret stays in use; retrying at a later delivery"
                ),
            }
        }
        cache.key.clone()
    }

    /// Marks the cached secret as expired, so that the next delivery reads the secret again.
    #[cfg(test)]
    pub(crate) fn expire_cache(&self) {
        let mut cache = self.cache.lock();
        cache.read_at = cache.read_at.checked_sub(CACHE_TTL).unwrap_or(cache.read_at);
    }
}

/// Reads a secret, and returns it as the bytes of a key. If a Standard Webhooks secret begins with `whsec_`, decodes
/// the rest of the secret from base64.
fn read_key(secret: &SecretRef, scheme: &Scheme) -> anyhow::Result<Arc<[u8]>> {
    let value: Secret = secret.resolve()?;
    match (scheme, value.expose().strip_prefix("whsec_")) {
        (Scheme::Standard { .. }, Some(encoded)) => {
            let bytes = BASE64_STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty());
            Ok(bytes.with_context(|| format!("the secret {secret} must hold base64 after `whsec_`"))?.into())
        }
        _ => Ok(value.expose().as_bytes().into()),
    }
}

/// Decodes the header `X-Hub-Signature-256: sha256=HEX`.
fn hub_signature(headers: &HeaderMap) -> Result<Vec<u8>, AuthError> {
    let value = single_header(headers, "x-hub-signature-256").and_then(|value| value.strip_prefix("sha256="));
    value.and_then(|value| hex::decode(value).ok()).ok_or(AuthError::Unauthenticated)
}

/// The headers that the Standard Webhooks specification defines.
struct StandardHeaders<'h> {
    id: &'h str,
    timestamp: &'h str,
    signatures: Vec<Vec<u8>>,
}

impl<'h> StandardHeaders<'h> {
    /// Parses the headers. Fails if a header is missing or malformed, or if the timestamp differs from the host's clock
    /// by more than `tolerance`.
    fn parse(headers: &'h HeaderMap, tolerance: Duration) -> Result<Self, AuthError> {
        let get = |name| single_header(headers, name).filter(|text| text.len() <= 4 * MAX_ID_BYTES);
        // The signed text is `id.timestamp.body`: a dot in the id would make the split ambiguous.
        let id = get("webhook-id").filter(|id| !id.is_empty() && !id.contains('.'));
        let id = id.ok_or(AuthError::Unauthenticated)?;
        let timestamp = get("webhook-timestamp").ok_or(AuthError::Unauthenticated)?;
        let signatures = get("webhook-signature").ok_or(AuthError::Unauthenticated)?;
        let signatures = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        let signatures: Vec<Vec<u8>> =
            signatures.filter_map(|signature| BASE64_STANDARD.decode(signature).ok()).collect();
        let skew = timestamp.parse::<i64>().ok().map(|at| Timestamp::now().as_second().abs_diff(at));
        match skew {
            Some(skew) if skew <= tolerance.as_secs() && !signatures.is_empty() => {
                Ok(Self { id, timestamp, signatures })
            }
            _ => Err(AuthError::Unauthenticated),
        }
    }
}

/// Returns the value of a header; `None` if the header is missing, occurs twice or is not ASCII text.
fn single_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Returns the `TOKEN` of a header value `Bearer TOKEN`; `None` if the value has another form.
fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}
