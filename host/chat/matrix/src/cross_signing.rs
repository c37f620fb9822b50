//! The account's own keys (cross-signing keys), which make other devices trust this one.
//!
//! Other devices share room keys only with a device that its account has signed ("cross-signed", "verified"). The account's keys
//! are stored encrypted on the homeserver; the recovery key decrypts them.
//!
//! Architecture Invariant: existing keys are never replaced. Where the account has keys that this device neither has nor can
//! decrypt, the bot logs what to do and runs without them until the next start.
//! Not here: the place of the recovery key (`recovery_key`), and the keys of a device (`device_recovery`).

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
use wardroom_account::{RetrySchedule, error_chain};

use crate::{
    Config, Login, client,
    error::MatrixError,
    recovery_key::{self, KeyCreation},
};

/// The shortest configured recovery key under which new secrets are stored, in characters.
const MIN_RECOVERY_KEY: usize = 16;

/// What a device that is not signed cannot do.
const UNVERIFIED: &str =
    "this device is not verified, and most people's clients do not let it read messages in encrypted rooms";

/// The set-up of the account's keys on this device.
pub(crate) struct CrossSigning<'a> {
    config: &'a Config,
    client: Client,
    retry: RetrySchedule,
    /// Whether nothing is left to do in this session.
    finished: bool,
}

impl<'a> CrossSigning<'a> {
    /// Makes no request.
    pub(crate) fn new(config: &'a Config, client: Client) -> Self {
        Self { config, client, retry: RetrySchedule::default(), finished: false }
    }

    /// The time until [`CrossSigning::set_up_when_due`] has work; `None` where nothing is left to do.
    pub(crate) fn time_until_due(&self, now: Instant) -> Option<Duration> {
        (!self.finished).then(|| self.retry.due().map_or(Duration::ZERO, |due| due.saturating_duration_since(now)))
    }

    /// Sets the keys up where that is due. To be called after the first sync, which publishes this device's keys. A transient
    /// failure is retried; a rejection is logged once and ends the set-up.
    pub(crate) async fn set_up_when_due(&mut self) {
        let now = Instant::now();
        if self.finished || !self.retry.is_due(now) {
            return;
        }
        let user = &self.config.user;
        match self.set_up().await {
            Ok(()) => self.finished = true,
            Err(MatrixError::Rejected { reason }) => {
                self.finished = true;
                tracing::warn!(%user, "{reason}");
            }
            Err(error) => {
                if self.retry.record_failure(now, error.retry_after()) {
                    tracing::warn!(%user, %error, "the account's encryption cannot be set up; retrying");
                }
            }
        }
    }

    async fn set_up(&self) -> Result<(), MatrixError> {
        let encryption = self.client.encryption();
        encryption.wait_for_e2ee_initialization_tasks().await;
        let published = encryption.request_user_identity(&self.config.user).await?.is_some();
        match (published, self.has_private_keys().await) {
            (false, _) => self.create_keys().await?,
            (true, false) => self.restore_keys().await?,
            (true, true) => {}
        }
        self.sign_device().await?;
        self.ensure_backup().await
    }

    async fn has_private_keys(&self) -> bool {
        self.client.encryption().cross_signing_status().await.is_some_and(|status| status.is_complete())
    }

