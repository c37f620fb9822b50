//! The device flow (RFC 8628): the code for the person, and the polls until the person has logged in.
//!
//! Invariant: the host polls no faster than the provider allows, and not after the code has expired.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use wardroom::base::Secret;

use crate::{
    client::{Answer, Client, ClientError},
    config::Settings,
    metadata::Metadata,
    timing::Timing,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The interval between two polls if the provider names none (section 3.2).
const DEFAULT_INTERVAL: u64 = 5;
/// The longest interval that the host accepts, in seconds.
const MAX_INTERVAL: u64 = 300;
/// The longest time for which the host waits for a person, in seconds.
const MAX_LIFETIME: u64 = 3600;
/// The longest code, in bytes. The example of the standard has 9.
const MAX_CODE: usize = 64;
const MAX_URL: usize = 500;

/// A started device flow.
pub(crate) struct Flow {
    device_code: Secret,
    pub(crate) url: String,
    pub(crate) user_code: String,
    pub(crate) expires: Duration,
    interval: Duration,
}

/// A response of the device authorization endpoint (section 3.2).
#[derive(Deserialize)]
struct Started {
    device_code: String,
    user_code: String,
    // Older servers of Google and others use the name of a draft.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    expires_in: u64,
    interval: Option<u64>,
}

/// A confidential client sends its secret with each request (RFC 8628, section 3.1).
struct Login {
    secret: Option<Secret>,
    in_form: bool,
}

impl Login {
    fn new(settings: &Settings, metadata: &Metadata) -> Result<Self, String> {
        let secret = settings.client_secret.as_ref().map(|secret| secret.resolve()).transpose();
        Ok(Self { secret: secret.map_err(|error| error.to_string())?, in_form: metadata.secret_in_form })
    }

    fn header<'a>(&'a self, id: &'a str) -> Option<(&'a str, &'a Secret)> {
        self.secret.as_ref().filter(|_| !self.in_form).map(|secret| (id, secret))
    }

    fn form<'a>(&'a self, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let secret = self.secret.as_ref().filter(|_| self.in_form);
        fields.iter().copied().chain(secret.map(|secret| ("client_secret", secret.expose()))).collect()
    }
}

impl Flow {
    pub(crate) async fn start(
        client: &Client,
        settings: &Settings,
        metadata: &Metadata,
        timing: Timing,
    ) -> Result<Self, String> {
        let login = Login::new(settings, metadata)?;
        let fields = [("client_id", settings.client_id.as_str()), ("scope", settings.scope.as_str())];
        let (header, form) = (login.header(&settings.client_id), login.form(&fields));
        let answer = client.post(metadata.device.clone(), header, &form).await.map_err(|error| error.to_string())?;
        let value = match answer {
            Answer::Success(value) => value,
            Answer::Refused(code) => return Err(refused(client, &code)),
        };
        let malformed = || format!("{} started no device flow: its answer is not that of RFC 8628", client.server());
        let started: Started = serde_json::from_value(value).map_err(|_| malformed())?;
        let is_shown = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        // The message with the code must have no other content than the page and the code.
        let is_code = is_shown(&started.user_code, MAX_CODE) && !started.user_code.contains('`');
        if !is_code || !is_shown(&started.verification_uri, MAX_URL) {
            return Err(malformed());
        }
        client.endpoint("verification_uri", &started.verification_uri).map_err(|error| error.to_string())?;
        let interval = Duration::from_secs(started.interval.unwrap_or(DEFAULT_INTERVAL).min(MAX_INTERVAL));
        Ok(Self {
            device_code: Secret::new(started.device_code),
            url: started.verification_uri,
            user_code: started.user_code,
            expires: Duration::from_secs(started.expires_in.min(MAX_LIFETIME)),
            interval: interval.max(timing.min_interval),
        })
    }

    /// Polls until the person has logged in. Returns the ID token.
    ///
    /// # Errors
    /// The reason, as one line for people.
    pub(crate) async fn wait(
        &self,
        client: &Client,
        settings: &Settings,
        metadata: &Metadata,
        timing: Timing,
    ) -> Result<Secret, String> {
        let until = Instant::now() + self.expires;
        let mut interval = self.interval;
        let mut last = None;
        loop {
            let next = Instant::now() + interval;
            if next >= until {
                return Err(match last {
                    Some(error) => format!("the code has expired, and {error}"),
                    None => EXPIRED.to_owned(),
                });
            }
            tokio::time::sleep_until(next).await;
            // The secret can change while the host waits.
            let login = Login::new(settings, metadata)?;
            let fields = [
                ("grant_type", GRANT),
                ("device_code", self.device_code.expose()),
                ("client_id", settings.client_id.as_str()),
            ];
            let (header, form) = (login.header(&settings.client_id), login.form(&fields));
            match client.post(metadata.token.clone(), header, &form).await {
                Ok(Answer::Success(value)) => return id_token(client, &value),
                Ok(Answer::Refused(code)) => {
                    last = None;
                    match code.as_str() {
                        "authorization_pending" => {}
                        "slow_down" => interval += timing.slow_down,
                        "expired_token" => return Err(EXPIRED.to_owned()),
                        "access_denied" => return Err("the login was denied".to_owned()),
                        _ => return Err(refused(client, &code)),
                    }
                }
                // The host backs off while the provider cannot be reached (section 3.5).
                Err(ClientError::Unavailable(error)) => {
                    interval = (interval * 2).min(Duration::from_secs(MAX_INTERVAL));
                    last = Some(error);
                }
                Err(ClientError::Wrong(error)) => return Err(error),
            }
        }
    }
}

const EXPIRED: &str = "the code has expired before anybody logged in with it";

fn refused(client: &Client, code: &str) -> String {
    let hint = match code {
        "invalid_client" => "; check `client_id` and `client_secret`",
        "unauthorized_client" | "unsupported_grant_type" => "; allow the device flow for the client",
        "invalid_scope" => "; check `scopes`",
        _ => "",
    };
    format!("{} refused the login: `{code}`{hint}", client.server())
}

fn id_token(client: &Client, answer: &Value) -> Result<Secret, String> {
    let token = answer.get("id_token").and_then(Value::as_str);
    token.map(Secret::new).ok_or_else(|| format!("{} returned no ID token; check `scopes`", client.server()))
}
