//! An account's login, taken up again at each start, begun anew where it is gone.
//!
//! Architecture Invariant: the session file and the store of keys are one unit, a device. Where one of them is missing or
//! belongs to another, a new device takes their place: a device without its keys reads nothing and is believed by nobody.
//! Architecture Invariant: a store that is given up is set aside until the next device has taken over the account's
//! own keys from it.
//! Not here: what the account's own keys are good for (`identity`), and how files are written (`folder`).

use std::{fs, time::Duration};

use matrix_sdk::{
    Client, ClientBuilder, SessionMeta, SessionTokens,
    authentication::matrix::MatrixSession,
    config::RequestConfig,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    reqwest::Certificate,
};
use matrix_sdk_base::crypto::{CollectStrategy, DecryptionSettings, TrustRequirement};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wardroom::port::{Secret, SecretRef};

use crate::{
    Config, Login,
    config::Devices,
    folder, lost,
    trouble::{Trouble, chain},
};

/// How long one request may take; a sync has its own waiting time on top.
const REQUEST: Duration = Duration::from_secs(30);

/// What stands in the session file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    homeserver: String,
    /// Names the operator's token without holding it; `None` for a login by password.
    token: Option<String>,
    /// The homeserver wants the password again, and keeps the device meanwhile.
    #[serde(default)]
    asked_again: bool,
    session: MatrixSession,
}

/// Takes up the account's session, or begins one.
///
/// # Errors
/// [`Trouble::Refused`] where the configuration must change first.
pub(crate) async fn open(config: &Config) -> Result<Client, Trouble> {
    let secret = secret(config)?;
    folder::make(config)?;
    // A file that cannot be read is one that is not there: a session can always be begun anew.
    let kept = folder::read_json::<Kept>(&folder::session_file(config)).ok().flatten();
    let client = match kept {
        Some(kept) if is_ours(config, &kept, &secret) => take_up(config, &secret, kept).await?,
        kept => begin(config, &secret, kept.as_ref()).await?,
    };
    lost::inherit(config, &client).await?;
    Ok(client)
}

/// Drops the session. The stores stay, until the next one has taken over what it can use.
///
/// # Errors
/// What the file system said.
pub(crate) fn forget(config: &Config) -> Result<(), Trouble> {
    folder::remove(&folder::session_file(config)).map_err(|error| folder::trouble(config, &error))
}

/// Drops a session whose device has lost its keys, and tells the homeserver where it can be told.
///
/// # Errors
/// What the file system said.
pub(crate) async fn give_up(config: &Config) -> Result<(), Trouble> {
    let kept = folder::read_json::<Kept>(&folder::session_file(config)).ok().flatten();
    forget(config)?;
    if let Some(kept) = kept {
        lost::log_out(config, kept.session).await;
    }
    Ok(())
}

/// Keeps that the homeserver wants the password again for the same device; the next [`open`] gives it.
///
/// # Errors
/// What the file system said.
pub(crate) fn asked_again(config: &Config) -> Result<(), Trouble> {
    let file = folder::session_file(config);
    match folder::read_json::<Kept>(&file) {
        Ok(Some(kept)) => folder::write_json(&file, &Kept { asked_again: true, ..kept }),
        other => other.map(drop),
    }
    .map_err(|error| folder::trouble(config, &error))
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
/// [`Trouble::Refused`] where it is not the configured account's, or not the configured device's.
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
    if let Login::Token { device: Some(wanted), .. } = &config.login
        && wanted.as_str() != device
    {
        let reason = format!(
            "the access token belongs to the device {device}, and the configuration says {wanted}; hint: write device_id = \"{device}\", or leave it out"
        );
        return Err(Trouble::Refused { reason });
    }
    Ok(session(config, &device, token.expose()))
}