    /// Creates keys for an account that has none.
    async fn create_keys(&self) -> Result<(), MatrixError> {
        let (encryption, user) = (self.client.encryption(), &self.config.user);
        // Some homeservers accept an account's first keys without authentication, and others request the password.
        let Err(error) = encryption.bootstrap_cross_signing(None).await else {
            tracing::info!(%user, "created the account's keys for encryption");
            return Ok(());
        };
        let Some(challenge) = error.as_uiaa_response() else { return Err(error.into()) };
        if matches!(self.config.login, Login::Token { .. }) {
            return Err(MatrixError::rejected(format!(
                "the homeserver requests the password of `{user}` before it accepts the account's keys for encryption: {UNVERIFIED}; hint: log in as `{user}` with a client such as Element, set up encryption there, and configure its recovery key as `recovery_key` of [bot.{}.matrix]",
                self.config.bot
            )));
        }
        // The second request answers the challenge.
        let identifier = UserIdentifier::Matrix(MatrixUserIdentifier::new(user.to_string()));
        let mut password = Password::new(identifier, client::secret(self.config)?.expose().to_owned());
        password.session.clone_from(&challenge.session);
        encryption.bootstrap_cross_signing(Some(AuthData::Password(password))).await.map_err(|error| {
            let rejected = |reason: &str| {
                MatrixError::rejected(format!(
                    "the homeserver rejects keys for encryption from `{user}`: {reason}; {UNVERIFIED}"
                ))
            };
            if error.as_uiaa_response().is_some() {
                return rejected("it requests more than the password");
            }
            match MatrixError::from(error) {
                MatrixError::Rejected { reason } => rejected(&reason),
                other => other,
            }
        })?;
        tracing::info!(%user, "created the account's keys for encryption");
        Ok(())
    }

    /// Decrypts the account's keys, which another device created, with the recovery key.
    async fn restore_keys(&self) -> Result<(), MatrixError> {
        let bot = &self.config.bot;
        let Some(key) = recovery_key::load(self.config)? else {
            return Err(MatrixError::rejected(format!(
                "the account has keys for encryption that this device does not have: {UNVERIFIED}; hint: configure the account's recovery key as `recovery_key` of [bot.{bot}.matrix]"
            )));
        };
        if !self.client.encryption().secret_storage().is_enabled().await? {
            return Err(MatrixError::rejected(format!(
                "the account has keys for encryption that this device does not have, and none on the homeserver that a recovery key could decrypt: {UNVERIFIED}; hint: verify this device from another device of the account, or reset the account's encryption with a client such as Element and configure the new recovery key"
            )));
        }
        self.recover(key.expose()).await?;
        if !self.has_private_keys().await {
            return Err(MatrixError::rejected(format!(
                "the recovery key decrypts keys that the account no longer uses: {UNVERIFIED}; hint: configure the account's present recovery key as `recovery_key` of [bot.{bot}.matrix]"
            )));
        }
        tracing::info!(user = %self.config.user, "restored the account's keys with the recovery key");
        Ok(())
    }

    async fn recover(&self, key: &str) -> Result<(), MatrixError> {
        let source = match &self.config.recovery_key {
            Some(reference) => reference.to_string(),
            None => format!("`{}`", recovery_key::file(self.config).display()),
        };
        self.client.encryption().recovery().recover_and_fix_backup(key).await.map_err(|error| match error {
            RecoveryError::Sdk(error) | RecoveryError::SecretStorage(SecretStorageError::Sdk(error)) => error.into(),
            error => MatrixError::rejected(format!(
                "the recovery key in {source} does not decrypt the account's keys ({}): {UNVERIFIED}; hint: correct the key",
                error_chain(&error)
            )),
        })
    }

    async fn sign_device(&self) -> Result<(), MatrixError> {
        let local = |error: &dyn std::error::Error| MatrixError::local("the store of keys", error);
        let device = self.client.encryption().get_own_device().await.map_err(|error| local(&error))?;
        let Some(device) = device.filter(|device| !device.is_cross_signed_by_owner()) else { return Ok(()) };
        device.verify().await.map_err(|error| match error {
            ManualVerifyError::Http(error) => MatrixError::from(error),
            error => local(&error),
        })
    }

