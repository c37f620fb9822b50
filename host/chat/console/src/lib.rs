//! The console as a chat network: one line of standard input is one message, replies go to standard output.
//!
//! [`ConsoleFactory`] reads `[bot.NAME.console]` (`config`) and makes the [`Chat`] (`account`), which reads and prints lines
//! (`client`) and turns them into messages (`convert`).
//!
//! The console is a room with one person, so the prefix is optional. Where standard input is no terminal, each line is handled
//! to its end before the next one is read, so that a pipe can be used as a test.
//! Not here: what a message means, which the engine decides.

mod account;
mod client;
mod config;
mod convert;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use wardroom::{
    adapter::{Chat, ChatFactory},
    base::{Table, TableKeys},
    model::BotIdentity,
};

use crate::{account::Console, config::Config};

/// The name of the network.
pub const NETWORK: &str = "console";
/// The id of the only room.
pub const ROOM: &str = "console";

/// Makes the console of a host.
#[derive(Debug, Default)]
pub struct ConsoleFactory {
    only_network: bool,
    /// Whether a bot has the console. There is one standard input, so a second bot is refused.
    taken: AtomicBool,
}

impl ConsoleFactory {
    /// `only_network`: the console is the host's only chat network. `/as` is allowed only there.
    pub fn new(only_network: bool) -> Self {
        Self { only_network, taken: AtomicBool::new(false) }
    }
}

impl ChatFactory for ConsoleFactory {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn keys(&self) -> &'static TableKeys {
        &config::KEYS
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let taken = self.taken.swap(true, Ordering::Relaxed);
        let config = Config::read(bot, table, taken)?;
        Some(Arc::new(Console::new(config, self.only_network)))
    }
}
