//! The signing keys of the provider, and tokens in the form of RFC 7515.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
    Rs256,
    /// ECDSA on the curve P-256 (RFC 7518, section 3.4).
    Es256,
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// No signature: `alg` is `none` (RFC 7519, section 6).
    Unsigned,
    /// HMAC with the modulus of the public RSA key as its secret (RFC 8725, section 2.1).
    HsWithPublicKey,
    /// RS256 with a key that is not in the key set, under the id of the key that is.
    WrongKey,
}

#[derive(Debug)]
pub(crate) struct Keys {
    /// The number of the key in its id.
    generation: u32,
    rsa: RsaKeyPair,
    other: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Keys {
    pub(crate) fn new(generation: u32) -> Result<Self> {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self {
            generation,
            rsa: RsaKeyPair::generate(KeySize::Rsa2048)?,
            other: RsaKeyPair::generate(KeySize::Rsa2048)?,
            ec,
            ed: Ed25519KeyPair::generate()?,
        })
    }

    pub(crate) fn rotated(&self) -> Result<Self> {
        Self::new(self.generation + 1)
    }

    fn id(&self, kind: &str) -> String {
        format!("{kind}-{}", self.generation)
    }

    fn modulus(&self) -> Vec<u8> {
        self.rsa.public_key().modulus().big_endian_without_leading_zero().to_vec()
    }

    /// Returns the key set (RFC 7517, section 5), with keys that a client cannot use among them.
    pub(crate) fn set(&self) -> Value {
        let exponent = self.rsa.public_key().exponent().big_endian_without_leading_zero().to_vec();
        // An uncompressed point: 4, and the two coordinates of 32 bytes.
        let point = self.ec.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({ "keys": [
            { "kty": "AKP", "kid": "future", "alg": "ML-DSA-44", "pub": "AAAA", "use": "sig" },
            { "kty": "RSA", "kid": self.id("rsa"), "use": "enc", "n": encoded(&self.modulus()), "e": encoded(&exponent) },
            { "kty": "RSA", "kid": self.id("rsa"), "use": "sig", "alg": "RS256", "n": encoded(&self.modulus()),
              "e": encoded(&exponent) },
            { "kty": "EC", "kid": self.id("ec"), "use": "sig", "crv": "P-256", "x": encoded(x), "y": encoded(y) },
            { "kty": "OKP", "kid": self.id("ed"), "use": "sig", "alg": "EdDSA", "crv": "Ed25519",
              "x": encoded(self.ed.public_key().as_ref()) },
        ] })
    }

    /// Returns a token with these claims.
    pub(crate) fn token(&self, claims: &Value, signing: Signing) -> Result<String> {
        let (algorithm, id) = match signing {
            Signing::Rs256 | Signing::WrongKey => ("RS256", self.id("rsa")),
            Signing::Es256 => ("ES256", self.id("ec")),
            Signing::EdDsa => ("EdDSA", self.id("ed")),
            Signing::Unsigned => ("none", self.id("rsa")),
            Signing::HsWithPublicKey => ("HS256", self.id("rsa")),
        };
        let header = json!({ "alg": algorithm, "kid": id, "typ": "JWT" });
        let text = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let signature = self.sign(text.as_bytes(), signing)?;
        Ok(format!("{text}.{}", encoded(&signature)))
    }

    fn sign(&self, text: &[u8], signing: Signing) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let with_rsa = |key: &RsaKeyPair| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)?;
            ensure!(!signature.is_empty(), "an empty signature");
            Ok(signature)
        };
        match signing {
            Signing::Rs256 => with_rsa(&self.rsa),
            Signing::WrongKey => with_rsa(&self.other),
            Signing::Es256 => Ok(self.ec.sign(&random, text).context("ES256")?.as_ref().to_vec()),
            Signing::EdDsa => Ok(self.ed.sign(text).as_ref().to_vec()),
            Signing::Unsigned => Ok(Vec::new()),
            Signing::HsWithPublicKey => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.modulus());
                Ok(hmac::sign(&key, text).as_ref().to_vec())
            }
        }
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
