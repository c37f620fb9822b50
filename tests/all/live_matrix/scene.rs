//! The setup of each test: a room with Alice (an admin), Bob (a member without rights), the bot and its host.
//!
//! Invariant: dropping a scene kills the host.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh, register_bot},
    synapse::Synapse,
};

use crate::{
    journal::Journal,
    test_host::{binary, failpoints},
};

pub(crate) struct Scene {
    /// The client of Alice, who is an admin.
    pub(crate) alice: MatrixUser,
    /// The bot's full id.
    pub(crate) bot: String,
    /// The room's id.
    pub(crate) room: String,
    /// The bot's host.
    pub(crate) host: Host,
}

impl Scene {
    /// Creates a new room with new people and a new host.
    pub(crate) async fn open(synapse: &Synapse) -> Result<Self> {
        Self::open_at(synapse, &synapse.url()).await
    }

    /// Creates a scene in which the bot connects to the homeserver at another address.
    pub(crate) async fn open_at(synapse: &Synapse, homeserver: &str) -> Result<Self> {
        Self::open_with(synapse, homeserver, async |_, _| Ok(())).await
    }

    /// Creates a scene, and calls a function before the bot joins the room.
    pub(crate) async fn open_with(
        synapse: &Synapse,
        homeserver: &str,
        before: impl AsyncFnOnce(&MatrixUser, &str) -> Result<()>,
    ) -> Result<Self> {
        let alice = MatrixUser::new(&synapse.url(), &fresh("alice")).await?;
        let password = fresh("marvin");
        let bot = register_bot(&synapse.url(), &password).await?;
        let (room, alias) = alice.create_public_room().await?;
        // The room has three members, because in a room of two every message is addressed to the bot.
        MatrixUser::new(&synapse.url(), &fresh("bob")).await?.join(&room).await?;
        before(&alice, &room).await?;
        let mut host = Host::new(homeserver, &bot, password, &alias, &alice.id)?;
        host.start()?;
        alice.wait_for_member(&room, &bot).await.with_context(|| host.log())?;
        Ok(Self { alice, bot, room, host })
    }

    /// Waits for a reaction of the bot to a message.
    pub(crate) async fn reaction(&self, event: &str, emoji: &str) -> Result<Value> {
        let fits = |reaction: &Value| reaction["sender"] == self.bot && is_reaction(reaction, event, emoji);
        self.alice.wait(&self.room, emoji, fits).await
    }

    /// Waits for a message of the bot in a command's thread that contains `words`.
    pub(crate) async fn answer(&self, command: &str, words: &str) -> Result<Value> {
        let what = format!("answer with `{words}`");
        self.alice.wait(&self.room, &what, |event| self.is_answer(event, command, words)).await
    }

    /// Returns the number of the bot's messages in a command's thread that contain `words`.
    pub(crate) async fn answers(&self, command: &str, words: &str) -> Result<usize> {
        let events = self.alice.events(&self.room).await?;
        Ok(events.iter().filter(|event| self.is_answer(event, command, words)).count())
    }

    /// Waits until the host has crashed or a command was answered. Returns true if the host has crashed.
    pub(crate) async fn crashed(&mut self, command: &str, words: &str) -> Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if self.host.has_ended()? {
                return Ok(true);
            }
            if self.answers(command, words).await? > 0 {
                return self.host.ends_within(Duration::from_secs(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the host neither crashed nor answered; the log:\n{}", self.host.log());
    }

    /// Sends a command and waits for the answer. Then the bot has handled all earlier messages.
    pub(crate) async fn barrier(&self) -> Result<()> {
        let question = self.alice.say(&self.room, "!whoami").await?;
        self.answer(&question, "").await.map(drop)
    }

    /// Returns all messages of the bot, including edits.
    pub(crate) async fn said_by_bot(&self) -> Result<Vec<Value>> {
        let events = self.alice.events(&self.room).await?;
        Ok(events
            .into_iter()
            .filter(|event| event["sender"] == self.bot && event["type"] == "m.room.message")
            .collect())
    }

    /// Waits for the bot's answer to a command in another room.
    pub(crate) async fn answer_in(&self, room: &str, command: &str, words: &str) -> Result<Value> {
        let what = format!("answer with `{words}`");
        self.alice.wait(room, &what, |event| self.is_answer(event, command, words)).await
    }

    /// Returns the number of the bot's visible events in a room.
    pub(crate) async fn words_in(&self, room: &str) -> Result<usize> {
        let events = self.alice.events(room).await?;
        Ok(events.iter().filter(|event| event["sender"] == self.bot && event["type"] != "m.room.member").count())
    }

    fn is_answer(&self, event: &Value, command: &str, words: &str) -> bool {
        // The closing line of a job that had a card is an edit of the card.
        let is_edit = !words.is_empty() && event["content"]["m.relates_to"]["rel_type"] == "m.replace";
        event["sender"] == self.bot && (is_edit || thread_of(event) == Some(command)) && body(event).contains(words)
    }
}

/// Returns the plain text of a message, or the new text of an edit.
pub(crate) fn body(event: &Value) -> &str {
    let content = &event["content"];
    content["m.new_content"]["body"].as_str().or(content["body"].as_str()).unwrap_or_default()
}

/// Returns the event id of the root of an event's thread.
pub(crate) fn thread_of(event: &Value) -> Option<&str> {
    related(event, "m.thread")
}

/// Returns true if an event is an edit of another.
pub(crate) fn replaces(event: &Value, other: &str) -> bool {
    related(event, "m.replace") == Some(other)
}

/// Returns true if an event is this reaction to another.
pub(crate) fn is_reaction(event: &Value, other: &str, emoji: &str) -> bool {
    related(event, "m.annotation") == Some(other) && event["content"]["m.relates_to"]["key"] == emoji
}

fn related<'e>(event: &'e Value, how: &str) -> Option<&'e str> {
    let relation = &event["content"]["m.relates_to"];
    if relation["rel_type"] == how { relation["event_id"].as_str() } else { None }
}

