//! The connection to one HTTP server: limits, the breaker, metrics and the clock of the server.
//!
//! Invariant: no more of a response is read than the limit of its request, and each request has a timeout.
//! Invariant: the client repeats no request by itself, because the request can start a run.
//! Not here: credentials and the meaning of a response, which differ between servers.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{DATE, HeaderMap},
};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use wardroom::{Timestamp, metrics::http_request};
use wardroom_account::http_client;

use crate::{
    breaker::{Breaker, Permit},
    error::RemoteError,
    identity::{IdentitySource, LoadedIdentity},
};

/// The number of requests to one server at the same time.
const MAX_CONCURRENT: usize = 8;
/// The maximum size of an error response, in bytes.
pub const MAX_ERROR_BODY: usize = 64 << 10;
/// Differences of the clocks up to this many seconds are not corrected, because `Date` has whole seconds.
const CLOCK_TOLERANCE: i64 = 2;

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The name of the backend in the configuration, for the metrics.
    pub name: String,
    /// The software for people: `Jenkins`.
    pub software: &'static str,
    /// The URL below which the API is.
    pub url: Url,
    /// A file with certificates that are trusted in addition to the system's.
    pub ca: Option<PathBuf>,
    /// The timeout of each request.
    pub timeout: Duration,
    /// The first pause of an open breaker.
    pub pause: Duration,
}

/// The connection to one server.
#[derive(Debug)]
pub struct Server {
    settings: ServerSettings,
    breaker: Breaker,
    slots: Semaphore,
    /// The client certificate with which the host signs in.
    identity: Option<IdentitySource>,
    /// Created by the first request, so that certificates that cannot be read are read again by the next; with the
    /// client certificate with which it was created.
    http: Mutex<Option<(Client, Option<LoadedIdentity>)>>,
    /// The server's clock minus the host's clock, in seconds.
    clock_offset: AtomicI64,
}

/// A response with its body.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. Empty if it was larger than the limit of the request.
    pub body: Vec<u8>,
    /// Whether the body was larger than the limit, so that it was not read.
    pub is_too_large: bool,
}

/// A response whose body was not read yet. The reader of the body must report the result to the breaker.
#[derive(Debug)]
pub struct OpenAnswer<'s> {
    /// The response.
    pub response: Response,
    permit: Permit<'s>,
    _slot: Option<SemaphorePermit<'s>>,
}

impl Server {
    /// Creates the connection. Makes no request and reads no file.
    pub fn new(settings: ServerSettings) -> Self {
        Self {
            breaker: Breaker::new(settings.pause),
            slots: Semaphore::new(MAX_CONCURRENT),
            identity: None,
            http: Mutex::default(),
            clock_offset: AtomicI64::new(0),
            settings,
        }
    }

    /// Signs in with a client certificate. Each request uses the certificate that its secrets hold at that time.
    #[must_use]
    pub fn identity(mut self, source: IdentitySource) -> Self {
        self.identity = Some(source);
        self
    }

    /// Returns the URL below which the API is.
    pub fn url(&self) -> &Url {
        &self.settings.url
    }

    /// Returns the timeout of each request.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Returns the server for people, without a path.
    pub fn origin(&self) -> String {
        self.settings.url.origin().ascii_serialization()
    }