/// Logs in by password on this client, as a device that is there or as a new one.
///
/// # Errors
/// [`Trouble::Refused`] where the homeserver does not take the password.
pub(crate) async fn password_login(
    config: &Config,
    client: &Client,
    password: &Secret,
    device: Option<&str>,
) -> Result<(), Trouble> {
    let name = format!("wardroom ({})", config.bot);
    let auth = client.matrix_auth();
    let mut login =
        auth.login_username(&config.user, password.expose()).initial_device_display_name(&name).request_refresh_token();
    if let Some(device) = device {
        login = login.device_id(device);
    }
    let answer = login.send().await.map_err(|error| match Trouble::from(error) {
        Trouble::Refused { reason } | Trouble::LoggedOut { reason, .. } => {
            Trouble::Refused { reason: format!("{} cannot log in with its password: {reason}", config.user) }
        }
        other => other,
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

/// Goes on with the session on disk.
async fn take_up(config: &Config, secret: &Secret, kept: Kept) -> Result<Client, Trouble> {
    let device = kept.session.meta.device_id.clone();
    let gone = lost::gone(config, &kept.session).await?;
    // Asking may have changed the tokens.
    let kept = folder::read_json(&folder::session_file(config)).ok().flatten().unwrap_or(kept);
    let why = match gone {
        Some(why) => why,
        None => match restore(config, secret, &kept).await {
            Ok(client) => return Ok(client),
            Err(trouble) if !lost::is_damage(&trouble) => return Err(trouble),
            Err(trouble) => format!("cannot be read ({trouble})"),
        },
    };
    if let Login::Token { token, .. } = &config.login {
        return Err(lost::for_a_token(config, &device, token));
    }
    tracing::warn!(
        user = %config.user, %device,
        "the store with the encryption keys of this device {why}: what was encrypted for it alone can no longer be read; logging in as a new device"
    );
    let client = begin(config, secret, Some(&kept)).await?;
    lost::log_out(config, kept.session).await;
    Ok(client)
}

async fn begin(config: &Config, secret: &Secret, old: Option<&Kept>) -> Result<Client, Trouble> {
    let kept = |token, session| Kept { homeserver: config.homeserver.to_string(), token, asked_again: false, session };
    let (client, kept) = match &config.login {
        Login::Password(_) => {
            lost::set_aside(config)?;
            let client = keeping(config).await?;
            password_login(config, &client, secret, None).await?;
            let session = given(&client)?;
            (client, kept(None, session))
        }
        Login::Token { token, .. } => {
            let session = token_session(config, secret, token).await?;
            let same = |old: &Kept| old.session.meta == session.meta && old.homeserver == config.homeserver.as_str();
            // The operator changed the token and not the device: its keys are still good.
            if !(old.is_some_and(same) && lost::has_keys(config)) {
                if lost::published(config, &session).await? {
                    return Err(lost::for_a_token(config, &session.meta.device_id, token));
                }
                lost::set_aside(config)?;
            }
            let client = keeping(config).await?;
            client.restore_session(session.clone()).await?;
            (client, kept(Some(digest(secret)), session))
        }
    };
    write(config, &kept).map_err(|error| folder::trouble(config, &error))?;
    tracing::info!(user = %config.user, device = %kept.session.meta.device_id, "logged in");
    Ok(client)
}

async fn restore(config: &Config, secret: &Secret, kept: &Kept) -> Result<Client, Trouble> {
    let client = keeping(config).await?;
    if kept.asked_again {
        password_login(config, &client, secret, Some(kept.session.meta.device_id.as_str())).await?;
        let kept = Kept { asked_again: false, session: given(&client)?, ..kept.clone() };
        write(config, &kept).map_err(|error| folder::trouble(config, &error))?;
        tracing::info!(user = %config.user, device = %kept.session.meta.device_id, "logged in again as the same device");
    } else {
        let mut session = kept.session.clone();
        if kept.token.is_some() {
            secret.expose().clone_into(&mut session.tokens.access_token);
        }
        client.restore_session(session).await?;
    }
    Ok(client)
}

/// A client that keeps its device's keys, and tokens that the homeserver changes, on disk.
async fn keeping(config: &Config) -> Result<Client, Trouble> {
    let settings = EncryptionSettings {
        // Both are done by `identity`, which can say why they are not.
        auto_enable_cross_signing: false,
        auto_enable_backups: false,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
    };
    let recipients = match config.devices {
        Devices::CrossSigned => CollectStrategy::IdentityBasedStrategy,
        Devices::Any => CollectStrategy::AllDevices,
    };
    // Everything is decrypted and judged by `sealed`: whoever is not believed must be told so.
    let decryption = DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted };
    let builder = builder(config)?
        .sqlite_store(folder::stores(config), None)
        .with_encryption_settings(settings)
        .with_room_key_recipient_strategy(recipients)
        .with_decryption_settings(decryption)
        .handle_refresh_tokens();
    let client = build(builder).await?;
    keep_tokens(config, &client)?;
    Ok(client)
}

/// A client for a few questions in the name of a session, without its stores.
pub(crate) async fn beside(config: &Config, session: MatrixSession) -> Result<Client, Trouble> {
    let client = build(builder(config)?.handle_refresh_tokens()).await?;
    keep_tokens(config, &client)?;
    client.restore_session(session).await?;
    Ok(client)
}

/// Has changed tokens written down before they are used: after a crash the old ones may be worth nothing.
fn keep_tokens(config: &Config, client: &Client) -> Result<(), Trouble> {
    let config = config.clone();
    client.set_session_callbacks(
        Box::new(|_| Err("a session is read at the start alone".into())),
        Box::new(move |client| Ok(refreshed(&config, &client)?)),
    )?;
    Ok(())
}

fn refreshed(config: &Config, client: &Client) -> std::io::Result<()> {
    let file = folder::session_file(config);
    match (folder::read_json::<Kept>(&file)?, client.matrix_auth().session()) {
        // Not where a new session stands already.
        (Some(kept), Some(session)) if kept.session.meta == session.meta => {
            folder::write_json(&file, &Kept { session, ..kept })
        }
        _ => Ok(()),
    }
}

fn given(client: &Client) -> Result<MatrixSession, Trouble> {
    let none = || Trouble::Later { after: None, reason: "the login gave no session".into() };
    client.matrix_auth().session().ok_or_else(none)
}

/// Whether a session on disk is still this account's.
fn is_ours(config: &Config, kept: &Kept, secret: &Secret) -> bool {
    let wanted = match &config.login {
        Login::Password(_) => None,
        Login::Token { .. } => Some(digest(secret)),
    };
    let device = match &config.login {
        Login::Token { device: Some(device), .. } => *device == kept.session.meta.device_id,
        _ => true,
    };
    kept.homeserver == config.homeserver.as_str()
        && kept.session.meta.user_id == config.user
        && kept.token == wanted
        && device
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

fn write(config: &Config, kept: &Kept) -> std::io::Result<()> {
    let mut kept = kept.clone();
    if kept.token.is_some() {
        // A token of the operator's is not written down a second time.
        kept.session.tokens.access_token = String::new();
    }
    folder::write_json(&folder::session_file(config), &kept)
}
