//! The tables of the in-memory store, and the functions that apply changes to the tables.
//!
//! Invariant: a change that `check.rs` accepted cannot fail.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::{check::check, jobs::Jobs};
use crate::{
    model::RunKey,
    store::{
        journal::{AuditRecord, EntryKind, Link, LinkKind},
        messages::{InboxKey, InboxRow, OutboxKind, OutboxRow, PendingRow, RoomCursor},
        releases::Release,
        rights::{Freeze, Grant, IdentityLink},
        traits::{StoreError, Write},
    },
};

/// The tables of the in-memory store. The key of a row is its insertion number, which increases with each inserted row.
/// The index sets contain these insertion numbers.
#[derive(Debug, Default)]
pub(crate) struct State {
    inserted: u64,
    pub(crate) inbox: BTreeMap<u64, InboxRow>,
    pub(crate) inbox_keys: HashMap<InboxKey, u64>,
    pub(crate) unhandled: BTreeSet<u64>,
    /// The deduplication keys of received messages, each with the time at which the host received the message.
    pub(crate) deduplication_keys: HashMap<String, Timestamp>,
    pub(crate) cursors: HashMap<(String, String, String), RoomCursor>,
    pub(crate) outbox: BTreeMap<u64, Slot>,
    pub(crate) outbox_keys: HashMap<String, u64>,
    pub(crate) unsent: BTreeSet<u64>,
    pub(crate) jobs: Jobs,
    pub(crate) blob: HashMap<String, Vec<u8>>,
    pub(crate) links: Vec<Link>,
    /// The ids of all jobs that were ever created, including removed jobs.
    pub(crate) opened: HashSet<String>,
    pub(crate) lines: BTreeMap<u64, Vec<AuditRecord>>,
    /// The audit records of queries that have no link in the hash chain yet. [`State::seal`] adds one link for all of
    /// them.
    gathered: Vec<AuditRecord>,
    pub(crate) releases: Vec<Release>,
    runs: HashSet<RunKey>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) freezes: BTreeMap<String, Freeze>,
    pub(crate) identity_links: BTreeMap<(String, String, String, String), IdentityLink>,
    pub(crate) values: HashMap<String, BTreeMap<String, Vec<u8>>>,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) pending: PendingRow,
    sent: u64,
    given_up: bool,
    /// The time at which the outbox row was first queued.
    pub(crate) at: Timestamp,
}

impl State {
    pub(crate) fn commit(&mut self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        check(self, &writes)?;
        let mut new = Vec::new();
        for write in writes {
            self.apply(write, &mut new);
        }
        Ok(new)
    }

    /// Adds one link to the hash chain for all audit records that have no link yet. Does nothing if every audit record
    /// has a link.
    pub(crate) fn seal(&mut self) {
        let lines = std::mem::take(&mut self.gathered);
        self.link_lines(LinkKind::Lines, lines);
    }

    /// Appends a link to the hash chain. Returns the number of the link.
    pub(crate) fn link(&mut self, kind: LinkKind, subject: String, digest: String, at: Timestamp) -> u64 {
        let before = self.links.last();
        let number = before.map_or(0, |link| link.number) + 1;
        let mut link = Link { number, kind, subject, digest, at, hash: String::new() };
        link.hash = link.hash_after(before.map_or("", |link| &link.hash));
        if kind == LinkKind::Open {
            self.opened.insert(link.subject.clone());
        }
        self.links.push(link);
        number
    }

    fn link_lines(&mut self, kind: LinkKind, lines: Vec<AuditRecord>) {
        let Some(at) = lines.iter().map(|line| line.at).max() else { return };
        let number = self.link(kind, String::new(), AuditRecord::group_digest(&lines), at);
        self.lines.insert(number, lines);
    }

    fn receive(&mut self, row: InboxRow, new: &mut Vec<InboxKey>) {
        if !self.inbox_keys.contains_key(&row.key) {
            self.inserted += 1;
            new.push(row.key.clone());
            self.link(LinkKind::Message, row.key.subject(), Link::row_digest(&row), row.at);
            self.inbox_keys.insert(row.key.clone(), self.inserted);
            self.unhandled.insert(self.inserted);
            self.inbox.insert(self.inserted, row);
        }
    }

