//! What the store keeps: messages, words to send, jobs, their journals, releases.
//!
//! Plain data. Not here: how it changes ([`super::Write`]) and how it is read ([`super::Store`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    message::Person,
    port::{Outcome, RunKey},
    reply::Text,
};

/// Names a message for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InboxKey {
    /// The network's name.
    pub network: String,
    /// The room's id on it.
    pub room: String,
    /// The event's id in it.
    pub event: String,
}

/// A message that was addressed to the bot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxRow {
    /// Its name.
    pub key: InboxKey,
    /// The root of the thread that it stands in, if any.
    pub thread: Option<String>,
    /// Who wrote it.
    pub sender: Person,
    /// What was written, without the address.
    pub text: String,
    /// When it was sent, by the network's clock.
    pub at: Timestamp,
}

/// How far a room was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The network's name.
    pub network: String,
    /// The room's id on it.
    pub room: String,
    /// The newest event up to which everything is in the inbox; `None` until there was one.
    pub event: Option<String>,
    /// Nothing older than this moment is ever handled: when the bot entered, and later that event's time.
    pub at: Timestamp,
}

/// What a row of the outbox is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A message, sent once.
    Message,
    /// A status card: one message, edited while its text changes. Only the newest text is kept.
    Card {
        /// Whether the job is at rest, which is when a network without edits shows the card.
        rest: bool,
    },
    /// An emoji on the event named.
    Reaction {
        /// The event it is put on.
        event: String,
        /// The emoji.
        emoji: String,
    },
}

/// Something to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Job and purpose, for example `7f3a/card`. A second row under a key replaces the first if it is a
    /// card, and is ignored if it is not.
    pub key: String,
    /// The network's name.
    pub network: String,
    /// The room's id.
    pub room: String,
    /// The thread it belongs to.
    pub thread: Option<String>,
    /// What it is.
    pub purpose: Purpose,
    /// The words; empty for a reaction.
    pub text: Text,
}

/// A row of the outbox with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The row.
    pub row: OutboxRow,
    /// The network's id of the message, where an earlier text of this card was sent.
    pub event: Option<String>,
    /// Counts the texts of this row, from 1.
    pub version: u64,
}

/// An action that somebody typed, or that one left for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// Short, lower case, unique for ever, also when the job was removed: runs and releases are named by it.
    pub id: String,
    /// The message that caused it.
    pub inbox: InboxKey,
    /// The thread that its words go to.
    pub thread: Option<String>,
    /// The identity through which it was asked.
    pub bot: String,
    /// Who typed it.
    pub caller: Person,
    /// The plugin.
    pub plugin: String,
    /// The digest of the plugin's bytes.
    pub digest: String,
    /// The command's own name.
    pub command: String,
    /// The app that was typed, if the command takes one.
    pub app: Option<String>,
    /// The environment that was typed, if the command takes one.
    pub environment: Option<String>,
    /// The whole command as it is understood, one line.
    pub line: String,
    /// The job that left this one for later; `None` for one that was typed.
    pub parent: Option<String>,
    /// When it was opened.
    pub opened: Timestamp,
    /// Where it stands, or stood when it ended.
    pub stand: Stand,
    /// How it ended; `None` while it is open.
    pub end: Option<JobEnd>,
}

/// Where an open job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// What has to happen for it to go on.
    pub phase: Phase,
    /// The same in words, for people: `cms/staging is running`.
    pub about: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is looked at again by itself, if ever.
    pub wake: Option<Timestamp>,
}

/// What has to happen for an open job to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing: its plugin runs, or its end is being told.
    Working,
    /// A run has to end.
    Run,
    /// A time has to come.
    Time,
    /// Another job has to let go of a place.
    Line,
    /// It was left for later, and its time has to come; nothing of it has run yet.
    Later,
    /// Somebody has to say whether an effect happened.
    Asked,
    /// Somebody has to look at it: it cannot go on by itself.
    Held,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Working, Self::Run, Self::Time, Self::Line, Self::Later, Self::Asked, Self::Held];

    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Run => "waits for a run",
            Self::Time => "waits for a time",
            Self::Line => "stands in line",
            Self::Later => "left for later",
            Self::Asked => "asks",
            Self::Held => "held",
        }
    }
}

/// One app in one environment: what a job holds from its first effect there to its closing line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.environment)
    }
}

/// Which jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Only those that are open (true) or over (false).
    pub open: Option<bool>,
    /// Only those that stand here.
    pub phases: Option<Vec<Phase>>,
    /// Only those of this plugin.
    pub plugin: Option<String>,
    /// Only those that this person asked for.
    pub caller: Option<String>,
    /// Only those whose words go to this thread: network, room, root event.
    pub thread: Option<(String, String, String)>,
    /// Only those that this message caused.
    pub inbox: Option<InboxKey>,
    /// How many at most, the newest first; all if nothing is said, which is for phases that are few.
    pub limit: Option<u32>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// How.
    pub outcome: JobOutcome,
    /// When.
    pub at: Timestamp,
    /// The closing line.
    pub summary: String,
}

