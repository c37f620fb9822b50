//! Runs the same stories in every kind of room: a console, Matrix with and without encryption, Mattermost.
//!
//! Each file of `tests/rooms` is one story, and every kind of room runs the same lines (`script` has their syntax).
//! `tests/rooms/missing.txt` lists the features that a kind of room does not have, with the reason. A story that needs
//! such a feature is skipped for that kind, and for no other reason.
//!
//! Invariant: a behaviour is tested in every kind of room, or listed as missing.

mod console;
mod encrypted;
mod matrix;
mod mattermost;
mod room;
mod script;
mod served;

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::test_host::repository;
use room::{BotAction, Room, Shown};
use script::{Line, Script};

/// Timeout for an action of the bot, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval between two reads of the room.
const LOOK: Duration = Duration::from_millis(100);

macro_rules! stories {
    (in $kind:ident $($name:ident)*) => {
        mod $kind {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() -> anyhow::Result<()> {
                    let open = async || super::super::$kind::open().await;
                    super::super::run_story(stringify!($name), stringify!($kind), open).await
                }
            )*
        }
    };
    ($($name:ident)*) => {
        const STORIES: &[&str] = &[$(stringify!($name)),*];
        mod rooms {
            stories!(in console $($name)*);
            stories!(in matrix $($name)*);
            stories!(in encrypted $($name)*);
            stories!(in mattermost $($name)*);
        }
    };
}

const KINDS: &[&str] = &["console", "matrix", "encrypted", "mattermost"];

stories! {
    alias
    approval
    approval_by_reaction
    card_and_thread
    deployment
    direct_message
    downtime
    edits
    hostile_words
    listen
    mentions
    read_only
    refusals
    thread_commands
}

/// Runs a story in a room of one kind, unless that kind lacks a feature that it needs.
async fn run_story<R: Room>(name: &str, kind: &str, open: impl AsyncFnOnce() -> Result<R>) -> Result<()> {
    let script = Script::read(&name.replace('_', "-"))?;
    let missing = missing()?;
    let lacks = |need: &String| missing.iter().any(|(of, ability)| of == kind && ability == need);
    if script.needs.iter().any(lacks) {
        return Ok(());
    }
    let mut story =
        StoryRun { room: open().await?, actions: Vec::new(), used: BTreeSet::new(), it: None, that: None, before: 0 };
    for line in &script.lines {
        let result = story.line(line).await;
        result.with_context(|| format!("{name} in a room of kind {kind}, at `{line:?}`; {}", story.all()))?;
    }
    story.never(&script).await.with_context(|| format!("{name} in a room of kind {kind}"))
}

/// Reads the missing features: pairs of kind and feature.
fn missing() -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(repository().join("tests/rooms/missing.txt"))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (kind, rest) = line
                .split_once(": ")
                .with_context(|| format!("the line `{line}` does not begin with a kind of room"))?;
            let (ability, why) =
                rest.split_once(", because ").with_context(|| format!("the line `{line}` does not give a reason"))?;
            ensure!(!why.trim().is_empty(), "the line `{line}` does not give a reason");
            Ok((kind.to_owned(), ability.to_owned()))
        })
        .collect()
}