    fn apply(&mut self, write: Write, new: &mut Vec<InboxKey>) {
        match write {
            Write::Receive(row) => self.receive(row, new),
            Write::ReceiveOnce { key, received, window, row, announcements } => {
                let expired = |at: &Timestamp| {
                    window.is_some_and(|window| received.checked_sub(window).is_ok_and(|limit| *at <= limit))
                };
                if self.deduplication_keys.get(&key).is_none_or(expired) {
                    self.deduplication_keys.insert(key, received);
                    self.receive(row, new);
                    announcements.into_iter().for_each(|row| self.queue(row));
                }
            }
            Write::Handled(key) => {
                if let Some(at) = self.inbox_keys.get(&key) {
                    self.unhandled.remove(at);
                }
            }
            Write::SetCursor(cursor) => {
                let key = (cursor.bot.clone(), cursor.network.clone(), cursor.room.clone());
                if self.cursors.get(&key).is_none_or(|old| old.at <= cursor.at) {
                    self.cursors.insert(key, cursor);
                }
            }
            Write::Send(row) => self.queue(row),
            Write::Sent { key, version, event } => self.sent(&key, version, event),
            Write::Open(row) => self.jobs.add(row),
            Write::JobStatus { job, status } => self.jobs.set_status(&job, status),
            Write::Lock { lock, job } => self.jobs.lock(lock, job),
            Write::Unlock { lock, job } => self.jobs.unlock(&lock, &job),
            Write::Append(entry) => {
                let (number, kind, job, at) = (entry.number, entry.kind, entry.job.clone(), entry.at);
                let hash = self.jobs.append(entry);
                if number == 0 {
                    let digest = self.jobs.get(&job).map(|job| job.row.opening_digest(&hash)).unwrap_or_default();
                    self.link(LinkKind::Open, job, digest, at);
                } else if kind == EntryKind::Event {
                    self.link(LinkKind::Event, job, hash, at);
                }
            }
            Write::Close { job, end } => {
                let last = self.jobs.close(&job, end.clone());
                self.link(LinkKind::Close, job, end.closing_digest(&last), end.at);
            }
            Write::StoreBlob { digest, bytes } => drop(self.blob.entry(digest).or_insert(bytes)),
            Write::AuditRecord(line) if line.refused => self.link_lines(LinkKind::Refusal, vec![line]),
            Write::AuditRecord(line) => self.gathered.push(line),
            Write::Release(release) => {
                if self.runs.insert(release.run.clone()) {
                    let run = release.run.as_str().to_owned();
                    self.link(LinkKind::Release, run, Link::row_digest(&release), release.ended);
                    self.releases.push(release);
                }
            }
            Write::Grant(grant) => {
                if self.grants.iter().all(|known| known.id != grant.id) {
                    self.link(LinkKind::Grant, grant.id.clone(), Link::row_digest(&grant), grant.at);
                    self.grants.push(grant);
                }
            }
            Write::Revoke(id) => {
                if let Some(at) = self.grants.iter().position(|grant| grant.id == id) {
                    self.grants.remove(at);
                    self.link(LinkKind::Revoke, id, String::new(), Timestamp::now());
                }
            }
            Write::Freeze(freeze) => {
                let environment = freeze.environment.clone();
                self.link(LinkKind::Freeze, environment.clone(), Link::row_digest(&freeze), freeze.at);
                self.freezes.insert(environment, freeze);
            }
            Write::Unfreeze(environment) => {
                if self.freezes.remove(&environment).is_some() {
                    self.link(LinkKind::Unfreeze, environment, String::new(), Timestamp::now());
                }
            }
            Write::LinkIdentity(row) => {
                self.link(LinkKind::Identity, row.key(), Link::row_digest(&row), row.at);
                let IdentityLink { person, provider, issuer, subject, .. } = &row;
                let key = (person.id.clone(), provider.clone(), issuer.clone(), subject.clone());
                self.identity_links.insert(key, row);
            }
            Write::SetValue { plugin, key, value } => {
                self.values.entry(plugin).or_default().insert(key, value);
            }
            Write::DeleteValue { plugin, key } => {
                if let Some(values) = self.values.get_mut(&plugin) {
                    values.remove(&key);
                }
            }
        }
    }

    fn queue(&mut self, row: OutboxRow) {
        let Some(at) = self.outbox_keys.get(&row.key).copied() else {
            self.inserted += 1;
            self.outbox_keys.insert(row.key.clone(), self.inserted);
            self.unsent.insert(self.inserted);
            let pending = PendingRow { row, event: None, version: 1 };
            self.outbox.insert(self.inserted, Slot { pending, sent: 0, given_up: false, at: Timestamp::now() });
            return;
        };
        let Some(Slot { pending, given_up, .. }) = self.outbox.get_mut(&at) else { return };
        if pending.row.purpose.is_card() && row.purpose.is_card() {
            // Keep the destination of the status card, because a sent message cannot move to another room or thread.
            pending.row.purpose = row.purpose;
            pending.row.text = row.text;
            pending.version += 1;
            // The network can refuse a card and accept the closing message in its place.
            *given_up &= pending.row.purpose != OutboxKind::Closing;
            if !*given_up {
                self.unsent.insert(at);
            }
        }
    }

    fn sent(&mut self, key: &str, version: u64, event: Option<String>) {
        let Some(at) = self.outbox_keys.get(key) else { return };
        let Some(slot) = self.outbox.get_mut(at) else { return };
        slot.sent = slot.sent.max(version.min(slot.pending.version));
        slot.given_up |= event.is_none() && version >= slot.pending.version;
        slot.pending.event = slot.pending.event.take().or(event);
        if slot.given_up || slot.sent == slot.pending.version {
            self.unsent.remove(at);
        }
    }
}
