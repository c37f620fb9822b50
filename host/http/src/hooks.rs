//! `POST /hooks/NAME`: receives a webhook delivery and passes it to the engine.
//!
//! A delivery is checked in this order: authentication, rate limit of the hook, content. The size is checked before a
//! signature, because the signature is computed over the body.
//! Invariant: every unauthenticated client gets the same response, also for an unknown hook. Whether and how far its
//! body is read depends on its headers only, and not on the name of the hook, because a client can observe that: by
//! `Expect: 100-continue`, or with a body that it does not complete. For every name, a complete body costs a signature.
//! Failures of other clients do not affect an authenticated delivery. Received text is never logged.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::json;
use wardroom::{
    engine::{Delivered, DeliveryError},
    metrics,
    trigger::Delivery,
};

use crate::{
    AppState,
    auth::{AuthError, HeaderCheck, discard_signature},
    connection_table::{Connection, Phase},
    content::{self, ContentError},
    endpoint::Endpoint,
    health::json_response,
    signature::{has_hub_header, plain_headers, single_header},
};

/// Timeout for reading a request body.
pub(crate) const BODY_TIMEOUT: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(10) };
/// Value of the header `Retry-After` if the engine cannot accept a delivery.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The result of a webhook delivery. Each variant has its own HTTP response.
enum DeliveryResult {
    Accepted,
    /// The value is the name of the hook.
    Duplicate(String),
    Ignored(String),
    Malformed(String),
    /// The content type or encoding is not supported.
    NotJson(&'static str),
    /// Bitbucket tests the connection, without a signature. Nothing was read and nothing was done.
    UnsignedPing,
    /// The client is not authenticated. The value is the result's label, for the metric and the log only.
    Unauthenticated(&'static str),
    BodyTooLarge,
    BodyTooSlow,
    BodyIncomplete,
    RateLimited(Duration),
    Unavailable(String),
}

pub(crate) async fn deliver(
    State(state): State<Arc<AppState>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let endpoint = state.endpoints.get(&name);
    let result = receive(&state, endpoint, &connection, request).await;
    // An unknown name is text from the client and must not become a metric's label.
    let hook = endpoint.map(|endpoint| endpoint.hook.name.as_str());
    metrics::hook(hook, result.label());
    // Anybody can cause these results, so a limit bounds their cost and their log lines.
    if matches!(result, DeliveryResult::Unauthenticated(_) | DeliveryResult::UnsignedPing)
        && let Err(wait) = state.failures.take()
    {
        return DeliveryResult::RateLimited(wait).into_response();
    }
    match result {
        DeliveryResult::RateLimited(_) => {
            tracing::debug!(hook, result = result.label(), "answered a webhook delivery")
        }
        _ => {
            let hook = hook.unwrap_or("(unknown)");
            tracing::info!(hook, result = result.label(), "answered a webhook delivery");
        }
    }
    result.into_response()
}

async fn receive(
    state: &AppState,
    endpoint: Option<&Endpoint>,
    connection: &Connection,
    request: Request<Body>,
) -> DeliveryResult {
    // 1. Check the headers.
    let (head, body) = request.into_parts();
    if is_unsigned_ping(&state.endpoints, &head.headers) {
        return DeliveryResult::UnsignedPing;
    }
    let check = endpoint.map_or(Err(AuthError::Unauthenticated), |endpoint| endpoint.auth.check_headers(&head.headers));
    let is_authenticated = check == Ok(HeaderCheck::Authenticated);
    let limit = match endpoint {
        Some(endpoint) if is_authenticated => Some(endpoint.hook.most_bytes),
        _ => unverified_limit(&state.endpoints, &head.headers),
    };
    let unauthenticated = |label| DeliveryResult::Unauthenticated(endpoint.map_or("unknown", |_| label));
    let Some(limit) = limit else { return unauthenticated("unauthorized") };
    // 2. Read the body, with limits on its size and its time. Before the signature is verified, the connection can
    //    be closed at a limit.
    if !is_authenticated {
        connection.enter(Phase::UnverifiedBody);
    }
    let read = read_body(&head.headers, body, limit, connection);
    let read = tokio::time::timeout(BODY_TIMEOUT, read).await.unwrap_or(Err(DeliveryResult::BodyTooSlow));
    let body = match read {
        Ok(body) => body,
        Err(result) if is_authenticated => return result,
        Err(result) => return unauthenticated(result.label()),
    };
    let (Some(endpoint), Ok(_)) = (endpoint, check) else {
        discard_signature(&body);
        return unauthenticated("unauthorized");
    };
    if body.len() > endpoint.hook.most_bytes {
        discard_signature(&body);
        return unauthenticated(DeliveryResult::BodyTooLarge.label());
    }
    let (id, text) = match authenticate(endpoint, connection, &head.headers, &body) {
        Ok(authenticated) => authenticated,
        Err(result) => return result,
    };
    // 3. The engine deduplicates the delivery by its id and stores its command.
    let delivery = id.into_iter().fold(Delivery::new(&text), Delivery::with_id);
    let headers = plain_headers(&head.headers);
    let delivery = headers.fold(delivery, |delivery, (name, value)| delivery.with_header(name, value));
    match state.engine.deliver(&endpoint.hook, &delivery).await {
        Ok(Delivered::Accepted) => DeliveryResult::Accepted,
        Ok(Delivered::Duplicate) => DeliveryResult::Duplicate(endpoint.hook.name.clone()),
        Ok(Delivered::Ignored(reason)) => DeliveryResult::Ignored(reason),
        Err(DeliveryError::Invalid(reason)) => DeliveryResult::Malformed(reason),
        Err(DeliveryError::Unavailable(reason)) => DeliveryResult::Unavailable(reason),
    }
}

/// Returns whether Bitbucket Data Center tests the connection. It does not sign this message, even if the webhook has a
/// secret. The answer is the same for every name of a hook, and starts nothing.
fn is_unsigned_ping(endpoints: &HashMap<String, Endpoint>, headers: &HeaderMap) -> bool {
    single_header(headers, "x-event-key") == Some("diagnostics:ping")
        && !headers.contains_key(header::AUTHORIZATION)
        && !has_hub_header(headers)
        && endpoints.values().any(|endpoint| endpoint.auth.is_of_code_host())
}

/// Returns the maximum size of a body that is read from a client without a valid token: the largest limit of the hooks
/// whose signature the headers can contain. Returns `None` if no hook verifies a signature of this form; the body is
/// then not read.
fn unverified_limit(endpoints: &HashMap<String, Endpoint>, headers: &HeaderMap) -> Option<usize> {
    let needs_body = |endpoint: &&Endpoint| endpoint.auth.has_signature(headers);
    endpoints.values().filter(needs_body).map(|endpoint| endpoint.hook.most_bytes).max()
}

/// Reads a body of at most `limit` bytes, and counts its bytes for its connection. Rejects a `Content-Length` above the
/// limit before it reads the body.
///
/// # Errors
/// The body is too large, or the client has ended it too early.
async fn read_body(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    connection: &Connection,
) -> Result<Vec<u8>, DeliveryResult> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(DeliveryResult::BodyTooLarge);
    }
    // The memory grows up to the size of the body, and not beyond it: a vector alone would double its size each time.
    let most = length.map_or(limit, |length| length as usize);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        // The trailers of a body are ignored.
        let Ok(data) = frame.map_err(|_| DeliveryResult::BodyIncomplete)?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(DeliveryResult::BodyTooLarge);
        }
        let needed = bytes.len() + data.len();
        if needed > bytes.capacity() {
            let capacity = capacity_for(needed, bytes.capacity(), most);
            connection.add_body_bytes(capacity - bytes.capacity());
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Returns the next capacity of a body that needs `needed` bytes and has at most `most`. It doubles, so that the body is
/// copied only a few times.
fn capacity_for(needed: usize, capacity: usize, most: usize) -> usize {
    needed.max((2 * capacity).min(most))
}

/// Verifies the signature if the hook uses signatures, and counts the delivery towards the hook's rate limit. Returns the
/// signed id of the delivery, and the JSON text of the body.
fn authenticate<'b>(
    endpoint: &Endpoint,
    connection: &Connection,
    headers: &HeaderMap,
    body: &'b [u8],
) -> Result<(Option<String>, Cow<'b, str>), DeliveryResult> {
    let auth = &endpoint.auth;
    let signed = auth.signed_id(headers, body).or_else(|error| {
        let text = auth.can_sign_form_text().then(|| content::signed_form_text(headers, body)).flatten();
        auth.signed_id(headers, text.ok_or(error)?.as_bytes())
    });
    let Ok(id) = signed else { return Err(DeliveryResult::Unauthenticated("unauthorized")) };
    connection.enter(Phase::Working);
    endpoint.rate.take().map_err(DeliveryResult::RateLimited)?;
    let text = content::json_text(headers, body).map_err(|error| match error {
        ContentError::Unsupported(reason) => DeliveryResult::NotJson(reason),
        ContentError::Malformed(reason) => DeliveryResult::Malformed(reason.to_owned()),
    })?;
    if let Cow::Owned(text) = &text {
        connection.add_body_bytes(text.len());
    }
    Ok((id, text))
}

