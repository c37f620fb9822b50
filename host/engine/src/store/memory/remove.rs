//! Removes expired rows from the in-memory store. Links of the hash chain are never removed.
//!
//! A job with unsent messages is kept. The inbox row that started a kept job is kept too; otherwise the host would
//! handle the message again. The outbox rows of a kept job are kept; otherwise the host would send the job's status
//! card twice.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{
    jobs::Job,
    state::{Slot, State},
};
use crate::{
    model::RunKey,
    store::{
        journal::{Entry, EntryKind, HashedEntry, LinkKind, Removed},
        messages::InboxKey,
        traits::Write,
    },
};

/// The maximum number of jobs that one call of [`State::remove`] removes. The caller then calls it again for more jobs.
const BATCH: usize = 500;

impl State {
    pub(crate) fn remove(&mut self, before: Timestamp, loaded: &[String]) -> Removed {
        let mut removed = Removed::default();
        self.remove_jobs(before, &mut removed);
        self.remove_rows(before, &mut removed);
        if !removed.jobs.is_empty() || removed.rows > 0 {
            self.link(LinkKind::Removal, before.to_string(), String::new(), Timestamp::now());
        }
        let mut needed: HashSet<&str> = loaded.iter().map(String::as_str).collect();
        for Job { row, entries } in self.jobs.all() {
            needed.insert(&row.digest);
            needed.extend(entries.iter().filter_map(|sealed| sealed.entry.blob.as_deref()));
        }
        self.blob.retain(|digest, _| needed.contains(digest.as_str()));
        removed
    }

    fn remove_jobs(&mut self, before: Timestamp, removed: &mut Removed) {
        let with_unsent: HashSet<&str> =
            self.unsent.iter().filter_map(|at| self.outbox.get(at)).filter_map(Slot::job).collect();
        let expired = |job: &&Job| job.row.end.as_ref().is_some_and(|end| end.at < before);
        let expired = self.jobs.all().filter(expired).map(|job| &job.row.id);
        let mut ids: Vec<String> =
            expired.filter(|id| !with_unsent.contains(id.as_str())).take(BATCH + 1).cloned().collect();
        removed.more = ids.len() > BATCH;
        ids.truncate(BATCH);
        for id in ids {
            if let Some(job) = self.jobs.remove(&id) {
                removed.jobs.push((id, runs(&job.entries)));
            }
        }
        // Remove the outbox rows of the jobs too. If a later job had the same id, the store would otherwise treat the
        // outbox rows of the later job as duplicates and ignore them.
        let ids: HashSet<&str> = removed.jobs.iter().map(|(id, _)| id.as_str()).collect();
        removed.rows += self.remove_outbox_rows(|slot| slot.job().is_some_and(|job| ids.contains(job)));
    }

    fn remove_rows(&mut self, before: Timestamp, removed: &mut Removed) {
        let causes: HashSet<&InboxKey> = self.jobs.all().map(|job| &job.row.inbox).collect();
        let inbox = self.inbox.len();
        self.inbox.retain(|at, row| row.at >= before || self.unhandled.contains(at) || causes.contains(&row.key));
        self.inbox_keys.retain(|_, at| self.inbox.contains_key(at));
        removed.rows += (inbox - self.inbox.len()) as u64;
        if let Ok(before) = before.checked_sub(Write::DEDUPLICATION_RETENTION) {
            let deduplication_keys = self.deduplication_keys.len();
            self.deduplication_keys.retain(|_, at| *at >= before);
            removed.rows += (deduplication_keys - self.deduplication_keys.len()) as u64;
        }
        let kept: HashSet<String> = self.jobs.all().map(|job| job.row.id.clone()).collect();
        removed.rows +=
            self.remove_outbox_rows(|slot| slot.at < before && slot.job().is_none_or(|job| !kept.contains(job)));
        self.lines.retain(|number, lines| {
            let link = usize::try_from(*number - 1).ok().and_then(|at| self.links.get(at));
            let expired = link.is_some_and(|link| link.at < before);
            removed.rows += if expired { lines.len() as u64 } else { 0 };
            !expired
        });
    }

    /// Removes the outbox rows for which `which` returns `true`. Returns the number of removed rows.
    fn remove_outbox_rows(&mut self, which: impl Fn(&Slot) -> bool) -> u64 {
        let before = self.outbox.len();
        self.outbox.retain(|_, slot| !which(slot));
        self.unsent.retain(|at| self.outbox.contains_key(at));
        self.outbox_keys.retain(|_, at| self.outbox.contains_key(at));
        (before - self.outbox.len()) as u64
    }
}

impl Slot {
    /// Returns the id of the job to which an outbox row belongs: the first part of the row's key, `7f3ak` of
    /// `7f3ak/card`. Returns `None` if the key has no slash.
    fn job(&self) -> Option<&str> {
        self.pending.row.key.split_once('/').map(|(job, _)| job)
    }
}

/// Returns the pipeline runs that a job may have started, from the job's journal: the key of each pipeline run and the
/// name of its pipeline.
fn runs(entries: &[HashedEntry]) -> Vec<(RunKey, String)> {
    let intents = entries.iter().map(|sealed| &sealed.entry).filter(|entry| entry.kind == EntryKind::Intent);
    let triggers = intents.filter(|intent| intent.call == "pipelines.trigger");
    let run = |intent: &Entry| {
        let pipeline = intent.attributes.get("pipeline")?.first()?;
        Some((RunKey::new(&intent.job, intent.number), pipeline.clone()))
    };
    triggers.filter_map(run).collect()
}