    /// Converts a time of the server, in milliseconds since 1970, to a time of the host's clock.
    pub fn host_time(&self, millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis.saturating_sub(self.clock_offset_millis()))
            .unwrap_or_else(|_| Timestamp::now())
    }

    /// Converts a time of the host's clock to a time of the server, in milliseconds since 1970.
    pub fn server_time(&self, time: Timestamp) -> i64 {
        time.as_millisecond().saturating_add(self.clock_offset_millis())
    }

    fn clock_offset_millis(&self) -> i64 {
        self.clock_offset.load(Ordering::Relaxed).saturating_mul(1000)
    }

    /// Sends a request and reads its response, at most `max` bytes of a success and [`MAX_ERROR_BODY`] bytes of another
    /// response. `build` adds headers, query and body. `classify` returns the error for a response that is one.
    ///
    /// # Errors
    /// The breaker is open, there was no response, or `classify` returned an error.
    pub async fn exchange(
        &self,
        method: Method,
        url: Url,
        max: usize,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
        classify: impl FnOnce(&Answer) -> Option<RemoteError> + Send,
    ) -> Result<Answer, RemoteError> {
        let open = self.open(method, url, build).await?;
        let OpenAnswer { mut response, permit, _slot } = open;
        let result = match self.read(&mut response, max).await {
            Ok(answer) => match classify(&answer) {
                None => Ok(answer),
                Some(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        permit.report(result.as_ref().err());
        result
    }

    /// Sends a request and returns its response before the body is read.
    ///
    /// # Errors
    /// The breaker is open, or there was no response.
    pub async fn open(
        &self,
        method: Method,
        url: Url,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<OpenAnswer<'_>, RemoteError> {
        // The breaker answers before the request waits for a slot.
        let permit = self.breaker.permit().map_err(RemoteError::not_sent)?;
        let slot = self.slots.acquire().await.ok();
        let label = label(&method);
        let request = build(self.http()?.request(method, url).timeout(self.settings.timeout));
        let began = Instant::now();
        let sent = request.send().await;
        let status = sent.as_ref().ok().map(|response| response.status().as_u16());
        http_request(&self.settings.name, label, status, began);
        match sent {
            Ok(response) => {
                self.note_clock(response.headers());
                Ok(OpenAnswer { response, permit, _slot: slot })
            }
            Err(error) => {
                let error = self.failed(error);
                permit.report(Some(&error));
                Err(error)
            }
        }
    }

    /// Reads a response with its body.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn read(&self, response: &mut Response, max: usize) -> Result<Answer, RemoteError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let max = if status.is_success() { max } else { MAX_ERROR_BODY };
        let mut body = Vec::new();
        let mut is_too_large = false;
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if chunk.len() > max - body.len() => {
                    (body, is_too_large) = (Vec::new(), true);
                    break;
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                // The status of an error response is enough.
                Err(_) if !status.is_success() => break,
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(Answer { status, headers, body, is_too_large })
    }

    /// Converts an error without a response.
    pub fn failed(&self, error: reqwest::Error) -> RemoteError {
        RemoteError::no_response(self.settings.software, error, &self.origin(), self.settings.timeout)
    }

    /// Parses the JSON body of a response.
    ///
    /// # Errors
    /// The response is not what the API returns, or it was too large to be read. `what` is its content for people.
    pub fn json<T: DeserializeOwned>(&self, answer: &Answer, what: &str) -> Result<T, RemoteError> {
        let software = self.settings.software;
        if answer.is_too_large {
            return Err(RemoteError::unusable(format!("the answer of {software} for {what} is too large to be read")));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| RemoteError::not_the_api(software, &answer.headers, &answer.body))
    }

    fn http(&self) -> Result<Client, RemoteError> {
        let identity = self.identity.as_ref().map(IdentitySource::load).transpose()?;
        let mut http = self.http.lock();
        if let Some((client, _)) = http.as_ref().filter(|(_, used)| *used == identity) {
            return Ok(client.clone());
        }
        let mut builder = http_client(self.settings.ca.as_deref()).map_err(RemoteError::not_sent)?;
        if let Some(identity) = &identity {
            builder = builder.identity(identity.parse()?);
        }
        let built = builder.http1_only().retry(reqwest::retry::never()).build();
        let built = built.map_err(|error| self.failed(error))?;
        *http = Some((built.clone(), identity));
        Ok(built)
    }

    /// Measures the difference of the clocks by the header `Date`.
    fn note_clock(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) else { return };
        let offset = date.timestamp().as_second() - Timestamp::now().as_second();
        let offset = if offset.abs() <= CLOCK_TOLERANCE { 0 } else { offset };
        self.clock_offset.store(offset, Ordering::Relaxed);
    }
}

impl OpenAnswer<'_> {
    /// Reports the result of reading the response to the breaker.
    pub fn report(self, error: Option<&RemoteError>) {
        self.permit.report(error);
    }
}

/// Returns the method for the metrics.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "POST",
    }
}
