//! The console as a chat network: one line of standard input is one message, replies go to standard output.
//!
//! It is a room with nobody else in it, so a prefix is optional. With standard input that is no terminal
//! each line is handled to its end before the next is read: a pipe is a test.
//! Not here: what a message means, which is the engine's business.

mod convert;
mod serve;

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wardroom::{
    config::{BotIdentity, Table},
    message::{Inbox, Person},
    port::{Body, Chat, ChatFactory, Outgoing, SendError},
};

/// The network's name.
pub const NETWORK: &str = "console";
/// The only room there is.
pub const ROOM: &str = "console";

/// Reads `[bot.NAME.console]`.
#[derive(Debug, Default)]
pub struct ConsoleFactory {
    alone: bool,
    /// Whether an identity has it already: there is one standard input.
    taken: AtomicBool,
}

impl ConsoleFactory {
    /// For a host; `alone` where the console is its only network, so that `/as` is allowed.
    pub fn new(alone: bool) -> Self {
        Self { alone, taken: AtomicBool::new(false) }
    }
}

/// The console.
#[derive(Debug)]
pub struct Console {
    bot: String,
    user: String,
    alone: bool,
    terminal: bool,
    // Who speaks; `/as` changes it.
    speaker: Mutex<Person>,
    // Everybody who did.
    spoke: Mutex<BTreeMap<String, Person>>,
    sent: std::sync::atomic::AtomicU64,
}

impl ChatFactory for ConsoleFactory {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let user = table.required_string("user", "\"operator\"")?;
        if self.taken.swap(true, Ordering::Relaxed) {
            let at = table.at().clone();
            table.problem(&at, "there is one console, and another identity has it", "leave out this table".to_owned());
            return None;
        }
        if !convert::is_person(&user.value) {
            table.problem(&user.at, format!("`{}` is no person", user.value), "user = \"operator\"".to_owned());
            return None;
        }
        Some(Arc::new(Console {
            bot: bot.name.clone(),
            speaker: Mutex::new(Person::named_by_id(&user.value)),
            spoke: Mutex::new(BTreeMap::from([(user.value.clone(), Person::named_by_id(&user.value))])),
            user: user.value,
            alone: self.alone,
            terminal: std::io::stdin().is_terminal(),
            sent: std::sync::atomic::AtomicU64::default(),
        }))
    }
}

#[async_trait]
impl Chat for Console {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn rooms(&self) -> Vec<String> {
        vec![ROOM.to_owned()]
    }

    async fn serve(&self, inbox: Arc<Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        self.read_lines(inbox, stop).await
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        match &message.body {
            Body::Say { text, .. } | Body::Edit { text, .. } => self
                .print(&text.plain())
                .map_err(|error| SendError::Never { reason: format!("standard output is closed: {error}") })?,
            Body::React { .. } => {}
        }
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(format!("printed-{number}"))
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        Ok((name == ROOM).then(|| ROOM.to_owned()))
    }

    /// Everybody who spoke here since the start.
    async fn members(&self, _room: &str) -> Result<Vec<Person>, SendError> {
        Ok(self.spoke.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect())
    }

    async fn probe(&self, _people: &[String]) -> Result<Vec<String>, Vec<String>> {
        Ok(vec![format!("console: always there, as {}", self.user)])
    }
}
