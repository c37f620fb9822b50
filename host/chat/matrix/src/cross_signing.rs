//! Sets up the account's own keys (cross-signing keys), which sign this device so that other devices trust it.
//!
//! Other devices share room keys only with a device that its account has signed ("cross-signed", "verified"). The
//! account's keys are stored encrypted on the homeserver; the recovery key decrypts them.
//!
//! Invariant: existing keys are never replaced. If this device does not have the account's keys and cannot
//! decrypt them, the bot logs what the operator must do, and runs without the keys until the next session.
//! Not here: the file of the recovery key (`recovery_key`), and a device that lost its own keys (`device_recovery`).

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

/// Minimum length, in characters, of a configured recovery key with which a new backup is encrypted. If the key is
/// shorter, no backup is created.
const MIN_RECOVERY_KEY: usize = 16;

/// Part of an error message: the consequence if the account's keys have not signed this device.
const UNVERIFIED: &str = "this device is not verified, so it cannot read most messages in encrypted rooms";

/// The set-up of the account's keys on this device, with retries.
pub(crate) struct CrossSigning<'a> {
    config: &'a Config,
    client: Client,
    retry: RetrySchedule,
    /// Whether the set-up has succeeded or was rejected. The next session of the account tries the set-up again.
    finished: bool,
}

impl<'a> CrossSigning<'a> {
    /// Creates the set-up. Makes no request.
    pub(crate) fn new(config: &'a Config, client: Client) -> Self {
        Self { config, client, retry: RetrySchedule::default(), finished: false }
    }

    /// Returns the time until [`CrossSigning::set_up_when_due`] is due; `None` after the set-up is finished.
    pub(crate) fn time_until_due(&self, now: Instant) -> Option<Duration> {
        (!self.finished).then(|| self.retry.due().map_or(Duration::ZERO, |due| due.saturating_duration_since(now)))
    }

