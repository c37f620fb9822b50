//! An OpenID Connect provider with the device flow in the process of the test.
//!
//! The code follows the standards and shares none with a client: its signatures are made with `aws-lc-rs` alone. [`Server`]
//! is the provider, [`Behaviour`] what it does next.
//!
//! Invariant: without a fault in [`Behaviour`] the server behaves like a provider that follows the standards.
//!
//! | route | fields and statuses | source |
//! |---|---|---|
//! | `GET …/.well-known/openid-configuration` | `issuer`, `token_endpoint`, `jwks_uri`, `id_token_signing_alg_values_supported`, `token_endpoint_auth_methods_supported` | OpenID Connect Discovery 1.0, sections 3 and 4 |
//! | the same | `device_authorization_endpoint`; missing if the device flow is not supported | RFC 8628, section 4 |
//! | `GET …/keys` | `keys[kty,kid,use,alg,n,e,crv,x,y]`; also keys for encryption and of unknown kinds | RFC 7517, sections 4 and 5; RFC 7518, section 6; RFC 8037, section 2 |
//! | `POST …/device` | a form with `client_id` and `scope`; `device_code`, `user_code`, `verification_uri`, `verification_uri_complete`, `expires_in`, `interval` | RFC 8628, sections 3.1 and 3.2 |
//! | `POST …/token` | a form with `grant_type`, `device_code` and `client_id`; `id_token`, `access_token`, `token_type`, `expires_in` | RFC 8628, section 3.4; OpenID Connect Core 1.0, section 3.1.3.3 |
//! | the same | 400 with `error`: `authorization_pending`, `slow_down`, `expired_token`, `access_denied`, `invalid_grant` | RFC 8628, section 3.5; RFC 6749, section 5.2 |
//! | both | 401 with `invalid_client` for a wrong secret; the secret is in the header `Authorization` | RFC 6749, sections 2.3.1 and 5.2 |
//! | every route | 503; an HTML page with 200 instead of the answer, as a proxy with a login sends it | RFC 9110, section 15.6.4 |
//!
//! Claims of an ID token: `iss`, `sub`, `aud`, `exp`, `iat` (OpenID Connect Core 1.0, section 2), and the groups of the
//! person, in a claim whose name the configuration of the provider determines.
//!
//! Not here: the pages on which a person logs in; a test calls [`Server::log_in`].

mod keys;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wardroom_fake_server::{Connections, CuttableListener};

pub use keys::Signing;

use keys::Keys;

/// The id of the client that the provider has.
pub const CLIENT: &str = "wardroom";
/// The secret of the client, with characters that a header must encode.
pub const SECRET: &str = "s3cret:+ä%";

/// What the provider does next. The default follows the standards.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Whether the client has a secret.
    pub confidential: bool,
    /// How many polls are answered with `slow_down`.
    pub slow_downs: u32,
    /// The status of every answer, without a body.
    pub status: Option<u16>,
    /// Whether every answer is an HTML page.
    pub html: bool,
    /// The error of each poll.
    pub refusal: Option<&'static str>,
    /// Whether the discovery document has the device flow.
    pub device_flow: bool,
    /// The lifetime of a code, in seconds.
    pub expires_in: u64,
    /// How ID tokens are signed.
    pub signing: Signing,
    /// The difference between the clock of the provider and of the host, in seconds.
    pub skew: i64,
    /// The lifetime of ID tokens, in seconds.
    pub lifetime: i64,
    /// The issuer in the discovery document; `None` for the right one.
    pub document_issuer: Option<String>,
    /// Claims that replace those of an ID token; a claim with the value `null` is missing.
    pub claims: Value,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            confidential: false,
            slow_downs: 0,
            status: None,
            html: false,
            refusal: None,
            device_flow: true,
            expires_in: 600,
            signing: Signing::Rs256,
            skew: 0,
            lifetime: 300,
            document_issuer: None,
            claims: json!({}),
        }
    }
}

#[derive(Debug)]
struct Code {
    number: usize,
    /// The claims of the person who logged in.
    account: Option<Value>,
    is_used: bool,
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    behaviour: Mutex<Behaviour>,
    codes: Mutex<Vec<Code>>,
    keys: Mutex<Keys>,
    /// The names of the routes of all requests.
    requests: Mutex<Vec<String>>,
}

