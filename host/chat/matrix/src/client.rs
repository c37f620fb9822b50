//! Clients of the homeserver: for one session with its stores, for a session without stores, and before a login.
//!
//! Not here: which session is used (`session`), and which device (`device_recovery`).

use std::time::Duration;

use matrix_sdk::{
    Client, ClientBuilder, SessionMeta, SessionTokens,
    authentication::matrix::MatrixSession,
    config::RequestConfig,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
};
use matrix_sdk_base::crypto::{CollectStrategy, DecryptionSettings, TrustRequirement};
use wardroom::base::{Secret, SecretRef};
use wardroom_account::{USER_AGENT, load_certificates};

use crate::{Config, Login, config::Devices, error::MatrixError, folder, session};

/// The timeout of a request. The homeserver holds a sync for some time on top.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The name of the device in a session whose device is not known.
const UNKNOWN_DEVICE: &str = "WARDROOM";

/// A client that is not logged in, has no stores and retries nothing.
///
/// # Errors
/// [`MatrixError::Rejected`] where the configured certificates cannot be used.
pub(crate) async fn anonymous(config: &Config) -> Result<Client, MatrixError> {
    build(builder(config)?).await
}

/// A client with the stores of the account's device, not logged in. It writes refreshed access tokens to the session file.
///
/// # Errors
/// [`MatrixError::Local`] where the stores cannot be opened.
pub(crate) async fn with_stores(config: &Config) -> Result<Client, MatrixError> {
    let settings = EncryptionSettings {
        // `cross_signing` does both and reports why one cannot be done.
        auto_enable_cross_signing: false,
        auto_enable_backups: false,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
    };
    let recipients = match config.devices {
        Devices::CrossSigned => CollectStrategy::IdentityBasedStrategy,
        Devices::Any => CollectStrategy::AllDevices,
    };
    // Every event is decrypted. `sender_trust` decides what it may do, so that an untrusted sender gets an answer.
    let decryption = DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted };
    let builder = builder(config)?
        .sqlite_store(folder::stores(config), None)
        .with_encryption_settings(settings)
        .with_room_key_recipient_strategy(recipients)
        .with_decryption_settings(decryption)
        .handle_refresh_tokens();
    let client = build(builder).await?;
    persist_refreshed_tokens(config, &client)?;
    Ok(client)
}

/// A client that uses a session without opening its stores.
///
/// # Errors
/// The session cannot be restored.
pub(crate) async fn without_stores(config: &Config, session: MatrixSession) -> Result<Client, MatrixError> {
    let client = build(builder(config)?.handle_refresh_tokens()).await?;
    persist_refreshed_tokens(config, &client)?;
    client.restore_session(session).await?;
    Ok(client)
}

/// The account's password or access token, read now.
///
/// # Errors
/// [`MatrixError::Rejected`] where it cannot be read.
pub(crate) fn secret(config: &Config) -> Result<Secret, MatrixError> {
    let (Login::Password(reference) | Login::Token { token: reference, .. }) = &config.login;
    reference.resolve().map_err(|error| MatrixError::rejected(format!("{error:#}")))
}

/// The session of an access token: asks the homeserver for its account and device.
///
/// # Errors
/// [`MatrixError::Rejected`] where the token belongs to another account or device than the configuration names.
pub(crate) async fn token_session(
    config: &Config,
    token: &Secret,
    reference: &SecretRef,
) -> Result<MatrixSession, MatrixError> {
    let client = anonymous(config).await?;
    client.restore_session(new_session(config, UNKNOWN_DEVICE, token.expose())).await?;
    let owner = client.whoami().await.map_err(|error| match MatrixError::from(&error) {
        MatrixError::SessionEnded { .. } => MatrixError::rejected(format!(
            "the homeserver does not know the access token of `{}`; hint: create a new token and put it in {reference}",
            config.user
        )),
        other => other,
    })?;
    if owner.user_id != config.user {
        let reason = format!(
            "the access token in {reference} belongs to `{}`, and the configuration names `{}`; hint: correct `user` or the token",
            owner.user_id, config.user
        );
        return Err(MatrixError::rejected(reason));
    }
    let device = owner.device_id.map_or_else(|| UNKNOWN_DEVICE.to_owned(), |device| device.to_string());
    if let Login::Token { device: Some(wanted), .. } = &config.login
        && wanted.as_str() != device
    {
        let reason = format!(
            "the access token belongs to the device `{device}`, and the configuration names `{wanted}`; hint: write device_id = \"{device}\", or leave it out"
        );
        return Err(MatrixError::rejected(reason));
    }
    Ok(new_session(config, &device, token.expose()))
}

/// Logs a client in by password, as an existing device or as a new one.
///
/// # Errors
/// [`MatrixError::Rejected`] where the homeserver rejects the password.
pub(crate) async fn log_in_with_password(
    config: &Config,
    client: &Client,
    password: &Secret,
    device: Option<&str>,
) -> Result<(), MatrixError> {
    let name = format!("wardroom ({})", config.bot);
    let auth = client.matrix_auth();
    let mut login =
        auth.login_username(&config.user, password.expose()).initial_device_display_name(&name).request_refresh_token();
    if let Some(device) = device {
        login = login.device_id(device);
    }
    let answer = login.send().await.map_err(|error| match MatrixError::from(error) {
        MatrixError::Rejected { reason } | MatrixError::SessionEnded { reason, .. } => MatrixError::rejected(format!(
            "`{}` cannot log in with its password: {reason}; hint: check the secret that `password` names",
            config.user
        )),
        other => other,
    })?;
    if answer.user_id != config.user {
        let reason = format!(
            "the homeserver logged in `{}`, and the configuration names `{}`; hint: correct `user`",
            answer.user_id, config.user
        );
        return Err(MatrixError::rejected(reason));
    }
    Ok(())
}

fn builder(config: &Config) -> Result<ClientBuilder, MatrixError> {
    let mut builder = Client::builder()
        .homeserver_url(&config.homeserver)
        // The URL of the configuration is used, not the one that the server recommends.
        .respect_login_well_known(false)
        .user_agent(USER_AGENT)
        .request_config(RequestConfig::new().disable_retry().timeout(REQUEST_TIMEOUT));
    if let Some(path) = &config.ca {
        let certificates = load_certificates(path).map_err(MatrixError::rejected)?;
        builder = builder.add_root_certificates(certificates);
    }
    Ok(builder)
}

async fn build(builder: ClientBuilder) -> Result<Client, MatrixError> {
    builder.build().await.map_err(|error| MatrixError::local("the Matrix client cannot be created", &error))
}

/// Writes refreshed tokens to the session file before they are used: after a crash the old ones may be invalid.
fn persist_refreshed_tokens(config: &Config, client: &Client) -> Result<(), MatrixError> {
    let config = config.clone();
    client.set_session_callbacks(
        Box::new(|_| Err("a session is loaded at the start only".into())),
        Box::new(move |client| Ok(session::store_refreshed_tokens(&config, &client)?)),
    )?;
    Ok(())
}

fn new_session(config: &Config, device: &str, token: &str) -> MatrixSession {
    MatrixSession {
        meta: SessionMeta { user_id: config.user.clone(), device_id: device.into() },
        tokens: SessionTokens { access_token: token.to_owned(), refresh_token: None },
    }
}
