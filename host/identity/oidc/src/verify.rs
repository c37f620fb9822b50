//! Verifies ID tokens (OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725).
//!
//! Invariant: no claim is used before the signature is verified.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use wardroom::adapter::VerifiedAccount;

/// The algorithms that a token can have. A token without a signature, or with one that needs a shared secret, is refused.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far the clocks of the provider and of the host may differ.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(60);
/// The longest subject, in bytes (section 2).
const MAX_SUBJECT: usize = 255;

/// What a token must have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// The name of the claim with the groups, or a JSON pointer to them.
    pub(crate) groups_claim: &'a str,
    /// The time at which the login began.
    pub(crate) began: Timestamp,
    pub(crate) now: Timestamp,
}

/// The header of a token, whose signature is not verified yet.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
}

/// Reads the header of a token.
///
/// # Errors
/// The text is not a token, or its algorithm is not allowed.
pub(crate) fn header(token: &str) -> Result<Header, String> {
    let not_allowed = || "the ID token does not have one of the algorithms RS256, ES256 and EdDSA".to_owned();
    let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
        // The library has no name for `none` and for algorithms that it does not support.
        jsonwebtoken::errors::ErrorKind::Json(_) | jsonwebtoken::errors::ErrorKind::InvalidAlgorithmName => {
            not_allowed()
        }
        _ => "the ID token is malformed".to_owned(),
    })?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(not_allowed());
    }
    Ok(Header { algorithm: header.alg, key_id: header.kid })
}

/// Verifies the signature and the claims of a token. Returns the account.
///
/// # Errors
/// The reason, as one line for people.
pub(crate) fn verify(
    token: &str,
    algorithm: Algorithm,
    key: &DecodingKey,
    expected: &Expected<'_>,
) -> Result<VerifiedAccount, String> {
    // 1. Verify the signature. The claims are checked below, with errors for people.
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Value>(token, key, &validation)
        .map_err(|_| "the signature of the ID token is not valid".to_owned())?
        .claims;
    // 2. Check for whom the token is.
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err("the ID token is of another issuer".to_owned());
    }
    let audience = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audience.contains(&expected.client_id) {
        return Err("the ID token is for another client".to_owned());
    }
    // A token for several clients names the one that asked for it.
    match claims.get("azp") {
        None if audience.len() == 1 => {}
        Some(party) if party.as_str() == Some(expected.client_id) => {}
        _ => return Err("another client asked for the ID token".to_owned()),
    }
    // 3. Check the times.
    let time = |name: &str| {
        let seconds = claims.get(name).and_then(|time| time.as_i64().or_else(|| whole_seconds(time.as_f64()?)));
        let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.ok_or_else(|| format!("the ID token has no valid `{name}`"))
    };
    let (expires, issued) = (time("exp")?, time("iat")?);
    if expected.now.duration_since(expires) >= MAX_SKEW {
        return Err("the ID token has expired; check the clocks of the host and of the provider".to_owned());
    }
    if issued.duration_since(expected.now) > MAX_SKEW {
        return Err("the ID token is from the future; check the clocks of the host and of the provider".to_owned());
    }
    if expected.began.duration_since(issued) > MAX_SKEW {
        return Err("the ID token is older than the login".to_owned());
    }
    if claims.get("nbf").is_some() && time("nbf")?.duration_since(expected.now) > MAX_SKEW {
        return Err("the ID token is not valid yet; check the clocks of the host and of the provider".to_owned());
    }
    // 4. Read the account.
    let subject = text("sub").filter(|subject| {
        !subject.is_empty() && subject.len() <= MAX_SUBJECT && subject.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    });
    let subject = subject.ok_or("the ID token has no valid `sub`")?.to_owned();
    Ok(VerifiedAccount { subject, groups: groups(&claims, expected.groups_claim) })
}

/// Returns the groups in a claim: a list of texts, or one text. A claim of another kind has no groups.
fn groups(claims: &Value, claim: &str) -> Vec<String> {
    let found = if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
    match found {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Returns a number of seconds without its fraction. A time is a JSON number, which can have one (RFC 7519, section 2).
fn whole_seconds(seconds: f64) -> Option<i64> {
    SignedDuration::try_from_secs_f64(seconds).ok().map(|span| span.as_secs())
}
