//! The account's own keys: what makes other people's devices believe this one.
//!
//! A device counts only when the account has signed it ("cross-signed", "verified"): others give the keys of encrypted
//! rooms to no other. Those of the account's keys lie encrypted on the homeserver, under the recovery key.
//!
//! Architecture Invariant: what exists is never replaced. Keys of the account that we do not have and cannot open are
//! reported with what to do, and the bot goes on without; that is tried anew at each start, and by nothing else.
//! Not here: where the recovery key lies (`recovery`), and a device's own keys (`lost`).

use std::time::{Duration, Instant};

use matrix_sdk::{
    Client,
    encryption::{
        identities::ManualVerifyError,
        recovery::{RecoveryError, RecoveryState},
        secret_storage::SecretStorageError,
    },
    ruma::api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier},
};
use wardroom_account::Backoff;

use crate::{
    Config, Login,
    recovery::{self, Making},
    session,
    trouble::{Trouble, chain},
};

/// A configured key that the account's secrets are to be put under is at least this long.
const SHORTEST_KEY: usize = 16;

/// Sees to it that this device is believed, and that another could take its place.
pub(crate) struct Identity<'a> {
    config: &'a Config,
    client: Client,
    backoff: Backoff,
    /// Not before this; `None` where nothing is left to do.
    due: Option<Instant>,
    told: bool,
}

impl<'a> Identity<'a> {
    /// Begins; no request yet.
    pub(crate) fn new(config: &'a Config, client: Client) -> Self {
        Self { config, client, backoff: Backoff::default(), due: Some(Instant::now()), told: false }
    }

