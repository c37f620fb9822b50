//! A real homeserver, a person with a client, and a release build of the host in rooms of this person.
//!
//! Invariant: dropping the value kills the host and the homeserver.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle};
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh, register_bot},
    synapse::{Limits, Synapse},
};

use crate::{figure::milliseconds, host::Host};

/// Timeout for an event, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Homeserver {
    pub(crate) synapse: Synapse,
    /// The person who measures. An admin of the bot, and a member of every room.
    pub(crate) alice: Arc<MatrixUser>,
    /// The bot's full id.
    pub(crate) bot: String,
    /// The rooms in which the bot is.
    pub(crate) rooms: Vec<String>,
    /// A room without the bot.
    pub(crate) bare: String,
    _host: Host,
    _folder: TempDir,
}

impl Homeserver {
    /// Starts a homeserver with `count` rooms, and a host whose bot is in each of them. `tables` are the tables of
    /// `plugins.toml` after those of the bot.
    pub(crate) async fn open(program: &Path, limits: Limits, count: usize, tables: &str) -> Result<Self> {
        let synapse = Synapse::start(limits).await?;
        let alice = MatrixUser::new(&synapse.url(), &fresh("alice")).await?;
        // A second member in each room, because in a room of two every message is addressed to the bot.
        let bob = MatrixUser::new(&synapse.url(), &fresh("bob")).await?;
        let password = fresh("marvin");
        let bot = register_bot(&synapse.url(), &password).await?;
        let (mut rooms, mut aliases) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (room, alias) = alice.create_public_room().await?;
            bob.join(&room).await?;
            rooms.push(room);
            aliases.push(alias);
        }
        let (bare, _) = alice.create_public_room().await?;
        bob.join(&bare).await?;
        let folder = tempfile::tempdir()?;
        let text = format!(
            "[bot.marvin.matrix]\nhomeserver = \"{}\"\nuser = \"{bot}\"\npassword = {{ env = \"{}\" }}\n\
             rooms = {aliases:?}\n\n[people]\nadmins = [\"{}\"]\n{tables}",
            synapse.url(),
            Host::SECRET,
            alice.id,
        );
        std::fs::write(folder.path().join("plugins.toml"), text)?;
        let host = Host::start(program, folder.path(), &password)?;
        host.ready()?;
        for room in &rooms {
            alice.wait_for_member(room, &bot).await.context("the bot does not join a room")?;
        }
        Ok(Self { synapse, alice: Arc::new(alice), bot, rooms, bare, _host: host, _folder: folder })
    }

    /// Sends `count` messages to the room without the bot, one after the other. Returns the time of each in
    /// milliseconds.
    pub(crate) async fn bare_sends(&self, count: usize) -> Result<Vec<f64>> {
        let mut times = Vec::with_capacity(count);
        for number in 0..count {
            let sent = Instant::now();
            self.alice.say(&self.bare, &format!("chatter {number}")).await?;
            times.push(milliseconds(sent.elapsed()));
        }
        Ok(times)
    }

    /// Returns true if an event is a message or a reaction of the bot.
    pub(crate) fn is_of_bot(&self, event: &Value) -> bool {
        event["sender"] == self.bot.as_str() && event["type"] != "m.room.member"
    }
}

/// An event that a client received.
pub(crate) struct Arrived {
    pub(crate) at: Instant,
    pub(crate) event: Value,
}

impl Arrived {
    /// Returns the id of the event to which this event relates.
    pub(crate) fn related(&self) -> Option<&str> {
        self.event["content"]["m.relates_to"]["event_id"].as_str()
    }

    /// Returns the plain text of a message, or the new text of an edit.
    pub(crate) fn text(&self) -> &str {
        let content = &self.event["content"];
        content["m.new_content"]["body"].as_str().or(content["body"].as_str()).unwrap_or_default()
    }
}

/// A client that syncs without a pause, as a person's client does. Dropping the value ends the syncs.
pub(crate) struct Client {
    arrived: mpsc::UnboundedReceiver<Arrived>,
    task: JoinHandle<()>,
}

impl Client {
    /// Starts to sync. Earlier events are not returned.
    pub(crate) async fn start(person: Arc<MatrixUser>) -> Result<Self> {
        person.next_events(0).await?;
        let (sender, arrived) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            // The receiver's timeout reports a failed sync.
            while let Ok(events) = person.next_events(30_000).await {
                let at = Instant::now();
                for (_, event) in events {
                    if sender.send(Arrived { at, event }).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Self { arrived, task })
    }

    /// Waits for the next event that `fits` accepts. Drops the events before it.
    pub(crate) async fn wait(&mut self, what: &str, fits: impl Fn(&Arrived) -> bool) -> Result<Arrived> {
        let wanted = async {
            loop {
                let arrived = self.arrived.recv().await.context("a sync failed")?;
                if fits(&arrived) {
                    return anyhow::Ok(arrived);
                }
            }
        };
        let ended = tokio::time::timeout(PATIENCE, wanted).await;
        ended.with_context(|| format!("`{what}` did not arrive within {PATIENCE:?}"))?
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}
