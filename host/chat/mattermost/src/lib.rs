//! The chat adapter for Mattermost. It uses Mattermost's REST API and WebSocket.
//!
//! [`MattermostFactory`] reads `[bot.NAME.mattermost]` and creates an account's [`Chat`]. Modules in reading order:
//!
//! - `config` (the table), `account` (the [`Chat`] of one account), `client` (the REST API), `error` and
//!   `responses` (the table of error responses), `session` (the logged-in account), `users` (names and kinds of
//!   accounts).
//! - `socket` (the WebSocket and its reconnects) and `event` (its frames).
//! - `sync` (live events and backfill of the channels), `joined_channels` (the channels that are served),
//!   `direct_messages` (the policy for direct messages), `state_file` (state that survives a restart), `backfill`
//!   (reads a channel back to a given time).
//! - `convert` (converts a post to a message), `delivery` (writes messages to the inbox).
//! - `send`, `markdown` and `emoji` (convert text and emoji for Mattermost).
//! - `probe`: `wardroom check --connect`.
//!
//! Invariant: a person is identified by their id of 26 letters and digits. A name can be changed and taken
//! by another account.
//! Invariant: only a resumed connection proves that no event is missing. After any other connection is opened, each
//! channel is backfilled to its cursor.
//! Not here: buttons, slash commands and webhooks, which the bot does not support, because they need a listener that
//! the server can reach.

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
mod responses;
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

/// The name of this chat network in `plugins.toml`, in the log and in metrics.
pub(crate) const NETWORK: &str = "mattermost";

/// Default interval of the pings over the WebSocket. A server closes a connection after 100 seconds without data.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);

/// Creates the [`Chat`] for each `[bot.NAME.mattermost]` of a host.
#[derive(Debug, Clone)]
pub struct MattermostFactory {
    state: PathBuf,
    heartbeat_interval: Duration,
}

impl MattermostFactory {
    /// Creates a factory. `state` is the host's state folder. Each account stores its files in the subfolder
    /// `mattermost/BOT/`, which no other process may use.
    pub fn new(state: PathBuf) -> Self {
        Self { state, heartbeat_interval: HEARTBEAT_INTERVAL }
    }

    /// Sets the interval of the pings over the WebSocket, 30 seconds by default. The bot closes a connection on which
    /// the server sent nothing for one interval. After a connection is opened, the server must send its greeting within
    /// a sixth of the interval.
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

    fn check_prefix(&self, prefix: &str) -> Result<(), String> {
        wardroom_account::check_prefix(prefix)
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let config = config::Config::read(bot, table, &self.state, self.heartbeat_interval)?;
        Some(Arc::new(account::MattermostAccount::new(config)))
    }
}
