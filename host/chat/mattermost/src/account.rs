//! Implements the engine's [`Chat`] for one Mattermost account: logs in, keeps a connection, reconnects after an
//! outage, and sends messages.

use std::{convert::Infallible, sync::Arc};

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wardroom::{
    adapter::{Body, Chat, ChatFeatures, Inbox, Link, Outgoing, SendError, SendPermissions},
    base::Backoff,
    model::Person,
};
use wardroom_account::{LimitRecord, Outage};

use crate::{
    NETWORK,
    client::{ApiClient, User},
    config::Config,
    error::MattermostError,
    probe,
    session::{MAX_TYPING, Session},
    socket,
    sync::SyncLoop,
};

pub(crate) struct MattermostAccount {
    config: Config,
    link: Link,
    /// The channels in which the account may not post. The sync loop and rejected posts change the list.
    permissions: Arc<SendPermissions>,
    /// The logged-in account; `None` before the login, and after the server rejected the token.
    session: RwLock<Option<Arc<Session>>>,
    limit_record: LimitRecord,
}

impl MattermostAccount {
    /// Creates the account. Makes no request.
    pub(crate) fn new(config: Config) -> Self {
        let limit_record = LimitRecord::new(&config.folder);
        let session = RwLock::new(None);
        Self { config, link: Link::default(), permissions: Arc::default(), session, limit_record }
    }

    fn session(&self) -> Result<Arc<Session>, SendError> {
        let session = self.session.read().clone();
        session.ok_or_else(|| SendError::Later {
            after: None,
            reason: "the Mattermost account is not logged in yet".into(),
        })
    }

    fn set_session(&self, session: Option<Arc<Session>>) {
        *self.session.write() = session;
    }

    /// Requests the account that the token belongs to. Retries until the server returns the account or rejects the
    /// token.
    async fn log_in(&self, client: &ApiClient, outage: &mut Outage) -> Result<User, MattermostError> {
        let mut backoff = Backoff::default();
        loop {
            match client.me().await {
                Ok(me) => return Ok(me),
                Err(end @ MattermostError::TokenRejected { .. }) => return Err(end),
                Err(error) => {
                    outage.record_failure(error.reason());
                    self.link.down(error.reason());
                    backoff.wait(error.retry_after()).await;
                }
            }
        }
    }

    /// Runs the account until the server rejects the token.
    ///
    /// # Errors
    /// [`MattermostError::TokenRejected`].
    async fn run_with_token(
        &self,
        client: ApiClient,
        inbox: &Arc<dyn Inbox>,
        outage: &mut Outage,
    ) -> Result<Infallible, MattermostError> {
        let me = self.log_in(&client, outage).await?;
        tracing::info!(user = me.name, id = me.id, server = %self.config.url, "logged in");
        let (typing, mut typing_channels) = mpsc::channel(MAX_TYPING);
        let (signals, mut received) = socket::signal_queue(socket::MAX_SIGNALS);
        let session = Arc::new(Session::new(&self.config, client, me, typing, self.permissions.clone()));
        session.look_up_max_length().await?;
        self.set_session(Some(session.clone()));
        let mut sync = SyncLoop::new(&self.config, session.clone(), inbox.clone(), &self.link);
        sync.initialize().await?;
        // Run both at the same time, so that the socket is read while a message is handled.
        let heartbeat = self.config.heartbeat_interval;
        tokio::select! {
            end = socket::keep_connected(&session, heartbeat, &signals, &mut typing_channels, outage) => Err(end),
            end = sync.run(&mut received) => end,
        }
    }

    /// Runs the account with the configured token. If the server rejects the token, reads the configured secret again.
    /// If the secret now holds another token, reconnects with that token.
    ///
    /// # Errors
    /// The server rejects the token, and the secret holds no other token.
    async fn run(&self, inbox: Arc<dyn Inbox>) -> anyhow::Result<()> {
        let mut outage = Outage::new("Mattermost", self.config.url.as_str());
        let token = &self.config.token;
        let mut secret = token.resolve()?;
        loop {
            let client = ApiClient::new(&self.config, secret.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
            let Err(end) = self.run_with_token(client, &inbox, &mut outage).await;
            self.set_session(None);
            self.link.down("the server rejected the access token");
            match token.resolve().ok().filter(|current| *current != secret) {
                Some(new) => {
                    tracing::warn!(%token, error = %end, "the server rejected the access token; the configured secret now holds another token; reconnecting with that token");
                    secret = new;
                }
                None => anyhow::bail!(
                    "Mattermost at {} rejected the access token in {token} ({end}); hint: create a new token for the bot account and put it in {token}",
                    self.config.url
                ),
            }
        }
    }
}

#[async_trait]
impl Chat for MattermostAccount {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn features(&self) -> ChatFeatures {
        ChatFeatures { threads: true, edits: true, reactions: true, files: true, direct: false }
    }

    fn account_id(&self) -> Option<String> {
        self.session().ok().map(|session| session.me().to_owned())
    }

    fn link(&self) -> Option<&Link> {
        Some(&self.link)
    }

    fn rooms(&self) -> Vec<String> {
        self.config.rooms.iter().map(ToString::to_string).collect()
    }

    async fn typing(&self, room: &str) {
        if let Ok(session) = self.session() {
            session.typing(room);
        }
    }

    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        // Cancellation is safe at every await: posts that the inbox does not have are read again when the host starts.
        let ended = stop.run_until_cancelled(self.run(inbox)).await;
        self.link.down("stopped");
        ended.unwrap_or(Ok(()))
    }

    fn send_permissions(&self) -> Option<&SendPermissions> {
        Some(&self.permissions)
    }

    async fn send_refusal(&self, room: &str) -> Option<String> {
        self.session().ok()?.send_refusal(room)
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        let session = self.session()?;
        let sent = session.send(message).await;
        // Only a new post shows whether the bot may post.
        if matches!(message.body, Body::Say { .. }) {
            session.record_permission(&message.room, &sent);
        }
        self.limit_record.note(&sent);
        sent
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        self.session()?.find(room, key).await
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        self.session()?.joined_channel_id(name)
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        self.session()?.members(room).await
    }

    async fn owner_of_handle(&self, handle: &str) -> Result<Option<Person>, SendError> {
        self.session()?.owner_of_handle(handle).await
    }

    async fn probe(&self, people: &[String], rooms: &[String]) -> Result<Vec<String>, Vec<String>> {
        probe::probe(&self.config, people, rooms).await
    }
}
