//! The HTTP client of one backend: signed requests, and retries of what may be repeated.
//!
//! Invariant: a request that starts an execution is sent once. It is sent again only after an answer that says that
//! nothing was done: a rejected secret that was replaced.

mod calls;
mod types;

use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;
use wardroom::base::Backoff;
use wardroom_remote::{Answer, RemoteError, Server, ServerSettings};

use crate::{
    config::GateSettings,
    error::{Subject, classify},
    responses::Request,
    sign_in::Credentials,
};

pub(crate) use calls::{CanList, Search, below, is_id};
pub(crate) use types::{Context, Execution, ParameterConfig, PipelineConfig, StageInfo, Status};

/// How often a request that changes nothing is sent at most.
const READ_ATTEMPTS: u32 = 3;
/// The first and the longest delay before a retry.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// The maximum size of a response, in bytes. The details of an execution contain the manifests that it has deployed.
const MAX_JSON: usize = 32 << 20;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) server: Server,
    pub(crate) credentials: Credentials,
}

/// A request below the URL of Gate.
#[derive(Debug, Clone)]
struct Call {
    method: Method,
    url: Url,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    subject: Subject,
}

impl Client {
    /// Creates the client. Makes no request and reads no file.
    pub(crate) fn new(settings: &GateSettings, pause: Duration) -> Self {
        let server = Server::new(ServerSettings {
            name: settings.name.clone(),
            software: "Spinnaker",
            url: settings.url.clone(),
            ca: settings.ca.clone(),
            timeout: settings.timeout,
            pause,
        });
        let credentials = Credentials::new(settings.sign_in.clone());
        let server = match &credentials {
            Credentials::Certificate(source) => server.identity(source.clone()),
            Credentials::Token(_) | Credentials::Password { .. } => server,
        };
        Self { server, credentials }
    }

    /// Sends a request and reads its response. Retries a request that changes nothing, with jitter.
    async fn send(&self, call: &Call) -> Result<Answer, RemoteError> {
        let mut backoff = Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1);
        loop {
            let error = match self.send_signed(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_last = call.subject.request != Request::Read || backoff.retries() + 1 >= READ_ATTEMPTS;
            if is_last || !error.can_pass() {
                return Err(error);
            }
            backoff.wait(None).await;
        }
    }

    /// Sends a request once, and again if Gate rejected a secret that was replaced since.
    async fn send_signed(&self, call: &Call) -> Result<Answer, RemoteError> {
        let first = self.credentials.secret()?;
        let error = match self.exchange(call, first.as_ref()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !self.credentials.has_replaced(first.as_ref(), &error) {
            return Err(error);
        }
        let second = self.credentials.secret()?;
        let result = self.exchange(call, second.as_ref()).await;
        if let Err(error) = &result {
            self.credentials.has_replaced(second.as_ref(), error);
        }
        result
    }

    async fn exchange(&self, call: &Call, secret: Option<&wardroom::base::Secret>) -> Result<Answer, RemoteError> {
        let build = |request: reqwest::RequestBuilder| {
            let request = self.credentials.sign(request, secret).query(&call.query);
            match &call.body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        let signed_in = self.credentials.signed_in();
        let check = |answer: &Answer| classify(answer, &call.subject, &signed_in);
        self.server.exchange(call.method.clone(), call.url.clone(), MAX_JSON, build, check).await
    }
}
