//! An account's login, and the folder in which it outlives the process.
//!
//! Architecture Invariant: the session file and the SDK's stores are one unit. Where one is missing or
//! belongs to another account, homeserver or token, both are made anew.
//! Architecture Invariant: the folder is for its owner alone, and the file appears whole or not at all.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use matrix_sdk::{
    Client, ClientBuilder, STATE_STORE_DATABASE_NAME, SessionMeta, SessionTokens,
    authentication::matrix::MatrixSession, config::RequestConfig, reqwest::Certificate,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wardroom::port::{Secret, SecretRef};

use crate::{
    Config, Login,
    trouble::{Trouble, chain},
};

/// How long one request may take; a sync has its own waiting time on top.
const REQUEST: Duration = Duration::from_secs(30);

/// What stands in the session file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    homeserver: String,
    /// Names the operator's token without holding it; `None` for a login by password.
    token: Option<String>,
    session: MatrixSession,
}

/// Takes up the account's session, or begins one.
///
/// # Errors
/// [`Trouble::Refused`] where the configuration must change first.
pub(crate) async fn open(config: &Config) -> Result<Client, Trouble> {
    let secret = secret(config)?;
    private_folder(&config.folder).map_err(|error| folder_trouble(&config.folder, &error))?;
    if let Some(session) = kept(config, &secret) {
        match restore(config, session).await {
            Ok(client) => return Ok(client),
            // The server keeps all that counts, and the marks are the engine's: nothing is lost with it.
            Err(error) => {
                tracing::warn!(user = %config.user, "the kept session cannot be used, beginning a new one: {error}")
            }
        }
    }
    begin(config, &secret).await
}

/// Drops the session and its stores.
///
/// # Errors
/// What the file system said.
pub(crate) fn forget(config: &Config) -> Result<(), Trouble> {
    // The file goes first: stores without it are made anew.
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(folder_trouble(&config.folder, &error)),
        _ => Ok(()),
    };
    gone(fs::remove_file(session_file(config)))?;
    gone(fs::remove_dir_all(stores(config)))
}

