//! The client of one cluster: requests with limits, the breaker, and credentials that are read again.
//!
//! Invariant: a request that changes something is sent once. It is sent again only after an answer which says that the
//! credentials were not accepted, so that nothing was done.
//! Invariant: no more of a response is read than the limit of its call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, DATE, HeaderValue},
};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Semaphore};
use wardroom::{Timestamp, base::Backoff, metrics::http_request};
use wardroom_remote::{Breaker, RemoteError};

use crate::{
    call::Call,
    config::Settings,
    credentials::{Source, Token},
    error::{Failure, classify, no_response, not_the_api, timed_out},
};

/// The number of requests to one cluster at the same time.
const MAX_CONCURRENT: usize = 8;
/// How often a request that changes nothing is sent at most.
const READ_ATTEMPTS: u32 = 3;
/// The first and the longest delay before a retry.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// The maximum size of an error response, in bytes.
const MAX_ERROR_BODY: usize = 64 << 10;
/// Differences of the clocks up to this many seconds are not corrected, because `Date` has whole seconds.
const CLOCK_TOLERANCE: i64 = 2;

/// A response with status 2xx.
#[derive(Debug)]
pub(crate) struct Answer {
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn json<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        serde_json::from_slice(&self.body).map_err(|_| not_the_api(&self.headers, &self.body))
    }
}

/// A client of kube with the credentials of one moment.
struct Connection {
    http: kube::Client,
    token: Option<Token>,
    /// The address of the cluster for people, without a path.
    server: String,
    content: Vec<Vec<u8>>,
}

/// The client of one cluster.
pub(crate) struct Client {
    /// The name of the backend in the configuration, for the metrics.
    name: String,
    source: Source,
    timeout: Duration,
    breaker: Breaker,
    slots: Semaphore,
    /// Created by the first request, so that files that cannot be read are read again by the next.
    connection: Mutex<Option<Arc<Connection>>>,
    /// The cluster's clock minus the host's clock, in seconds.
    clock_offset: AtomicI64,
}

impl Client {
    /// Creates the client. `pause` is the first pause of an open breaker. Makes no request and reads no file.
    pub(crate) fn new(settings: &Settings, pause: Duration) -> Self {
        Self {
            name: settings.name.clone(),
            source: settings.source.clone(),
            timeout: settings.timeout,
            breaker: Breaker::new(pause),
            slots: Semaphore::new(MAX_CONCURRENT),
            connection: Mutex::default(),
            clock_offset: AtomicI64::new(0),
        }
    }

    /// Converts a time of the cluster to a time of the host's clock.
    pub(crate) fn host_time(&self, time: Timestamp) -> Timestamp {
        let offset = jiff::SignedDuration::from_secs(self.clock_offset.load(Ordering::Relaxed));
        time.checked_sub(offset).unwrap_or(time)
    }

