//! The HTTP client of one account: requests to the REST API.
//!
//! Invariant: the client does not retry, and each request ends within a minute. The token is sent in a header only.
//! Redirects are not followed, because the token must not be sent to another server.

mod calls;
mod types;

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Url, redirect::Policy};
use serde_json::Value;
use wardroom::{base::Secret, metrics::http_request};
use wardroom_account::{USER_AGENT, load_certificates};

use crate::{
    NETWORK,
    config::Config,
    error::{MattermostError, classify},
};

pub(crate) use calls::NewPost;
pub(crate) use types::{Channel, ChannelKind, Page, Post, Reaction, User};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct ApiClient {
    http: Client,
    site: Url,
    token: Secret,
}

impl ApiClient {
    /// Creates the client. Makes no request.
    ///
    /// # Errors
    /// [`MattermostError::Rejected`] if the configured certificates cannot be used.
    pub(crate) fn new(config: &Config, token: Secret) -> Result<Self, MattermostError> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            // The upgrade to a WebSocket needs HTTP/1.1.
            .http1_only();
        if let Some(path) = &config.ca {
            let certificates = load_certificates(path).map_err(MattermostError::rejected)?;
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self { http: builder.build()?, site: config.url.clone(), token })
    }

    /// Returns the token, for the authentication over the WebSocket.
    pub(crate) fn token(&self) -> &str {
        self.token.expose()
    }

    /// Returns the URL of an API call. `path` holds the segments after `/api/v4`.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.site.clone();
        // `path_segments_mut` fails only for a URL that cannot be a base, which the configuration rejects.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v4"]).extend(path);
        }
        url
    }

    /// Creates a request with the account's token.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(self.token.expose()).timeout(REQUEST_TIMEOUT)
    }

    /// Sends a request and returns the JSON of the response; null if the response is empty.
    async fn call(&self, request: RequestBuilder) -> Result<Value, MattermostError> {
        let request = request.build()?;
        let (method, began) = (method_label(request.method()), Instant::now());
        let response = self.http.execute(request).await;
        let status = response.as_ref().ok().map(|response| response.status().as_u16());
        http_request(NETWORK, method, status, began);
        let response = response?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await?;
        if !status.is_success() {
            return Err(classify(status, &headers, &body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| {
            MattermostError::unavailable(
                "the response is not JSON; it probably comes from a proxy and not from Mattermost",
            )
        })
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, MattermostError> {
        let request = self.request(Method::GET, path);
        self.call(if query.is_empty() { request } else { request.query(query) }).await
    }

    async fn send(&self, method: Method, path: &[&str], body: &Value) -> Result<Value, MattermostError> {
        self.call(self.request(method, path).json(body)).await
    }
}

/// Returns the metric label of an HTTP method.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(site: &str) -> ApiClient {
        let site = site.parse().expect("a URL");
        ApiClient { http: Client::new(), site, token: Secret::new("t") }
    }

    #[test]
    fn the_path_of_the_site_is_kept() {
        for site in ["https://example.org/chat", "https://example.org/chat/"] {
            assert_eq!(client(site).url(&["users", "me"]).as_str(), "https://example.org/chat/api/v4/users/me");
        }
        assert_eq!(client("http://x:8065").url(&["posts", "a/b?c"]).as_str(), "http://x:8065/api/v4/posts/a%2Fb%3Fc");
    }
}
