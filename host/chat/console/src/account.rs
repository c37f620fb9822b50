//! The console as the engine's [`Chat`]: reads commands until the input ends, and prints what the bot says.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wardroom::{
    Timestamp,
    adapter::Inbox,
    adapter::{Body, Chat, Outgoing, SendError},
    model::Person,
};
use wardroom_account::InboxWriter;

use crate::{
    NETWORK, ROOM,
    client::{MAX_LINE, Terminal, spawn_line_reader},
    config::Config,
    convert::{Input, incoming, parse},
};

/// How long the prompt waits for the answer of a command. Most answers are there within this time and read better above it.
const PROMPT_DELAY: Duration = Duration::from_millis(500);

/// The console of one bot.
#[derive(Debug)]
pub(crate) struct Console {
    config: Config,
    only_network: bool,
    terminal: Terminal,
    /// Who sends the next message; `/as` changes it.
    speaker: Mutex<Person>,
    /// Everybody who sent a message since the start, by id.
    members: Mutex<BTreeMap<String, Person>>,
    printed: AtomicU64,
}

impl Console {
    pub(crate) fn new(config: Config, only_network: bool) -> Self {
        let user = Person::named_by_id(&config.user);
        Self {
            only_network,
            terminal: Terminal::new(),
            members: Mutex::new(BTreeMap::from([(user.id.clone(), user.clone())])),
            speaker: Mutex::new(user),
            printed: AtomicU64::default(),
            config,
        }
    }

    /// Handles lines until the input ends or `/quit` is typed.
    async fn read_lines(&self, inbox: Arc<dyn Inbox>) -> anyhow::Result<()> {
        inbox.enter(ROOM, Timestamp::now()).await?;
        if self.terminal.is_interactive() {
            self.terminal
                .print(&format!("Console of {}. Type help for the commands, or /quit to leave.", self.config.bot))?;
        } else {
            inbox.until_idle().await;
        }
        let writer = InboxWriter::new(inbox.clone());
        let mut lines = spawn_line_reader();
        loop {
            self.terminal.prompt()?;
            let Some(line) = lines.recv().await else { break };
            if line.len() > MAX_LINE {
                let size = line.len();
                self.terminal.print(&format!("The line has {size} bytes, and the limit is {MAX_LINE}: shorten it."))?;
                continue;
            }
            match parse(&line) {
                Input::Nothing => {}
                Input::Quit => break,
                Input::Unknown(line) => self
                    .terminal
                    .print(&format!("`{line}` is no command of the console. Its commands are `/as ID` and `/quit`."))?,
                Input::As(id) => self.speak_as(id)?,
                Input::Say { text, wait } => {
                    let message = incoming(new_event_id(), self.speaker().clone(), text, Timestamp::now());
                    writer.receive(ROOM, vec![message], None).await;
                    if wait && !self.terminal.is_interactive() {
                        inbox.until_idle().await;
                    } else if wait {
                        // The person at a terminal decides when to type on, so the wait is short.
                        let _ = tokio::time::timeout(PROMPT_DELAY, inbox.until_idle()).await;
                    }
                }
            }
        }
        inbox.until_idle().await;
        Ok(())
    }

    fn speak_as(&self, id: String) -> io::Result<()> {
        if !self.only_network {
            return self
                .terminal
                .print("`/as` is refused: it works only where the console is the host's only chat network.");
        }
        let user = &self.config.user;
        tracing::warn!(user, speaker = id, "the console speaks as another person");
        self.terminal.print(&format!("You now type as {id}. The journal records this."))?;
        let name = format!("{id}, spoken by {user}");
        let speaker = if id == *user { Person::named_by_id(id) } else { Person { id, name } };
        self.members().insert(speaker.id.clone(), speaker.clone());
        *self.speaker() = speaker;
        Ok(())
    }

    fn speaker(&self) -> MutexGuard<'_, Person> {
        self.speaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<String, Person>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
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

    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        stop.run_until_cancelled(self.read_lines(inbox)).await.unwrap_or(Ok(()))
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        match &message.body {
            Body::Say { text, .. } | Body::Edit { text, .. } => self
                .terminal
                .print(&text.plain())
                .map_err(|error| SendError::Never { reason: format!("standard output is closed: {error}") })?,
            Body::React { .. } => {}
        }
        let number = self.printed.fetch_add(1, Ordering::Relaxed);
        Ok(format!("printed-{number}"))
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        Ok((name == ROOM).then(|| ROOM.to_owned()))
    }

    async fn members(&self, _room: &str) -> Result<Vec<Person>, SendError> {
        Ok(self.members().values().cloned().collect())
    }

    async fn probe(&self, _people: &[String]) -> Result<Vec<String>, Vec<String>> {
        Ok(vec![format!("console: always connected, as {}", self.config.user)])
    }
}

/// An event id that no other run of this host uses.
fn new_event_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = Timestamp::now().as_nanosecond();
    format!("line-{now:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