    /// Sends a request and parses its response.
    ///
    /// # Errors
    /// The request failed, or its response is not what the API returns.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Failure> {
        Ok(self.send(call).await?.json()?)
    }

    /// Sends a request and reads its response. Retries a request that changes nothing, with jitter.
    ///
    /// # Errors
    /// The breaker is open, there was no response, or the response is an error.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let mut backoff = Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1);
        loop {
            let failure = match self.send_authenticated(call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let is_last = !call.is_read() || backoff.retries() + 1 >= READ_ATTEMPTS;
            if is_last || !failure.error.can_pass() {
                return Err(failure);
            }
            backoff.wait(None).await;
        }
    }

    /// Sends a request once, and once more if its credentials or the address of the cluster were replaced and nothing was
    /// done.
    async fn send_authenticated(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let connection = self.connection().await?;
        let failure = match self.send_once(call, &connection).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        // An expired client certificate ends the connection without a response.
        let may_be_stale = match failure.error {
            RemoteError::Unauthorized { .. } => true,
            RemoteError::Unavailable { is_outage, .. } => is_outage && failure.meaning.is_none(),
            _ => false,
        };
        if !may_be_stale {
            return Err(failure);
        }
        match self.renewed(&connection).await {
            Some(renewed) if !failure.error.may_be_done() => self.send_once(call, &renewed).await,
            _ => Err(failure),
        }
    }

    async fn connection(&self) -> Result<Arc<Connection>, RemoteError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let new = Arc::new(self.connect().await.map_err(RemoteError::not_sent)?);
        *connection = Some(new.clone());
        Ok(new)
    }

    /// Reads the credentials again. Returns `None` if they are still the same.
    async fn renewed(&self, old: &Arc<Connection>) -> Option<Arc<Connection>> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = connection.as_ref().filter(|connection| !Arc::ptr_eq(connection, old)) {
            return Some(connection.clone());
        }
        let new = self.connect().await.inspect_err(|error| tracing::warn!(backend = self.name, error)).ok()?;
        if new.content == old.content {
            return None;
        }
        let new = Arc::new(new);
        *connection = Some(new.clone());
        Some(new)
    }

    async fn connect(&self) -> Result<Connection, String> {
        let loaded = self.source.load(self.timeout).await?;
        let url = &loaded.config.cluster_url;
        let scheme = url.scheme_str().unwrap_or_default();
        let server = format!("{scheme}://{}", url.authority().map_or("", |authority| authority.as_str()));
        let http = kube::Client::try_from(loaded.config).map_err(|error| {
            let reason = wardroom::base::clean(&wardroom_account::error_chain(&error));
            format!("the credentials for {server} cannot be used: {reason}")
        })?;
        Ok(Connection { http, token: loaded.token, server, content: loaded.content })
    }

    async fn send_once(&self, call: &Call<'_>, connection: &Connection) -> Result<Answer, Failure> {
        // The breaker answers before the request waits for a slot.
        let permit = self.breaker.permit().map_err(RemoteError::not_sent)?;
        let slot = self.slots.acquire().await;
        let exchange = tokio::time::timeout(self.timeout, self.exchange(call, connection));
        let result = exchange.await.unwrap_or_else(|_| Err(timed_out(&connection.server, self.timeout).into()));
        drop(slot);
        permit.report(result.as_ref().err().map(|failure| &failure.error));
        result
    }

    async fn exchange(&self, call: &Call<'_>, connection: &Connection) -> Result<Answer, Failure> {
        let mut request = call.request()?;
        if let Some(token) = &connection.token {
            let token = token.read().map_err(RemoteError::not_sent)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
                RemoteError::not_sent("the token of the kubeconfig contains characters that are not allowed")
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let (label, began) = (label(request.method()), Instant::now());
        let sent = connection.http.send(request).await;
        http_request(&self.name, label, sent.as_ref().ok().map(|response| response.status().as_u16()), began);
        let response = sent.map_err(|error| no_response(&error, &connection.server))?;
        self.note_clock(response.headers());
        let (parts, body) = response.into_parts();
        let max = if parts.status.is_success() { call.max } else { MAX_ERROR_BODY };
        let (body, is_cut) = self.read(body, parts.status, max, connection).await?;
        if !parts.status.is_success() {
            return Err(classify(call, parts.status, &parts.headers, &body));
        }
        if is_cut && !call.may_be_cut {
            let reason = format!("the answer of the Kubernetes API for {} is too large to be read", call.what);
            return Err(RemoteError::Rejected { reason }.into());
        }
        Ok(Answer { headers: parts.headers, body })
    }

    /// Reads a body, at most `max` bytes, and returns whether it has more.
    async fn read(
        &self,
        mut body: Body,
        status: StatusCode,
        max: usize,
        connection: &Connection,
    ) -> Result<(Vec<u8>, bool), RemoteError> {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                // The status of an error response is enough.
                Err(_) if !status.is_success() => break,
                Err(error) => return Err(no_response(&error, &connection.server)),
            };
            let room = max - bytes.len();
            if data.len() > room {
                bytes.extend_from_slice(&data[..room]);
                return Ok((bytes, true));
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, false))
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

fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "PATCH" => "PATCH",
        _ => "POST",
    }
}
