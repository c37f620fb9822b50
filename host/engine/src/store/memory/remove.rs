//! Removes expired rows from the in-memory store. The links of the chain stay.
//!
//! A job with unsent messages is kept. The message that started a kept job and the messages of such a job are kept too:
//! otherwise the message would be handled again, and a card would be sent twice.

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
        messages::{InboxKey, InboxRow},
        traits::DEDUPLICATION_RETENTION,
    },
};

/// The maximum number of jobs that one call removes.
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
        let talking: HashSet<&str> =
            self.unsent.iter().filter_map(|at| self.outbox.get(at)).filter_map(Slot::job).collect();
        let over = |job: &&Job| job.row.end.as_ref().is_some_and(|end| end.at < before);
        let over = self.jobs.all().filter(over).map(|job| &job.row.id).filter(|id| !talking.contains(id.as_str()));
        let mut ids: Vec<String> = over.take(BATCH + 1).cloned().collect();
        removed.more = ids.len() > BATCH;
        ids.truncate(BATCH);
        for id in ids {
            if let Some(job) = self.jobs.remove(&id) {
                removed.jobs.push((id, runs(&job.entries)));
            }
        }
        // Remove the outbox rows too: rows of a later job with the same id would otherwise be ignored as duplicates.
        let gone: HashSet<&str> = removed.jobs.iter().map(|(id, _)| id.as_str()).collect();
        removed.rows += self.remove_words(|slot| slot.job().is_some_and(|job| gone.contains(job)));
    }

    fn remove_rows(&mut self, before: Timestamp, removed: &mut Removed) {
        let causes: HashSet<&InboxKey> = self.jobs.all().map(|job| &job.row.inbox).collect();
        let over =
            |at: &u64, row: &InboxRow| row.at < before && !self.unhandled.contains(at) && !causes.contains(&row.key);
        let over: Vec<u64> = self.inbox.iter().filter(|(at, row)| over(at, row)).map(|(at, _)| *at).collect();
        for at in over {
            if let Some(row) = self.inbox.remove(&at) {
                self.inbox_keys.remove(&row.key);
                removed.rows += 1;
            }
        }
        if let Ok(before) = before.checked_sub(DEDUPLICATION_RETENTION) {
            let deduplication_keys = self.deduplication_keys.len();
            self.deduplication_keys.retain(|_, at| *at >= before);
            removed.rows += (deduplication_keys - self.deduplication_keys.len()) as u64;
        }
        let kept: HashSet<String> = self.jobs.all().map(|job| job.row.id.clone()).collect();
        removed.rows += self.remove_words(|slot| slot.at < before && slot.job().is_none_or(|job| !kept.contains(job)));
        let links = &self.links;
        let over = |number: &u64| {
            let link = usize::try_from(*number - 1).ok().and_then(|at| links.get(at));
            link.is_some_and(|link| link.at < before)
        };
        self.lines.retain(|number, lines| {
            let over = over(number);
            removed.rows += if over { lines.len() as u64 } else { 0 };
            !over
        });
    }

    /// Removes outbox rows that were sent or given up. Returns their number.
    fn remove_words(&mut self, which: impl Fn(&Slot) -> bool) -> u64 {
        let before = self.outbox.len();
        self.outbox.retain(|at, slot| self.unsent.contains(at) || !which(slot));
        self.outbox_keys.retain(|_, at| self.outbox.contains_key(at));
        (before - self.outbox.len()) as u64
    }
}

impl Slot {
    /// The job of an outbox row, from the first part of its key.
    fn job(&self) -> Option<&str> {
        self.pending.row.key.split_once('/').map(|(job, _)| job)
    }
}

/// The keys and pipelines of the runs that a job may have started.
fn runs(entries: &[HashedEntry]) -> Vec<(RunKey, String)> {
    let intents = entries.iter().map(|sealed| &sealed.entry).filter(|entry| entry.kind == EntryKind::Intent);
    let triggers = intents.filter(|intent| intent.call == "pipelines.trigger");
    let run = |intent: &Entry| {
        let pipeline = intent.attributes.get("pipeline")?.first()?;
        Some((RunKey::new(&intent.job, intent.number), pipeline.clone()))
    };
    triggers.filter_map(run).collect()
}
