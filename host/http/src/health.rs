//! `GET /healthz` and `GET /readyz`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::{Value, json};
use wardroom::{
    engine::{AccountHealth, Health},
    port::LinkState,
};

use crate::Desk;

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long its answer holds.
const FRESH: Duration = Duration::from_secs(1);

/// Whether this process is alive: it answers, and its store does.
pub(crate) async fn healthz(State(desk): State<Arc<Desk>>) -> Response<Body> {
    match health(&desk).await {
        Some(_) => answer(StatusCode::OK, &json!({ "status": "ok" })),
        None => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "the store cannot be read" })),
    }
}

/// Whether every account hears and speaks.
pub(crate) async fn readyz(State(desk): State<Arc<Desk>>) -> Response<Body> {
    let accounts = desk.engine.accounts();
    let ready = accounts.iter().all(AccountHealth::is_up);
    let accounts: Vec<Value> = accounts.iter().map(shown).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer(status, &json!({ "ready": ready, "accounts": accounts }))
}

fn shown(account: &AccountHealth) -> Value {
    // Why it is down may name machines: the log and `status` tell that to those who may know.
    let since = match &account.link {
        None => None,
        Some(LinkState::Up { since } | LinkState::Down { since, .. }) => Some(since),
    };
    let mut shown = json!({ "bot": account.bot, "network": account.network, "up": account.is_up() });
    if let Some(since) = since {
        shown["since"] = since.to_string().into();
    }
    shown
}

/// What the store said last, and when.
#[derive(Default)]
pub(crate) struct Known(tokio::sync::Mutex<Option<(Instant, Option<Health>)>>);

/// How the host stands; `None` where its store does not answer. However often it is asked, the store is asked now and then.
pub(crate) async fn health(desk: &Desk) -> Option<Health> {
    let mut known = desk.known.0.lock().await;
    match &*known {
        Some((at, health)) if at.elapsed() < FRESH => health.clone(),
        _ => {
            let health = look(desk).await;
            *known = Some((Instant::now(), health.clone()));
            health
        }
    }
}

async fn look(desk: &Desk) -> Option<Health> {
    match tokio::time::timeout(PATIENCE, desk.engine.health()).await {
        Ok(Ok(health)) => Some(health),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store cannot be read");
            None
        }
        Err(_) => {
            tracing::warn!("the store does not answer");
            None
        }
    }
}

/// An answer in JSON.
pub(crate) fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
