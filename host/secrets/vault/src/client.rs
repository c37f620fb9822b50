//! The HTTP client of one Vault server: requests with a token and a limit on the size of the response.
//!
//! Invariant: the host sends its token only to the configured URL; redirects are not followed.
//! Invariant: no more of a response is read than [`MAX_BODY`], and each request has a timeout.

use std::time::{Duration, Instant};

use reqwest::{
    Identity, Method, Response, Url,
    header::{HeaderMap, HeaderValue},
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use wardroom::{
    base::{Backoff, Secret},
    metrics::http_request,
};
use wardroom_account::{error_chain, http_client};

use crate::{
    config::{Login, Server},
    error::{VaultError, classify, no_response},
};

/// The maximum size of a response, in bytes. The default limit of a server for a request is 32 MiB, and for an entry of
/// its storage 1 MiB.
const MAX_BODY: usize = 4 << 20;
/// How often a request is sent to a replica that is behind.
const REPLICA_ATTEMPTS: u32 = 4;
/// The first and the longest delay before a request is sent to such a replica again.
const REPLICA_DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

#[derive(Debug)]
pub(crate) struct Client {
    /// The path of the server's table, for the metrics.
    name: String,
    base: Url,
    namespace: Option<HeaderValue>,
    timeout: Duration,
    http: reqwest::Client,
}

/// A successful response. A field that the response does not have is empty.
#[derive(Default, Deserialize)]
pub(crate) struct Answer {
    #[serde(default)]
    pub(crate) data: Value,
    #[serde(default)]
    pub(crate) auth: Option<Auth>,
    #[serde(default)]
    pub(crate) lease_id: String,
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) lease_duration: u64,
    #[serde(default)]
    pub(crate) renewable: bool,
}

/// Reads a duration in seconds. A longer one than ten years counts as ten years.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(u64::deserialize(deserializer)?.min(10 * 366 * 24 * 3600))
}

/// The token of a login or of a renewal.
#[derive(Deserialize)]
pub(crate) struct Auth {
    pub(crate) client_token: String,
    #[serde(default)]
    pub(crate) policies: Vec<String>,
    /// In seconds; 0 if the token does not expire.
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) lease_duration: u64,
    #[serde(default)]
    pub(crate) renewable: bool,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({} s)", self.lease_duration)
    }
}

impl Client {
    /// Returns the configured namespace.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_ref().and_then(|namespace| namespace.to_str().ok())
    }

    /// Creates the client, and reads the files with certificates.
    ///
    /// # Errors
    /// A file cannot be used. The error is one line for people.
    pub(crate) fn new(server: &Server) -> Result<Self, String> {
        let mut builder = http_client(server.ca.as_deref())?.timeout(server.timeout);
        if let Login::Cert { cert, key, .. } = &server.login {
            let read = |path: &std::path::Path| {
                std::fs::read(path).map_err(|error| format!("the file `{}` cannot be read: {error}", path.display()))
            };
            let mut pem = read(cert)?;
            pem.push(b'\n');
            pem.extend(read(key)?);
            let identity = Identity::from_pem(&pem).map_err(|error| {
                format!(
                    "the client certificate in `{}` and `{}` cannot be used: {}",
                    cert.display(),
                    key.display(),
                    error_chain(&error)
                )
            })?;
            builder = builder.identity(identity);
        }
        let http =
            builder.build().map_err(|error| format!("cannot create the HTTP client: {}", error_chain(&error)))?;
        let namespace = server.namespace.as_deref().and_then(|name| HeaderValue::from_str(name).ok());
        Ok(Self { name: server.name.clone(), base: server.url.clone(), namespace, timeout: server.timeout, http })
    }

    /// Returns the server for people, without a path.
    pub(crate) fn server(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&Secret>) -> Result<Answer, VaultError> {
        self.send(Method::GET, path, token, None).await
    }

    pub(crate) async fn post(&self, path: &str, token: Option<&Secret>, body: &Value) -> Result<Answer, VaultError> {
        self.send(Method::POST, path, token, Some(body)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret>,
        body: Option<&Value>,
    ) -> Result<Answer, VaultError> {
        let mut backoff = Backoff::new(REPLICA_DELAYS.0, REPLICA_DELAYS.1);
        loop {
            let (status, headers, answer) = self.exchange(&method, path, token, body).await?;
            match status {
                204 => return Ok(Answer::default()),
                200..=299 => return self.parse(&answer),
                412 if backoff.retries() + 1 < REPLICA_ATTEMPTS => backoff.wait(None).await,
                503 => return Err(self.why_unavailable(classify(status, &headers, &answer, &self.server())).await),
                _ => return Err(classify(status, &headers, &answer, &self.server())),
            }
        }
    }

    fn parse(&self, body: &[u8]) -> Result<Answer, VaultError> {
        let is_answer = |value: &Value| value.get("request_id").is_some() || value.get("data").is_some();
        let value: Option<Value> = serde_json::from_slice(body).ok().filter(is_answer);
        value.and_then(|value| serde_json::from_value(value).ok()).ok_or_else(|| {
            VaultError::outage(format!("the answer of {} is not that of a Vault server; check `url`", self.server()))
        })
    }

    /// Returns the error with the reason that the server's status names: a sealed server answers every request with 503.
    async fn why_unavailable(&self, error: VaultError) -> VaultError {
        let Ok((200, _, body)) = self.exchange(&Method::GET, "sys/seal-status", None, None).await else { return error };
        let status: Value = serde_json::from_slice(&body).unwrap_or_default();
        let is = |name: &str| status.get(name).and_then(Value::as_bool);
        let server = self.server();
        match (is("initialized"), is("sealed")) {
            (Some(false), _) => VaultError::outage(format!("{server} is not initialized")),
            (_, Some(true)) => VaultError::outage(format!("{server} is sealed; unseal it")),
            _ => error,
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        token: Option<&Secret>,
        body: Option<&Value>,
    ) -> Result<(u16, HeaderMap, Vec<u8>), VaultError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path.split('/'));
        }
        // A proxy can require this header, which a browser does not send by itself.
        let mut request = self.http.request(method.clone(), url).header("X-Vault-Request", "true");
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose())
                .map_err(|_| VaultError::outage("the token contains characters that an HTTP header cannot contain"))?;
            value.set_sensitive(true);
            request = request.header("X-Vault-Token", value);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let began = Instant::now();
        let label = if *method == Method::GET { "GET" } else { "POST" };
        let answered = self.read(request).await;
        http_request(&self.name, label, answered.as_ref().ok().map(|(status, ..)| *status), began);
        answered
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Result<(u16, HeaderMap, Vec<u8>), VaultError> {
        let failed = |error| no_response(error, &self.server(), self.timeout);
        let mut response: Response = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(VaultError::outage(format!("the answer of {} is larger than 4 MiB", self.server())));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), response.headers().clone(), body))
    }
}
