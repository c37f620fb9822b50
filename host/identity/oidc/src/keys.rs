//! The key set of a provider (RFC 7517), and the key of one token.
//!
//! Invariant: a key verifies only tokens of its own kind. A key that the host cannot use is as if it did not exist.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde_json::Value;

/// The keys of a provider that can verify a signature.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet(Vec<Jwk>);

impl KeySet {
    /// Reads a key set; `None` if the value is none.
    pub(crate) fn read(set: &Value) -> Option<Self> {
        let keys = set.get("keys")?.as_array()?;
        // A set can have keys of kinds that the host does not support (section 5).
        let keys = keys.iter().filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        Some(Self(keys.filter(|key| algorithm_of(key).is_some()).collect()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the key of a token with this algorithm and key id. Without a key id, the set must have exactly one key of
    /// the algorithm (OpenID Connect Core, section 10.1).
    pub(crate) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<DecodingKey> {
        let mut fitting = self
            .0
            .iter()
            .filter(|key| algorithm_of(key) == Some(algorithm) && (id.is_none() || key.common.key_id.as_deref() == id));
        let key = fitting.next()?;
        if id.is_none() && fitting.next().is_some() {
            return None;
        }
        DecodingKey::from_jwk(key).ok()
    }
}

/// Returns the algorithm for which a key can be used; `None` if the key is not for signatures or not supported.
fn algorithm_of(key: &Jwk) -> Option<Algorithm> {
    if key.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    // A key that names an algorithm is only for that algorithm.
    let named = key.common.key_algorithm.map(|named| match named {
        KeyAlgorithm::RS256 => Some(Algorithm::RS256),
        KeyAlgorithm::ES256 => Some(Algorithm::ES256),
        KeyAlgorithm::EdDSA => Some(Algorithm::EdDSA),
        _ => None,
    });
    named.is_none_or(|named| named == Some(algorithm)).then_some(algorithm)
}