impl DeliveryResult {
    /// Returns the result's name: the value of the label `answer` in the metric of deliveries, and of the field
    /// `result` in the log.
    fn label(&self) -> &'static str {
        match *self {
            Self::Accepted => "taken",
            Self::Duplicate(_) => "again",
            Self::Ignored(_) | Self::UnsignedPing => "left",
            Self::Malformed(_) | Self::NotJson(_) | Self::BodyIncomplete => "malformed",
            Self::Unauthenticated(label) => label,
            Self::BodyTooLarge => "too-large",
            Self::BodyTooSlow => "too-slow",
            Self::RateLimited(_) => "too-many",
            Self::Unavailable(_) => "later",
        }
    }

    fn into_response(self) -> Response<Body> {
        let error = |status, reason: &str| json_response(status, &json!({ "error": reason }));
        match self {
            Self::Accepted => json_response(StatusCode::ACCEPTED, &json!({ "status": "taken" })),
            Self::Duplicate(hook) => {
                let reason = format!(
                    "this delivery was accepted before; to start the command again, an admin types `hook {hook} again` \
                     with the prefix of the bot in the room, and then the newest delivery is sent again"
                );
                json_response(StatusCode::OK, &json!({ "status": "again", "why": reason }))
            }
            Self::UnsignedPing => {
                Self::Ignored("the sender tests the connection; this starts no command".into()).into_response()
            }
            Self::Ignored(reason) => json_response(StatusCode::OK, &json!({ "status": "left", "why": reason })),
            Self::Malformed(reason) => error(StatusCode::BAD_REQUEST, &reason),
            Self::NotJson(reason) => error(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason),
            Self::Unauthenticated(_) => error(StatusCode::UNAUTHORIZED, "not authorized"),
            Self::BodyTooLarge => error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Self::BodyIncomplete => error(StatusCode::BAD_REQUEST, "the body is incomplete"),
            Self::BodyTooSlow => error(StatusCode::REQUEST_TIMEOUT, "the body was not received in time"),
            Self::RateLimited(wait) => {
                retry_after(error(StatusCode::TOO_MANY_REQUESTS, "too many deliveries; retry later"), wait)
            }
            Self::Unavailable(reason) => retry_after(error(StatusCode::SERVICE_UNAVAILABLE, &reason), RETRY_AFTER),
        }
    }
}

/// Adds the header `Retry-After`: `wait` in whole seconds, rounded up, at least 1.
fn retry_after(mut response: Response<Body>, wait: Duration) -> Response<Body> {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    response.headers_mut().insert(header::RETRY_AFTER, (seconds as u64).into());
    response
}

#[cfg(test)]
mod tests {
    use super::capacity_for;

    #[test]
    fn a_body_never_needs_more_memory_than_its_size_and_is_copied_a_few_times() {
        const MOST: usize = 25 << 20;
        let (mut capacity, mut copies) = (0, 0);
        for needed in (16_384..=MOST).step_by(16_384) {
            if needed > capacity {
                capacity = capacity_for(needed, capacity, MOST);
                copies += 1;
            }
            assert!(capacity >= needed && capacity <= MOST && capacity <= 2 * needed, "{needed}: {capacity}");
        }
        assert!(copies < 15, "{copies}");
    }
}
