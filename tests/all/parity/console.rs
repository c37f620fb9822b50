//! A console as a room. `/as` switches between its people.

use anyhow::{Result, bail};
use async_trait::async_trait;

use super::room::{BotAction, HostChange, Part, Room, Shown, config, parts};
use crate::{running_host::RunningHost, test_host::TestHost};

pub(super) struct Console {
    test_host: TestHost,
    host: RunningHost,
    said: Vec<String>,
    count: usize,
}

pub(super) async fn open() -> Result<Console> {
    let table = "[bot.marvin.console]\nuser = \"alice\"";
    let test_host = TestHost::new(&config(table, ["alice", "bob", "dave"]))?;
    let host = RunningHost::start(&test_host)?;
    Ok(Console { test_host, host, said: Vec::new(), count: 0 })
}

#[async_trait]
impl Room for Console {
    async fn say(&mut self, person: &str, words: &str) -> Result<String> {
        self.host.say(&format!("/as {person}"))?;
        let written = parts(words).into_iter().map(|part| match part {
            Part::Text(text) => text.to_owned(),
            Part::Mention { name, other_form } => format!("@{name}{}", if other_form { ":" } else { "" }),
        });
        self.host.say(&written.collect::<String>())?;
        self.count += 1;
        Ok(format!("line-{}", self.count))
    }

    /// Everything that is typed at a console is a direct message.
    async fn say_directly(&mut self, person: &str, words: &str) -> Result<String> {
        self.say(person, words).await
    }

    async fn say_in_thread(&mut self, person: &str, _root: &str, words: &str) -> Result<String> {
        self.say(person, words).await
    }

    async fn edit(&mut self, _person: &str, _message: &str, _words: &str) -> Result<()> {
        bail!("a typed line cannot be edited or deleted")
    }

    async fn react(&mut self, _person: &str, _message: &str, _emoji: &str) -> Result<()> {
        bail!("a line cannot have a reaction")
    }

    async fn unreact(&mut self, _person: &str, _message: &str, _emoji: &str) -> Result<()> {
        bail!("a line cannot have a reaction")
    }

    async fn actions(&mut self) -> Result<Vec<BotAction>> {
        self.said.extend(self.host.drain());
        let line = |(place, words): (usize, &String)| BotAction {
            id: place.to_string(),
            shown: Shown::Message { thread: None, words: words.clone() },
        };
        Ok(self.said.iter().enumerate().map(line).collect())
    }

    async fn host(&mut self, running: HostChange) -> Result<()> {
        match running {
            HostChange::Kill => self.host.kill_now(),
            HostChange::Start => {
                self.host = RunningHost::start(&self.test_host)?;
                Ok(())
            }
        }
    }

    async fn silence(&mut self, _silenced: bool) -> Result<()> {
        bail!("nobody can forbid the output of a console")
    }

    fn has_threads(&self) -> bool {
        false
    }

    fn log(&self) -> String {
        self.host.log()
    }
}
