//! One account as the engine's [`Chat`]: logs in, syncs, reconnects after an outage, and sends.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use matrix_sdk::{Client, EncryptionState, RoomState, ruma::RoomId};
use tokio_util::sync::CancellationToken;
use wardroom::{
    adapter::Inbox,
    adapter::{Chat, ChatFeatures, Link, Outgoing, SendError},
    model::Person,
};
use wardroom_account::{Backoff, Outage};

use crate::{Config, Login, NETWORK, error::MatrixError, probe, rooms, send, session, sync::SyncLoop};

/// A session that ends sooner than this after a login is not replaced: another login would end in the same way.
const MIN_SESSION_AGE: Duration = Duration::from_secs(600);

/// A Matrix account.
pub(crate) struct MatrixAccount {
    config: Config,
    /// The client for sends and lookups; `None` until the first sync of a session.
    client: RwLock<Option<Client>>,
    link: Link,
}

impl MatrixAccount {
    /// Makes no request.
    pub(crate) fn new(config: Config) -> Self {
        Self { config, client: RwLock::new(None), link: Link::default() }
    }

    fn client(&self) -> Result<Client, SendError> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| SendError::Later { after: None, reason: "the account is not logged in yet".into() })
    }

    fn set_client(&self, client: Option<Client>) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Whether a room is encrypted. An unknown room counts as encrypted.
    fn is_encrypted(&self, room: &str) -> bool {
        let (Ok(client), Ok(id)) = (self.client(), RoomId::parse(room)) else { return true };
        client.get_room(&id).is_none_or(|room| !matches!(room.encryption_state(), EncryptionState::NotEncrypted))
    }

    /// Opens the session; retries while the homeserver is unavailable.
    ///
    /// # Errors
    /// The configuration must change first.
    async fn connect(&self, outage: &mut Outage) -> anyhow::Result<Client> {
        let mut backoff = Backoff::default();
        loop {
            match session::open(&self.config).await {
                Ok(client) => return Ok(client),
                Err(error) if error.is_transient() => {
                    outage.record_failure(error.reason());
                    self.link.down(error.reason());
                    backoff.wait(error.retry_after()).await;
                }
                Err(error) => anyhow::bail!("{error}"),
            }
        }
    }

    /// Runs one session after the other.
    ///
    /// # Errors
    /// An operator must act: the access token or the password is no longer accepted.
    async fn run(&self, inbox: Arc<dyn Inbox>) -> anyhow::Result<()> {
        let mut outage = Outage::new("the homeserver", self.config.homeserver.to_string());
        let mut last_login: Option<Instant> = None;
        loop {
            // One session, until the homeserver ends it.
            let client = self.connect(&mut outage).await?;
            let ready = || self.set_client(Some(client.clone()));
            let mut sync = SyncLoop::new(&self.config, client.clone(), inbox.clone());
            let end = sync.run(&mut outage, &self.link, ready).await;
            self.set_client(None);
            self.link.down(end.reason());
            self.check_can_log_in_again(&end, last_login)?;
            // What the next login needs depends on why the session ended.
            let user = &self.config.user;
            let prepared = match &end {
                MatrixError::SessionEnded { soft_logout: true, .. } => {
                    tracing::warn!(%user, error = %end, "the homeserver requests the password again; logging in again as the same device");
                    session::request_login(&self.config)
                }
                MatrixError::DeviceKeysLost { .. } => {
                    tracing::warn!(%user, error = %end, "the encryption keys of this device are lost; logging in as a new device");
                    session::abandon(&self.config).await
                }
                _ => {
                    tracing::warn!(%user, error = %end, "the homeserver ended the session; logging in again");
                    session::discard(&self.config)
                }
            };
            prepared.map_err(|error| anyhow::anyhow!("{error}"))?;
            last_login = Some(Instant::now());
        }
    }

    /// Whether a session that ended can be replaced by a new one.
    fn check_can_log_in_again(&self, end: &MatrixError, last_login: Option<Instant>) -> anyhow::Result<()> {
        let user = &self.config.user;
        match (&self.config.login, end) {
            (Login::Token { token, .. }, MatrixError::DeviceKeysLost { reason }) => anyhow::bail!(
                "the access token of `{user}` cannot be used for encryption any more: {reason}; hint: log in anew by hand, put the new access token in {token}, and log the old device out"
            ),
            (Login::Token { token, .. }, end) => anyhow::bail!(
                "the homeserver no longer knows the access token of `{user}` ({end}); hint: create a new token and put it in {token}"
            ),
            (Login::Password(_), end) if last_login.is_some_and(|at| at.elapsed() < MIN_SESSION_AGE) => anyhow::bail!(
                "the homeserver ended the session of `{user}` again, less than {} minutes after a new login: {end}; hint: check whether an administrator or another client logs out the devices of `{user}`",
                MIN_SESSION_AGE.as_secs() / 60
            ),
            (Login::Password(_), _) => Ok(()),
        }
    }
}

#[async_trait]
impl Chat for MatrixAccount {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn features(&self) -> ChatFeatures {
        ChatFeatures { threads: true, edits: true, reactions: true, files: true }
    }

    fn account_id(&self) -> Option<String> {
        Some(self.config.user.to_string())
    }

    fn trusts_relations(&self, room: &str) -> bool {
        // Relations are not encrypted, so the homeserver could forge them in an encrypted room.
        self.config.reactions || !self.is_encrypted(room)
    }

    fn link(&self) -> Option<&Link> {
        Some(&self.link)
    }

    fn rooms(&self) -> Vec<String> {
        self.config.rooms.iter().map(ToString::to_string).collect()
    }

    async fn typing(&self, room: &str) {
        let (Ok(client), Ok(id)) = (self.client(), RoomId::parse(room)) else { return };
        if let Some(room) = client.get_room(&id).filter(|room| room.state() == RoomState::Joined) {
            // A lost typing notice has no consequence.
            let _ = room.typing_notice(true).await;
        }
    }

    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        // Cancelling at any await is safe, as a crash is: what the inbox does not hold is read again.
        let end = stop.run_until_cancelled(self.run(inbox)).await.unwrap_or(Ok(()));
        self.link.down(end.as_ref().map_or_else(ToString::to_string, |()| "stopped".to_owned()));
        end
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        send::send(&self.client()?, message).await
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        send::find(&self.client()?, room, key).await
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        rooms::joined_room_id(&self.client()?, name).await
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        rooms::members(&self.client()?, room).await
    }

    async fn probe(&self, people: &[String]) -> Result<Vec<String>, Vec<String>> {
        probe::probe(&self.config, people).await
    }
}