#[test]
fn every_file_is_a_story_and_every_missing_feature_is_used() -> Result<()> {
    let names: BTreeSet<String> = STORIES.iter().map(|name| name.replace('_', "-")).collect();
    let (mut files, mut needs) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(repository().join("tests/rooms"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(story) = name.strip_suffix(".txt").filter(|story| *story != "missing") else { continue };
        needs.extend(Script::read(story)?.needs);
        files.insert(story.to_owned());
    }
    ensure!(files == names, "the list has {names:?}, and the folder has {files:?}");
    for (kind, ability) in missing()? {
        ensure!(KINDS.contains(&kind.as_str()), "no room of the kind {kind} can be created");
        ensure!(needs.contains(&ability), "no story needs `{ability}`");
    }
    Ok(())
}

/// A running story.
struct StoryRun<R> {
    room: R,
    actions: Vec<BotAction>,
    /// The ids of actions that earlier lines have matched.
    used: BTreeSet<String>,
    /// The id of the last post, to which threads and edits refer.
    it: Option<String>,
    /// The id of the bot's last message that a line has matched.
    that: Option<String>,
    /// The number of the bot's actions before the last post.
    before: usize,
}

impl<R: Room> StoryRun<R> {
    async fn line(&mut self, line: &Line) -> Result<()> {
        let it = || self.it.clone().context("no one has posted yet");
        let that = || self.that.clone().context("no line has matched a message of the bot yet");
        match line {
            Line::Says { person, words } => {
                self.before = self.room.actions().await?.len();
                self.it = Some(self.room.say(person, words).await?);
            }
            Line::SaysDirectly { person, words } => self.it = Some(self.room.say_directly(person, words).await?),
            Line::SaysInThread { person, words } => {
                let root = it()?;
                self.room.say_in_thread(person, &root, words).await?;
            }
            Line::Edits { person, words } => {
                let event = it()?;
                self.room.edit(person, &event, words).await?;
            }
            Line::Reacts { person, emoji } => {
                let event = that()?;
                self.room.react(person, &event, emoji).await?;
            }
            Line::Unreacts { person, emoji } => {
                let event = that()?;
                self.room.unreact(person, &event, emoji).await?;
            }
            Line::Host(running) => self.room.host(*running).await?,
            Line::Silence(silenced) => self.room.silence(*silenced).await?,
            Line::Log(words) => {
                let begun = Instant::now();
                while !self.room.log().contains(words.as_str()) {
                    ensure!(begun.elapsed() < PATIENCE, "the log has no `{words}`");
                    tokio::time::sleep(LOOK).await;
                }
            }
            Line::Message { words, in_thread } => {
                let root = if *in_thread && self.room.has_threads() { Some(it()?) } else { None };
                let found = self
                    .wait(|action| match &action.shown {
                        Shown::Message { thread, words: said } => {
                            (root.is_none() || *thread == root) && said.contains(words.as_str())
                        }
                        Shown::Edit { words: said } => said.contains(words.as_str()),
                        Shown::Reaction { .. } => false,
                    })
                    .await?;
                self.that = Some(found);
            }
            Line::Edit(words) => {
                let fits =
                    |action: &BotAction| matches!(&action.shown, Shown::Edit { words: said } if said.contains(words));
                self.wait(fits).await?;
            }
            Line::Reaction(emoji) => {
                let event = it()?;
                let fits = |action: &BotAction| matches!(&action.shown, Shown::Reaction { on, emoji: put } if *on == event && put == emoji);
                self.wait(fits).await?;
            }
            Line::Count(expected) => {
                self.actions = self.room.actions().await?;
                let count = self.actions.len() - self.before;
                ensure!(count == *expected, "the bot did {count} things since the last post");
            }
            // `never` checks the line at the end.
            Line::Never(_) => {}
        }
        Ok(())
    }

    /// Waits for an action of the bot that matches and that no line has matched before. Returns its id.
    async fn wait(&mut self, fits: impl Fn(&BotAction) -> bool) -> Result<String> {
        let begun = Instant::now();
        loop {
            let found = self.actions.iter().find(|action| !self.used.contains(&action.id) && fits(action));
            if let Some(id) = found.map(|action| action.id.clone()) {
                self.used.insert(id.clone());
                return Ok(id);
            }
            if begun.elapsed() > PATIENCE {
                bail!("no message matched within {PATIENCE:?}");
            }
            tokio::time::sleep(LOOK).await;
            self.actions = self.room.actions().await?;
        }
    }

    /// Checks that the forbidden words never appear, not even before the answer to a last query.
    async fn never(&mut self, script: &Script) -> Result<()> {
        self.line(&Line::Says { person: "alice".to_owned(), words: "!whoami".to_owned() }).await?;
        self.line(&Line::Message { words: "You are ".to_owned(), in_thread: true }).await?;
        for line in &script.lines {
            let Line::Never(words) = line else { continue };
            let said = self.actions.iter().any(|action| match &action.shown {
                Shown::Message { words: said, .. } | Shown::Edit { words: said } => said.contains(words.as_str()),
                Shown::Reaction { .. } => false,
            });
            ensure!(!said, "the bot sent `{words}`; {}", self.all());
        }
        Ok(())
    }

    fn all(&self) -> String {
        let lines: Vec<String> = self.actions.iter().map(|action| format!("{action:?}")).collect();
        format!("the bot showed:\n{}\n{}", lines.join("\n"), self.room.log())
    }
}
