//! The interface between a story and a room of any kind: the actions of people and of the bot.

use anyhow::Result;
use async_trait::async_trait;

/// An action of the bot in a room.
#[derive(Debug, Clone)]
pub(super) struct BotAction {
    /// The id of the message or reaction.
    pub(super) id: String,
    /// The visible part of the action.
    pub(super) shown: Shown,
}

/// The part of an action that people see.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    Message {
        /// The id of the message at the root of the thread.
        thread: Option<String>,
        /// The text without markup.
        words: String,
    },
    /// An edit of a message.
    Edit {
        /// The new text.
        words: String,
    },
    Reaction {
        /// The id of the message.
        on: String,
        emoji: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostChange {
    Start,
    Kill,
}

/// A room with alice (an admin), bob (a deployer), dave (a visitor) and the bot.
#[async_trait]
pub(super) trait Room: Send {
    /// Posts in the room as a person. Returns the message's id.
    async fn say(&mut self, person: &str, words: &str) -> Result<String>;

    /// Posts a direct message to the bot as a person. Returns the message's id.
    async fn say_directly(&mut self, person: &str, words: &str) -> Result<String>;

    /// Posts in the thread of a message as a person. Returns the message's id.
    async fn say_in_thread(&mut self, person: &str, root: &str, words: &str) -> Result<String>;

    /// Edits a message of a person.
    async fn edit(&mut self, person: &str, message: &str, words: &str) -> Result<()>;

    /// Reacts to a message as a person.
    async fn react(&mut self, person: &str, message: &str, emoji: &str) -> Result<()>;

    /// Removes a reaction of a person.
    async fn unreact(&mut self, person: &str, message: &str, emoji: &str) -> Result<()>;

    /// Returns all actions of the bot so far, in every room.
    async fn actions(&mut self) -> Result<Vec<BotAction>>;

    async fn host(&mut self, running: HostChange) -> Result<()>;

    /// Changes whether the bot may write in the room. Returns before the host has noticed the change.
    async fn silence(&mut self, silenced: bool) -> Result<()>;

    /// Returns true if the bot answers in threads.
    fn has_threads(&self) -> bool {
        true
    }

    /// Returns the host's log.
    fn log(&self) -> String;
}

/// A part of the words of a person.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'w> {
    Text(&'w str),
    /// A mention of the person or bot with this name.
    Mention {
        name: &'w str,
        /// Whether the mention has the form of another client.
        other_form: bool,
    },
}

/// Splits the words of a person into text and mentions.
pub(super) fn parts(words: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest) = (Vec::new(), words);
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        let other_form = name.ends_with(':');
        parts.extend([Part::Text(before), Part::Mention { name: name.trim_end_matches(':'), other_form }]);
        rest = after;
    }
    parts.push(Part::Text(rest));
    parts
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

[role.releaser]
members       = ["ALICE"]
commands      = ["deploy"]
apps          = ["*"]
environments  = ["staging"]
grant_in_chat = true

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

[app.slow.deploy.staging]
run        = ["sh", "-c", "sleep 4", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"

[[plugin.deploy.allow]]
call        = "pipelines.trigger"
environment = ["staging", "production", "live"]

[[plugin.deploy.allow]]
call = ["pipelines.wait", "catalog.*"]

[plugin.auth]
module = "{guests}/auth.wasm"

[[plugin.auth.allow]]
call = ["access.grant", "access.revoke"]
role = ["releaser"]

[[plugin.auth.allow]]
call = "access.list"

[[alias]]
typed   = "ship VERSION"
command = "deploy cms staging {VERSION}"

[[listen]]
pattern = '(?i)what runs of (?P<app>[a-z]+)'
command = "where {app}"
"#;

/// Returns the configuration with an account and the ids of people.
pub(super) fn config(table: &str, [alice, bob, dave]: [&str; 3]) -> String {
    CONFIG.replace("TABLE", table).replace("ALICE", alice).replace("BOB", bob).replace("DAVE", dave)
}
