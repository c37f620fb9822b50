//! Whether a delivery comes from who shares the hook's secret, and what it is called.
//!
//! Invariant: a secret is compared in constant time, and nobody is told what was wrong. What a name is made of is proven
//! where that can be: a signature covers it; of a token's header only who has the token can say anything.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::http::HeaderMap;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use wardroom::{
    Timestamp,
    port::{Secret, SecretRef},
    starter::{Hook, HookAuth},
};

use crate::limit::Bucket;

/// A secret in a file is read again when it is older than this, so that it can be changed without a restart, and the old one
/// counts no longer than this.
const FRESH: Duration = Duration::from_secs(10);
/// How many bodies of one hook are read at a time.
const READ_AT_ONCE: usize = 16;
/// The longest name of a delivery, in bytes.
const LONGEST_NAME: usize = 256;

/// The hooks, each with its secret and its measure.
pub(crate) struct Doors(HashMap<String, Door>);

/// One hook.
pub(crate) struct Door {
    pub(crate) hook: Hook,
    /// How often something is delivered there.
    pub(crate) rate: Bucket,
    /// Only so many bodies are in memory at a time, whoever sends them.
    pub(crate) reading: Semaphore,
    reference: SecretRef,
    known: Mutex<Known>,
}

struct Known {
    key: Arc<[u8]>,
    read: Instant,
}

/// Why a delivery is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shut {
    /// It does not prove who sent it.
    Unproven,
    /// It does, and does not say what it is called; the header that does.
    Unnamed(String),
}

impl Doors {
    /// Reads every secret.
    pub(crate) fn new(hooks: &[Hook]) -> anyhow::Result<Self> {
        let door = |hook: &Hook| {
            let reference = match &hook.auth {
                HookAuth::Token { token, .. } => token,
                HookAuth::Hub { secret } | HookAuth::Standard { secret, .. } => secret,
            };
            let key = key(reference, &hook.auth).with_context(|| format!("hook `{}` ({})", hook.name, hook.at))?;
            let door = Door {
                rate: Bucket::a_minute(hook.most_a_minute),
                reading: Semaphore::new(READ_AT_ONCE),
                reference: reference.clone(),
                known: Mutex::new(Known { key, read: Instant::now() }),
                hook: hook.clone(),
            };
            Ok((hook.name.clone(), door))
        };
        hooks.iter().map(door).collect::<anyhow::Result<_>>().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Door> {
        self.0.get(name)
    }
}

/// The bytes that a secret stands for.
fn key(reference: &SecretRef, auth: &HookAuth) -> anyhow::Result<Arc<[u8]>> {
    let secret: Secret = reference.resolve()?;
    match (auth, secret.expose().strip_prefix("whsec_")) {
        (HookAuth::Standard { .. }, Some(encoded)) => {
            let bytes = BASE64_STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty());
            Ok(bytes.with_context(|| format!("what stands behind `whsec_` in {reference} is no base64"))?.into())
        }
        _ => Ok(secret.expose().as_bytes().into()),
    }
}

impl Door {
    /// Whether a body is worth reading: a token is all there is to prove, and of a signature the head tells at least whether
    /// there is one, and how old.
    pub(crate) fn head(&self, headers: &HeaderMap) -> Result<(), Shut> {
        match &self.hook.auth {
            HookAuth::Token { header, .. } => {
                let given = match header {
                    Some(header) => one(headers, header),
                    None => one(headers, "authorization").and_then(bearer),
                };
                let given = given.ok_or(Shut::Unproven)?;
                // The digests are compared: so nothing is told of the secret's length.
                let (given, key) = (Sha256::digest(given), Sha256::digest(&*self.key()));
                if given.ct_eq(&key).into() { Ok(()) } else { Err(Shut::Unproven) }
            }
            HookAuth::Hub { .. } => hub(headers).map(drop),
            HookAuth::Standard { tolerance, .. } => Standard::of(headers, *tolerance).map(drop),
        }
    }

    /// The delivery's name, where its head was let in and who sends it is proven.
    pub(crate) fn name(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, Shut> {
        match &self.hook.auth {
            HookAuth::Token { delivery, .. } => {
                let name = one(headers, delivery).filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
                name.map(str::to_owned).ok_or_else(|| Shut::Unnamed(delivery.clone()))
            }
            HookAuth::Hub { .. } => {
                self.signed(&[body], &[hub(headers)?])?;
                // The header that names a delivery is not signed: the body names itself.
                Ok(hex::encode(Sha256::digest(body)))
            }
            HookAuth::Standard { tolerance, .. } => {
                let Standard { id, at, signatures } = Standard::of(headers, *tolerance)?;
                self.signed(&[id.as_bytes(), b".", at.as_bytes(), b".", body], &signatures)?;
                Ok(id.to_owned())
            }
        }
    }

    /// Whether one of these is the signature of this text.
    fn signed(&self, text: &[&[u8]], signatures: &[Vec<u8>]) -> Result<(), Shut> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key()) else { return Err(Shut::Unproven) };
        text.iter().for_each(|part| mac.update(part));
        let good = signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok());
        if good { Ok(()) } else { Err(Shut::Unproven) }
    }

    /// The secret, as it was when it was read last, a moment ago.
    fn key(&self) -> Arc<[u8]> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.reference, SecretRef::File(_)) && known.read.elapsed() >= FRESH {
            known.read = Instant::now();
            match key(&self.reference, &self.hook.auth) {
                Ok(key) => known.key = key,
                // It may be written at this very moment.
                Err(error) => {
                    tracing::warn!(hook = self.hook.name, %error, "a secret cannot be read again; the old one counts")
                }
            }
        }
        known.key.clone()
    }

    /// Has a secret read again at the next look.
    #[cfg(test)]
    pub(crate) fn age(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.read = known.read.checked_sub(FRESH).unwrap_or(known.read);
    }
}

/// The signature by which code hosts sign a body.
fn hub(headers: &HeaderMap) -> Result<Vec<u8>, Shut> {
    let signature = one(headers, "x-hub-signature-256").and_then(|given| given.strip_prefix("sha256="));
    signature.and_then(|signature| hex::decode(signature).ok()).ok_or(Shut::Unproven)
}

/// What the head of a delivery says after Standard Webhooks.
struct Standard<'h> {
    id: &'h str,
    at: &'h str,
    signatures: Vec<Vec<u8>>,
}

impl<'h> Standard<'h> {
    /// Where all of it is there and its time is not too far off.
    fn of(headers: &'h HeaderMap, tolerance: Duration) -> Result<Self, Shut> {
        let given = |header| one(headers, header).filter(|text| text.len() <= 4 * LONGEST_NAME);
        // A dot in it would move what is signed from one part to the next.
        let id = given("webhook-id").filter(|id| !id.is_empty() && !id.contains('.'));
        let (id, at) = (id.ok_or(Shut::Unproven)?, given("webhook-timestamp").ok_or(Shut::Unproven)?);
        let signatures = given("webhook-signature").ok_or(Shut::Unproven)?;
        let signatures = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let signatures: Vec<Vec<u8>> =
            signatures.filter_map(|signature| BASE64_STANDARD.decode(signature).ok()).collect();
        let off = at.parse::<i64>().ok().map(|at| Timestamp::now().as_second().abs_diff(at));
        match off {
            Some(off) if off <= tolerance.as_secs() && !signatures.is_empty() => Ok(Self { id, at, signatures }),
            _ => Err(Shut::Unproven),
        }
    }
}

/// The value of a header that is there once, as text.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}