    /// How long until [`Identity::settle`] has something to do; `None` where it never will.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(now))
    }

    /// Does what is due, after a first sync: only then the homeserver has this device's keys. What fails for now is tried
    /// again later; what cannot be done is said once.
    pub(crate) async fn settle(&mut self) {
        let now = Instant::now();
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        let user = &self.config.user;
        match self.set_up().await {
            Ok(()) => self.due = None,
            Err(Trouble::Refused { reason }) => {
                self.due = None;
                tracing::warn!(%user, "{reason}");
            }
            Err(trouble) => {
                self.due = Some(now + self.backoff.next_asked(trouble.after()));
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(%user, "the account's encryption cannot be set up, trying again: {trouble}");
                }
            }
        }
    }

    async fn set_up(&self) -> Result<(), Trouble> {
        let encryption = self.client.encryption();
        encryption.wait_for_e2ee_initialization_tasks().await;
        let published = encryption.request_user_identity(&self.config.user).await?.is_some();
        let ours = encryption.cross_signing_status().await.is_some_and(|status| status.is_complete());
        match (published, ours) {
            (false, _) => self.create().await?,
            (true, false) => self.restore().await?,
            (true, true) => {}
        }
        self.sign_device().await?;
        self.make_recoverable().await
    }

    /// Gives an account that has none keys of its own.
    async fn create(&self) -> Result<(), Trouble> {
        let (encryption, user) = (self.client.encryption(), &self.config.user);
        // Some homeservers take the first keys of an account as they are, and others ask who is there.
        let Err(error) = encryption.bootstrap_cross_signing(None).await else {
            tracing::info!(%user, "made the account's keys for encryption");
            return Ok(());
        };
        let Some(asked) = error.as_uiaa_response() else { return Err(error.into()) };
        if matches!(self.config.login, Login::Token { .. }) {
            let reason = format!(
                "the homeserver wants the password of {user} before it takes the account's keys for encryption, so this device stays unverified and most people's clients let it read nothing in encrypted rooms; hint: log in as {user} with a client such as Element, set up encryption there, and configure its recovery key as `recovery_key` of [bot.{}.matrix]",
                self.config.bot
            );
            return Err(Trouble::Refused { reason });
        }
        let identifier = UserIdentifier::Matrix(MatrixUserIdentifier::new(user.to_string()));
        let mut password = Password::new(identifier, session::secret(self.config)?.expose().to_owned());
        password.session.clone_from(&asked.session);
        encryption.bootstrap_cross_signing(Some(AuthData::Password(password))).await.map_err(|error| {
            let refused = |reason: &str| Trouble::Refused {
                reason: format!("the homeserver does not take keys for encryption from {user}: {reason}"),
            };
            if error.as_uiaa_response().is_some() {
                return refused("its password is not enough");
            }
            match Trouble::from(error) {
                Trouble::Refused { reason } => refused(&reason),
                other => other,
            }
        })?;
        tracing::info!(%user, "made the account's keys for encryption");
        Ok(())
    }

    /// Gets the account's keys, which another device made, from where they lie encrypted.
    async fn restore(&self) -> Result<(), Trouble> {
        let bot = &self.config.bot;
        let unverified =
            "this device is not verified, and most people's clients let it read nothing in encrypted rooms";
        let Some(key) = recovery::key(self.config)? else {
            let reason = format!(
                "the account has keys for encryption that this device does not have: {unverified}; hint: configure the account's recovery key as `recovery_key` of [bot.{bot}.matrix]"
            );
            return Err(Trouble::Refused { reason });
        };
        if !self.client.encryption().secret_storage().is_enabled().await? {
            let reason = format!(
                "the account has keys for encryption that this device does not have, and none on the homeserver that a recovery key could open: {unverified}; hint: verify it from another device of the account, or reset the account's encryption with a client such as Element and configure the new recovery key"
            );
            return Err(Trouble::Refused { reason });
        }
        self.recover(key.expose()).await?;
        let ours = self.client.encryption().cross_signing_status().await.is_some_and(|status| status.is_complete());
        if !ours {
            let reason = format!("the recovery key opened keys that are not the account's any more: {unverified}");
            return Err(Trouble::Refused { reason });
        }
        tracing::info!(user = %self.config.user, "took the account's keys up again with the recovery key");
        Ok(())
    }

    async fn recover(&self, key: &str) -> Result<(), Trouble> {
        let place = match &self.config.recovery_key {
            Some(reference) => reference.to_string(),
            None => format!("`{}`", recovery::file(self.config).display()),
        };
        self.client.encryption().recovery().recover_and_fix_backup(key).await.map_err(|error| match error {
            RecoveryError::Sdk(error) | RecoveryError::SecretStorage(SecretStorageError::Sdk(error)) => error.into(),
            error => Trouble::Refused {
                reason: format!(
                    "the recovery key in {place} does not open the account's keys, so this device stays unverified: {}",
                    chain(&error)
                ),
            },
        })
    }

    async fn sign_device(&self) -> Result<(), Trouble> {
        let store = |error: &dyn std::error::Error| Trouble::local("the store of keys", error);
        let device = self.client.encryption().get_own_device().await.map_err(|error| store(&error))?;
        let Some(device) = device.filter(|device| !device.is_cross_signed_by_owner()) else { return Ok(()) };
        device.verify().await.map_err(|error| match error {
            ManualVerifyError::Http(error) => Trouble::from(error),
            error => store(&error),
        })
    }

    /// Has the account's keys and the rooms' keys kept on the homeserver, under a key that an operator has.
    async fn make_recoverable(&self) -> Result<(), Trouble> {
        let (config, user) = (self.config, &self.config.user);
        let recovery = self.client.encryption().recovery();
        let file = recovery::file(config);
        match (recovery.state(), recovery::making(config)?) {
            (RecoveryState::Unknown, _) => {
                let reason = "the homeserver did not say where the account's secrets are".to_owned();
                Err(Trouble::Later { after: None, reason })
            }
            // The last process died between making a key and writing it down.
            (RecoveryState::Enabled, Making::Begun) if config.recovery_key.is_none() => {
                let key = recovery.reset_key().await.map_err(refused)?;
                self.show(&key)
            }
            (RecoveryState::Enabled, _) => {
                if config.recovery_key.is_none() && file.exists() {
                    tracing::info!(%user, file = %file.display(), "the account's recovery key still lies here; move it to a safe place, and configure it as `recovery_key`");
                }
                Ok(())
            }
            (RecoveryState::Incomplete, _) => match recovery::key(config)? {
                Some(key) => self.recover(key.expose()).await,
                None => Err(Trouble::Refused {
                    reason: format!(
                        "this device keeps no back-up of the rooms' keys, because it lacks the account's; hint: configure the account's recovery key as `recovery_key` of [bot.{}.matrix]",
                        config.bot
                    ),
                }),
            },
            (RecoveryState::Disabled, making) => match (&config.recovery_key, making) {
                (Some(reference), _) => {
                    let Some(key) = recovery::key(config)? else { return Ok(()) };
                    if key.expose().chars().count() < SHORTEST_KEY {
                        let reason = format!(
                            "the account keeps no secrets on the homeserver yet, and the recovery key in {reference} is too short to keep them under; hint: take it out of the configuration, and one is made"
                        );
                        return Err(Trouble::Refused { reason });
                    }
                    recovery.enable().with_passphrase(key.expose()).await.map_err(refused)?;
                    tracing::warn!(%user, "the account kept no secrets on the homeserver; it does now, and the recovery key in {reference} opens them");
                    Ok(())
                }
                (None, Making::Done) => Err(Trouble::Refused {
                    reason: format!(
                        "somebody has taken the account's secrets off the homeserver, so its recovery key opens nothing any more and another device could not take this one's place; hint: configure a long secret of your own as `recovery_key` of [bot.{}.matrix], and they are kept under it",
                        config.bot
                    ),
                }),
                (None, Making::Never | Making::Begun) => {
                    recovery::begin(config)?;
                    let key = recovery.enable().await.map_err(refused)?;
                    self.show(&key)
                }
            },
        }
    }

    fn show(&self, key: &str) -> Result<(), Trouble> {
        recovery::made(self.config, key)?;
        tracing::warn!(
            user = %self.config.user,
            file = %recovery::file(self.config).display(),
            "made the account's recovery key and wrote it to this file: move it to a safe place and configure it as `recovery_key` of [bot.{}.matrix]; with it a new device can read encrypted rooms",
            self.config.bot
        );
        Ok(())
    }
}

fn refused(error: RecoveryError) -> Trouble {
    match error {
        RecoveryError::Sdk(error) | RecoveryError::SecretStorage(SecretStorageError::Sdk(error)) => {
            match Trouble::from(error) {
                Trouble::Refused { reason } => Trouble::Refused {
                    reason: format!("the homeserver keeps no back-up of the account's keys: {reason}"),
                },
                other => other,
            }
        }
        RecoveryError::BackupExistsOnServer => Trouble::Refused {
            reason: "the account has a back-up of rooms' keys that this device cannot open, so no recovery key is made; hint: set up recovery with the client that made the back-up and configure its recovery key, or delete the back-up there".into(),
        },
        error => Trouble::Refused { reason: format!("no recovery key can be made: {}", chain(&error)) },
    }
}