/// A client of this homeserver, not logged in, which keeps nothing and leaves every retry to us.
pub(crate) fn builder(config: &Config) -> Result<ClientBuilder, Trouble> {
    let mut builder = Client::builder()
        .homeserver_url(&config.homeserver)
        // The operator's URL counts, not the one the server would rather have us use.
        .respect_login_well_known(false)
        .user_agent(concat!("wardroom/", env!("CARGO_PKG_VERSION")))
        .request_config(RequestConfig::new().disable_retry().timeout(REQUEST));
    if let Some(path) = &config.ca {
        let refused = |why: String| Trouble::Refused {
            reason: format!("the certificates in `{}` cannot be used: {why}", path.display()),
        };
        let pem = fs::read(path).map_err(|error| refused(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| refused(chain(&error)))?;
        builder = builder.add_root_certificates(certificates);
    }
    Ok(builder)
}

/// The account's secret, read now.
pub(crate) fn secret(config: &Config) -> Result<Secret, Trouble> {
    let (Login::Password(reference) | Login::Token { token: reference, .. }) = &config.login;
    reference.resolve().map_err(|error| Trouble::Refused { reason: format!("{error:#}") })
}

/// Asks whose token this is and of which device.
///
/// # Errors
/// [`Trouble::Refused`] where it is not the configured account's.
pub(crate) async fn token_session(
    config: &Config,
    token: &Secret,
    reference: &SecretRef,
) -> Result<MatrixSession, Trouble> {
    let client = build(builder(config)?).await?;
    let guess = session(config, "WARDROOM", token.expose());
    client.restore_session(guess).await?;
    let owner = client.whoami().await.map_err(|error| match Trouble::from(&error) {
        Trouble::LoggedOut { .. } => Trouble::Refused {
            reason: format!(
                "the homeserver does not know the access token of {}; hint: make a new one and put it in {reference}",
                config.user
            ),
        },
        other => other,
    })?;
    if owner.user_id != config.user {
        let reason =
            format!("the access token belongs to {}, and the configuration says {}", owner.user_id, config.user);
        return Err(Trouble::Refused { reason });
    }
    let device = owner.device_id.map_or_else(|| "WARDROOM".to_owned(), |device| device.to_string());
    Ok(session(config, &device, token.expose()))
}

/// Logs in by password on this client.
///
/// # Errors
/// [`Trouble::Refused`] where the homeserver does not take the password.
pub(crate) async fn password_login(config: &Config, client: &Client, password: &Secret) -> Result<(), Trouble> {
    let name = format!("wardroom ({})", config.bot);
    let answer = client
        .matrix_auth()
        .login_username(&config.user, password.expose())
        .initial_device_display_name(&name)
        .send()
        .await
        .map_err(|error| match Trouble::from(error) {
            Trouble::Refused { reason } | Trouble::LoggedOut { reason } => {
                Trouble::Refused { reason: format!("{} cannot log in with its password: {reason}", config.user) }
            }
            later @ Trouble::Later { .. } => later,
        })?;
    if answer.user_id != config.user {
        let reason = format!("the homeserver logged in {}, and the configuration says {}", answer.user_id, config.user);
        return Err(Trouble::Refused { reason });
    }
    Ok(())
}

/// Builds a client.
pub(crate) async fn build(builder: ClientBuilder) -> Result<Client, Trouble> {
    builder.build().await.map_err(|error| Trouble::local("the Matrix client cannot be made", &error))
}

async fn begin(config: &Config, secret: &Secret) -> Result<Client, Trouble> {
    forget(config)?;
    let stores = stores(config);
    let (client, token) = match &config.login {
        Login::Password(_) => {
            let client = build(builder(config)?.sqlite_store(&stores, None)).await?;
            password_login(config, &client, secret).await?;
            (client, None)
        }
        Login::Token { token, device } => {
            let session = match device {
                Some(device) => session(config, device.as_str(), secret.expose()),
                None => token_session(config, secret, token).await?,
            };
            (restore(config, session).await?, Some(digest(secret)))
        }
    };
    let session = client
        .matrix_auth()
        .session()
        .ok_or_else(|| Trouble::Later { after: None, reason: "the login gave no session".into() })?;
    let kept = Kept { homeserver: config.homeserver.to_string(), token, session };
    write(config, &kept).map_err(|error| folder_trouble(&config.folder, &error))?;
    tracing::info!(user = %config.user, device = %kept.session.meta.device_id, "logged in");
    Ok(client)
}

async fn restore(config: &Config, session: MatrixSession) -> Result<Client, Trouble> {
    let client = build(builder(config)?.sqlite_store(stores(config), None)).await?;
    client.restore_session(session).await?;
    Ok(client)
}

/// The session on disk, where it is whole and still this account's.
fn kept(config: &Config, secret: &Secret) -> Option<MatrixSession> {
    let text = fs::read_to_string(session_file(config)).ok()?;
    let mut kept: Kept = serde_json::from_str(&text).ok()?;
    let wanted = match &config.login {
        Login::Password(_) => None,
        Login::Token { .. } => {
            secret.expose().clone_into(&mut kept.session.tokens.access_token);
            Some(digest(secret))
        }
    };
    let device = match &config.login {
        Login::Token { device: Some(device), .. } => *device == kept.session.meta.device_id,
        _ => true,
    };
    let same = kept.homeserver == config.homeserver.as_str()
        && kept.session.meta.user_id == config.user
        && kept.token == wanted;
    (same && device && stores(config).join(STATE_STORE_DATABASE_NAME).is_file()).then_some(kept.session)
}

fn session(config: &Config, device: &str, token: &str) -> MatrixSession {
    MatrixSession {
        meta: SessionMeta { user_id: config.user.clone(), device_id: device.into() },
        tokens: SessionTokens { access_token: token.to_owned(), refresh_token: None },
    }
}

fn digest(secret: &Secret) -> String {
    hex::encode(Sha256::digest(secret.expose()))
}

fn session_file(config: &Config) -> PathBuf {
    config.folder.join("session.json")
}

fn stores(config: &Config) -> PathBuf {
    config.folder.join("store")
}

fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // It may have been there with other rights.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

fn write(config: &Config, kept: &Kept) -> io::Result<()> {
    // A token of the operator's is not written down a second time.
    let mut value = serde_json::to_value(kept)?;
    if kept.token.is_some() {
        value["session"]["access_token"] = "".into();
    }
    write_whole(&session_file(config), &value.to_string())
}

/// Writes a file of the account's folder, for its owner alone: whole, or not at all.
///
/// # Errors
/// What the file system said.
pub(crate) fn write_whole(whole: &Path, text: &str) -> io::Result<()> {
    let part = whole.with_extension("part");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, whole)?;
    whole.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

fn folder_trouble(folder: &Path, error: &io::Error) -> Trouble {
    Trouble::Later { after: None, reason: format!("the folder `{}` cannot be used: {error}", folder.display()) }
}
