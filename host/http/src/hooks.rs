//! `POST /hooks/NAME`: receives a webhook delivery and passes it to the engine.
//!
//! A delivery is checked in this order: size, authentication, rate limit of the hook, content.
//! Invariant: the response to an unauthenticated client does not depend on the hook's rate limit or on the content of
//! the body. Received text is never logged.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use wardroom::{
    engine::{Delivered, DeliveryError, Engine},
    metrics,
};

use crate::{
    AppState,
    auth::{AuthError, MAX_ID_BYTES},
    endpoint::Endpoint,
    health::json_response,
};

/// Timeout for reading a request body. It is also the timeout for a delivery that waits because the maximum number of
/// bodies of its hook is being read.
pub(crate) const BODY_TIMEOUT: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(10) };
/// Value of the header `Retry-After` if too many bodies of the hook are being read at the same time, or if the engine
/// cannot accept a delivery.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The result of a webhook delivery. Each variant has its own HTTP response.
enum DeliveryResult {
    Accepted,
    Duplicate,
    Ignored(String),
    Malformed(String),
    NotJson,
    Unauthorized,
    UnknownHook,
    BodyTooLarge,
    BodyTooSlow,
    BodyIncomplete,
    Busy,
    RateLimited(Duration),
    Unavailable(String),
}

pub(crate) async fn deliver(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let endpoint = state.endpoints.get(&name);
    let result = match endpoint {
        Some(endpoint) => receive(&state.engine, endpoint, request).await,
        None => DeliveryResult::UnknownHook,
    };
    // An unknown name is text from the client and must not become a metric's label.
    let hook = endpoint.map(|endpoint| endpoint.hook.name.as_str());
    metrics::hook(hook, result.label());
    // Anybody can cause these results, so a limit bounds their cost and their log lines.
    if result.is_unauthenticated()
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

async fn receive(engine: &Engine, endpoint: &Endpoint, request: Request<Body>) -> DeliveryResult {
    // 1. Check the length and the authentication by the headers.
    let (head, body) = request.into_parts();
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > endpoint.hook.most_bytes as u64) {
        return DeliveryResult::BodyTooLarge;
    }
    if endpoint.auth.check_headers(&head.headers).is_err() {
        return DeliveryResult::Unauthorized;
    }
    // 2. Read the body, with limits on its size, its time and the number of bodies in memory. The slot is held until
    //    the raw bytes are parsed. A slow body gives its slot up if others wait.
    let parsed = {
        let Ok(slot) = tokio::time::timeout(BODY_TIMEOUT, endpoint.bodies.take()).await else {
            return DeliveryResult::Busy;
        };
        let read = slot.ended.run_until_cancelled(Limited::new(body, endpoint.hook.most_bytes).collect());
        let body = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(None) => return DeliveryResult::Busy,
            Ok(Some(Ok(body))) => body.to_bytes(),
            Ok(Some(Err(error))) if error.is::<http_body_util::LengthLimitError>() => {
                return DeliveryResult::BodyTooLarge;
            }
            Ok(Some(Err(_))) => return DeliveryResult::BodyIncomplete,
            Err(_) => return DeliveryResult::BodyTooSlow,
        };
        authenticate_and_parse(endpoint, &head.headers, &body)
    };
    let (id, body) = match parsed {
        Ok(parsed) => parsed,
        Err(result) => return result,
    };
    // 3. The engine deduplicates the delivery by its id and stores its command.
    match engine.deliver(&endpoint.hook, &id, &body).await {
        Ok(Delivered::Accepted) => DeliveryResult::Accepted,
        Ok(Delivered::Duplicate) => DeliveryResult::Duplicate,
        Ok(Delivered::Ignored(reason)) => DeliveryResult::Ignored(reason),
        Err(DeliveryError::Invalid(reason)) => DeliveryResult::Malformed(reason),
        Err(DeliveryError::Unavailable(reason)) => DeliveryResult::Unavailable(reason),
    }
}

/// Verifies the signature if the hook uses signatures, counts the delivery towards the hook's rate limit, and parses
/// the body as JSON. Returns the delivery's id and the parsed body.
fn authenticate_and_parse(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(String, Value), DeliveryResult> {
    let id = match endpoint.auth.delivery_id(headers, body) {
        Ok(id) => id,
        Err(AuthError::Unauthenticated) => return Err(DeliveryResult::Unauthorized),
        Err(AuthError::NoId(header)) => {
            let reason =
                format!("the header `{header}` must contain the delivery's id: 1 to {MAX_ID_BYTES} characters");
            return Err(DeliveryResult::Malformed(reason));
        }
    };
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
    /// Returns true if a client without the hook's secret can cause this result.
    fn is_unauthenticated(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized
                | Self::UnknownHook
                | Self::BodyTooLarge
                | Self::BodyTooSlow
                | Self::BodyIncomplete
                | Self::Busy
        )
    }

    /// Returns the result's name: the value of the label `answer` in the metric of deliveries, and of the field
    /// `result` in the log.
    fn label(&self) -> &'static str {
        match self {
            Self::Accepted => "taken",
            Self::Duplicate => "again",
            Self::Ignored(_) => "left",
            Self::Malformed(_) | Self::NotJson | Self::BodyIncomplete => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::UnknownHook => "unknown",
            Self::BodyTooLarge => "too-large",
            Self::BodyTooSlow => "too-slow",
            Self::RateLimited(_) => "too-many",
            Self::Unavailable(_) | Self::Busy => "later",
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
            Self::Unauthorized => error(StatusCode::UNAUTHORIZED, "not authorized"),
            Self::UnknownHook => error(StatusCode::NOT_FOUND, "this host has no hook with this name"),
            Self::BodyTooLarge => error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Self::BodyIncomplete => error(StatusCode::BAD_REQUEST, "the body is incomplete"),
            Self::BodyTooSlow => error(StatusCode::REQUEST_TIMEOUT, "the body was not received in time"),
            Self::RateLimited(wait) => {
                retry_after(error(StatusCode::TOO_MANY_REQUESTS, "too many deliveries; retry later"), wait)
            }
            Self::Unavailable(reason) => retry_after(error(StatusCode::SERVICE_UNAVAILABLE, &reason), RETRY_AFTER),
            Self::Busy => retry_after(
                error(StatusCode::SERVICE_UNAVAILABLE, "too many deliveries at the same time; retry later"),
                RETRY_AFTER,
            ),
        }
    }
}

/// Adds the header `Retry-After`: `wait` in whole seconds, rounded up, at least 1.
fn retry_after(mut response: Response<Body>, wait: Duration) -> Response<Body> {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    response.headers_mut().insert(header::RETRY_AFTER, (seconds as u64).into());
    response
}
