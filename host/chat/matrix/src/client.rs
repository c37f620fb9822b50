//! Creates Matrix clients for the configured homeserver: without a login, with the SDK's stores, and with a session but
//! without the SDK's stores.
//!
//! Not here: the choice of the session (`session`) and of the device (`device_recovery`).

use std::time::Duration;

use matrix_sdk::{
    Client, ClientBuilder, SessionMeta, SessionTokens,
    authentication::matrix::MatrixSession,
    config::RequestConfig,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    reqwest::redirect::{Action, Attempt, Policy},
};
use matrix_sdk_base::crypto::{CollectStrategy, DecryptionSettings, TrustRequirement};
use wardroom::base::{Secret, SecretRef};
use wardroom_account::http_client;

use crate::{Config, Login, config::Devices, error::MatrixError, folder, session};

/// Timeout of a request. For a sync, the time for which the homeserver may hold the request open is added.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Placeholder for the device id of a session while the device id is unknown.
const UNKNOWN_DEVICE: &str = "WARDROOM";

/// Creates a client that is not logged in, has no stores and does not retry.
///
/// # Errors
/// [`MatrixError::Rejected`] if the configured certificates cannot be used.
pub(crate) async fn anonymous(config: &Config) -> Result<Client, MatrixError> {
    build(builder(config)?).await
}

/// Creates a client that is not logged in and uses the SDK's stores of the account's device. After a login, the client
/// writes refreshed access tokens to the session file.
///
/// # Errors
/// [`MatrixError::Local`] if the stores cannot be opened.
pub(crate) async fn with_stores(config: &Config) -> Result<Client, MatrixError> {
    let settings = EncryptionSettings {
        // The module `cross_signing` enables both, and logs the reason if that fails.
        auto_enable_cross_signing: false,
        auto_enable_backups: false,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
    };
    let recipients = match config.devices {
        Devices::CrossSigned => CollectStrategy::IdentityBasedStrategy,
        Devices::Any => CollectStrategy::AllDevices,
    };
    // Events of untrusted devices are decrypted, too, so that their senders get an answer. `sender_trust` decides
    // whether the events may start actions.
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

/// Creates a client that is logged in with a stored session, without opening the SDK's stores.
///
/// # Errors
/// The session cannot be restored.
pub(crate) async fn without_stores(config: &Config, session: MatrixSession) -> Result<Client, MatrixError> {
    let client = build(builder(config)?.handle_refresh_tokens()).await?;
    persist_refreshed_tokens(config, &client)?;
    client.restore_session(session).await?;
    Ok(client)
}

/// Reads the account's password or access token from its source.
///
/// # Errors
/// [`MatrixError::Rejected`] if the secret cannot be read.
pub(crate) fn secret(config: &Config) -> Result<Secret, MatrixError> {
    let (Login::Password(reference) | Login::Token { token: reference, .. }) = &config.login;
    reference.resolve().map_err(|error| MatrixError::rejected(format!("{error:#}")))
}

/// Creates a session from an access token. Requests the token's account and device from the homeserver. `reference` is
/// the source of the token, for error messages.
///
/// # Errors
/// [`MatrixError::Rejected`] if the homeserver does not accept the token, or if the token's account or device differs
/// from the configuration.
pub(crate) async fn token_session(
    config: &Config,
    token: &Secret,
    reference: &SecretRef,
) -> Result<MatrixSession, MatrixError> {
    let client = anonymous(config).await?;
    client.restore_session(new_session(config, UNKNOWN_DEVICE, token.expose())).await?;
    let owner = client.whoami().await.map_err(|error| match MatrixError::from(&error) {
        MatrixError::SessionEnded { .. } => MatrixError::rejected(format!(
            "the homeserver does not accept the access token of `{}`; hint: create a new token and put it in {reference}",
            config.user
        )),
        other => other,
    })?;
    if owner.user_id != config.user {
        let reason = format!(
            "the access token in {reference} belongs to `{}`, but `user` of [bot.{}.matrix] is `{}`; hint: correct `user` or the token",
            owner.user_id, config.bot, config.user
        );
        return Err(MatrixError::rejected(reason));
    }
    let device = owner.device_id.map_or_else(|| UNKNOWN_DEVICE.to_owned(), |device| device.to_string());
    if let Login::Token { device: Some(wanted), .. } = &config.login
        && wanted.as_str() != device
    {
        let reason = format!(
            "the access token in {reference} belongs to the device `{device}`, but `device_id` of [bot.{}.matrix] is `{wanted}`; hint: write `device_id = \"{device}\"`, or remove `device_id`",
            config.bot
        );
        return Err(MatrixError::rejected(reason));
    }
    Ok(new_session(config, &device, token.expose()))
}

/// Logs a client in by password. `device` is the id of an existing device; `None` creates a new one.
///
/// # Errors
/// [`MatrixError::Rejected`] if the homeserver rejects the password.
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
            "`{}` cannot log in with its password: {reason}; hint: check the secret to which `password` of [bot.{}.matrix] refers",
            config.user, config.bot
        )),
        other => other,
    })?;
    if answer.user_id != config.user {
        let reason = format!(
            "the homeserver logged in `{}`, but `user` of [bot.{}.matrix] is `{}`; hint: correct `user`",
            answer.user_id, config.bot, config.user
        );
        return Err(MatrixError::rejected(reason));
    }
    Ok(())
}

