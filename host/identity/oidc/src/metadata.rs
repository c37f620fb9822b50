//! The discovery document of a provider (OpenID Connect Discovery 1.0, sections 3 and 4; RFC 8628, section 4).

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::{Client, ClientError},
    config::Settings,
};

/// What the host uses of a discovery document.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    /// The issuer exactly as the provider writes it: its ID tokens have the same text.
    pub(crate) issuer: String,
    pub(crate) device: Url,
    pub(crate) token: Url,
    pub(crate) keys: Url,
    /// Whether the secret of the client is a part of the form instead of a header.
    pub(crate) secret_in_form: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    device_authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    jwks_uri: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    pub(crate) async fn fetch(client: &Client, settings: &Settings) -> Result<Self, ClientError> {
        let mut url = settings.url.clone();
        // The issuer can have a path, which stays before the name of the document (section 4.1).
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([".well-known", "openid-configuration"]);
        }
        Self::read(client, &settings.issuer, client.get(url).await?)
    }

    fn read(client: &Client, issuer: &str, document: Value) -> Result<Self, ClientError> {
        let server = client.server();
        let document: Document = serde_json::from_value(document).map_err(|_| {
            ClientError::Wrong(format!("the discovery document of {server} is not one of OpenID Connect"))
        })?;
        // Another issuer could be another customer of the same server (section 4.3).
        if document.issuer.trim_end_matches('/') != issuer {
            return Err(ClientError::Wrong(format!(
                "the discovery document of {server} is of another issuer than `issuer`"
            )));
        }
        let endpoint = |name: &str, text: Option<String>| {
            let missing = || ClientError::Wrong(format!("the discovery document of {server} has no `{name}`"));
            client.endpoint(name, &text.ok_or_else(missing)?)
        };
        let no_device = ClientError::Wrong(format!(
            "{server} does not support the device flow, or the client may not use it: its discovery document has no \
             `device_authorization_endpoint`"
        ));
        let device = document.device_authorization_endpoint.ok_or(no_device)?;
        // Without the list, the method is `client_secret_basic`.
        let methods = document.token_endpoint_auth_methods_supported.unwrap_or_default();
        let has = |method: &str| methods.iter().any(|known| known == method);
        Ok(Self {
            issuer: document.issuer,
            device: endpoint("device_authorization_endpoint", Some(device))?,
            token: endpoint("token_endpoint", document.token_endpoint)?,
            keys: endpoint("jwks_uri", document.jwks_uri)?,
            secret_in_form: has("client_secret_post") && !has("client_secret_basic"),
        })
    }
}
