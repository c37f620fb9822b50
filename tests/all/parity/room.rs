//! What a room of any kind can do for a story: people in it do things, and what the bot shows is looked at.

use anyhow::Result;
use async_trait::async_trait;

/// Something that the bot did in a room, as people see it.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// Its id.
    pub(super) id: String,
    /// What it shows.
    pub(super) shown: Shown,
}

/// What people see.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    /// A message.
    Said {
        /// The message at the root of the thread that it stands in.
        thread: Option<String>,
        /// Its words as they read, without markup.
        words: String,
    },
    /// New words of a message.
    Edited {
        /// The words as they read.
        words: String,
    },
    /// An emoji on a message.
    Put {
        /// The message.
        on: String,
        /// The emoji.
        emoji: String,
    },
}

/// What becomes of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    /// It starts.
    Starts,
    /// It is killed.
    Killed,
}

/// A room with alice, who is an admin, bob, who is a deployer, dave, who visits, and the bot.
#[async_trait]
pub(super) trait Room: Send {
    /// Somebody says something in the room; gives its id.
    async fn say(&mut self, person: &str, words: &str) -> Result<String>;

    /// The same where nobody else is.
    async fn say_directly(&mut self, person: &str, words: &str) -> Result<String>;

    /// Somebody says something in the thread of a message.
    async fn say_in_thread(&mut self, person: &str, root: &str, words: &str) -> Result<String>;

    /// Somebody gives a message of theirs other words.
    async fn edit(&mut self, person: &str, message: &str, words: &str) -> Result<()>;

    /// Somebody puts an emoji on a message.
    async fn put(&mut self, person: &str, message: &str, emoji: &str) -> Result<()>;

    /// Somebody takes it away again.
    async fn take_back(&mut self, person: &str, message: &str, emoji: &str) -> Result<()>;

    /// All that the bot did so far, in every room.
    async fn heard(&mut self) -> Result<Vec<Heard>>;

    /// Kills or starts the host.
    async fn host(&mut self, running: Running) -> Result<()>;

    /// Whether answers stand in threads here.
    fn has_threads(&self) -> bool {
        true
    }

    /// The host's log.
    fn log(&self) -> String;
}

/// The configuration of every room's host; `TABLE` stands for the bot's account, and people by their names in capitals.
pub(super) const CONFIG: &str = r#"
[bot.marvin]
environments = ["staging", "production", "live"]

TABLE

[people]
admins = ["ALICE"]

[role.visitor]
members      = ["everyone"]
commands     = ["where"]
apps         = ["*"]
environments = ["staging"]

[role.deployer]
members      = ["ALICE", "BOB"]
commands     = ["deploy", "where"]
apps         = ["*"]
environments = ["staging", "production", "live"]

[environment.staging]

[environment.production]
approval = { count = 1, from = "deployer", within = "5m" }

[role.approver]
members      = ["BOB", "DAVE"]
commands     = []
apps         = ["*"]
environments = ["live"]

[environment.live]
approval = { count = 2, from = "approver", within = "5m" }

[app.cms]
title = "Content Management System"

[app.cms.deploy.staging]
run        = ["./sample/deploy.sh", "cms", "staging", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[app.cms.deploy.production]
run        = ["./sample/deploy.sh", "cms", "production", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[app.cms.deploy.live]
run        = ["./sample/deploy.sh", "cms", "live", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"

[[plugin.deploy.allow]]
call        = "pipelines.trigger"
environment = ["staging", "production", "live"]

[[plugin.deploy.allow]]
call = ["pipelines.wait", "catalog.*"]

[[alias]]
typed   = "ship VERSION"
command = "deploy cms staging {VERSION}"

[[listen]]
pattern = '(?i)what runs of (?P<app>[a-z]+)'
command = "where {app}"
"#;

/// The configuration with an account and the ids of its people.
pub(super) fn config(table: &str, [alice, bob, dave]: [&str; 3]) -> String {
    CONFIG.replace("TABLE", table).replace("ALICE", alice).replace("BOB", bob).replace("DAVE", dave)
}
