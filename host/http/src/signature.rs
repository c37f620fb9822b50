//! The headers with which a sender authenticates a delivery.
//!
//! Invariant: a header that occurs twice counts as missing, because a proxy and the host could use different ones.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use wardroom::{Timestamp, trigger::HUB_HEADERS};

use crate::auth::AuthError;

/// Maximum length of a header of Standard Webhooks, in bytes.
const MAX_HEADER_BYTES: usize = 1024;

/// Decodes the signature of `sign = "hub"`: 64 hexadecimal digits, with or without `sha256=` in front. `header` is the
/// header that the hook names.
pub(crate) fn hub(headers: &HeaderMap, header: Option<&str>) -> Result<Vec<u8>, AuthError> {
    let name = match header {
        Some(header) => Some(header),
        None => HUB_HEADERS.into_iter().find(|name| headers.contains_key(*name)),
    };
    let value = name.and_then(|name| single_header(headers, name)).map(str::trim);
    let digits = value.map(|value| value.strip_prefix("sha256=").unwrap_or(value).trim_start());
    let bytes = digits.and_then(|digits| hex::decode(digits).ok()).filter(|bytes| bytes.len() == 32);
    bytes.ok_or(AuthError::Unauthenticated)
}

/// Returns whether the request has a header with a signature of `sign = "hub"`, valid or not.
pub(crate) fn has_hub_header(headers: &HeaderMap) -> bool {
    HUB_HEADERS.into_iter().any(|name| headers.contains_key(name))
}

/// The headers that the Standard Webhooks specification defines.
pub(crate) struct StandardHeaders<'h> {
    pub(crate) id: &'h str,
    pub(crate) timestamp: &'h str,
    pub(crate) signatures: Vec<Vec<u8>>,
}

impl<'h> StandardHeaders<'h> {
    /// Parses the headers. Fails if a header is missing or malformed, or if the timestamp differs from the host's clock
    /// by more than `tolerance`.
    pub(crate) fn parse(headers: &'h HeaderMap, tolerance: Duration) -> Result<Self, AuthError> {
        let get = |name| single_header(headers, name).filter(|text| text.len() <= MAX_HEADER_BYTES);
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
pub(crate) fn single_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Returns the headers that occur once and are ASCII text, without those that prove who the sender is.
pub(crate) fn plain_headers(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let is_secret = |name: &HeaderName| matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie");
    let names = headers.keys().filter(move |name| !is_secret(name)).map(HeaderName::as_str);
    names.filter_map(|name| Some((name, single_header(headers, name)?)))
}

/// Returns the `TOKEN` of a header value `Bearer TOKEN`; `None` if the value has another form.
pub(crate) fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}