/// A running provider.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Starts a provider whose issuer has a path, as one with several customers has it.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let listener = CuttableListener::bind(Connections::default()).await?;
        let address: SocketAddr = listener.address()?;
        let shared = Arc::new(Shared {
            issuer: format!("http://{address}/realms/corp"),
            behaviour: Mutex::default(),
            codes: Mutex::default(),
            keys: Mutex::new(Keys::new(1)?),
            requests: Mutex::default(),
        });
        let router = Router::new()
            .route("/realms/corp/.well-known/openid-configuration", get(discovery))
            .route("/realms/corp/{name}", get(keys))
            .route("/realms/corp/{name}", post(form))
            .with_state(shared.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { shared, task })
    }

    /// Returns the issuer of the provider.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Changes what the provider does next.
    pub fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared.behaviour));
    }

    /// Logs a person in who types the code of a login. Returns whether there is such a code.
    pub fn log_in(&self, user_code: &str, subject: &str, groups: &[&str]) -> bool {
        let account = json!({ "sub": subject, "groups": groups, "realm_access": { "roles": groups } });
        let mut codes = lock(&self.shared.codes);
        let code = codes.iter_mut().find(|code| self::user_code(code.number) == user_code);
        code.map(|code| code.account = Some(account)).is_some()
    }

    /// Replaces the signing keys.
    ///
    /// # Errors
    /// The keys cannot be created.
    pub fn rotate(&self) -> Result<()> {
        let mut keys = lock(&self.shared.keys);
        *keys = keys.rotated()?;
        Ok(())
    }

    /// Returns the number of requests to a route: `discovery`, `keys`, `device` or `token`.
    pub fn requests(&self, route: &str) -> usize {
        lock(&self.shared.requests).iter().filter(|known| *known == route).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn user_code(number: usize) -> String {
    format!("WDJB-{number:04}")
}

/// Returns the answer of a fault on every route.
fn fault(shared: &Shared) -> Option<Response> {
    let behaviour = lock(&shared.behaviour);
    if let Some(status) = behaviour.status {
        return Some(StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE).into_response());
    }
    behaviour.html.then(|| {
        ([(header::CONTENT_TYPE, "text/html")], "<html><body><form>Sign in</form></body></html>").into_response()
    })
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn refuse(status: StatusCode, error: &str) -> Response {
    answer(status, &json!({ "error": error, "error_description": "a text for developers" }))
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    lock(&shared.requests).push("discovery".to_owned());
    if let Some(fault) = fault(&shared) {
        return fault;
    }
    let behaviour = lock(&shared.behaviour).clone();
    let issuer = &shared.issuer;
    let mut document = json!({
        "issuer": behaviour.document_issuer.as_ref().unwrap_or(issuer),
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    if behaviour.device_flow {
        document["device_authorization_endpoint"] = json!(format!("{issuer}/device"));
    }
    answer(StatusCode::OK, &document)
}

async fn keys(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    lock(&shared.requests).push(name.clone());
    match fault(&shared) {
        Some(fault) => fault,
        None if name == "keys" => answer(StatusCode::OK, &lock(&shared.keys).set()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn form(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    lock(&shared.requests).push(name.clone());
    if let Some(fault) = fault(&shared) {
        return fault;
    }
    let fields: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let behaviour = lock(&shared.behaviour).clone();
    if field("client_id") != Some(CLIENT) || (behaviour.confidential && !has_secret(&headers)) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    match name.as_str() {
        "device" => device(&shared, &behaviour, field("scope")),
        "token" => token(&shared, &behaviour, field("grant_type"), field("device_code")),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Returns whether a request has the client's id and secret, both encoded as in a form.
fn has_secret(headers: &HeaderMap) -> bool {
    let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let text = text.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let Some((id, secret)) = text.as_deref().and_then(|text| text.split_once(':')) else { return false };
    let decoded = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    decoded(id).as_deref() == Some(CLIENT) && decoded(secret).as_deref() == Some(SECRET)
}

fn device(shared: &Shared, behaviour: &Behaviour, scope: Option<&str>) -> Response {
    if scope.is_none_or(|scope| !scope.split(' ').any(|scope| scope == "openid")) {
        return refuse(StatusCode::BAD_REQUEST, "invalid_scope");
    }
    let mut codes = lock(&shared.codes);
    let number = codes.len();
    codes.push(Code { number, account: None, is_used: false });
    let page = format!("{}/activate", shared.issuer);
    answer(
        StatusCode::OK,
        &json!({
            "device_code": format!("device-code-{number}"),
            "user_code": user_code(number),
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={}", user_code(number)),
            "expires_in": behaviour.expires_in,
            "interval": 0,
        }),
    )
}

fn token(shared: &Shared, behaviour: &Behaviour, grant: Option<&str>, code: Option<&str>) -> Response {
    if grant != Some("urn:ietf:params:oauth:grant-type:device_code") {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let mut codes = lock(&shared.codes);
    let known = codes.iter_mut().find(|known| code == Some(&format!("device-code-{}", known.number)));
    let Some(known) = known.filter(|known| !known.is_used) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    if let Some(error) = behaviour.refusal {
        return refuse(StatusCode::BAD_REQUEST, error);
    }
    if behaviour.slow_downs > 0 {
        lock(&shared.behaviour).slow_downs -= 1;
        return refuse(StatusCode::BAD_REQUEST, "slow_down");
    }
    let Some(account) = &known.account else { return refuse(StatusCode::BAD_REQUEST, "authorization_pending") };
    let now = jiff::Timestamp::now().as_second() + behaviour.skew;
    let mut claims = json!({ "iss": shared.issuer, "aud": CLIENT, "iat": now, "exp": now + behaviour.lifetime });
    for (name, value) in [account, &behaviour.claims].into_iter().filter_map(Value::as_object).flatten() {
        claims[name] = value.clone();
    }
    if let Some(claims) = claims.as_object_mut() {
        claims.retain(|_, value| !value.is_null());
    }
    known.is_used = true;
    match lock(&shared.keys).token(&claims, behaviour.signing) {
        Ok(token) => answer(
            StatusCode::OK,
            &json!({ "id_token": token, "access_token": "access-token-4711", "token_type": "Bearer", "expires_in": 60 }),
        ),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
