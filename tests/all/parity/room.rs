//! The interface of a room of any kind for a story: actions of people, and what the bot shows.

use anyhow::Result;
use async_trait::async_trait;

/// Something that the bot did in a room.
#[derive(Debug, Clone)]
pub(super) struct BotAction {
    /// The id.
    pub(super) id: String,
    /// What it shows.
    pub(super) shown: Shown,
}

/// What people see.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    /// A message.
    Message {
        /// The message at the root of its thread.
        thread: Option<String>,
        /// The text without markup.
        words: String,
    },
    /// An edit of a message.
    Edit {
        /// The new text.
        words: String,
    },
    /// A reaction to a message.
    Reaction {
        /// The message.
        on: String,
        /// The emoji.
        emoji: String,
    },
}

/// A change of the host's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostChange {
    /// Starts the host.
    Start,
    /// Kills the host.
    Kill,
}

/// A room with alice (an admin), bob (a deployer), dave (a visitor) and the bot.
#[async_trait]
pub(super) trait Room: Send {
    /// A person posts in the room; returns the id.
    async fn say(&mut self, person: &str, words: &str) -> Result<String>;

    /// The same in a direct message.
    async fn say_directly(&mut self, person: &str, words: &str) -> Result<String>;

    /// A person posts in the thread of a message.
    async fn say_in_thread(&mut self, person: &str, root: &str, words: &str) -> Result<String>;

    /// A person edits their message.
    async fn edit(&mut self, person: &str, message: &str, words: &str) -> Result<()>;

    /// A person reacts to a message.
    async fn react(&mut self, person: &str, message: &str, emoji: &str) -> Result<()>;

    /// A person removes the reaction.
    async fn unreact(&mut self, person: &str, message: &str, emoji: &str) -> Result<()>;

    /// All actions of the bot so far, in every room.
    async fn actions(&mut self) -> Result<Vec<BotAction>>;

    /// Kills or starts the host.
    async fn host(&mut self, running: HostChange) -> Result<()>;

    /// Whether answers are in threads here.
    fn has_threads(&self) -> bool {
        true
    }

    /// The host's log.
    fn log(&self) -> String;
}

/// The configuration of every host. `TABLE` stands for the bot's account, and names in capitals for people.
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

/// The configuration with an account and the ids of people.
pub(super) fn config(table: &str, [alice, bob, dave]: [&str; 3]) -> String {
    CONFIG.replace("TABLE", table).replace("ALICE", alice).replace("BOB", bob).replace("DAVE", dave)
}
