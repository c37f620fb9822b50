//! The syntax of a story: one line for each action or expectation.
//!
//! ```text
//! # a comment
//! needs: reactions
//! alice> !deploy cms staging 1.0.2     alice posts in the room
//! alice directly> whoami               alice posts a direct message to the bot
//! alice in thread> !job                alice posts in the thread of the last post
//! alice edits> !where                  alice edits her last post
//! bob puts 👍                          bob reacts to the last message of the bot that a line has matched
//! bob takes back 👍                    bob removes the reaction
//! room silences the bot                the bot may no longer write in the room
//! room admits the bot                  the bot may write in the room again
//! log has words                        waits until the host's log has these words
//! host is killed
//! host starts
//! < words                              the bot posts these words, in the thread if the room has threads; they may also
//!                                      replace the status card of a job
//! <room words                          the bot posts these words in the room or in a thread
//! < puts 👀                            the bot reacts to the last post
//! < edits words                        the bot edits one of its messages to have these words
//! = 3                                  the bot has done three things since the last post: messages, edits, reactions
//! ! words                              the bot never posts these words, to the end of the story
//! ```
//!
//! In what people post, `{bob}` is a mention of bob and `{marvin}` one of the bot, as the usual client of the network
//! writes it. `{bob:}` is the form of another client, or the form with a colon.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use super::room::HostChange;
use crate::test_host::repository;

#[derive(Debug)]
pub(super) struct Script {
    /// The features that the story needs.
    pub(super) needs: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// One line of a story.
#[derive(Debug)]
pub(super) enum Line {
    Says {
        person: String,
        words: String,
    },
    SaysDirectly {
        person: String,
        words: String,
    },
    SaysInThread {
        person: String,
        words: String,
    },
    Edits {
        person: String,
        words: String,
    },
    Reacts {
        person: String,
        emoji: String,
    },
    Unreacts {
        person: String,
        emoji: String,
    },
    Host(HostChange),
    /// The room silences the bot (`true`) or admits it again.
    Silence(bool),
    Log(String),
    Message {
        words: String,
        in_thread: bool,
    },
    Edit(String),
    Reaction(String),
    Count(usize),
    Never(String),
}

impl Script {
    /// Reads the story with this name.
    pub(super) fn read(name: &str) -> Result<Self> {
        let path = repository().join("tests/rooms").join(format!("{name}.txt"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut script = Self { needs: Vec::new(), lines: Vec::new() };
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            match line.strip_prefix("needs: ") {
                Some(needs) => script.needs.extend(needs.split(", ").map(str::to_owned)),
                None => script.lines.push(read(line).with_context(|| format!("{name}: `{line}`"))?),
            }
        }
        ensure!(script.lines.iter().any(|line| matches!(line, Line::Message { .. })), "{name} has no expectation");
        Ok(script)
    }
}

fn read(line: &str) -> Result<Line> {
    let owned = str::to_owned;
    if let Some(words) = line.strip_prefix("! ") {
        return Ok(Line::Never(owned(words)));
    }
    if let Some(count) = line.strip_prefix("= ") {
        return Ok(Line::Count(count.parse().context("the number of the bot's actions")?));
    }
    if let Some(emoji) = line.strip_prefix("< puts ") {
        return Ok(Line::Reaction(owned(emoji)));
    }
    if let Some(words) = line.strip_prefix("< edits ") {
        return Ok(Line::Edit(owned(words)));
    }
    if let Some(words) = line.strip_prefix("< ") {
        return Ok(Line::Message { words: owned(words), in_thread: true });
    }
    if let Some(words) = line.strip_prefix("<room ") {
        return Ok(Line::Message { words: owned(words), in_thread: false });
    }
    if let Some(words) = line.strip_prefix("log has ") {
        return Ok(Line::Log(owned(words)));
    }
    match line {
        "room silences the bot" => return Ok(Line::Silence(true)),
        "room admits the bot" => return Ok(Line::Silence(false)),
        "host starts" => return Ok(Line::Host(HostChange::Start)),
        "host is killed" => return Ok(Line::Host(HostChange::Kill)),
        _ => {}
    }
    if let Some((person, emoji)) = line.split_once(" puts ") {
        return Ok(Line::Reacts { person: owned(person), emoji: owned(emoji) });
    }
    if let Some((person, emoji)) = line.split_once(" takes back ") {
        return Ok(Line::Unreacts { person: owned(person), emoji: owned(emoji) });
    }
    let Some((who, words)) = line.split_once("> ") else { bail!("the line is not a step of a story") };
    let (person, words) = (who.split(' ').next().map(owned).unwrap_or_default(), owned(words));
    match who.split_once(' ').map(|(_, how)| how) {
        None => Ok(Line::Says { person, words }),
        Some("directly") => Ok(Line::SaysDirectly { person, words }),
        Some("in thread") => Ok(Line::SaysInThread { person, words }),
        Some("edits") => Ok(Line::Edits { person, words }),
        Some(how) => bail!("there is no way to post `{how}`"),
    }
}
