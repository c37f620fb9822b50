//! The chat adapter for Matrix, built on matrix-sdk.
//!
//! [`MatrixFactory`] reads `[bot.NAME.matrix]` and creates an account's [`Chat`]. Modules in reading order:
//!
//! - `config` (the table), `account` (the [`Chat`] of one account), `client` (clients of the homeserver), `error`
//!   and `responses` (the table of error responses), `folder` (the account's files).
//! - Login: `session` (the stored session), `device_recovery` (a device that lost its keys), `cross_signing` (the
//!   account's keys, which make this device trusted), `recovery_key` (the key that decrypts the account's keys).
//! - Rooms: `sync` (the sync loop), `joined_rooms` (the rooms that are served), `joins` (joins in the background),
//!   `rooms` (lookups), `room_encryption` (rooms that were encrypted once), `room_upgrades`, `power_levels` (whether
//!   the bot may send to a room), `backfill` (reads a room back to its cursor).
//! - Received events: `room_event` (an event and its encryption), `decryption`, `ciphertext_id` (the deduplication key
//!   of an encrypted event), `sender_trust` and `trust_store` (trusted devices and keys), `device_lookups` (requests
//!   for people's devices), `pending_decryption` (events whose key is missing), `convert` (converts an event to a
//!   message), `delivery` (writes a room's events to the inbox).
//! - Sent messages: `send`, `content` (converts a text to event content), `attachment` (a text that is too long for a
//!   message), `device_notice` (tells the owner of an unverified device what to do), `slow_sends` (reports rooms with
//!   slow sends).
//! - `probe`: `wardroom check --connect`.
//!
//! Invariant: the engine's cursor of a room is the position up to which the room's events are handled. The
//! SDK's sync position is not used for that, because the SDK stores the sync position before the events of that sync
//! are handled.
//! Invariant: in an encrypted room the bot sends everything encrypted, except reactions, which Matrix does not encrypt,
//! and the constant notice to the owner of an unverified device.
//! A command from such a room starts an action only if the sender's device is trusted. With `devices = "any"`, devices
//! that their owner has not verified are trusted, too.
//! Not here: the verification of devices by comparing emoji, which the bot does not support. The account's own keys
//! sign the bot's device, and people sign their own devices.

// The SDK's futures nest deeper than rustc's default limit.
#![recursion_limit = "256"]

mod account;
mod attachment;
mod backfill;
mod ciphertext_id;
mod client;
mod config;
mod content;
mod convert;
mod cross_signing;
mod decryption;
mod delivery;
mod device_lookups;
mod device_notice;
mod device_recovery;
mod error;
mod folder;
mod joined_rooms;
mod joins;
mod pending_decryption;
mod power_levels;
mod probe;
mod recovery_key;
mod responses;
mod room_encryption;
mod room_event;
mod room_upgrades;
mod rooms;
mod send;
mod sender_trust;
mod session;
mod slow_sends;
mod sync;
mod trust_store;

use std::{path::PathBuf, sync::Arc};

use wardroom::{
    adapter::{Chat, ChatFactory},
    base::{Table, TableKeys},
    model::BotIdentity,
};

pub(crate) use config::{Config, Login};

/// The network's name in `plugins.toml`, in the log and in metrics.
pub(crate) const NETWORK: &str = "matrix";

/// Creates the Matrix accounts of a host, one for each `[bot.NAME.matrix]`.
#[derive(Debug, Clone)]
pub struct MatrixFactory {
    state: PathBuf,
}

impl MatrixFactory {
    /// Creates a factory. `state` is the host's state folder. Each account stores its session and keys in the subfolder
    /// `matrix/BOT/`, which no other process may use.
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }
}

impl ChatFactory for MatrixFactory {
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
        let config = Config::read(bot, table, &self.state)?;
        Some(Arc::new(account::MatrixAccount::new(config)))
    }
}
