//! The console as a chat network: a line of standard input is a message, and replies go to standard output.
//!
//! [`ConsoleFactory`] reads `[bot.NAME.console]` (`config`) and creates the [`Chat`] (`account`), which reads and
//! prints lines (`client`) and converts them to messages (`convert`).
//!
//! The console is a room with one person, so a command needs no prefix. If standard input is not a terminal, the
//! console reads the next line only after the jobs of the previous line have ended, so that a script can be piped in.
//! Not here: the parsing of commands (`host/engine/src/command`).

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

/// The network's name in `plugins.toml`, in the log and in metrics.
pub const NETWORK: &str = "console";
/// The id of the console's only room.
pub const ROOM: &str = "console";

/// Creates the console of a host from the table `[bot.NAME.console]`. Only one bot of a host can have a console.
#[derive(Debug, Default)]
pub struct ConsoleFactory {
    only_network: bool,
    /// Whether a bot has the console already. A second bot is rejected, because the host has one standard input.
    taken: AtomicBool,
}

impl ConsoleFactory {
    /// Creates a factory. `only_network` is true if the console is the host's only chat network. In this case the line
    /// `/as ID` is allowed; the lines after it are sent as the person with that id.
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
