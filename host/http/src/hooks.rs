//! `POST /hooks/NAME`: receives a webhook delivery and passes it to the engine.
//!
//! A delivery is checked in this order: authentication, rate limit of the hook, content. The size is checked before a
//! signature, because the signature is computed over the body.
//! Invariant: every unauthenticated client gets the same response, also for an unknown hook. Whether and how far its
//! body is read depends on its headers only, and not on the name of the hook, because a client can observe that: by
//! `Expect: 100-continue`, or with a body that it does not complete. Failures of other clients do not affect an
//! authenticated delivery. Received text is never logged.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use wardroom::{
    engine::{Delivered, DeliveryError},
    metrics,
};

use crate::{
    AppState,
    auth::{AuthError, HeaderCheck, MAX_ID_BYTES},
    connection_table::{Connection, Phase},
    endpoint::Endpoint,
    health::json_response,
};

/// Timeout for reading a request body.
pub(crate) const BODY_TIMEOUT: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(10) };
/// Value of the header `Retry-After` if the engine cannot accept a delivery.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The result of a webhook delivery. Each variant has its own HTTP response.
enum DeliveryResult {
    Accepted,
    Duplicate,
    Ignored(String),
    Malformed(String),
    NotJson,
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
    // Anybody can cause this result, so a limit bounds its cost and its log lines.
    if matches!(result, DeliveryResult::Unauthenticated(_))
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
    let check = endpoint.map_or(Err(AuthError::Unauthenticated), |endpoint| endpoint.auth.check_headers(&head.headers));
    let is_authenticated = check == Ok(HeaderCheck::Authenticated);
    let limit = match endpoint {
        Some(endpoint) if is_authenticated => Some(endpoint.hook.most_bytes),
        _ => unverified_limit(&state.endpoints, &head.headers),
    };
    let unauthenticated = |label| DeliveryResult::Unauthenticated(endpoint.map_or("unknown", |_| label));
    let Some(limit) = limit else { return unauthenticated("unauthorized") };
    // 2. Read the body, with limits on its size and its time. Before the signature is verified, the connection is among
    //    those that give way at a limit.
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
    let (Some(endpoint), Ok(_)) = (endpoint, check) else { return unauthenticated("unauthorized") };
    if body.len() > endpoint.hook.most_bytes {
        return unauthenticated(DeliveryResult::BodyTooLarge.label());
    }
    let (id, body) = match authenticate_and_parse(endpoint, connection, &head.headers, &body) {
        Ok(parsed) => parsed,
        Err(result) => return result,
    };
    // 3. The engine deduplicates the delivery by its id and stores its command.
    match state.engine.deliver(&endpoint.hook, &id, &body).await {
        Ok(Delivered::Accepted) => DeliveryResult::Accepted,
        Ok(Delivered::Duplicate) => DeliveryResult::Duplicate,
        Ok(Delivered::Ignored(reason)) => DeliveryResult::Ignored(reason),
        Err(DeliveryError::Invalid(reason)) => DeliveryResult::Malformed(reason),
        Err(DeliveryError::Unavailable(reason)) => DeliveryResult::Unavailable(reason),
    }
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
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        // The trailers of a body are ignored.
        let Ok(data) = frame.map_err(|_| DeliveryResult::BodyIncomplete)?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(DeliveryResult::BodyTooLarge);
        }
        connection.add_body_bytes(data.len());
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Verifies the signature if the hook uses signatures, counts the delivery towards the hook's rate limit, and parses
/// the body as JSON. Returns the delivery's id and the parsed body.
fn authenticate_and_parse(
    endpoint: &Endpoint,
    connection: &Connection,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(String, Value), DeliveryResult> {
    let id = match endpoint.auth.delivery_id(headers, body) {
        Ok(id) => id,
        Err(AuthError::Unauthenticated) => return Err(DeliveryResult::Unauthenticated("unauthorized")),
        Err(AuthError::NoId(header)) => {
            let reason =
                format!("the header `{header}` must contain the delivery's id: 1 to {MAX_ID_BYTES} characters");
            return Err(DeliveryResult::Malformed(reason));
        }
    };
    connection.enter(Phase::Working);
    endpoint.rate.take().map_err(DeliveryResult::RateLimited)?;
    if !is_json(headers) {
        return Err(DeliveryResult::NotJson);
    }
    let body =
        serde_json::from_slice(body).map_err(|_| DeliveryResult::Malformed("the body is not JSON".to_owned()))?;
    Ok((id, body))
}

/// Returns true for a JSON content type, and for a missing content type.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

impl DeliveryResult {
    /// Returns the result's name: the value of the label `answer` in the metric of deliveries, and of the field
    /// `result` in the log.
    fn label(&self) -> &'static str {
        match *self {
            Self::Accepted => "taken",
            Self::Duplicate => "again",
            Self::Ignored(_) => "left",
            Self::Malformed(_) | Self::NotJson | Self::BodyIncomplete => "malformed",
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
            Self::Duplicate => json_response(StatusCode::OK, &json!({ "status": "again" })),
            Self::Ignored(reason) => json_response(StatusCode::OK, &json!({ "status": "left", "why": reason })),
            Self::Malformed(reason) => error(StatusCode::BAD_REQUEST, &reason),
            Self::NotJson => error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the content type must be JSON, for example `application/json`",
            ),
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
