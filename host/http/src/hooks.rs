//! `POST /hooks/NAME`: a delivery, judged in this order: its size, who sent it, how often, what it says.
//!
//! Invariant: nobody who does not prove who they are learns more than that. What was sent is in no log line.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use wardroom::{
    Engine,
    engine::{Delivered, Undelivered},
    figures,
};

use crate::{
    Desk,
    auth::{Door, Shut},
    health::answer,
};

/// How long a body may take.
pub(crate) const BODY: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(10) };
/// When a machine shall try again whose delivery cannot be taken now.
const AGAIN: Duration = Duration::from_secs(5);

/// What a delivery is answered.
enum Answer {
    Taken,
    Again,
    Left(String),
    Malformed(String),
    NotJson,
    Unproven,
    Unknown,
    TooLarge,
    TooSlow,
    Broken,
    Busy,
    TooMany(Duration),
    Later(String),
}

/// The route.
pub(crate) async fn deliver(
    State(desk): State<Arc<Desk>>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let door = desk.doors.get(&name);
    let answered = match door {
        Some(door) => taken(&desk.engine, door, request).await,
        None => Answer::Unknown,
    };
    // A name that there is none of is somebody's text.
    let hook = door.map(|door| door.hook.name.as_str());
    figures::hook(hook, answered.word());
    // Anybody can bring these about: they are answered cheaply, and only so many of them leave a line.
    if answered.is_anybodys()
        && let Err(wait) = desk.failures.take()
    {
        return Answer::TooMany(wait).response();
    }
    match answered {
        Answer::TooMany(_) => tracing::debug!(hook, answer = answered.word(), "a delivery"),
        _ => tracing::info!(hook = hook.unwrap_or("none of that name"), answer = answered.word(), "a delivery"),
    }
    answered.response()
}

/// Takes a delivery to a hook.
async fn taken(engine: &Engine, door: &Door, request: Request<Body>) -> Answer {
    let (head, body) = request.into_parts();
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > door.hook.most_bytes as u64) {
        return Answer::TooLarge;
    }
    if door.head(&head.headers).is_err() {
        return Answer::Unproven;
    }
    let name = {
        let Ok(Ok(_turn)) = tokio::time::timeout(BODY, door.reading.acquire()).await else { return Answer::Busy };
        let body = match tokio::time::timeout(BODY, Limited::new(body, door.hook.most_bytes).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Answer::TooLarge,
            Ok(Err(_)) => return Answer::Broken,
            Err(_) => return Answer::TooSlow,
        };
        proven(door, &head.headers, &body)
    };
    let (name, body) = match name {
        Ok(proven) => proven,
        Err(answer) => return answer,
    };
    match engine.deliver(&door.hook, &name, &body).await {
        Ok(Delivered::Taken) => Answer::Taken,
        Ok(Delivered::Again) => Answer::Again,
        Ok(Delivered::Left(why)) => Answer::Left(why),
        Err(Undelivered::Wrong(why)) => Answer::Malformed(why),
        Err(Undelivered::Later(why)) => Answer::Later(why),
    }
}

/// What a body says, and what the delivery is called, where it may be said and is not said too often.
fn proven(door: &Door, headers: &HeaderMap, body: &Bytes) -> Result<(String, Value), Answer> {
    let name = match door.name(headers, body) {
        Ok(name) => name,
        Err(Shut::Unproven) => return Err(Answer::Unproven),
        Err(Shut::Unnamed(header)) => {
            let why = format!("a delivery is named by the header {header}, of at most 256 signs, and this one is not");
            return Err(Answer::Malformed(why));
        }
    };
    door.rate.take().map_err(Answer::TooMany)?;
    if !is_json(headers) {
        return Err(Answer::NotJson);
    }
    let body = serde_json::from_slice(body).map_err(|_| Answer::Malformed("the body is no JSON".to_owned()))?;
    Ok((name, body))
}

/// Whether a body says that it is JSON, or nothing at all.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

impl Answer {
    /// Whether it was answered without a proof of who sent it.
    fn is_anybodys(&self) -> bool {
        matches!(self, Self::Unproven | Self::Unknown | Self::TooLarge | Self::TooSlow | Self::Broken | Self::Busy)
    }

    /// For figures and log.
    fn word(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Again => "again",
            Self::Left(_) => "left",
            Self::Malformed(_) | Self::NotJson | Self::Broken => "malformed",
            Self::Unproven => "unauthorized",
            Self::Unknown => "unknown",
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::TooMany(_) => "too-many",
            Self::Later(_) | Self::Busy => "later",
        }
    }

    fn response(self) -> Response<Body> {
        let error = |status, why: &str| answer(status, &json!({ "error": why }));
        match self {
            Self::Taken => answer(StatusCode::ACCEPTED, &json!({ "status": "taken" })),
            Self::Again => answer(StatusCode::OK, &json!({ "status": "again" })),
            Self::Left(why) => answer(StatusCode::OK, &json!({ "status": "left", "why": why })),
            Self::Malformed(why) => error(StatusCode::BAD_REQUEST, &why),
            Self::NotJson => error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is not said to be JSON (content-type: application/json)",
            ),
            Self::Unproven => error(StatusCode::UNAUTHORIZED, "not authorized"),
            Self::Unknown => error(StatusCode::NOT_FOUND, "there is no such hook"),
            Self::TooLarge => error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Self::Broken => error(StatusCode::BAD_REQUEST, "the body broke off"),
            Self::TooSlow => error(StatusCode::REQUEST_TIMEOUT, "the body takes too long"),
            Self::TooMany(wait) => later(error(StatusCode::TOO_MANY_REQUESTS, "too many deliveries"), wait),
            Self::Later(why) => later(error(StatusCode::SERVICE_UNAVAILABLE, &why), AGAIN),
            Self::Busy => later(error(StatusCode::SERVICE_UNAVAILABLE, "too many are delivered at a time"), AGAIN),
        }
    }
}

/// With the word when to try again.
fn later(mut response: Response<Body>, wait: Duration) -> Response<Body> {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    response.headers_mut().insert(header::RETRY_AFTER, (seconds as u64).into());
    response
}
