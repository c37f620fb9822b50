//! Verifies one job: its journal entries, their blobs, and the job's row.

use serde_json::Value;

use super::entries::{check_entries, missing};
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

    /// Verifies the job's entries, blobs and row. The other arguments are what the hash chain records of the job: the
    /// digest of the link that opens it, the hashes of its event entries, and the link that closes it (`None` for an
    /// open job).
    pub(crate) async fn check(
        &self,
        store: &dyn Store,
        job: &str,
        opening: &str,
        events: &[String],
        closing: Option<&Link>,
    ) -> Result<(), VerifyStop> {
        let (Some(row), Some(head)) = (&self.row, &self.head) else { return Err(missing_job(job).into()) };
        // 1. The entries, and whether the job is open.
        check_entries(job, &self.entries, head, None)?;
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else {
            return Err(missing(job, 0).into());
        };
        match (closing, &row.end) {
            (Some(_), None) => {
                let message = format!("the hash chain records that job {job} was closed, but the job's row is open");
                return Err(Fault::of(job, message).into());
            }
            (None, Some(_)) => {
                let message =
                    format!("the row of job {job} is closed, but the hash chain has no link that closes the job");
                return Err(Fault::of(job, message).into());
            }
            (Some(link), Some(end))
                if last.entry.kind != EntryKind::Closed
                    && link.digest != last.hash
                    && link.digest != end.closing_digest(&last.hash) =>
            {
                return Err(missing(job, last.entry.number + 1).into());
            }
            _ => {}
        }
        // 2. The fields of the row that the entries contain. A difference names the field.
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
        // 3. The whole row and the events, against the hash chain. In databases of old versions, the links of a job
        //    contain only the hashes of its first and last entry, and events have no links.
        let is_old = first.hash == opening;
        if !is_old && row.opening_digest(&first.hash) != opening {
            return Err(Fault::of(job, format!("the row or journal entry 0 of job {job} was changed")).into());
        }
        self.check_events(job, events, is_old)?;
        if let (Some(link), Some(end)) = (closing, &row.end)
            && last.hash != link.digest
            && end.closing_digest(&last.hash) != link.digest
        {
            let number = last.entry.number;
            let message = format!("the end in the row of job {job} or its journal entry {number} was changed");
            return Err(Fault::of(job, message).into());
        }
        Ok(())
    }

    /// Compares the event entries of the job, such as approvals, with their links in the hash chain. If an older build
    /// opened the job, only its last events have links.
    fn check_events(&self, job: &str, links: &[String], is_old: bool) -> Result<(), Fault> {
        let events: Vec<_> = self.entries.iter().filter(|sealed| sealed.entry.kind == EntryKind::Event).collect();
        let unlinked = if is_old { events.len().saturating_sub(links.len()) } else { 0 };
        let mut links = links.iter();
        for HashedEntry { entry, hash } in events.into_iter().skip(unlinked) {
            if links.next() != Some(hash) {
                let number = entry.number;
                return Err(Fault::of(
                    job,
                    format!("journal entry {number} of job {job} is an event that the hash chain does not contain"),
                ));
            }
        }
        match links.len() {
            0 => Ok(()),
            1 => Err(Fault::of(job, format!("1 event of job {job} is missing from its journal"))),
            missing => Err(Fault::of(job, format!("{missing} events of job {job} are missing from its journal"))),
        }
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
