//! One account: it logs in, stays, comes back after every outage, and sends in between.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wardroom::{
    message::{Inbox, Person},
    port::{Abilities, Chat, Link, Outgoing, Secret, SendError},
};
use wardroom_account::{Backoff, Outage};

use crate::{
    NETWORK,
    account::Account,
    api::{Api, User},
    config::Config,
    probe,
    rooms::Rooms,
    socket,
    trouble::Trouble,
};

/// A Mattermost account.
pub(crate) struct Mattermost {
    config: Config,
    link: Link,
    /// Who sends; none until the login.
    account: RwLock<Option<Arc<Account>>>,
}

impl Mattermost {
    /// Not connected yet.
    pub(crate) fn new(config: Config) -> Self {
        Self { config, link: Link::default(), account: RwLock::new(None) }
    }

    fn account(&self) -> Result<Arc<Account>, SendError> {
        let account = self.account.read().unwrap_or_else(PoisonError::into_inner).clone();
        account.ok_or_else(|| SendError::Later { after: None, reason: "not logged in yet".into() })
    }

    fn set_account(&self, account: Option<Arc<Account>>) {
        *self.account.write().unwrap_or_else(PoisonError::into_inner) = account;
    }

    /// Asks who we are, however long the server is away.
    async fn log_in(&self, api: &Api, outage: &mut Outage) -> Result<User, Trouble> {
        let mut backoff = Backoff::default();
        loop {
            match api.me().await {
                Ok(me) => return Ok(me),
                Err(over @ Trouble::LoggedOut { .. }) => return Err(over),
                Err(trouble) => {
                    outage.failed(trouble.reason());
                    self.link.down(trouble.reason());
                    backoff.pause(trouble.after()).await;
                }
            }
        }
    }

    /// Stays logged in with one token; gives why that is over.
    async fn stay(&self, api: Api, inbox: &Arc<Inbox>, outage: &mut Outage) -> Trouble {
        let me = match self.log_in(&api, outage).await {
            Ok(me) => me,
            Err(over) => return over,
        };
        tracing::info!(user = me.name, id = me.id, server = %self.config.url, "logged in");
        let (typing, mut typed) = mpsc::unbounded_channel();
        let (signals, mut told) = mpsc::unbounded_channel();
        let account = Arc::new(Account::new(&self.config, api, me, typing));
        if let Err(over) = account.learn_longest().await {
            return over;
        }
        self.set_account(Some(account.clone()));
        let mut rooms = Rooms::new(&self.config, account.clone(), inbox.clone(), &self.link);
        if let Err(over) = rooms.meet().await {
            return over;
        }
        // Side by side: the socket is read while a message is being handled.
        tokio::select! {
            over = socket::keep(&account.api, account.me(), self.config.beat, &signals, &mut typed, outage) => over,
            over = rooms.run(&mut told) => over,
        }
    }

    async fn stay_by_any_token(&self, inbox: Arc<Inbox>) -> anyhow::Result<()> {
        let mut outage = Outage::new("Mattermost", self.config.url.as_str());
        let token = &self.config.token;
        let mut secret = token.resolve()?;
        loop {
            let api = Api::new(&self.config, secret.clone()).map_err(|trouble| anyhow::anyhow!("{trouble}"))?;
            let over = self.stay(api, &inbox, &mut outage).await;
            self.set_account(None);
            self.link.down("the server does not know the token");
            match replaced(token.resolve(), &secret) {
                Some(new) => {
                    tracing::warn!(%token, "the server no longer knows the token, going on with the new one: {over}");
                    secret = new;
                }
                None => anyhow::bail!(
                    "Mattermost at {} does not know the token in {token}, or no longer ({over}); hint: make a new one for the bot account and put it there",
                    self.config.url
                ),
            }
        }
    }
}

/// The token that was put in place of one that is no longer good.
fn replaced(now: anyhow::Result<Secret>, before: &Secret) -> Option<Secret> {
    now.ok().filter(|now| now != before)
}

#[async_trait]
impl Chat for Mattermost {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn abilities(&self) -> Abilities {
        Abilities { threads: true, edits: true, reactions: true, files: true }
    }

    fn account_id(&self) -> Option<String> {
        self.account().ok().map(|account| account.me().to_owned())
    }

    fn link(&self) -> Option<&Link> {
        Some(&self.link)
    }

    fn rooms(&self) -> Vec<String> {
        self.config.rooms.iter().map(ToString::to_string).collect()
    }

    async fn typing(&self, room: &str) {
        if let Ok(account) = self.account() {
            account.typing(room);
        }
    }

    async fn serve(&self, inbox: Arc<Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        // Ending in the middle of anything is as safe as a crash: what the inbox does not hold is read again.
        let ended = stop.run_until_cancelled(self.stay_by_any_token(inbox)).await;
        self.link.down("stopped");
        ended.unwrap_or(Ok(()))
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        self.account()?.send(message).await
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        self.account()?.find(room, key).await
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        self.account()?.channel(name)
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        self.account()?.members(room).await
    }

    async fn probe(&self, people: &[String]) -> Result<Vec<String>, Vec<String>> {
        probe::probe(&self.config, people).await
    }
}