/// How a job can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobOutcome {
    /// It did what was asked.
    Succeeded,
    /// It did, and something went less well than it should.
    Warnings,
    /// It did not.
    Failed,
    /// It was called off.
    Cancelled,
    /// A rule refused one of its effects, and the plugin gave up.
    Refused,
    /// Nobody knows how far it came.
    Unknown,
}

impl JobOutcome {
    /// The word for it in the room and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Warnings => "succeeded with warnings",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// What an entry of a job's journal records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// What was typed. Entry 0 of every job.
    Invocation,
    /// A call with its answer, where the call changes nothing outside.
    Call,
    /// An acting call, before it is done.
    Intent,
    /// A waiting call, before anything is there. The guest is ended here.
    Wait,
    /// What came of an intent or a wait.
    Result,
    /// A call that was refused.
    Denied,
    /// Something that happened to the job from outside: it was asked to stop, it was held, a run that nobody waited for ended.
    Event,
    /// How the guest ended.
    End,
    /// The last entry: the outcome, and what the room was told.
    Closed,
}

/// One entry of a job's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The job.
    pub job: String,
    /// Its number in the job, from 0.
    pub number: u32,
    /// What it records.
    pub kind: EntryKind,
    /// The plugin.
    pub plugin: String,
    /// The call's name in the table; empty for an invocation and an end.
    pub call: String,
    /// For a result, the number of its intent or wait.
    pub of: Option<u32>,
    /// The rule that decided, as text with file and line.
    pub rule: String,
    /// The attributes that the rules saw.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Arguments, answer or both; what is large stands beside, see [`crate::journal::pack`].
    pub body: serde_json::Value,
    /// The digest of what stands beside.
    pub beside: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// An entry as it stands in the store, with its link to the one before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealed {
    /// The entry.
    pub entry: Entry,
    /// [`crate::journal::entry_hash`] of the hash before it and the entry.
    pub hash: String,
}

/// One link of the chain that runs through the whole store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Counts the links, from 1.
    pub number: u64,
    /// What it records.
    pub kind: LinkKind,
    /// The job; for a removal the moment before which everything was removed; else empty.
    pub subject: String,
    /// For a job's opening and closing the hash of its first and last entry, for lines [`crate::journal::lines_digest`].
    pub digest: String,
    /// When.
    pub at: Timestamp,
    /// [`crate::journal::link_hash`] of the hash before it and all of the above.
    pub hash: String,
}

/// What a link of the chain records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// A job was opened.
    Open,
    /// A job was closed.
    Close,
    /// A group of queries was answered.
    Lines,
    /// A command was refused.
    Refusal,
    /// What was over before a moment was removed.
    Removal,
}

/// The one line that a query or a refused command leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The message.
    pub inbox: InboxKey,
    /// Who.
    pub caller: Person,
    /// The plugin; `None` where it is the host's own command or none at all.
    pub plugin: Option<String>,
    /// What was typed, cut where it is long.
    pub command: String,
    /// When it was answered.
    pub at: Timestamp,
    /// The calls that the guest made, with counts.
    pub calls: Vec<CallCount>,
    /// Each denial, and why the command was refused if it was.
    pub denials: Vec<String>,
    /// Whether the command itself was refused.
    pub refused: bool,
}

/// How often a call was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// Its name in the table.
    pub call: String,
    /// How often it was allowed.
    pub allowed: u64,
    /// How often it was refused.
    pub refused: u64,
}

/// A deployment that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The run, or a key of its own for one that was recorded; a second release under one key is ignored.
    pub run: RunKey,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The version.
    pub version: String,
    /// Who asked.
    pub person: Person,
    /// The job; empty for one that was recorded.
    pub job: String,
    /// When its run was started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Whether somebody said that it ran there, and no job of this host's did it.
    pub recorded: bool,
}

/// Which releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseQuery {
    /// Only of this app.
    pub app: Option<String>,
    /// Only in this environment.
    pub environment: Option<String>,
    /// Only of this version.
    pub version: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only the newest of each app and environment (after the other limits).
    pub latest: bool,
}

/// How often a plugin made a call, over all jobs and queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The plugin.
    pub plugin: String,
    /// The calls.
    pub count: CallCount,
}

/// What was removed because it was over for long enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The jobs, each with the keys and pipelines of the runs that it may have started.
    pub jobs: Vec<(String, Vec<(RunKey, String)>)>,
    /// Rows of the inbox and the outbox, and lines.
    pub rows: u64,
    /// Whether there is more to remove: not everything is removed at once.
    pub more: bool,
}
