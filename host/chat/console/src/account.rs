//! Implements the engine's [`Chat`] for the console: reads lines from standard input until it ends, and prints the
//! bot's messages.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use wardroom::{
    Timestamp,
    adapter::{Body, Chat, ChatFeatures, Inbox, Outgoing, SendError},
    model::Person,
};
use wardroom_account::InboxWriter;

use crate::{
    NETWORK, ROOM,
    client::{MAX_LINE, Terminal, spawn_line_reader},
    config::Config,
    convert::{Input, incoming, parse},
};

/// Maximum time that the console waits for the end of a message's jobs before it prints the next prompt, so that a
/// quick reply is printed above the prompt.
const PROMPT_DELAY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Console {
    config: Config,
    only_network: bool,
    terminal: Terminal,
    /// The sender of the next message; the line `/as ID` changes it.
    sender: Mutex<Person>,
    /// The configured person, and everybody who was selected with `/as ID` since the host started; by id.
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
            sender: Mutex::new(user),
            printed: AtomicU64::default(),
            config,
        }
    }

    /// Handles the lines of standard input until the input ends or `/quit` is typed, then waits until all jobs have
    /// ended.
    async fn read_lines(&self, inbox: Arc<dyn Inbox>) -> anyhow::Result<()> {
        inbox.enter(ROOM, Timestamp::now()).await?;
        if self.terminal.is_interactive {
            self.terminal.print(&format!(
                "Console of {}. Type `help` for a list of commands, or `/quit` to leave.",
                self.config.bot
            ))?;
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
                self.terminal.print(&format!(
                    "Not sent: the line has {size} bytes, and the limit is {MAX_LINE}. Type a shorter line."
                ))?;
                continue;
            }
            match parse(&line) {
                Input::Empty => {}
                Input::Quit => break,
                Input::Unknown(line) => self.terminal.print(&format!(
                    "`{line}` is not a console command. Type `/as ID` to send messages as another person, or `/quit` to leave."
                ))?,
                Input::As(id) => self.send_as(id)?,
                Input::Message { text, wait } => {
                    let message = incoming(new_event_id(), self.sender.lock().clone(), text, Timestamp::now());
                    writer.receive(ROOM, vec![message], None).await;
                    if wait && !self.terminal.is_interactive {
                        inbox.until_idle().await;
                    } else if wait {
                        // At a terminal, the next prompt does not wait for the end of the job.
                        let _ = tokio::time::timeout(PROMPT_DELAY, inbox.until_idle()).await;
                    }
                }
            }
        }
        inbox.until_idle().await;
        Ok(())
    }

    fn send_as(&self, id: String) -> io::Result<()> {
        if !self.only_network {
            return self.terminal.print(
                "`/as` is refused, because this host is connected to other chat networks, too. Use `/as` on a host \
                 whose only chat network is the console.",
            );
        }
        let user = &self.config.user;
        tracing::warn!(user, sender = id, "the person at the console now sends messages as another person");
        self.terminal.print(&format!("You now type as {id}. The journal records this."))?;
        let name = format!("{id}, typed by {user}");
        let sender = if id == *user { Person::named_by_id(id) } else { Person { id, name } };
        self.members.lock().insert(sender.id.clone(), sender.clone());
        *self.sender.lock() = sender;
        Ok(())
    }
}

#[async_trait]
impl Chat for Console {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn features(&self) -> ChatFeatures {
        ChatFeatures { direct: true, ..ChatFeatures::PLAIN }
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
        Ok(self.members.lock().values().cloned().collect())
    }

    async fn probe(&self, _people: &[String], _rooms: &[String]) -> Result<Vec<String>, Vec<String>> {
        Ok(vec![format!("console: always connected; the person at the console is `{}`", self.config.user)])
    }
}

/// Returns an event id that is unique across restarts of the host.
fn new_event_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = Timestamp::now().as_nanosecond();
    format!("line-{now:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
