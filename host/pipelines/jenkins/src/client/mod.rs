//! The HTTP client of one backend: authenticated requests and retries of what may be repeated.
//!
//! Invariant: a request that starts a build is sent once. It is sent again only after an answer that says that nothing was
//! done: a rejected secret that was replaced, or a missing crumb.

mod calls;
mod gates;
mod log_chunk;
mod reports;
mod types;

use std::time::Duration;

use reqwest::{
    Method, RequestBuilder, Url,
    header::{CONTENT_TYPE, COOKIE},
};
use wardroom::{
    Timestamp,
    base::{Backoff, Secret},
};
use wardroom_remote::{Answer, MAX_ERROR_BODY, RemoteError, Server, ServerSettings};

use crate::{
    config::{SignIn, System},
    credentials::{Credentials, Crumb},
    error::classify,
    job_path::below,
    responses::Request,
};

pub(crate) use calls::Signal;
pub(crate) use gates::StageView;
pub(crate) use log_chunk::LogChunk;
pub(crate) use types::{Build, JobBuilds, JobInfo, Origin, ParameterDefinition, QueueItem, QueueList, RunningBuild};

/// How often a request that changes nothing is sent at most.
const READ_ATTEMPTS: u32 = 3;
/// The first and the longest delay before a retry.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

#[derive(Debug)]
pub(crate) struct Client {
    server: Server,
    pub(crate) credentials: Credentials,
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

impl Client {
    /// Creates the client. Makes no request and reads no file.
    pub(crate) fn new(system: &System, pause: Duration) -> Self {
        let settings = ServerSettings {
            name: system.name.clone(),
            software: "Jenkins",
            url: system.url.clone(),
            ca: system.ca.clone(),
            timeout: system.timeout,
            pause,
        };
        Self { server: Server::new(settings), credentials: Credentials::new(system) }
    }

    /// Returns the URL of Jenkins.
    pub(crate) fn base(&self) -> &Url {
        self.server.url()
    }

    /// Returns the timeout of a request.
    pub(crate) fn timeout(&self) -> Duration {
        self.server.timeout()
    }

    /// Converts a time of Jenkins, in milliseconds since 1970, to a time of the host's clock.
    pub(crate) fn host_time(&self, millis: i64) -> Timestamp {
        self.server.host_time(millis)
    }

    /// Converts a time of the host's clock to a time of Jenkins, in milliseconds since 1970.
    pub(crate) fn server_time(&self, time: Timestamp) -> i64 {
        self.server.server_time(time)
    }

    /// Sends a request and reads its response. Retries a request that changes nothing, with jitter.
    async fn send(&self, call: &Call<'_>) -> Result<Answer, RemoteError> {
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
    async fn send_authenticated(&self, call: &Call<'_>) -> Result<Answer, RemoteError> {
        let mut may_replace_crumb = true;
        let mut may_replace_secret = true;
        loop {
            let secret = self.credentials.secret.get()?;
            let is_read = call.kind == Request::Read;
            let crumb = match self.credentials.crumb(&secret).filter(|_| !is_read) {
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
                RemoteError::Unauthorized { reason } => {
                    self.credentials.secret.rejected(&secret, reason) && std::mem::take(&mut may_replace_secret)
                }
                RemoteError::Forbidden { .. } => {
                    std::mem::take(&mut may_replace_secret) && self.credentials.secret.has_changed(&secret)
                }
                RemoteError::StaleToken { .. } if std::mem::take(&mut may_replace_crumb) => {
                    self.credentials.set_crumb(&secret, None);
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
    async fn fetch_crumb(&self, secret: &Secret) -> Result<Crumb, RemoteError> {
        let call = Call {
            query: vec![("tree", "crumbRequestField,crumb".to_owned())],
            ..Call::read(["crumbIssuer", "api", "json"], "the crumb issuer")
        };
        let crumb = match self.send_once(&call, secret, None).await {
            Ok(answer) => {
                let issued: types::IssuedCrumb = self.server.json(&answer, "the crumb issuer")?;
                Crumb::new(&issued.field, &issued.crumb, &answer.headers)
                    .ok_or_else(|| RemoteError::not_sent("the crumb that Jenkins issued is not a valid header"))?
            }
            // Jenkins without protection against forged requests has no crumb issuer.
            Err(error) if error.is_missing() => Crumb::NotRequired,
            Err(error) => return Err(error.before_the_request()),
        };
        self.credentials.set_crumb(secret, Some(crumb.clone()));
        Ok(crumb)
    }

    async fn send_once(&self, call: &Call<'_>, secret: &Secret, crumb: Option<&Crumb>) -> Result<Answer, RemoteError> {
        let build = |request| self.prepare(request, call, secret, crumb);
        self.server
            .exchange(call.method.clone(), self.url(call), call.max, build, |answer| self.meaning(call, answer))
            .await
    }

    fn url(&self, call: &Call<'_>) -> Url {
        below(self.server.url(), call.segments.iter().copied())
    }

    /// Adds the credentials, the query and the body to a request.
    fn prepare(
        &self,
        request: RequestBuilder,
        call: &Call<'_>,
        secret: &Secret,
        crumb: Option<&Crumb>,
    ) -> RequestBuilder {
        let mut request = request.query(&call.query).basic_auth(&self.credentials.user, Some(secret.expose()));
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
        request
    }

    /// Returns the error for a response that is one.
    fn meaning(&self, call: &Call<'_>, answer: &Answer) -> Option<RemoteError> {
        let accepts_redirect = call.kind != Request::Read && answer.status.is_redirection();
        if answer.status.is_success() || accepts_redirect {
            return None;
        }
        let Answer { status, headers, body, .. } = answer;
        Some(classify(call.kind, *status, headers, body, &call.what, &self.credentials.user))
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
