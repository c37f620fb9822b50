//! The part of REST v4 that bots use.

mod channels;
mod posts;
mod users;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use serde_json::{Value, json};

use crate::{Shared, faults::Faults, socket};

pub(crate) type App = State<Arc<Shared>>;

/// The id of the authenticated user of a request.
pub(crate) struct CurrentUser(pub(crate) String);

/// An error response: its status and the error id.
#[derive(Debug)]
pub(crate) struct ApiError(StatusCode, &'static str);

pub(crate) type Answer = Result<Json<Value>, ApiError>;

impl ApiError {
    pub(crate) const FORBIDDEN: Self = Self(StatusCode::FORBIDDEN, "api.context.permissions.app_error");
    pub(crate) const MISSING: Self = Self(StatusCode::NOT_FOUND, "app.missing.app_error");

    /// Creates the response with a status and an error id.
    pub(crate) fn of(status: u16, id: &'static str) -> Self {
        Self(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), id)
    }

    pub(crate) const fn bad(id: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, id)
    }

    pub(crate) const fn internal(id: &'static str) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, id)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // A real server returns the message in its own language.
        let body = json!({
            "id": self.1, "message": "Das geht so nicht.", "detailed_error": "", "request_id": "r",
            "status_code": self.0.as_u16(),
        });
        (self.0, Json(body)).into_response()
    }
}

/// Returns the token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

impl FromRequestParts<Arc<Shared>> for CurrentUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let user = bearer(&parts.headers).and_then(|token| shared.data().user_of(token));
        user.map(Self).ok_or(ApiError(StatusCode::UNAUTHORIZED, "api.context.session_expired.app_error"))
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/users/{user}", get(users::one))
        .route("/users/username/{name}", get(users::named))
        .route("/users/ids", post(users::by_ids))
        .route("/users/{user}/teams", get(users::teams))
        .route("/users/{user}/teams/members", get(users::team_members))
        .route("/users/{user}/teams/{team}/channels/members", get(users::channel_members))
        .route("/roles/names", post(users::roles))
        .route("/users/{user}/teams/{team}/channels", get(users::channels_of_team))
        .route("/users/{user}/channels", get(users::channels))
        .route("/users/{user}/typing", post(users::typing))
        .route("/users/{user}/posts/{post}/reactions/{emoji}", delete(posts::unreact))
        .route("/teams/name/{team}/channels/name/{channel}", get(channels::named))
        .route("/channels/direct", post(channels::direct))
        .route("/channels/{channel}", get(channels::one))
        .route("/channels/{channel}/members", get(channels::members))
        .route("/channels/{channel}/members/{user}", get(channels::member))
        .route("/channels/{channel}/posts", get(channels::posts))
        .route("/posts", post(posts::create))
        .route("/posts/{post}", get(posts::one).delete(posts::remove))
        .route("/posts/{post}/patch", put(posts::patch))
        .route("/posts/{post}/reactions", get(posts::reactions))
        .route("/reactions", post(posts::react))
        .route("/files", post(posts::upload))
        .route("/config/client", get(users::config))
        .route("/websocket", get(socket::open))
        .layer(from_fn_with_state(shared.clone(), apply_faults));
    Router::new().nest("/api/v4", api).with_state(shared)
}

/// Applies the faults to a request before its handler.
async fn apply_faults(State(shared): App, request: Request, next: Next) -> Response {
    let padding;
    let fault = {
        let mut faults = shared.faults();
        let path = request.uri().path().trim_start_matches("/api/v4").to_owned();
        let socket = path == "/websocket";
        let is_padded = !faults.padded.is_empty() && path.starts_with(&faults.padded);
        padding = if is_padded { faults.padding } else { 0 };
        faults.calls.push((request.method().to_string(), path));
        if faults.down {
            Some((StatusCode::BAD_GATEWAY, [(header::RETRY_AFTER, "1".to_owned())], "<html>502</html>").into_response())
        } else if faults.guarded {
            Some((StatusCode::UNAUTHORIZED, "<html>Sign in</html>").into_response())
        } else if !socket && Faults::use_up(&mut faults.limited) {
            let wait = [(header::RETRY_AFTER, faults.retry_after.to_string())];
            Some((StatusCode::TOO_MANY_REQUESTS, wait, "limit exceeded\n").into_response())
        } else {
            None
        }
    };
    let response = match fault {
        Some(fault) => fault,
        None => next.run(request).await,
    };
    if padding == 0 { response } else { padded(response, padding).await }
}

/// Appends spaces to the body of a response.
async fn padded(response: Response, padding: usize) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let mut body = to_bytes(body, usize::MAX).await.map(Vec::from).unwrap_or_default();
    body.resize(body.len() + padding, b' ');
    Response::from_parts(parts, body.into())
}

/// Returns the response for a created object: 201, or 200 with the fault `plain_success`.
pub(crate) fn created(shared: &Shared, body: Value) -> Response {
    let status = if shared.faults().plain_success { StatusCode::OK } else { StatusCode::CREATED };
    (status, Json(body)).into_response()
}