    /// Stores the account's keys and the rooms' keys on the homeserver, encrypted with a recovery key that the operator has.
    async fn ensure_backup(&self) -> Result<(), MatrixError> {
        let recovery = self.client.encryption().recovery();
        let creation = recovery_key::creation(self.config)?;
        match recovery.state() {
            RecoveryState::Unknown => {
                Err(MatrixError::unavailable("the homeserver does not tell where the account's secrets are stored"))
            }
            // The last process ended after it created a key and before it wrote the key to its file.
            RecoveryState::Enabled if creation == KeyCreation::Started && self.config.recovery_key.is_none() => {
                let key = recovery.reset_key().await.map_err(backup_error)?;
                self.store_recovery_key(&key)
            }
            RecoveryState::Enabled => {
                self.remind_of_recovery_key();
                Ok(())
            }
            RecoveryState::Incomplete => match recovery_key::load(self.config)? {
                Some(key) => self.recover(key.expose()).await,
                None => Err(MatrixError::rejected(format!(
                    "this device backs up no room keys, because it lacks the account's key for the backup; hint: configure the account's recovery key as `recovery_key` of [bot.{}.matrix]",
                    self.config.bot
                ))),
            },
            RecoveryState::Disabled => self.create_backup(creation).await,
        }
    }

    /// Creates the backup of an account that has none.
    async fn create_backup(&self, creation: KeyCreation) -> Result<(), MatrixError> {
        let (config, user) = (self.config, &self.config.user);
        let recovery = self.client.encryption().recovery();
        match (&config.recovery_key, creation) {
            (Some(reference), _) => {
                let Some(key) = recovery_key::load(config)? else { return Ok(()) };
                if key.expose().chars().count() < MIN_RECOVERY_KEY {
                    return Err(MatrixError::rejected(format!(
                        "the account stores no secrets on the homeserver yet, and the recovery key in {reference} has fewer than {MIN_RECOVERY_KEY} characters, which is too short to protect them; hint: remove `recovery_key` from [bot.{}.matrix], and the bot creates a key",
                        config.bot
                    )));
                }
                recovery.enable().with_passphrase(key.expose()).await.map_err(backup_error)?;
                tracing::warn!(%user, "the account stored no secrets on the homeserver; they are stored now, and the recovery key in {reference} decrypts them");
                Ok(())
            }
            (None, KeyCreation::Finished) => Err(MatrixError::rejected(format!(
                "the account's secrets were deleted from the homeserver, so the recovery key decrypts nothing and no other device could replace this one; hint: configure a long secret of your own as `recovery_key` of [bot.{}.matrix], and the bot stores them under it",
                config.bot
            ))),
            (None, KeyCreation::NotStarted | KeyCreation::Started) => {
                recovery_key::start_creation(config)?;
                let key = recovery.enable().await.map_err(backup_error)?;
                self.store_recovery_key(&key)
            }
        }
    }

    fn store_recovery_key(&self, key: &str) -> Result<(), MatrixError> {
        recovery_key::store(self.config, key)?;
        tracing::warn!(
            user = %self.config.user,
            path = %recovery_key::file(self.config).display(),
            "created the account's recovery key in this file, with which a new device can read encrypted rooms; move it to a safe place and configure it as `recovery_key` of [bot.{}.matrix]",
            self.config.bot
        );
        Ok(())
    }

    /// Logs that the file of a created key still exists.
    fn remind_of_recovery_key(&self) {
        let file = recovery_key::file(self.config);
        if self.config.recovery_key.is_none() && file.exists() {
            tracing::info!(
                user = %self.config.user,
                path = %file.display(),
                "the account's recovery key is still in its file; move it to a safe place and configure it as `recovery_key` of [bot.{}.matrix]",
                self.config.bot
            );
        }
    }
}

fn backup_error(error: RecoveryError) -> MatrixError {
    match error {
        RecoveryError::Sdk(error) | RecoveryError::SecretStorage(SecretStorageError::Sdk(error)) => {
            match MatrixError::from(error) {
                MatrixError::Rejected { reason } => {
                    MatrixError::rejected(format!("the homeserver rejects a backup of the account's keys: {reason}"))
                }
                other => other,
            }
        }
        RecoveryError::BackupExistsOnServer => MatrixError::rejected(
            "the account has a backup of room keys that this device cannot decrypt, so no recovery key is created; hint: set up recovery with the client that created the backup and configure its recovery key, or delete the backup there",
        ),
        error => MatrixError::rejected(format!("no recovery key can be created: {}", error_chain(&error))),
    }
}
