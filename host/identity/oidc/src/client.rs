//! The HTTP client of one provider: requests with a timeout and a limit on the size of the response.
//!
//! Invariant: redirects are not followed, and each request goes to a URL with the scheme of the issuer, or to https.
//! Invariant: an error never contains a part of a request or of an answer other than the provider's error code.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Url, header};
use serde_json::Value;
use wardroom::{
    base::{Secret, clean, spoken_duration},
    metrics::http_request,
};
use wardroom_account::{error_chain, http_client};

use crate::config::Settings;

/// The maximum size of a response, in bytes. A token with many groups and a large key set have less than 100 KiB.
const MAX_BODY: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest error code that an error shows, in bytes.
const MAX_CODE: usize = 60;

/// The answer to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A JSON object of a successful response.
    Success(Value),
    /// The code of an error response of OAuth 2.0 (RFC 6749, section 5.2), such as `authorization_pending`.
    Refused(String),
}

/// A request that the provider did not answer as an OAuth server does. The text is one line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientError {
    /// No answer, or an answer that says to try later.
    #[error("{0}")]
    Unavailable(String),
    /// An answer that stays the same if the request is repeated.
    #[error("{0}")]
    Wrong(String),
}

#[derive(Debug)]
pub(crate) struct Client {
    /// The path of the provider's table, for the metrics.
    name: String,
    issuer: Url,
    http: reqwest::Client,
}

impl Client {
    /// Creates the client, and reads the file with certificates.
    ///
    /// # Errors
    /// The file cannot be used. The error is one line for people.
    pub(crate) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let wrong = |why: String| ClientError::Wrong(why);
        let builder = http_client(settings.ca.as_deref()).map_err(wrong)?.timeout(TIMEOUT);
        let http = builder
            .build()
            .map_err(|error| wrong(format!("cannot create the HTTP client: {}", error_chain(&error))))?;
        Ok(Self { name: settings.name.clone(), issuer: settings.url.clone(), http })
    }

    /// Returns the provider for people, without a path.
    pub(crate) fn server(&self) -> String {
        self.issuer.origin().ascii_serialization()
    }

    /// Parses the URL of an endpoint. A provider with https must not send the host to an endpoint without it.
    pub(crate) fn endpoint(&self, name: &str, text: &str) -> Result<Url, ClientError> {
        let url = Url::parse(text).ok().filter(|url| url.host().is_some());
        url.filter(|url| url.scheme() == "https" || (url.scheme() == "http" && self.issuer.scheme() == "http"))
            .ok_or_else(|| ClientError::Wrong(format!("`{name}` of {} is not an https URL", self.server())))
    }

    pub(crate) async fn get(&self, url: Url) -> Result<Value, ClientError> {
        match self.send(Method::GET, url, None, &[]).await? {
            Answer::Success(value) => Ok(value),
            Answer::Refused(code) => Err(ClientError::Wrong(format!("{} refused a request: `{code}`", self.server()))),
        }
    }

    /// Sends a form. `login` is the id and the secret of the client, for the method `client_secret_basic`.
    pub(crate) async fn post(
        &self,
        url: Url,
        login: Option<(&str, &Secret)>,
        form: &[(&str, &str)],
    ) -> Result<Answer, ClientError> {
        self.send(Method::POST, url, login, form).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        login: Option<(&str, &Secret)>,
        form: &[(&str, &str)],
    ) -> Result<Answer, ClientError> {
        let label = if method == Method::GET { "GET" } else { "POST" };
        let mut request = self.http.request(method, url).header(header::ACCEPT, "application/json");
        if let Some((id, secret)) = login {
            // Both parts are encoded as in a form (RFC 6749, section 2.3.1).
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encoded(id), Some(encoded(secret.expose())));
        }
        if !form.is_empty() {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        }
        let began = Instant::now();
        let answered = self.read(request).await;
        http_request(&self.name, label, answered.as_ref().ok().map(|(status, _)| *status), began);
        let (status, body) = answered?;
        self.classify(status, &body)
    }

    fn classify(&self, status: u16, body: &[u8]) -> Result<Answer, ClientError> {
        let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
        let server = self.server();
        match (status, json) {
            (200..=299, Some(value)) => Ok(Answer::Success(value)),
            (200..=299, None) => Err(ClientError::Wrong(format!(
                "the answer of {server} is not JSON; check `issuer`, and that no login page is in front of it"
            ))),
            (429 | 500..=599, _) => Err(ClientError::Unavailable(format!("{server} is unavailable ({status})"))),
            (300..=399, _) => Err(ClientError::Wrong(format!("{server} redirects ({status}); check `issuer`"))),
            (_, Some(ref value)) if let Some(code) = value.get("error").and_then(Value::as_str) => {
                let mut code = clean(code);
                code.truncate(code.floor_char_boundary(MAX_CODE));
                Ok(Answer::Refused(code))
            }
            _ => Err(ClientError::Wrong(format!("{server} answered with the status {status}; check `issuer`"))),
        }
    }

    async fn read(&self, request: RequestBuilder) -> Result<(u16, Vec<u8>), ClientError> {
        let failed = |error: reqwest::Error| {
            let server = self.server();
            ClientError::Unavailable(if error.is_timeout() && !error.is_connect() {
                format!("{server} did not answer within {}", spoken_duration(TIMEOUT))
            } else {
                format!("{server} cannot be reached: {}", clean(&error_chain(&error.without_url())))
            })
        };
        let mut response = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(ClientError::Wrong(format!("an answer of {} is larger than 1 MiB", self.server())));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), body))
    }
}
