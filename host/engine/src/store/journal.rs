//! The rows of journals: entries of jobs, audit records of queries and refusals, and the chain over all of them.
//!
//! Plain data. [`crate::journal`] reads and verifies it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::messages::InboxKey;
use crate::model::{Person, RunKey};

/// The kinds of journal entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The command. Entry 0 of every job.
    Invocation,
    /// A call that changes nothing outside, with its answer.
    Call,
    /// An acting call, written before its effect.
    Intent,
    /// A waiting call, written before the wait. The guest ends here.
    Wait,
    /// The result of an intent or a wait.
    Result,
    /// A denied call.
    Denied,
    /// An event from outside of the guest: the job was cancelled or held, an approval was given, or a run ended that no
    /// plugin waited for.
    Event,
    /// The end of the guest.
    End,
    /// The last entry: the outcome and the closing message.
    Closed,
}

/// An entry of a job's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The job's id.
    pub job: String,
    /// The number within the job, from 0.
    pub number: u32,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The plugin's name.
    pub plugin: String,
    /// The call's name in the call table; empty for entries that are no calls.
    pub call: String,
    /// For a result, the number of its intent or wait.
    pub of: Option<u32>,
    /// The rule that allowed or denied the call, as text with file and line.
    pub rule: String,
    /// The attributes that rules match.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The arguments, the answer or both. A large body is stored as a blob; see [`crate::journal`].
    pub body: serde_json::Value,
    /// The digest of the blob, if the body is one.
    #[serde(rename = "beside")]
    pub blob: Option<String>,
    /// The time of the entry.
    pub at: Timestamp,
}

/// An entry with its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct HashedEntry {
    /// The entry, with its blob not read.
    pub entry: Entry,
    /// [`crate::store::entry_hash`] of the previous entry's hash and this entry.
    pub hash: String,
}

/// A link of the chain over the whole store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The number, from 1 without gaps.
    pub number: u64,
    /// The kind of the link.
    pub kind: LinkKind,
    /// The job's id; for a removal, the time before which rows were removed; otherwise empty.
    pub subject: String,
    /// For a job's opening and closing, the hash of its first and last entry; for audit records,
    /// [`crate::store::lines_digest`].
    pub digest: String,
    /// The time of the link.
    pub at: Timestamp,
    /// [`crate::store::link_hash`] of the previous link's hash and the fields above.
    pub hash: String,
}

/// The kinds of links.
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
    /// Expired rows were removed.
    Removal,
}

/// The record that a query or a refused command leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The key of the message.
    pub inbox: InboxKey,
    /// The person who sent it.
    pub caller: Person,
    /// The plugin; `None` for the host's own commands and for unknown commands.
    pub plugin: Option<String>,
    /// The command as it was typed, truncated.
    pub command: String,
    /// The time of the answer.
    pub at: Timestamp,
    /// The calls of the guest, with counts.
    pub calls: Vec<CallCount>,
    /// The denied calls, and the reason if the command was refused.
    pub denials: Vec<String>,
    /// Whether the command itself was refused.
    pub refused: bool,
}

/// The number of times that a call was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// The call's name in the call table.
    pub call: String,
    /// The number of allowed calls.
    pub allowed: u64,
    /// The number of denied calls.
    pub refused: u64,
}

/// The number of times that a plugin made a call, over all jobs and queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The plugin's name.
    pub plugin: String,
    /// The call and its counts.
    pub count: CallCount,
}

/// The rows that [`crate::store::Store::remove`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The jobs, each with the keys and pipelines of the runs that it may have started.
    pub jobs: Vec<(String, Vec<(RunKey, String)>)>,
    /// The number of removed inbox rows, outbox rows and audit records.
    pub rows: u64,
    /// Whether more rows are expired: one call removes one batch.
    pub more: bool,
}
