//! Mattermost channels for Wardroom, over its REST API and its WebSocket.
//!
//! [`MattermostFactory`] reads `[bot.NAME.mattermost]` and makes an account's [`Chat`]. In reading order: `config` (the table),
//! `client` (the account as the engine sees it), `api` (the calls), `trouble` (what a failed one means), `socket` (the
//! connection, kept for ever), `event` (what comes over it), `account` (what is known while logged in), `rooms` (what happens
//! in the channels), `places` (which of them are ours), `direct` (who may write to us alone), `kept` (what outlives the
//! process), `behind` (which are to be read back, and when), `backfill` (reading one back to its mark), `delivery` (the way to
//! the inbox), `send`, `probe` (for `check --connect`), `convert` (posts to engine types), `words` and `emoji` (the engine's
//! words as Mattermost shows them), `users`.
//!
//! Architecture Invariant: a person is their 26-letter id. A name can be changed, and taken by somebody else.
//! Architecture Invariant: a connection that was taken up again proves that nothing is missing; any other one proves nothing, and
//! every channel is read back to its mark.
//! Not here: buttons, slash commands and webhooks, which need a listener that the server reaches.

mod account;
mod api;
mod backfill;
mod behind;
mod client;
mod config;
mod convert;
mod delivery;
mod direct;
mod emoji;
mod event;
mod kept;
mod places;
mod probe;
mod rooms;
mod send;
mod socket;
mod trouble;
mod users;
mod words;

use std::{path::PathBuf, sync::Arc, time::Duration};

use wardroom::{
    config::{BotIdentity, Table},
    port::{Chat, ChatFactory},
};

/// The network's name: of the table, in keys and in the log.
pub(crate) const NETWORK: &str = "mattermost";

/// How often a connection is asked whether it lives, where nobody says otherwise: well below the hundred seconds after which a
/// server gives up on us.
const BEAT: Duration = Duration::from_secs(30);

/// Makes the Mattermost accounts of a host.
#[derive(Debug, Clone)]
pub struct MattermostFactory {
    state: PathBuf,
    beat: Duration,
}

impl MattermostFactory {
    /// Accounts that keep what they must remember in `mattermost/BOT/` under the host's state folder. No two processes may
    /// share it.
    pub fn new(state: PathBuf) -> Self {
        Self { state, beat: BEAT }
    }

    /// How often a connection is asked whether it still lives; one that says nothing for so long is given up, and a server
    /// has a sixth of it for its greeting. Thirty seconds where nothing is said.
    #[must_use]
    pub fn beat(mut self, beat: Duration) -> Self {
        self.beat = beat;
        self
    }
}

impl ChatFactory for MattermostFactory {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let config = config::Config::read(bot, table, &self.state, self.beat)?;
        Some(Arc::new(client::Mattermost::new(config)))
    }
}
