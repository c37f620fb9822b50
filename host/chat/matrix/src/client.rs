//! One account: it logs in, stays, comes back after every outage, and sends in between.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use matrix_sdk::Client;
use tokio_util::sync::CancellationToken;
use wardroom::{
    message::{Inbox, Person},
    port::{Abilities, Chat, Outgoing, SendError},
};

use crate::{
    Config, Login, NETWORK,
    backoff::{Backoff, Outage},
    probe, rooms, send, session,
    sync::Rooms,
    trouble::Trouble,
};

/// A session that ends sooner than this after its login is not replaced by yet another one.
const YOUNG: Duration = Duration::from_secs(600);

/// A Matrix account.
pub(crate) struct Matrix {
    config: Config,
    /// Who sends; none until the login.
    client: RwLock<Option<Client>>,
}

impl Matrix {
    /// Not connected yet.
    pub(crate) fn new(config: Config) -> Self {
        Self { config, client: RwLock::new(None) }
    }

    fn client(&self) -> Result<Client, SendError> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| SendError::Later { after: None, reason: "not logged in yet".into() })
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
                Err(trouble @ Trouble::Later { .. }) => {
                    outage.failed(trouble.reason());
                    backoff.pause(trouble.after()).await;
                }
                Err(trouble) => anyhow::bail!("{trouble}"),
            }
        }
    }

    async fn stay(&self, inbox: Arc<Inbox>) -> anyhow::Result<()> {
        let mut outage = Outage::new(self.config.homeserver.clone());
        let mut replaced: Option<Instant> = None;
        loop {
            let client = self.connect(&mut outage).await?;
            self.set_client(Some(client.clone()));
            let over = Rooms::new(&self.config, client, inbox.clone()).run(&mut outage).await;
            self.set_client(None);
            let user = &self.config.user;
            if let Login::Token { token, .. } = &self.config.login {
                anyhow::bail!(
                    "the homeserver no longer knows the access token of {user} ({over}); hint: make a new one and put it in {token}"
                );
            }
            if replaced.is_some_and(|at| at.elapsed() < YOUNG) {
                anyhow::bail!("the homeserver ended the session of {user} again, right after a new login: {over}");
            }
            tracing::warn!(%user, "the homeserver ended the session, logging in again: {over}");
            session::forget(&self.config).map_err(|trouble| anyhow::anyhow!("{trouble}"))?;
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
        Abilities { threads: true, edits: true, reactions: true, files: false }
    }

    async fn serve(&self, inbox: Arc<Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        // Ending in the middle of anything is as safe as a crash: what the inbox does not hold is read again.
        stop.run_until_cancelled(self.stay(inbox)).await.unwrap_or(Ok(()))
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
