//! The wire: requests to the REST API, and what they answer.
//!
//! Invariant: nothing is retried here, and every request ends, one way or the other, within a minute. The token goes
//! into a header and nowhere else. Redirects are not followed: the token is for one server.

mod calls;
mod types;

use std::{
    fs,
    time::{Duration, Instant},
};

use reqwest::{Certificate, Client, Method, RequestBuilder, Url, redirect::Policy};
use serde_json::Value;
use wardroom::{
    figures::{Asked, outbound},
    port::Secret,
};

use crate::{
    NETWORK,
    config::Config,
    trouble::{Trouble, chain, judge},
};

pub(crate) use calls::NewPost;
pub(crate) use types::{Channel, Kind, Page, Post, Reaction, User};

/// How long a server may take to take a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long an upload may take.
const UPLOAD: Duration = Duration::from_secs(60);

/// One account at one server.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: Client,
    site: Url,
    token: Secret,
}

impl Api {
    /// A client; no request yet.
    ///
    /// # Errors
    /// The certificates of the configuration cannot be used.
    pub(crate) fn new(config: &Config, token: Secret) -> Result<Self, Trouble> {
        let mut builder = Client::builder()
            .user_agent(concat!("wardroom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(Policy::none())
            // A WebSocket begins as a request of this version.
            .http1_only();
        if let Some(path) = &config.ca {
            let refused = |why: String| {
                Trouble::refused(format!("the certificates in `{}` cannot be used: {why}", path.display()))
            };
            let pem = fs::read(path).map_err(|error| refused(error.to_string()))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| refused(chain(&error)))?;
            if certificates.is_empty() {
                return Err(refused("there is none in it".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self { http: builder.build()?, site: config.url.clone(), token })
    }

    /// The token, for the one message that needs it in its words.
    pub(crate) fn token(&self) -> &str {
        self.token.expose()
    }

    /// The address of a call, by the parts of its path.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.site.clone();
        // Only a URL that cannot be a base has no path, and the configuration takes none.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v4"]).extend(path);
        }
        url
    }

    /// A request, with our token.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(self.token.expose()).timeout(ANSWER)
    }

    /// Sends a request and gives the JSON that it answers.
    async fn call(&self, request: RequestBuilder) -> Result<Value, Trouble> {
        let request = request.build()?;
        let (method, began) = (word(request.method()), Instant::now());
        let response = self.http.execute(request).await;
        let came = response.as_ref().map_or(Asked::Away, |response| Asked::Status(response.status().as_u16()));
        outbound(NETWORK, method, came, began);
        let response = response?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await?;
        if !status.is_success() {
            return Err(judge(status, &headers, &body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        // Something between us and the server answers in its place.
        serde_json::from_slice(&body).map_err(|_| Trouble::later("the answer is no JSON, so it is not Mattermost's"))
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let request = self.request(Method::GET, path);
        self.call(if query.is_empty() { request } else { request.query(query) }).await
    }

    async fn send(&self, method: Method, path: &[&str], body: &Value) -> Result<Value, Trouble> {
        self.call(self.request(method, path).json(body)).await
    }
}

/// A method, for the figures.
fn word(method: &Method) -> &'static str {
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

    fn api(site: &str) -> Api {
        let site = site.parse().expect("a URL");
        Api { http: Client::new(), site, token: Secret::new("t") }
    }

    #[test]
    fn a_site_below_a_path_keeps_it() {
        for site in ["https://example.org/chat", "https://example.org/chat/"] {
            assert_eq!(api(site).url(&["users", "me"]).as_str(), "https://example.org/chat/api/v4/users/me");
        }
        assert_eq!(api("http://x:8065").url(&["posts", "a/b?c"]).as_str(), "http://x:8065/api/v4/posts/a%2Fb%3Fc");
    }
}
