//! Matrix rooms for Wardroom, through matrix-sdk.
//!
//! [`MatrixFactory`] reads `[bot.NAME.matrix]` and makes an account's [`Chat`]. In reading order: `config`
//! (the table), `session` (the login), `folder` (where it is kept), `lost` (a device that lost its keys), `client` (the account:
//! it logs in, stays and says what is wrong), `identity` (the account's own keys, by which this device is believed), `recovery`
//! (the key that opens them), `sync` (what happens in the rooms), `places` (which rooms are ours), `rooms` (joining), `moves`
//! (rooms that were upgraded), `behind` (which rooms are to be read back, and when), `backfill` (reading a room back to its
//! mark), `sealed` (an event and what encryption says of it), `ciphertext` (what it is called by that), `known` (by
//! which keys people are known), `undecrypted` (what could not be read yet), `delivery` (one room's
//! events, brought to the inbox), `send`, `files` (what does not fit in a message), `probe` (for `check --connect`) and
//! `convert` (events to engine types and back).
//!
//! Architecture Invariant: the SDK's own sync position proves nothing, because it is stored before anybody
//! reads what came with it. A room's mark, kept by the engine, does.
//! Architecture Invariant: in an encrypted room everything but reactions, which Matrix knows in clear alone, goes out encrypted;
//! and what comes in acts only where its sender's device is proven to be theirs, unless the table says otherwise.
//! Not here: verifying devices by comparing emoji. The bot's device is signed by its account, and people's by theirs.

// The SDK's futures are deep, and rustc gives up on them at its usual limit.
#![recursion_limit = "256"]

mod backfill;
mod behind;
mod ciphertext;
mod client;
mod config;
mod convert;
mod delivery;
mod files;
mod folder;
mod identity;
mod known;
mod lost;
mod moves;
mod places;
mod probe;
mod recovery;
mod rooms;
mod sealed;
mod send;
mod session;
mod sync;
mod trouble;
mod undecrypted;

use std::{path::PathBuf, sync::Arc};

use wardroom::{
    config::{BotIdentity, Table},
    port::{Chat, ChatFactory},
};

pub(crate) use config::{Config, Login};

/// The network's name: of the table, in keys and in the log.
pub(crate) const NETWORK: &str = "matrix";

/// Makes the Matrix accounts of a host.
#[derive(Debug, Clone)]
pub struct MatrixFactory {
    state: PathBuf,
}

impl MatrixFactory {
    /// Accounts that keep their sessions and stores in `matrix/BOT/` under the host's state folder. No two
    /// processes may share it.
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }
}

impl ChatFactory for MatrixFactory {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let config = Config::read(bot, table, &self.state)?;
        Some(Arc::new(client::Matrix::new(config)))
    }
}
