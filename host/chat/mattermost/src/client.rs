//! The HTTP client of one account: requests to the REST API.
//!
//! Invariant: the client does not retry, and each request ends within a minute. The token is sent in a header only.
//! Redirects are not followed, because the token must not be sent to another server.
//! Invariant: no more of a response is read than [`MAX_BODY`], whatever the server or a proxy sends.

mod calls;
pub(crate) mod json;
mod posts;
mod properties;
mod roles;
mod types;

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde_json::Value;
use wardroom::{base::Secret, metrics::http_request};
use wardroom_account::http_client;

use crate::{
    NETWORK,
    config::Config,
    error::{MattermostError, classify},
    responses::Request,
};

pub(crate) use calls::NewPost;
pub(crate) use types::{Channel, ChannelKind, Page, Post, Reaction, User};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum size of a response, in bytes. The largest responses are pages of posts: a post has up to 64 KiB of text.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// Maximum size of an error response, in bytes. A response of Mattermost has less than 1 KiB.
const MAX_ERROR_BODY: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct ApiClient {
    http: Client,
    site: Url,
    token: Secret,
    /// Maximum size of a response, in bytes.
    max_body: usize,
}

impl ApiClient {
    /// Creates the client. Makes no request.
    ///
    /// # Errors
    /// [`MattermostError::Rejected`] if the configured certificates cannot be used.
    pub(crate) fn new(config: &Config, token: Secret) -> Result<Self, MattermostError> {
        // The upgrade to a WebSocket needs HTTP/1.1.
        let http = http_client(config.ca.as_deref()).map_err(MattermostError::rejected)?.http1_only();
        Ok(Self { http: http.build()?, site: config.url.clone(), token, max_body: MAX_BODY })
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

    /// Sends a request of a kind and returns the response, which is JSON; `null` if the response is empty.
    async fn call(&self, kind: Request, request: RequestBuilder) -> Result<String, MattermostError> {
        let request = request.build()?;
        let (method, began) = (method_label(request.method()), Instant::now());
        let response = self.http.execute(request).await;
        let status = response.as_ref().ok().map(|response| response.status().as_u16());
        http_request(NETWORK, method, status, began);
        let response = response?;
        if !response.status().is_success() {
            return Err(read_error(kind, response).await);
        }
        let body = read_body(response, self.max_body).await?.ok_or_else(|| {
            MattermostError::too_large(format!(
                "the response is larger than {} MiB, and the bot reads no more; hint: check that `url` is the address of the Mattermost server, and that no proxy answers for it",
                self.max_body / 1024 / 1024
            ))
        })?;
        if body.is_empty() {
            return Ok("null".to_owned());
        }
        String::from_utf8(body).ok().filter(|body| json::is_json(body)).ok_or_else(|| {
            MattermostError::unavailable(
                "the response is not JSON; it probably comes from a proxy and not from Mattermost",
            )
        })
    }

    /// Sends a `GET` request and returns the JSON of the response.
    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, MattermostError> {
        let request = self.request(Method::GET, path);
        self.call(Request::Other, if query.is_empty() { request } else { request.query(query) }).await
    }

    async fn send(
        &self,
        kind: Request,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<String, MattermostError> {
        self.call(kind, self.request(method, path).json(body)).await
    }
}

/// Reads the body of a response. Returns `None` if the body is larger than `max` bytes; the rest is not read.
async fn read_body(mut response: Response, max: usize) -> Result<Option<Vec<u8>>, MattermostError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if chunk.len() > max - body.len() {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Reads and classifies an error response. A response that is larger than [`MAX_ERROR_BODY`] is classified without its
/// body, because it is not one of Mattermost.
pub(crate) async fn read_error(kind: Request, response: Response) -> MattermostError {
    let (status, headers) = (response.status(), response.headers().clone());
    match read_body(response, MAX_ERROR_BODY).await {
        Ok(Some(body)) => classify(kind, status, &headers, &body),
        Ok(None) => classify(kind, status, &headers, &[]).context(&format!(
            "the error response is larger than {} KiB and probably comes from a proxy",
            MAX_ERROR_BODY / 1024
        )),
        Err(error) => error,
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
pub(crate) mod tests {
    use wardroom_fake_mattermost::Server;

    use super::*;

    fn client(site: &str) -> ApiClient {
        let site = site.parse().expect("a URL");
        ApiClient { http: Client::new(), site, token: Secret::new("t"), max_body: MAX_BODY }
    }

    /// Creates a client like [`client_of`] that reads at most `max_body` bytes of a response.
    pub(crate) fn client_with_max_body(server: &Server, max_body: usize) -> ApiClient {
        ApiClient { max_body, ..client_of(server) }
    }

    /// Creates a client with the token of a new bot account on a fake server.
    pub(crate) fn client_of(server: &Server) -> ApiClient {
        let (_, token) = server.bot("ops-bot");
        ApiClient { token: Secret::new(&token), ..client(&server.url()) }
    }

    #[tokio::test]
    async fn a_response_is_read_up_to_the_maximum_size() {
        let server = Server::start().await.expect("a server");
        let client = client_of(&server);
        let pad = |bytes| server.faults(|faults| (faults.padded, faults.padding) = ("/users/me".into(), bytes));
        pad(MAX_BODY - 1024);
        assert_eq!(client.me().await.expect("an account").name, "ops-bot");
        pad(MAX_BODY);
        let error = client.me().await.expect_err("the response is too large");
        assert!(matches!(error, MattermostError::Unavailable { is_too_large: true, .. }), "{error:?}");
        assert!(error.reason().contains("larger than 32 MiB"), "{error}");
    }

    #[tokio::test]
    async fn a_large_error_response_is_classified_by_its_status() {
        let server = Server::start().await.expect("a server");
        let client = client_of(&server);
        server.faults(|faults| {
            (faults.padded, faults.padding) = ("/".into(), MAX_ERROR_BODY);
            (faults.limited, faults.retry_after) = (1, 7);
        });
        let error = client.me().await.expect_err("the rate limit");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{error:?}");
        assert!(error.reason().contains("larger than 64 KiB"), "{error}");
        // Only a response of Mattermost rejects a token or a request.
        let error = client.user(&"x".repeat(26)).await.expect_err("the account does not exist");
        assert!(matches!(error, MattermostError::Unavailable { .. }), "{error:?}");
    }

    #[test]
    fn the_path_of_the_site_is_kept() {
        for site in ["https://example.org/chat", "https://example.org/chat/"] {
            assert_eq!(client(site).url(&["users", "me"]).as_str(), "https://example.org/chat/api/v4/users/me");
        }
        assert_eq!(client("http://x:8065").url(&["posts", "a/b?c"]).as_str(), "http://x:8065/api/v4/posts/a%2Fb%3Fc");
    }
}