/// The real host with its own folder.
pub(crate) struct Host {
    folder: TempDir,
    password: String,
    child: Option<Child>,
}

impl Host {
    fn new(homeserver: &str, bot: &str, password: String, room: &str, admin: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let pipeline = folder.path().join("deploy.sh");
        // The script logs one line per run, so that the test detects a second run.
        fs::write(
            &pipeline,
            "#!/bin/sh\necho \"$3\" >> \"${0%/*}/runs.txt\"\necho 'step: install'\nsleep 1\necho done\n",
        )?;
        fs::set_permissions(&pipeline, fs::Permissions::from_mode(0o755))?;
        let guest = guests().join("deploy.wasm");
        let text = PLUGINS
            .replace("HOMESERVER", homeserver)
            .replace("BOT", bot)
            .replace("ROOM", room)
            .replace("ADMIN", admin)
            .replace("PIPELINE", &pipeline.display().to_string())
            .replace("GUEST", &guest.display().to_string());
        fs::write(folder.path().join("plugins.toml"), text)?;
        Ok(Self { folder, password, child: None })
    }

    /// Starts the host.
    pub(crate) fn start(&mut self) -> Result<()> {
        let command = self.command(&["run"])?;
        self.spawn(command)
    }

    /// Starts the host with crash points, and kills it at `point`.
    pub(crate) fn start_with_crash_at(&mut self, point: Option<&str>) -> Result<()> {
        let mut command = self.command_of(&failpoints()?, &["run"]);
        command.env("WARDROOM_CRASH_LOG", self.folder.path().join("points"));
        if let Some(point) = point {
            command.env("WARDROOM_CRASH_AT", point);
        }
        self.spawn(command)
    }

    fn spawn(&mut self, mut command: Command) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log"))?;
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    /// Returns the crash points that all starts of the host reached.
    pub(crate) fn crash_points(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("points")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// Waits up to `most` for the end of the host. Returns true if it has ended.
    async fn ends_within(&mut self, most: Duration) -> Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < most && !self.has_ended()? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.has_ended()
    }

