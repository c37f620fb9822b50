//! Verifies one job: its journal entries, their blobs, and the job's row.

use serde_json::Value;

use super::entries::{changed, check_entries, missing};
use crate::{
    journal::verify::{Fault, VerifyStop},
    store::{EntryKind, HashedEntry, JobRow, Link, Store, StoreError, digest},
};

/// The maximum number of attempts to read a job whose number of entries differs from the stored number. A difference
/// can be harmless, because a host may append entries at the same time.
const MAX_READS: usize = 5;

/// The data that the store has of one job.
pub(crate) struct StoredJob {
    pub(super) row: Option<JobRow>,
    pub(super) entries: Vec<HashedEntry>,
    head: Option<(u32, String)>,
}

impl StoredJob {
    /// Reads the data of a job. Retries if the number of entries differs from the stored number, because a host may
    /// append entries at the same time.
    pub(crate) async fn read(store: &dyn Store, job: &str) -> Result<Self, VerifyStop> {
        let cannot = |error| VerifyStop::reading(error, Some(job), format!("job {job} cannot be read"));
        let mut reads = 0;
        loop {
            let found = Self {
                row: store.job(job).await.map_err(cannot)?,
                entries: store.entries(job).await.map_err(cannot)?,
                head: store.journal_head(job).await.map_err(cannot)?,
            };
            reads += 1;
            if found.is_consistent() || reads == MAX_READS {
                return Ok(found);
            }
        }
    }

    /// Returns whether the job's row has the right number of entries and the hash of the last entry.
    fn is_consistent(&self) -> bool {
        let last = self.entries.last().map(|sealed| (sealed.entry.number + 1, &sealed.hash));
        last == self.head.as_ref().map(|(count, hash)| (*count, hash))
    }

    /// Returns whether the store has neither a row nor entries of the job.
    pub(crate) fn is_missing(&self) -> bool {
        self.row.is_none() && self.entries.is_empty()
    }

    /// Verifies the job's entries, blobs and row. `opening` is the hash of the job's first entry, as the hash chain
    /// records it. `closing` is the link that closes the job; `None` for an open job.
    pub(crate) async fn check(
        &self,
        store: &dyn Store,
        job: &str,
        opening: &str,
        closing: Option<&Link>,
    ) -> Result<(), VerifyStop> {
        let (Some(row), Some(head)) = (&self.row, &self.head) else { return Err(missing_job(job).into()) };
        check_entries(job, &self.entries, head, None)?;
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else {
            return Err(missing(job, 0).into());
        };
        if first.hash != opening {
            return Err(changed(job, 0).into());
        }
        match (closing, &row.end) {
            (Some(link), _) if link.digest != last.hash => {
                let end = last.entry.number;
                let fault =
                    if last.entry.kind == EntryKind::Closed { changed(job, end) } else { missing(job, end + 1) };
                return Err(fault.into());
            }
            (Some(_), None) => {
                let message = format!("the hash chain records that job {job} was closed, but the job's row is open");
                return Err(Fault::of(job, message).into());
            }
            (None, Some(_)) => {
                let message =
                    format!("the row of job {job} is closed, but the hash chain has no link that closes the job");
                return Err(Fault::of(job, message).into());
            }
            _ => {}
        }
        for sealed in &self.entries {
            let body = match sealed.entry.unpack(store).await {
                Ok(body) => body,
                Err(StoreError::Failed(reason)) => return Err(Fault::of(job, reason).into()),
                Err(error) => return Err(error.into()),
            };
            if let Some(what) = contradiction(row, sealed, &body) {
                return Err(Fault::of(job, format!("{what} of job {job} was changed")).into());
            }
        }
        Ok(())
    }
}

/// Verifies that the stored file of a plugin matches its digest, which is `name`. Succeeds if the store does not have
/// the file.
pub(crate) async fn check_bytes(store: &dyn Store, job: &str, name: &str) -> Result<(), VerifyStop> {
    let cannot = |error| VerifyStop::reading(error, Some(job), format!("the blob {name} cannot be read"));
    if store.blob(name).await.map_err(cannot)?.is_some_and(|bytes| digest(&bytes) != name) {
        return Err(Fault::of(job, format!("the plugin of job {job}, {name}, was changed")).into());
    }
    Ok(())
}

fn missing_job(job: &str) -> Fault {
    Fault::of(job, format!("job {job} is missing"))
}

/// Returns a description of the first field in which the row of a job differs from one of the job's journal entries,
/// for example `the caller`. `body` is the body of the entry. Skips fields that the entry does not have. Returns `None`
/// if no field differs.
fn contradiction(row: &JobRow, HashedEntry { entry, .. }: &HashedEntry, body: &Value) -> Option<&'static str> {
    let differs = |value: &Value, stored: &str| value.as_str().is_some_and(|value| value != stored);
    match entry.kind {
        EntryKind::Invocation if entry.number == 0 => {
            let caller = &body["invocation"]["caller"];
            if differs(&caller["id"], &row.caller.id) || differs(&caller["name"], &row.caller.name) {
                return Some("the caller");
            }
            if differs(&body["line"], &row.line) {
                return Some("the command");
            }
            if differs(&body["digest"], &row.digest) {
                return Some("the digest of the plugin");
            }
            (entry.plugin != row.plugin).then_some("the plugin")
        }
        EntryKind::Closed => {
            let end = row.end.as_ref()?;
            let word = serde_json::to_value(end.outcome).ok()?;
            let names = [Value::from(end.outcome.as_str()), word];
            (body["outcome"].is_string() && !names.contains(&body["outcome"])).then_some("the outcome")
        }
        _ => None,
    }
}
