//! A console as a room: its people take turns.

use anyhow::{Result, bail};
use async_trait::async_trait;

use super::room::{Heard, Room, Running, Shown, config};
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
        self.host.say(words)?;
        self.count += 1;
        Ok(format!("line-{}", self.count))
    }

    /// No other person is ever present.
    async fn say_directly(&mut self, person: &str, words: &str) -> Result<String> {
        self.say(person, words).await
    }

    async fn say_in_thread(&mut self, person: &str, _root: &str, words: &str) -> Result<String> {
        self.say(person, words).await
    }

    async fn edit(&mut self, _person: &str, _message: &str, _words: &str) -> Result<()> {
        bail!("a line that was typed stays as it is")
    }

    async fn put(&mut self, _person: &str, _message: &str, _emoji: &str) -> Result<()> {
        bail!("there are no emoji on lines")
    }

    async fn take_back(&mut self, _person: &str, _message: &str, _emoji: &str) -> Result<()> {
        bail!("there are no emoji on lines")
    }

    async fn heard(&mut self) -> Result<Vec<Heard>> {
        self.said.extend(self.host.drain());
        let line = |(place, words): (usize, &String)| Heard {
            id: place.to_string(),
            shown: Shown::Said { thread: None, words: words.clone() },
        };
        Ok(self.said.iter().enumerate().map(line).collect())
    }

    async fn host(&mut self, running: Running) -> Result<()> {
        match running {
            Running::Killed => self.host.kill_now(),
            Running::Starts => {
                self.host = RunningHost::start(&self.test_host)?;
                Ok(())
            }
        }
    }

    fn has_threads(&self) -> bool {
        false
    }

    fn log(&self) -> String {
        self.host.log()
    }
}