    /// Returns true if the host has ended.
    fn has_ended(&mut self) -> Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_some()),
            None => Ok(true),
        }
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        let program = binary()?;
        Ok(self.command_of(&program, words))
    }

    fn command_of(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).arg("--config").arg(self.folder.path().join("plugins.toml"));
        command.env("MARVIN_PASSWORD", &self.password).stdin(Stdio::null());
        command
    }

    /// Sets the duration of the pipeline, in seconds.
    pub(crate) fn set_duration(&self, seconds: u32) -> Result<()> {
        let pipeline = self.folder.path().join("deploy.sh");
        let text = fs::read_to_string(&pipeline)?;
        let set = |line: &str| match line.starts_with("sleep ") {
            true => format!("sleep {seconds}\n"),
            false => format!("{line}\n"),
        };
        Ok(fs::write(&pipeline, text.lines().map(set).collect::<String>())?)
    }

    /// Kills the host with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Returns the deployed version of each run.
    pub(crate) fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("runs.txt")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// Returns a path in the folder of the configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a line to the account's table, for the next start.
    pub(crate) fn add_to_account(&self, line: &str) -> Result<()> {
        let file = self.folder.path().join("plugins.toml");
        let text = fs::read_to_string(&file)?;
        Ok(fs::write(file, text.replace("[bot.marvin.matrix]\n", &format!("[bot.marvin.matrix]\n{line}\n")))?)
    }

    /// Sets the last line of the pipeline's output.
    pub(crate) fn set_output(&self, words: &str) -> Result<()> {
        let pipeline = self.folder.path().join("deploy.sh");
        let text = fs::read_to_string(&pipeline)?;
        Ok(fs::write(&pipeline, text.replace("echo done\n", &format!("echo '{words}'\n")))?)
    }

    /// Returns the password of the bot's account.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Configures a token instead of the password, for the next start.
    pub(crate) fn use_token(&mut self, token: &str) -> Result<()> {
        let file = self.folder.path().join("plugins.toml");
        let text = fs::read_to_string(&file)?.replace("password   = {", "access_token = {");
        token.clone_into(&mut self.password);
        Ok(fs::write(file, text)?)
    }

    /// Configures another admin, for the next start.
    pub(crate) fn add_admin(&self, id: &str) -> Result<()> {
        let file = self.folder.path().join("plugins.toml");
        let text = fs::read_to_string(&file)?;
        Ok(fs::write(file, text.replace("admins = [", &format!("admins = [\"{id}\", ")))?)
    }

    /// Configures an approval rule for staging with these people, for the next start.
    pub(crate) fn use_approval(&self, terms: &str, people: &[&str]) -> Result<()> {
        let file = self.folder.path().join("plugins.toml");
        let text = fs::read_to_string(&file)?;
        let staging = format!("[environment.staging]\napproval = {{ from = \"deployer\", {terms} }}\n");
        let text = text.replace("[environment.staging]\n", &staging);
        let members: Vec<String> = people.iter().map(|id| format!("{id:?}")).collect();
        let role = format!(
            "\n[role.deployer]\nmembers = [{}]\ncommands = [\"deploy\"]\napps = [\"*\"]\nenvironments = [\"staging\"]\n",
            members.join(", ")
        );
        Ok(fs::write(file, text + role.as_str())?)
    }

    /// Configures these rooms, written as the items of a TOML array, for the next start.
    pub(crate) fn use_rooms(&self, rooms: &str) -> Result<()> {
        let file = self.folder.path().join("plugins.toml");
        let text = fs::read_to_string(&file)?;
        let (head, rest) = text.split_once("rooms      = [").context("no rooms")?;
        let (_, tail) = rest.split_once(']').context("no end of the rooms")?;
        Ok(fs::write(file, format!("{head}rooms      = [{rooms}]{tail}"))?)
    }

    /// Runs `wardroom check --connect`. Returns true if it succeeds, and its output.
    pub(crate) fn check_connect(&self) -> Result<(bool, String)> {
        let output = self.command(&["check", "--connect"])?.output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Returns the permissions of a file or folder in the folder of the configuration.
    pub(crate) fn mode(&self, path: &str) -> Result<u32> {
        Ok(fs::metadata(self.folder.path().join(path))?.permissions().mode() & 0o777)
    }

    /// Returns true if any file of the account's session contains `words`.
    pub(crate) fn state_holds(&self, words: &str) -> Result<bool> {
        let mut folders = vec![self.folder.path().join("state/matrix")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if fs::read(path)?.windows(words.len()).any(|part| part == words.as_bytes()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Waits until a run has started.
    pub(crate) async fn wait_for_a_run(&self) -> Result<()> {
        self.wait_for_runs(1).await
    }

    /// Waits until this many runs have started.
    pub(crate) async fn wait_for_runs(&self, count: usize) -> Result<()> {
        self.wait_until("run", || self.runs().len() == count).await
    }

    /// Waits until a job has ended with this outcome.
    pub(crate) async fn wait_for_end(&self, outcome: &str) -> Result<()> {
        let state = self.folder.path().join("state");
        let ended = async || -> Result<bool> {
            let state = state.clone();
            let outcomes = tokio::task::spawn_blocking(move || {
                Journal::open(&state)?.texts("select outcome from job where outcome is not null")
            });
            Ok(outcomes.await??.iter().any(|ended| ended == outcome))
        };
        let begun = Instant::now();
        while !ended().await? {
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("no job ended as {outcome} within a minute; the log:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until the log contains `words`.
    pub(crate) async fn wait_for_log(&self, words: &str) -> Result<()> {
        self.wait_until(words, || self.log().contains(words)).await
    }

    /// Waits until the log contains `words` this many times.
    pub(crate) async fn wait_for_logs(&self, words: &str, times: usize) -> Result<()> {
        self.wait_until(words, || self.log().matches(words).count() >= times).await
    }

    async fn wait_until(&self, what: &str, is: impl Fn() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is() {
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("`{what}` did not happen within a minute; the log:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Returns the log of all starts of the host.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
        // The output is shown only for a failed test.
        eprintln!("the host's log:\n{}", self.log());
    }
}

fn guests() -> PathBuf {
    let blob = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../guests");
    std::env::var_os("WARDROOM_GUESTS").map_or_else(blob, PathBuf::from)
}

const PLUGINS: &str = r#"
[store]
url = "sqlite:state/wardroom.db"

[bot.marvin]
# Each closing line is a message, however long the job takes.
card_after = "1h"
reactions  = "all"
prefix       = "!"
environments = ["staging"]

[bot.marvin.matrix]
homeserver = "HOMESERVER"
user       = "BOT"
password   = { env = "MARVIN_PASSWORD" }
rooms      = ["ROOM"]

[people]
admins = ["ADMIN"]

[environment.staging]

[app.cms]
title = "Content Management System"

[app.cms.deploy.staging]
run        = ["PIPELINE", "cms", "staging", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[plugin.deploy]
module = "GUEST"

[[plugin.deploy.allow]]
call        = "pipelines.trigger"
environment = ["staging"]

[[plugin.deploy.allow]]
call = ["pipelines.wait", "catalog.*"]
"#;