    /// Sets up the account's keys if an attempt is due. Called after each sync, because the first sync publishes this
    /// device's keys. A transient failure is retried; a rejection is logged once and ends the set-up.
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
                tracing::warn!(%user, "cannot set up the account's encryption; not retrying before the next login or start: {reason}");
            }
            Err(error) => {
                if self.retry.record_failure(now, error.retry_after()) {
                    tracing::warn!(%user, %error, "cannot set up the account's cross-signing keys and their backup; retrying");
                }
            }
        }
    }

    async fn set_up(&self) -> Result<(), MatrixError> {
        let encryption = self.client.encryption();
        encryption.wait_for_e2ee_initialization_tasks().await;
        let published = encryption.request_user_identity(&self.config.user).await?.is_some();
        match (published, self.has_private_keys().await) {
            (false, _) => {
                self.create_keys().await?;
                tracing::info!(user = %self.config.user, "created the account's cross-signing keys");
            }
            (true, false) => self.restore_keys().await?,
            (true, true) => {}
        }
        self.sign_device().await?;
        self.ensure_backup().await
    }

    async fn has_private_keys(&self) -> bool {
        self.client.encryption().cross_signing_status().await.is_some_and(|status| status.is_complete())
    }

    /// Creates the cross-signing keys of an account that has none.
    async fn create_keys(&self) -> Result<(), MatrixError> {
        let (encryption, user) = (self.client.encryption(), &self.config.user);
        // Some homeservers accept an account's first keys without authentication, others require the password.
        let Err(error) = encryption.bootstrap_cross_signing(None).await else { return Ok(()) };
        let Some(challenge) = error.as_uiaa_response() else { return Err(error.into()) };
        if matches!(self.config.login, Login::Token { .. }) {
            return Err(MatrixError::rejected(format!(
                "the homeserver accepts new encryption keys of `{user}` only with the password of the account, and no password is configured; {UNVERIFIED}; hint: log in as `{user}` with a client such as Element, set up encryption there, and configure the account's recovery key as `recovery_key` of [bot.{}.matrix]",
                self.config.bot
            )));
        }
        // The second request sends the password.
        let identifier = UserIdentifier::Matrix(MatrixUserIdentifier::new(user.to_string()));
        let mut password = Password::new(identifier, client::secret(self.config)?.expose().to_owned());
        password.session.clone_from(&challenge.session);
        encryption.bootstrap_cross_signing(Some(AuthData::Password(password))).await.map_err(|error| {
            let rejected = |reason: &str| {
                MatrixError::rejected(format!(
                    "the homeserver rejects the encryption keys of `{user}`: {reason}; {UNVERIFIED}"
                ))
            };
            if error.as_uiaa_response().is_some() {
                return rejected("the homeserver requires an additional step of authentication besides the password");
            }
            match MatrixError::from(error) {
                MatrixError::Rejected { reason } => rejected(&reason),
                other => other,
            }
        })
    }

    /// Decrypts the account's cross-signing keys, which another device created, with the recovery key.
    async fn restore_keys(&self) -> Result<(), MatrixError> {
        let bot = &self.config.bot;
        let Some(key) = recovery_key::load(self.config)? else {
            return Err(MatrixError::rejected(format!(
                "this device does not have the account's cross-signing keys: {UNVERIFIED}; hint: configure the account's recovery key as `recovery_key` of [bot.{bot}.matrix]"
            )));
        };
        if !self.client.encryption().secret_storage().is_enabled().await? {
            return Err(MatrixError::rejected(format!(
                "this device does not have the account's cross-signing keys, and the homeserver stores no copy that a recovery key could decrypt: {UNVERIFIED}; hint: verify this device from another device of the account, or reset the account's encryption with a client such as Element and configure the new recovery key"
            )));
        }
        self.recover(key.expose()).await?;
        if !self.has_private_keys().await {
            return Err(MatrixError::rejected(format!(
                "the recovery key decrypts keys that the account no longer uses: {UNVERIFIED}; hint: configure the account's current recovery key as `recovery_key` of [bot.{bot}.matrix]"
            )));
        }
        tracing::info!(user = %self.config.user, "restored the account's cross-signing keys with the recovery key");
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
                "the recovery key in {source} does not decrypt the account's keys ({}): {UNVERIFIED}; hint: put the account's current recovery key in {source}",
                error_chain(&error)
            )),
        })
    }

    async fn sign_device(&self) -> Result<(), MatrixError> {
        let local = |error: &dyn std::error::Error| MatrixError::local("the key store failed", error);
        let device = self.client.encryption().get_own_device().await.map_err(|error| local(&error))?;
        let Some(device) = device.filter(|device| !device.is_cross_signed_by_owner()) else { return Ok(()) };
        device.verify().await.map_err(|error| match error {
            ManualVerifyError::Http(error) => MatrixError::from(error),
            error => local(&error),
        })
    }

    /// Stores the account's keys and the room keys on the homeserver, encrypted with the recovery key.
    async fn ensure_backup(&self) -> Result<(), MatrixError> {
        let recovery = self.client.encryption().recovery();
        let creation = recovery_key::creation(self.config)?;
        match recovery.state() {
            RecoveryState::Unknown => Err(MatrixError::unavailable(
                "the homeserver has not reported yet whether it stores a backup of the account's cross-signing keys",
            )),
            // The previous run of the host ended after it created a recovery key and before it wrote the key to the
            // file.
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
                    "this device does not back up room keys, because it does not have the account's backup key; hint: configure the account's recovery key as `recovery_key` of [bot.{}.matrix]",
                    self.config.bot
                ))),
            },
            RecoveryState::Disabled => self.create_backup(creation).await,
        }
    }

    /// Creates the encrypted backup of the account's keys on the homeserver, if the account has none.
    async fn create_backup(&self, creation: KeyCreation) -> Result<(), MatrixError> {
        let (config, user) = (self.config, &self.config.user);
        let recovery = self.client.encryption().recovery();
        match (&config.recovery_key, creation) {
            (Some(reference), _) => {
                let Some(key) = recovery_key::load(config)? else { return Ok(()) };
                if key.expose().chars().count() < MIN_RECOVERY_KEY {
                    return Err(MatrixError::rejected(format!(
                        "the account's cross-signing keys are not backed up, because the recovery key in {reference} has fewer than {MIN_RECOVERY_KEY} characters; hint: configure a longer secret, or remove `recovery_key` from [bot.{}.matrix], so that the bot creates a key",
                        config.bot
                    )));
                }
                recovery.enable().with_passphrase(key.expose()).await.map_err(backup_error)?;
                tracing::warn!(%user, "created a backup of the account's cross-signing keys on the homeserver; hint: do not lose the recovery key that is stored in {reference}, because a new device needs it to decrypt the backup");
                Ok(())
            }
            (None, KeyCreation::Finished) => Err(MatrixError::rejected(format!(
                "the homeserver no longer has the backup of the account's cross-signing keys, so a new device could not restore them; hint: set `recovery_key` of [bot.{}.matrix] to a long secret of your own, and the bot creates a new backup",
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
            "created the account's recovery key and wrote it to a file; hint: move the key to a safe place and set `recovery_key` of [bot.{}.matrix] to that place",
            self.config.bot
        );
        Ok(())
    }

    /// Logs a reminder while the file with the created recovery key exists.
    fn remind_of_recovery_key(&self) {
        let file = recovery_key::file(self.config);
        if self.config.recovery_key.is_none() && file.exists() {
            tracing::info!(
                user = %self.config.user,
                path = %file.display(),
                "the account's recovery key is still in the file that the bot created; hint: move the key to a safe place and set `recovery_key` of [bot.{}.matrix] to that place",
                self.config.bot
            );
        }
    }
}

fn backup_error(error: RecoveryError) -> MatrixError {
    match error {
        RecoveryError::Sdk(error) | RecoveryError::SecretStorage(SecretStorageError::Sdk(error)) => {
            match MatrixError::from(error) {
                MatrixError::Rejected { reason } => MatrixError::rejected(format!(
                    "the homeserver rejects the backup of the account's cross-signing keys: {reason}"
                )),
                other => other,
            }
        }
        RecoveryError::BackupExistsOnServer => MatrixError::rejected(
            "the account has a backup of room keys that this device cannot decrypt, so the bot does not create a recovery key; hint: set up recovery with the client that created the backup and configure its recovery key, or delete the backup with that client",
        ),
        error => MatrixError::rejected(format!("the recovery key cannot be created: {}", error_chain(&error))),
    }
}