fn builder(config: &Config) -> Result<ClientBuilder, MatrixError> {
    let http = http_client(config.ca.as_deref()).map_err(MatrixError::rejected)?;
    let http = http.redirect(Policy::custom(refuse_redirect)).build();
    let http = http.map_err(|error| MatrixError::local("the HTTP client cannot be created", &error))?;
    Ok(Client::builder()
        .homeserver_url(&config.homeserver)
        // Use the configured URL, and not the one that the homeserver recommends.
        .respect_login_well_known(false)
        .http_client(http)
        .request_config(RequestConfig::new().disable_retry().timeout(REQUEST_TIMEOUT)))
}

/// Ends a request that the server redirects, with an error for the operator. The request may contain a password.
fn refuse_redirect(attempt: Attempt<'_>) -> Action {
    let to = attempt.url().origin().ascii_serialization();
    attempt.error(format!(
        "the server redirects to {to}; hint: set `homeserver` to the address where the homeserver answers"
    ))
}

async fn build(builder: ClientBuilder) -> Result<Client, MatrixError> {
    builder.build().await.map_err(|error| MatrixError::local("the Matrix client cannot be created", &error))
}

/// Makes a client write refreshed tokens to the session file before it uses them. Otherwise a crash could leave only
/// the old tokens, which may be invalid by then.
fn persist_refreshed_tokens(config: &Config, client: &Client) -> Result<(), MatrixError> {
    let config = config.clone();
    client.set_session_callbacks(
        Box::new(|_| Err("internal error: the Matrix client tried to load a session outside of a login; report this bug with the host's log".into())),
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[tokio::test]
    async fn a_redirect_is_refused_and_the_password_is_not_sent_elsewhere() {
        let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = elsewhere.local_addr().expect("an address");
        let url = format!("http://{}", server.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.expect("a connection");
                let _ = stream.read(&mut [0; 4096]);
                let answer = format!(
                    "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{to}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        let config = crate::config::tests::config_in(folder.path());
        let config = Config { homeserver: url.parse().expect("a URL"), ..config };
        let client = anonymous(&config).await.expect("a client");
        let password = Secret::new("hunter2");
        let failed = log_in_with_password(&config, &client, &password, None).await.expect_err("a redirect");
        assert!(failed.is_transient() && failed.reason().contains("set `homeserver` to the address"), "{failed}");
        elsewhere.set_nonblocking(true).expect("not blocking");
        assert!(elsewhere.accept().is_err(), "nothing was sent to the other server");
    }
}
