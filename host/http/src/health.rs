//! The health checks `GET /healthz` (the store) and `GET /readyz` (the chat connections and the secrets).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode, header},
    response::IntoResponse as _,
};
use serde_json::{Value, json};
use wardroom::{
    adapter::{LinkState, SecretStoreHealth},
    engine::{AccountHealth, Health},
};

use crate::AppState;

const STORE_TIMEOUT: Duration = Duration::from_secs(2);
const CACHE_TTL: Duration = Duration::from_secs(1);

/// Returns the HTTP status 200 if the store can be read, and 503 if it cannot.
pub(crate) async fn healthz(State(state): State<Arc<AppState>>) -> Response<Body> {
    match health(&state).await {
        Some(_) => json_response(StatusCode::OK, &json!({ "status": "ok" })),
        None => json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "the store cannot be read" })),
    }
}

/// Returns the HTTP status 200 if every chat account is connected and may send to every room that it serves, and every
/// referenced secret has a value, else 503.
pub(crate) async fn readyz(State(state): State<Arc<AppState>>) -> Response<Body> {
    let accounts = state.engine.accounts();
    let stores = state.engine.secret_stores();
    let ready = accounts.iter().all(AccountHealth::is_ready) && stores.iter().all(SecretStoreHealth::is_ready);
    let accounts: Vec<Value> = accounts.iter().map(account_json).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "ready": ready, "accounts": accounts });
    if !stores.is_empty() {
        body["secrets"] = stores.iter().map(store_json).collect();
    }
    json_response(status, &body)
}

/// Returns the state of a secret store as JSON. Leaves out the reasons and the names of the secrets; the log and the
/// command `status` show them.
fn store_json(store: &SecretStoreHealth) -> Value {
    let missing = store.problems.iter().filter(|problem| !problem.has_value).count();
    let kept = store.problems.len() - missing;
    let (LinkState::Up { since } | LinkState::Down { since, .. }) = &store.link;
    json!({
        "store": store.name, "up": store.link.is_up(), "since": since.to_string(), "current": store.current, "kept": kept,
        "missing": missing,
    })
}

/// Returns an account's connection status as JSON. Leaves out the reason for an outage, because the reason may contain
/// names of internal servers, and the names of rooms. The log and the command `status` show the reason.
fn account_json(account: &AccountHealth) -> Value {
    let mut json = json!({ "bot": account.bot, "network": account.network, "up": account.is_up() });
    if !account.blocked_rooms.is_empty() {
        json["blocked_rooms"] = account.blocked_rooms.len().into();
    }
    if let Some(LinkState::Up { since } | LinkState::Down { since, .. }) = &account.link {
        json["since"] = since.to_string().into();
    }
    json
}

/// The time and the result of the last read of the host's health. The result is `None` if the read failed.
#[derive(Default)]
pub(crate) struct HealthCache(tokio::sync::Mutex<Option<(Instant, Option<Health>)>>);

/// Returns the host's health. Each result is cached for [`CACHE_TTL`], so that the store is read at most once in this
/// time. Returns `None` if the read failed or took longer than [`STORE_TIMEOUT`].
pub(crate) async fn health(state: &AppState) -> Option<Health> {
    let mut cache = state.health.0.lock().await;
    match &*cache {
        Some((at, health)) if at.elapsed() < CACHE_TTL => health.clone(),
        _ => {
            let health = read_health(state).await;
            *cache = Some((Instant::now(), health.clone()));
            health
        }
    }
}

async fn read_health(state: &AppState) -> Option<Health> {
    match tokio::time::timeout(STORE_TIMEOUT, state.engine.health()).await {
        Ok(Ok(health)) => Some(health),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the health check cannot read the database");
            None
        }
        Err(_) => {
            tracing::warn!(timeout = ?STORE_TIMEOUT, "the health check timed out while it read the database");
            None
        }
    }
}

pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
