//! The HTTP client of one backend: authenticated requests with limits, retries of what may be repeated, and the breaker.
//!
//! Invariant: a request that starts a build is sent once. It is sent again only after an answer that says that nothing was
//! done: a rejected secret that was replaced, or a missing crumb.
//! Invariant: no more of a response is read than the limit of its call.

mod calls;
mod log_chunk;
mod types;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::{
    Method, Response, Url,
    header::{CONTENT_TYPE, COOKIE, DATE, HeaderMap},
};
use tokio::sync::Semaphore;
use wardroom::{
    Timestamp,
    base::{Backoff, Secret},
    metrics::http_request,
};
use wardroom_account::http_client;

use crate::{
    breaker::{Breaker, Permit},
    config::{SignIn, System},
    credentials::{Credentials, Crumb},
    error::{JenkinsError, classify, no_response},
    job_path::below,
    responses::Request,
};

pub(crate) use calls::{Signal, Triggered};
pub(crate) use log_chunk::LogChunk;
pub(crate) use types::{Build, JobBuilds, JobInfo, Origin, ParameterDefinition, QueueItem, QueueList, RunningBuild};

/// The number of requests to one Jenkins at the same time.
const MAX_CONCURRENT: usize = 8;
/// How often a request that changes nothing is sent at most.
const READ_ATTEMPTS: u32 = 3;
/// The first and the longest delay before a retry.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// The maximum size of an error response, in bytes.
const MAX_ERROR_BODY: usize = 64 << 10;
/// Differences of the clocks up to this many seconds are not corrected, because `Date` has whole seconds.
const CLOCK_TOLERANCE: i64 = 2;

#[derive(Debug)]
pub(crate) struct Client {
    /// The name of the backend in the configuration, for the metrics.
    name: String,
    base: Url,
    ca: Option<PathBuf>,
    timeout: Duration,
    pub(crate) credentials: Credentials,
    breaker: Breaker,
    slots: Semaphore,
    /// Created by the first request, so that certificates that cannot be read are read again by the next.
    http: Mutex<Option<reqwest::Client>>,
    /// Jenkins' clock minus the host's clock, in seconds.
    clock_offset: AtomicI64,
}

/// A request below the URL of Jenkins.
#[derive(Debug, Clone)]
struct Call<'c> {
    kind: Request,
    method: Method,
    segments: Vec<&'c str>,
    query: Vec<(&'static str, String)>,
    /// The body of a form.
    form: Option<String>,
    /// The maximum size of the response, in bytes.
    max: usize,
    /// The object of the request for people, for example "the job `web/cms`".
    what: String,
}

