//! Reads lines until the input ends, and brings each to the inbox.

use std::{
    io::{BufRead as _, Write as _},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wardroom::{
    Timestamp,
    message::{Inbox, Person},
};

use crate::{
    Console, ROOM,
    convert::{Input, incoming, input},
};

/// How long a store that cannot write is waited for before the line is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// A longer line is no command, in bytes.
const LONGEST_LINE: usize = 64 << 10;

impl Console {
    pub(crate) async fn read_lines(&self, inbox: Arc<Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        inbox.enter(ROOM, Timestamp::now()).await?;
        if self.terminal {
            self.print(&format!("This is {}. Type help, or /quit to leave.", self.bot))?;
        } else {
            tokio::select! {
                () = inbox.settled() => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        let mut lines = lines();
        loop {
            self.prompt()?;
            let line = tokio::select! {
                line = lines.recv() => line,
                () = stop.cancelled() => return Ok(()),
            };
            let Some(line) = line else { break };
            if line.len() > LONGEST_LINE {
                self.print(&format!("That line has {} bytes, and at most {LONGEST_LINE} are read.", line.len()))?;
                continue;
            }
            match input(&line) {
                Input::Nothing => {}
                Input::Quit => break,
                Input::Unknown(line) => {
                    self.print(&format!("`{line}` is nothing the console knows. It knows: /as ID, /quit"))?
                }
                Input::As(id) => self.speak_as(id)?,
                Input::Say { text, wait } => {
                    self.bring(&inbox, text).await;
                    // At a terminal the person decides when to type on; answers come when they come.
                    if wait && !self.terminal {
                        tokio::select! {
                            () = inbox.settled() => {}
                            () = stop.cancelled() => return Ok(()),
                        }
                    } else if wait {
                        // Most answers are there at once, and read better before the next prompt.
                        let _ = tokio::time::timeout(AGAIN, inbox.settled()).await;
                    }
                }
            }
        }
        tokio::select! {
            () = inbox.settled() => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    }

    async fn bring(&self, inbox: &Inbox, text: String) {
        let speaker = self.speaker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let event = fresh();
        loop {
            let message = incoming(event.clone(), speaker.clone(), text.clone(), Timestamp::now());
            match inbox.receive(ROOM, vec![message], None).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%error, "the line is kept and tried again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn speak_as(&self, id: String) -> std::io::Result<()> {
        if !self.alone {
            return self
                .print("`/as` is refused: this host is in other chats too, and there people speak for themselves.");
        }
        tracing::warn!(from = self.user, to = id, "the console speaks as somebody else");
        self.print(&format!("You now speak as {id}. The journal says so."))?;
        let name = format!("{id}, spoken by {}", self.user);
        let speaker = if id == self.user { Person::named_by_id(id) } else { Person { id, name } };
        self.spoke.lock().unwrap_or_else(PoisonError::into_inner).insert(speaker.id.clone(), speaker.clone());
        *self.speaker.lock().unwrap_or_else(PoisonError::into_inner) = speaker;
        Ok(())
    }

    pub(crate) fn print(&self, text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        // The prompt that stands there is written over, and again below.
        if self.terminal {
            write!(out, "\r")?;
        }
        writeln!(out, "{text}")?;
        if self.terminal {
            write!(out, "> ")?;
        }
        out.flush()
    }

    fn prompt(&self) -> std::io::Result<()> {
        if !self.terminal {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        write!(out, "\r> ")?;
        out.flush()
    }
}

/// The lines of standard input. A thread of its own reads them: a read cannot be called off.
fn lines() -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut bytes = Vec::new();
        while let Ok(1..) = input.read_until(b'\n', &mut bytes) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            bytes.clear();
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// An event id that no run of this host has used.
fn fresh() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = Timestamp::now().as_nanosecond();
    format!("line-{now:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
