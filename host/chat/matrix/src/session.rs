//! The account's login session: restored from the session file, or created by a new login if that fails.
//!
//! Invariant: the session file and the key store belong to one device. If one of them is missing or belongs to another
//! device, a new device replaces the old one, because a device without its keys cannot decrypt messages and is not
//! trusted. With an access token, only the operator can replace the device, with a new token.
//! Invariant: the store of an abandoned device is kept until the next device has tried to import the account's own keys
//! from it.
//! Not here: the account's own keys (`cross_signing`), and the clients (`client`).

use std::io;

use matrix_sdk::{Client, SessionTokens, authentication::matrix::MatrixSession};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wardroom::base::{Secret, remember_secret};

use crate::{
    Config, Login, client, device_recovery,
    error::MatrixError,
    folder::{self, io_error},
};

/// The content of the session file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredSession {
    homeserver: String,
    /// Hash of the operator's access token; `None` for a login by password.
    #[serde(rename = "token")]
    token_hash: Option<String>,
    /// Whether the homeserver ended the session but accepts a new login as the same device.
    #[serde(default, rename = "asked_again")]
    login_requested: bool,
    session: MatrixSession,
}

impl StoredSession {
    /// Reads the session file. A file that cannot be read counts as missing, because a new session can be created.
    fn load(config: &Config) -> Option<Self> {
        let stored: Option<Self> = folder::read_json(&folder::session_file(config)).ok().flatten();
        stored.inspect(Self::remember_tokens)
    }

    /// Adds the tokens that the homeserver issued to the secrets that the host redacts.
    fn remember_tokens(&self) {
        let SessionTokens { access_token, refresh_token } = &self.session.tokens;
        for token in
            [Some(access_token), refresh_token.as_ref()].into_iter().flatten().filter(|token| !token.is_empty())
        {
            remember_secret(&format!("token of {}", self.session.meta.user_id), &Secret::new(token));
        }
    }

    fn store(&self, config: &Config) -> Result<(), MatrixError> {
        self.remember_tokens();
        let mut stored = self.clone();
        if stored.token_hash.is_some() {
            // Do not write the operator's access token to a second place.
            stored.session.tokens.access_token = String::new();
        }
        folder::write_json(&folder::session_file(config), &stored).map_err(|error| io_error(config, &error))
    }

    /// Returns whether the session belongs to the configured account, homeserver, token and device.
    fn matches(&self, config: &Config, secret: &Secret) -> bool {
        let meta = &self.session.meta;
        let is_same_login = match &config.login {
            Login::Password(_) => self.token_hash.is_none(),
            Login::Token { device, .. } => {
                self.token_hash == Some(hash(secret)) && device.as_ref().is_none_or(|device| *device == meta.device_id)
            }
        };
        self.homeserver == config.homeserver.as_str() && meta.user_id == config.user && is_same_login
    }
}

/// Restores the account's session from the session file, or logs in. Returns the logged-in client.
///
/// # Errors
/// [`MatrixError::Rejected`] if the operator must correct the configuration.
pub(crate) async fn open(config: &Config) -> Result<Client, MatrixError> {
    let secret = client::secret(config)?;
    folder::create_private(&config.folder).map_err(|error| io_error(config, &error))?;
    let client = match StoredSession::load(config) {
        Some(stored) if stored.matches(config, &secret) => restore_or_replace(config, &secret, stored).await?,
        stored => create(config, &secret, stored.as_ref()).await?,
    };
    device_recovery::import_account_keys(config, &client).await?;
    Ok(client)
}

/// Deletes the session file. The key store is kept until the next device has tried to import the account's keys from
/// it.
///
/// # Errors
/// The file cannot be removed.
pub(crate) fn discard(config: &Config) -> Result<(), MatrixError> {
    folder::remove(&folder::session_file(config)).map_err(|error| io_error(config, &error))
}

/// Deletes the session file of a device that lost its keys, and logs the device out if the homeserver can be reached.
///
/// # Errors
/// The file cannot be removed.
pub(crate) async fn abandon(config: &Config) -> Result<(), MatrixError> {
    let stored = StoredSession::load(config);
    discard(config)?;
    if let Some(stored) = stored {
        device_recovery::log_out(config, stored.session).await;
    }
    Ok(())
}

/// Records in the session file that the homeserver requires a new login as the same device. The next [`open`] logs in.
///
/// # Errors
/// The session file cannot be read or written.
pub(crate) fn request_login(config: &Config) -> Result<(), MatrixError> {
    let file = folder::session_file(config);
    match folder::read_json::<StoredSession>(&file) {
        Ok(Some(stored)) => folder::write_json(&file, &StoredSession { login_requested: true, ..stored }),
        other => other.map(drop),
    }
    .map_err(|error| io_error(config, &error))
}

