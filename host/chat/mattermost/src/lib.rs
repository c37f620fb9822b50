//! Mattermost channels for Wardroom, over its REST API and its WebSocket.
//!
//! [`MattermostFactory`] reads `[bot.NAME.mattermost]` and makes an account's [`Chat`]. Modules in reading order:
//!
//! - `config` (the table), `account` (the account as the engine sees it), `client` (the REST API) with its errors in `error`,
//!   `session` (the logged-in account), `users` (who an id is).
//! - `socket` (the WebSocket and its reconnects) and `event` (its frames).
//! - `sync` (the account's channels: live events and backfill), `joined_channels` (which channels are served), `direct_messages`
//!   (whose direct messages are handled), `state_file` (what survives a restart), `backfill` (reads a channel back).
//! - `convert` (a post as a message), `delivery` (messages, written to the inbox).
//! - `send`, `markdown` and `emoji` (text and emoji as Mattermost shows them).
//! - `probe`: `wardroom check --connect`.
//!
//! Architecture Invariant: a person is identified by their 26-letter id. A name can be changed and taken by another account.
//! Architecture Invariant: only a resumed connection proves that no event is missing. After any other connection each channel is
//! read back to its mark.
//! Not here: buttons, slash commands and webhooks, which need a listener that the server reaches.

mod account;
mod backfill;
mod client;
mod config;
mod convert;
mod delivery;
mod direct_messages;
mod emoji;
mod error;
mod event;
mod joined_channels;
mod markdown;
mod probe;
mod send;
mod session;
mod socket;
mod state_file;
mod sync;
mod users;

use std::{path::PathBuf, sync::Arc, time::Duration};

use wardroom::{
    adapter::{Chat, ChatFactory},
    base::{Table, TableKeys},
    model::BotIdentity,
};

/// The name of the network: of its table, in keys and in the log.
pub(crate) const NETWORK: &str = "mattermost";

/// The default interval of heartbeats. A server closes a connection that is silent for a hundred seconds.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);

/// Makes the Mattermost accounts of a host.
#[derive(Debug, Clone)]
pub struct MattermostFactory {
    state: PathBuf,
    heartbeat_interval: Duration,
}

impl MattermostFactory {
    /// `state` is the host's state folder. An account stores its files below it in `mattermost/BOT/`, which no other process may
    /// use.
    pub fn new(state: PathBuf) -> Self {
        Self { state, heartbeat_interval: HEARTBEAT_INTERVAL }
    }

    /// Sets how often a ping is sent, 30 seconds by default. A connection that is silent for one interval is closed, and a server
    /// has a sixth of the interval for its greeting.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }
}

impl ChatFactory for MattermostFactory {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn keys(&self) -> &'static TableKeys {
        &config::KEYS
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let config = config::Config::read(bot, table, &self.state, self.heartbeat_interval)?;
        Some(Arc::new(account::MattermostAccount::new(config)))
    }
}
