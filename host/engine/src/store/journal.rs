//! The rows of the audit log: journal entries of jobs, audit records of queries and refused commands, and the links of
//! the hash chain over all of them.
//!
//! Not here: the functions that read and verify these rows ([`crate::journal`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::messages::InboxKey;
use crate::model::{Person, RunKey};

/// The kind of a journal entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The command that started the job. The first entry of every job has this kind.
    Invocation,
    /// A host call that changes nothing outside of the plugin, together with the result of the call.
    Call,
    /// A host call that changes something outside of the plugin. The host writes this entry before it makes the change.
    Intent,
    /// A host call that waits. The host writes this entry before the wait, and then ends the running instance of the
    /// plugin.
    Wait,
    /// The result of an earlier [`EntryKind::Intent`] or [`EntryKind::Wait`].
    Result,
    /// A host call that the rules denied.
    Denied,
    /// An event that the plugin did not cause. Examples: a person cancelled the job; a person gave an approval; a
    /// pipeline run ended, and the plugin did not wait for it.
    Event,
    /// The end of the plugin's command, with the reply or error that the plugin returned.
    End,
    /// The last entry of a job: the outcome and the closing message.
    Closed,
}

/// An entry of a job's append-only journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The id of the job, for example `7f3ak`.
    pub job: String,
    /// The number of the entry in the job's journal; the first entry has number 0.
    pub number: u32,
    /// The kind of the entry, which determines the fields of `body`.
    pub kind: EntryKind,
    /// The name of the plugin in `[plugin.NAME]`.
    pub plugin: String,
    /// The name of the host call, for example `pipelines.trigger`; empty for an entry that does not record a host call.
    pub call: String,
    /// For an entry of kind [`EntryKind::Result`], the number of the [`EntryKind::Intent`] or [`EntryKind::Wait`] entry
    /// to which the result belongs. `None` for an entry of any other kind.
    pub of: Option<u32>,
    /// The rule that allowed or denied the host call, with the rule's line in the configuration: `plugin.deploy line
    /// 61, role deployer`.
    pub rule: String,
    /// The attributes of the host call and their values, by the name of the attribute, for example `environment`.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The arguments of the host call, its result, or both. If the body is stored as a blob, this field contains only
    /// the body's size in bytes.
    pub body: serde_json::Value,
    /// The digest of the blob that contains the body; `None` for a small body. See [`Entry::pack`].
    #[serde(rename = "beside")]
    pub blob: Option<String>,
    /// The time at which the host created the entry.
    pub at: Timestamp,
}

/// A journal entry with its hash in the job's hash chain.
#[derive(Debug, Clone, PartialEq)]
pub struct HashedEntry {
    /// The entry as it is stored. If its body is in a blob, the entry does not contain the body.
    pub entry: Entry,
    /// The hash of this entry and of the previous entry's hash; see [`Entry::hash`].
    pub hash: String,
}

/// A link of the hash chain over everything in the store that gives or takes authority or records what was done: jobs,
/// approvals, messages, grants, freezes, accounts at identity providers, releases and audit records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The number of the link, starting at 1 without gaps.
    pub number: u64,
    /// The event that the link records.
    pub kind: LinkKind,
    /// The row that the link is about:
    ///
    /// - A job was created or closed, or an event was added to its journal: the id of the job.
    /// - A message was received: its [`InboxKey::subject`].
    /// - A role was granted or revoked: the id of the grant.
    /// - An environment was frozen or unfrozen: the name of the environment.
    /// - An account at an identity provider was stored: its [`IdentityLink::key`](super::IdentityLink::key).
    /// - A release was stored: the key of its pipeline run.
    /// - Rows were removed: the time before which rows were removed.
    /// - Audit records were stored: empty.
    pub subject: String,
    /// The hash or digest of the recorded data:
    ///
    /// - A job was created: [`JobRow::opening_digest`](super::JobRow::opening_digest).
    /// - A job was closed: [`JobEnd::closing_digest`](super::JobEnd::closing_digest).
    /// - An event was added to a journal: the hash of its entry.
    /// - A message, grant, freeze, account or release was stored: the [`Link::row_digest`] of the row.
    /// - Audit records were stored: the [`AuditRecord::group_digest`] of the records.
    /// - A grant or a freeze ended, or rows were removed: empty.
    pub digest: String,
    /// The time of the recorded event.
    pub at: Timestamp,
    /// The hash of this link's other fields and of the previous link's hash; see [`Link::hash_after`].
    pub hash: String,
}

/// The event that a link of the hash chain records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// A job was created.
    Open,
    /// A job was closed.
    Close,
    /// The audit records of one or more queries were stored in one transaction.
    Lines,
    /// A command was refused, and its audit record was stored.
    Refusal,
    /// The host removed expired rows.
    Removal,
    /// A message was stored in the inbox.
    Message,
    /// An entry of kind [`EntryKind::Event`], such as an approval, was added to the journal of a job.
    Event,
    /// A person granted a role in chat.
    Grant,
    /// A grant was revoked.
    Revoke,
    /// A person froze an environment.
    Freeze,
    /// A person ended the freeze of an environment.
    Unfreeze,
    /// A person linked or unlinked an account at an identity provider.
    Identity,
    /// A release was stored.
    Release,
}

/// The audit record of a query or of a refused command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The inbox key of the message with the command.
    pub inbox: InboxKey,
    /// The person who sent the message.
    pub caller: Person,
    /// The name of the plugin; `None` for an unknown command and for a command of the host itself.
    pub plugin: Option<String>,
    /// The command as the person typed it, truncated if it is long.
    pub command: String,
    /// The time at which the host answered or refused the command.
    pub at: Timestamp,
    /// For each kind of host call that the plugin made, how many calls the rules allowed and how many they denied.
    pub calls: Vec<CallCount>,
    /// The denied host calls, each as one line. For a refused command, also the reason for the refusal.
    pub denials: Vec<String>,
    /// Whether the host refused the command.
    pub refused: bool,
}

/// How often a plugin made one kind of host call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// The name of the host call, for example `pipelines.trigger`.
    pub call: String,
    /// The number of calls that the rules allowed.
    pub allowed: u64,
    /// The number of calls that the rules denied.
    pub refused: u64,
}

/// The data that one call of [`crate::store::Store::remove`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The ids of the removed jobs, each with the pipeline runs that the job may have started: the idempotency key of
    /// each pipeline run and the name of its pipeline.
    pub jobs: Vec<(String, Vec<(RunKey, String)>)>,
    /// The number of removed inbox rows, outbox rows, deduplication keys and audit records.
    pub rows: u64,
    /// Whether expired data may remain and the caller must call `remove` again. One call removes only a limited number
    /// of jobs and rows.
    pub more: bool,
}