/// Writes the refreshed tokens of a client to the session file, unless the file holds the session of another device.
pub(crate) fn store_refreshed_tokens(config: &Config, client: &Client) -> io::Result<()> {
    let file = folder::session_file(config);
    match (folder::read_json::<StoredSession>(&file)?, client.matrix_auth().session()) {
        (Some(stored), Some(session)) if stored.session.meta == session.meta => {
            let stored = StoredSession { session, ..stored };
            stored.remember_tokens();
            folder::write_json(&file, &stored)
        }
        _ => Ok(()),
    }
}

/// Continues the stored session, or replaces its device if the key store is missing or damaged.
async fn restore_or_replace(config: &Config, secret: &Secret, stored: StoredSession) -> Result<Client, MatrixError> {
    let device = stored.session.meta.device_id.clone();
    let is_missing = device_recovery::is_key_store_missing(config, &stored.session).await?;
    // The request above may have refreshed the tokens.
    let stored = StoredSession::load(config).unwrap_or(stored);
    let damage = if is_missing {
        format!("is missing in `{}`", config.folder.display())
    } else {
        match restore(config, secret, &stored).await {
            Ok(client) => return Ok(client),
            Err(error) if !device_recovery::is_damaged_store(&error) => return Err(error),
            Err(error) => format!("cannot be read ({error})"),
        }
    };
    // The device of an access token cannot be replaced. Only the operator can create another token.
    if let Login::Token { token, .. } = &config.login {
        return Err(device_recovery::token_needs_new_device(config, &device, token));
    }
    tracing::warn!(
        user = %config.user, %device,
        "the key store of this device {damage}; logging in as a new device, which cannot read messages that were encrypted only for the old device"
    );
    let client = create(config, secret, Some(&stored)).await?;
    device_recovery::log_out(config, stored.session).await;
    Ok(client)
}

async fn restore(config: &Config, secret: &Secret, stored: &StoredSession) -> Result<Client, MatrixError> {
    let client = client::with_stores(config).await?;
    if stored.login_requested {
        let device = stored.session.meta.device_id.as_str();
        client::log_in_with_password(config, &client, secret, Some(device)).await?;
        StoredSession { login_requested: false, session: session_of(&client)?, ..stored.clone() }.store(config)?;
        tracing::info!(user = %config.user, device, "logged in again as the same device");
    } else {
        let mut session = stored.session.clone();
        if stored.token_hash.is_some() {
            secret.expose().clone_into(&mut session.tokens.access_token);
        }
        client.restore_session(session).await?;
    }
    Ok(client)
}

/// Creates a session: by a login as a new device, or with the operator's access token. `old` is the session that the
/// new one replaces; `None` for the first login.
async fn create(config: &Config, secret: &Secret, old: Option<&StoredSession>) -> Result<Client, MatrixError> {
    let stored = |token_hash, session| StoredSession {
        homeserver: config.homeserver.to_string(),
        token_hash,
        login_requested: false,
        session,
    };
    let (client, stored) = match &config.login {
        Login::Password(_) => {
            device_recovery::set_stores_aside(config)?;
            let client = client::with_stores(config).await?;
            client::log_in_with_password(config, &client, secret, None).await?;
            let session = session_of(&client)?;
            (client, stored(None, session))
        }
        Login::Token { token, .. } => {
            let session = client::token_session(config, secret, token).await?;
            // A new token of the same device uses the existing stores.
            let is_same_device =
                |old: &StoredSession| old.session.meta == session.meta && old.homeserver == config.homeserver.as_str();
            if !(old.is_some_and(is_same_device) && device_recovery::has_key_store(config)) {
                if device_recovery::has_published_keys(config, &session).await? {
                    return Err(device_recovery::token_needs_new_device(config, &session.meta.device_id, token));
                }
                device_recovery::set_stores_aside(config)?;
            }
            let client = client::with_stores(config).await?;
            client.restore_session(session.clone()).await?;
            (client, stored(Some(hash(secret)), session))
        }
    };
    stored.store(config)?;
    tracing::info!(user = %config.user, device = %stored.session.meta.device_id, "logged in");
    Ok(client)
}

fn session_of(client: &Client) -> Result<MatrixSession, MatrixError> {
    client
        .matrix_auth()
        .session()
        .ok_or_else(|| MatrixError::unavailable("internal error: the login succeeded, but the Matrix client has no session; report this bug with the host's log"))
}

fn hash(secret: &Secret) -> String {
    hex::encode(Sha256::digest(secret.expose()))
}
