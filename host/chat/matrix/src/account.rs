//! Implements the engine's [`Chat`] for one Matrix account: logs in, syncs, reconnects after an outage, and sends
//! messages.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use matrix_sdk::{Client, RoomState, ruma::RoomId};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use wardroom::{
    adapter::{Chat, ChatFeatures, Inbox, Link, Outgoing, SendError},
    base::Backoff,
    model::Person,
};
use wardroom_account::Outage;

use crate::{
    Config, Login, NETWORK, error::MatrixError, probe, room_encryption::RoomEncryption, rooms, send, session,
    sync::SyncLoop,
};

/// Minimum time between two logins that replace an ended session. If the new session ends sooner, the account stops,
/// because the next session would most likely end in the same way.
const MIN_SESSION_AGE: Duration = Duration::from_secs(600);

pub(crate) struct MatrixAccount {
    config: Config,
    encryption: RoomEncryption,
    /// The client for sends and lookups; `None` until the first sync of a session has succeeded.
    client: RwLock<Option<Client>>,
    link: Link,
}

impl MatrixAccount {
    /// Creates the account. Makes no request.
    pub(crate) fn new(config: Config) -> Self {
        let encryption = RoomEncryption::new(&config);
        Self { config, encryption, client: RwLock::new(None), link: Link::default() }
    }

    fn client(&self) -> Result<Client, SendError> {
        let client = self.client.read().clone();
        client.ok_or_else(|| SendError::Later { after: None, reason: "the Matrix account is not logged in yet".into() })
    }

    fn set_client(&self, client: Option<Client>) {
        *self.client.write() = client;
    }

    /// Returns whether a room is not encrypted. If the client does not have the room, returns `false`.
    fn is_plain(&self, room: &str) -> bool {
        let (Ok(client), Ok(id)) = (self.client(), RoomId::parse(room)) else { return false };
        client.get_room(&id).is_some_and(|room| self.encryption.is_plain(&room))
    }

    /// Opens the account's session. Retries after temporary errors, for example while the homeserver is unavailable.
    ///
    /// # Errors
    /// A retry cannot succeed before the operator corrects the configuration, for example a wrong password.
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

    /// Runs one session after the other. Logs in again when a session ends.
    ///
    /// # Errors
    /// An operator must act, for example because the homeserver no longer accepts the access token or the password.
    async fn run(&self, inbox: Arc<dyn Inbox>) -> anyhow::Result<()> {
        let mut outage = Outage::new("the homeserver", self.config.homeserver.to_string());
        let mut last_login: Option<Instant> = None;
        loop {
            // Run one session until it ends.
            let client = self.connect(&mut outage).await?;
            let ready = || self.set_client(Some(client.clone()));
            let mut sync = SyncLoop::new(&self.config, &self.encryption, client.clone(), inbox.clone());
            let end = sync.run(&mut outage, &self.link, ready).await;
            self.set_client(None);
            self.link.down(end.reason());
            self.check_can_log_in_again(&end, last_login)?;
            // Prepare the next login. The preparation depends on the reason why the session ended.
            let user = &self.config.user;
            let prepared = match &end {
                MatrixError::SessionEnded { soft_logout: true, .. } => {
                    tracing::warn!(%user, error = %end, "the homeserver requires a new login; logging in as the same device");
                    session::request_login(&self.config)
                }
                MatrixError::DeviceKeysLost { .. } => {
                    tracing::warn!(%user, error = %end, "the keys of this device on the homeserver do not match the key store; logging in as a new device");
                    session::abandon(&self.config).await
                }
                _ => {
                    tracing::warn!(%user, error = %end, "the homeserver ended the session; logging in again as a new device");
                    session::discard(&self.config)
                }
            };
            prepared.map_err(|error| anyhow::anyhow!("{error}"))?;
            last_login = Some(Instant::now());
        }
    }

    /// Returns an error for the operator if the account must not log in again after its session ended. `end` is the
    /// reason why the session ended. `last_login` is the time of the last login that replaced an ended session.
    fn check_can_log_in_again(&self, end: &MatrixError, last_login: Option<Instant>) -> anyhow::Result<()> {
        let user = &self.config.user;
        match (&self.config.login, end) {
            (Login::Token { token, .. }, MatrixError::DeviceKeysLost { reason }) => anyhow::bail!(
                "the access token of `{user}` can no longer be used for encryption: {reason}; hint: log in as `{user}` with another client, put the new access token in {token}, and log the old device out"
            ),
            (Login::Token { token, .. }, end) => anyhow::bail!(
                "the homeserver no longer accepts the access token of `{user}` ({end}); hint: create a new token and put it in {token}"
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
        // Relations (reactions and threads) are not encrypted, so the homeserver could forge them in an encrypted room.
        match self.is_plain(room) {
            true => !self.config.requires_encryption,
            false => self.config.reactions,
        }
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
            // A failed typing notice has no consequence.
            let _ = room.typing_notice(true).await;
        }
    }

    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        // Cancellation is safe at every await: events that the inbox does not have are read again when the host starts.
        let end = stop.run_until_cancelled(self.run(inbox)).await.unwrap_or(Ok(()));
        self.link.down(end.as_ref().map_or_else(ToString::to_string, |()| "stopped".to_owned()));
        end
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        send::send(&self.client()?, &self.encryption, message).await
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

    async fn probe(&self, people: &[String], rooms: &[String]) -> Result<Vec<String>, Vec<String>> {
        probe::probe(&self.config, people, rooms).await
    }
}
