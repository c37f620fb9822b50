//! Journals as they are kept: the entries of jobs, the lines of queries and refusals, and the chain through all of them.
//!
//! Plain data. How entries are linked is in [`crate::journal`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::messages::InboxKey;
use crate::model::{Person, RunKey};

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
pub struct HashedEntry {
    /// The entry.
    pub entry: Entry,
    /// [`crate::store::entry_hash`] of the hash before it and the entry.
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
    /// For a job's opening and closing the hash of its first and last entry, for lines [`crate::store::lines_digest`].
    pub digest: String,
    /// When.
    pub at: Timestamp,
    /// [`crate::store::link_hash`] of the hash before it and all of the above.
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
pub struct AuditRecord {
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
