//! One account: it logs in, stays, comes back after every outage, and sends in between.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use matrix_sdk::{Client, EncryptionState, RoomState, ruma::RoomId};
use tokio_util::sync::CancellationToken;
use wardroom::{
    message::{Inbox, Person},
    port::{Abilities, Chat, Link, Outgoing, SendError},
};
use wardroom_account::{Backoff, Outage};

use crate::{Config, Login, NETWORK, probe, rooms, send, session, sync::Rooms, trouble::Trouble};

/// A session that ends sooner than this after its login is not replaced by yet another one.
const YOUNG: Duration = Duration::from_secs(600);

/// A Matrix account.
pub(crate) struct Matrix {
    config: Config,
    /// Who sends; none until the first sync.
    client: RwLock<Option<Client>>,
    link: Link,
}

impl Matrix {
    /// Not connected yet.
    pub(crate) fn new(config: Config) -> Self {
        Self { config, client: RwLock::new(None), link: Link::default() }
    }

    fn client(&self) -> Result<Client, SendError> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| SendError::Later { after: None, reason: "not logged in yet".into() })
    }

    /// Whether a room is encrypted; one that is not known may be.
    fn is_encrypted(&self, room: &str) -> bool {
        let (Ok(client), Ok(id)) = (self.client(), RoomId::parse(room)) else { return true };
        client.get_room(&id).is_none_or(|room| !matches!(room.encryption_state(), EncryptionState::NotEncrypted))
    }

    fn set_client(&self, client: Option<Client>) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Opens the session, however long the homeserver is away.
    async fn connect(&self, outage: &mut Outage) -> anyhow::Result<Client> {
        let mut backoff = Backoff::default();
        loop {
            match session::open(&self.config).await {
                Ok(client) => return Ok(client),
                Err(trouble) if trouble.passes() => {
                    outage.failed(trouble.reason());
                    self.link.down(trouble.reason());
                    backoff.pause(trouble.after()).await;
                }
                Err(trouble) => anyhow::bail!("{trouble}"),
            }
        }
    }

    async fn stay(&self, inbox: Arc<Inbox>) -> anyhow::Result<()> {
        let mut outage = Outage::new("the homeserver", self.config.homeserver.to_string());
        let mut replaced: Option<Instant> = None;
        loop {
            let client = self.connect(&mut outage).await?;
            let ready = || self.set_client(Some(client.clone()));
            let over =
                Rooms::new(&self.config, client.clone(), inbox.clone()).run(&mut outage, &self.link, ready).await;
            self.set_client(None);
            self.link.down(over.reason());
            let user = &self.config.user;
            if let Login::Token { token, .. } = &self.config.login {
                match over {
                    Trouble::KeysLost { reason } => anyhow::bail!(
                        "the access token of {user} cannot be used for encryption any more: {reason}; hint: log in anew by hand, put the new access token in {token}, and log the old device out"
                    ),
                    over => anyhow::bail!(
                        "the homeserver no longer knows the access token of {user} ({over}); hint: make a new one and put it in {token}"
                    ),
                }
            }
            if replaced.is_some_and(|at| at.elapsed() < YOUNG) {
                anyhow::bail!("the homeserver ended the session of {user} again, right after a new login: {over}");
            }
            let kept = match &over {
                Trouble::LoggedOut { soft: true, .. } => {
                    tracing::warn!(%user, "the homeserver wants the password again, logging in again as the same device: {over}");
                    session::asked_again(&self.config)
                }
                Trouble::KeysLost { .. } => {
                    tracing::warn!(%user, "this device's encryption keys are lost, logging in as a new device: {over}");
                    session::give_up(&self.config).await
                }
                _ => {
                    tracing::warn!(%user, "the homeserver ended the session, logging in again: {over}");
                    session::forget(&self.config)
                }
            };
            kept.map_err(|trouble| anyhow::anyhow!("{trouble}"))?;
            replaced = Some(Instant::now());
        }
    }
}

#[async_trait]
impl Chat for Matrix {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn abilities(&self) -> Abilities {
        Abilities { threads: true, edits: true, reactions: true, files: true }
    }

    fn account_id(&self) -> Option<String> {
        Some(self.config.user.to_string())
    }

    fn believes_relations(&self, room: &str) -> bool {
        // They stand in clear beside what is encrypted.
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
            // Nothing hangs on it.
            let _ = room.typing_notice(true).await;
        }
    }

    async fn serve(&self, inbox: Arc<Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        // Ending in the middle of anything is as safe as a crash: what the inbox does not hold is read again.
        let end = stop.run_until_cancelled(self.stay(inbox)).await.unwrap_or(Ok(()));
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
        rooms::named(&self.client()?, name).await
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        rooms::members(&self.client()?, room).await
    }

    async fn probe(&self, people: &[String]) -> Result<Vec<String>, Vec<String>> {
        probe::probe(&self.config, people).await
    }
}