/// A response with status 2xx, or 3xx if the call accepts redirects.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    /// Creates the client. Makes no request and reads no file.
    pub(crate) fn new(system: &System, pause: Duration) -> Self {
        Self {
            name: system.name.clone(),
            base: system.url.clone(),
            ca: system.ca.clone(),
            timeout: system.timeout,
            credentials: Credentials::new(system),
            breaker: Breaker::new(pause),
            slots: Semaphore::new(MAX_CONCURRENT),
            http: Mutex::default(),
            clock_offset: AtomicI64::new(0),
        }
    }

    /// Returns the URL of Jenkins.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Converts a time of Jenkins, in milliseconds since 1970, to a time of the host's clock.
    pub(crate) fn host_time(&self, millis: i64) -> Timestamp {
        let offset = self.clock_offset.load(Ordering::Relaxed).saturating_mul(1000);
        Timestamp::from_millisecond(millis.saturating_sub(offset)).unwrap_or_else(|_| Timestamp::now())
    }

    /// Returns the server for people, without a path.
    fn server(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Sends a request and reads its response. Retries a request that changes nothing, with jitter.
    async fn send(&self, call: &Call<'_>) -> Result<Answer, JenkinsError> {
        let mut backoff = Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1);
        loop {
            let error = match self.send_authenticated(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_last = call.kind != Request::Read || backoff.retries() + 1 >= READ_ATTEMPTS;
            if is_last || !error.can_pass() {
                return Err(error);
            }
            backoff.wait(None).await;
        }
    }

    /// Sends a request once. Sends it again if the answer says that nothing was done because of a secret that was
    /// replaced since, or of a crumb that is no longer valid.
    async fn send_authenticated(&self, call: &Call<'_>) -> Result<Answer, JenkinsError> {
        let mut may_replace_crumb = true;
        let mut may_replace_secret = true;
        loop {
            let secret = self.credentials.secret()?;
            let is_read = call.kind == Request::Read;
            let crumb = match self.credentials.crumb().filter(|_| !is_read) {
                None if !is_read && self.credentials.sign_in == SignIn::Password => {
                    Some(self.fetch_crumb(&secret).await?)
                }
                crumb => crumb,
            };
            let error = match self.send_once(call, &secret, crumb.as_ref()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = match &error {
                JenkinsError::Unauthorized { reason } => {
                    self.credentials.rejected(&secret, reason) && std::mem::take(&mut may_replace_secret)
                }
                JenkinsError::Forbidden { .. } => {
                    std::mem::take(&mut may_replace_secret) && self.credentials.has_changed(&secret)
                }
                JenkinsError::NoCrumb { .. } if std::mem::take(&mut may_replace_crumb) => {
                    self.credentials.set_crumb(None);
                    self.fetch_crumb(&secret).await?;
                    true
                }
                _ => false,
            };
            if !again {
                return Err(error);
            }
        }
    }

    /// Requests a crumb and stores it with its session.
    async fn fetch_crumb(&self, secret: &Secret) -> Result<Crumb, JenkinsError> {
        let call = Call {
            query: vec![("tree", "crumbRequestField,crumb".to_owned())],
            ..Call::read(["crumbIssuer", "api", "json"], "the crumb issuer")
        };
        let crumb = match self.send_once(&call, secret, None).await {
            Ok(answer) => {
                let issued: types::IssuedCrumb = answer.json()?;
                Crumb::new(&issued.field, &issued.crumb, &answer.headers)
                    .ok_or_else(|| JenkinsError::not_sent("the crumb that Jenkins issued is not a valid header"))?
            }
            // Jenkins without protection against forged requests has no crumb issuer.
            Err(error) if error.is_missing() => Crumb::NotRequired,
            Err(error) => return Err(error.before_the_request()),
        };
        self.credentials.set_crumb(Some(crumb.clone()));
        Ok(crumb)
    }

    async fn send_once(&self, call: &Call<'_>, secret: &Secret, crumb: Option<&Crumb>) -> Result<Answer, JenkinsError> {
        // The breaker answers before the request waits for a slot.
        let permit = self.breaker.permit().map_err(JenkinsError::not_sent)?;
        let slot = self.slots.acquire().await;
        let result = self.exchange(call, secret, crumb).await;
        drop(slot);
        report(permit, result.as_ref().err());
        result
    }

    async fn exchange(&self, call: &Call<'_>, secret: &Secret, crumb: Option<&Crumb>) -> Result<Answer, JenkinsError> {
        // 1. Build the request.
        let url = below(&self.base, call.segments.iter().copied());
        let mut request = self
            .http()?
            .request(call.method.clone(), url)
            .query(&call.query)
            .basic_auth(&self.credentials.user, Some(secret.expose()))
            .timeout(self.timeout);
        if let Some(form) = &call.form {
            request =
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8").body(form.clone());
        }
        if let Some(Crumb::Required { field, value, cookies }) = crumb {
            request = request.header(field.clone(), value.clone());
            if let Some(cookies) = cookies {
                request = request.header(COOKIE, cookies.clone());
            }
        }
        // 2. Send it, and count it.
        let (method, began) = (if call.method == Method::GET { "GET" } else { "POST" }, Instant::now());
        let response = request.send().await;
        let status = response.as_ref().ok().map(|response| response.status().as_u16());
        http_request(&self.name, method, status, began);
        let response = response.map_err(|error| no_response(error, &self.server(), self.timeout))?;
        self.note_clock(response.headers());
        // 3. Read the response.
        let (status, headers) = (response.status(), response.headers().clone());
        let accepts_redirect = call.kind != Request::Read && status.is_redirection();
        if status.is_success() || accepts_redirect {
            let max = if status.is_success() { call.max } else { MAX_ERROR_BODY };
            let body = self.read_body(response, max).await?;
            let body = match body {
                Some(body) => body,
                None if call.kind != Request::Read => Vec::new(),
                None => {
                    return Err(JenkinsError::unusable(format!(
                        "the answer of Jenkins for {} is larger than {} KiB",
                        call.what,
                        max >> 10
                    )));
                }
            };
            return Ok(Answer { status: status.as_u16(), headers, body });
        }
        let body = self.read_body(response, MAX_ERROR_BODY).await.ok().flatten().unwrap_or_default();
        Err(classify(call.kind, status, &headers, &body, &call.what, &self.credentials.user))
    }

    /// Reads the body of a response. Returns `None` if it is larger than `max` bytes; the rest is not read.
    async fn read_body(&self, mut response: Response, max: usize) -> Result<Option<Vec<u8>>, JenkinsError> {
        let mut body = Vec::new();
        let failed = |error| no_response(error, &self.server(), self.timeout);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if chunk.len() > max - body.len() {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    fn http(&self) -> Result<reqwest::Client, JenkinsError> {
        let mut http = self.http.lock();
        if let Some(http) = &*http {
            return Ok(http.clone());
        }
        let builder = http_client(self.ca.as_deref()).map_err(JenkinsError::not_sent)?;
        // The client must not repeat a request by itself, because the request can start a build.
        let built = builder.http1_only().retry(reqwest::retry::never()).build();
        let built = built.map_err(|error| no_response(error, &self.server(), self.timeout))?;
        *http = Some(built.clone());
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

/// Reports the result of a request to the breaker.
fn report(permit: Permit<'_>, error: Option<&JenkinsError>) {
    match error {
        Some(JenkinsError::Unavailable { is_outage: true, retry_after, reason, .. }) => {
            permit.fail(reason, *retry_after);
        }
        // An error before the request was sent says nothing about the server.
        Some(JenkinsError::Unavailable { may_be_done: false, .. }) => drop(permit),
        _ => permit.succeed(),
    }
}

impl<'c> Call<'c> {
    /// A request that changes nothing and returns at most [`types::MAX_JSON`] bytes.
    fn read(segments: impl IntoIterator<Item = &'c str>, what: impl Into<String>) -> Self {
        Self {
            kind: Request::Read,
            method: Method::GET,
            segments: segments.into_iter().collect(),
            query: Vec::new(),
            form: None,
            max: types::MAX_JSON,
            what: what.into(),
        }
    }

    /// A request that changes something.
    fn post(kind: Request, segments: impl IntoIterator<Item = &'c str>, what: impl Into<String>) -> Self {
        let call = Self::read(segments, what);
        Self { kind, method: Method::POST, form: Some(String::new()), max: MAX_ERROR_BODY, ..call }
    }
}
