//! Reads the links of the hash chain in order. Verifies each link, and the job or the audit records that it covers.
//!
//! A host may write at the same time. If a check finds a mismatch, the walk reads the newer links and repeats the
//! check.

use std::collections::{BTreeMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    authority::{Authority, Rows},
    job::{StoredJob, check_bytes},
};
use crate::{
    base::utc_text,
    journal::MIN_KEEP,
    journal::verify::{Fault, Head, Verified, VerifyStop},
    store::{AuditRecord, JobQuery, Link, LinkKind, Store},
};

/// The maximum number of links in one read.
const PAGE: u32 = 500;
/// The maximum number of times that the verification checks the open jobs and the [`Suspect`]s. A mismatch in the last
/// check is a fault.
const MAX_CHECKS: usize = 5;

/// A closed job or a group of audit records whose data is missing or does not match the hash chain. The suspect is not
/// a fault if a later link of the hash chain records that the host removed the data after it expired.
struct Suspect {
    /// The time of the job's closing link, or of the link of the audit records.
    at: Timestamp,
    fault: Fault,
    /// Whether the store has a job with the id of this job. It can be a later job that got the same id.
    exists: bool,
    /// Whether a later link records the removal of the data.
    removed: bool,
}

/// The state of a verification of the whole store.
pub(crate) struct Walk<'s> {
    store: &'s dyn Store,
    given: Option<&'s Head>,
    found: Verified,
    /// The ids of the jobs that are open at the current link of the hash chain, each with the digest of the
    /// link that opens it.
    open: BTreeMap<String, String>,
    /// The ids of the closed jobs that were verified without a fault.
    closed: HashSet<String>,
    suspects: Vec<Suspect>,
    /// The digests of the plugins that were verified.
    plugins: HashSet<String>,
    authority: Authority,
}

impl<'s> Walk<'s> {
    pub(crate) fn new(store: &'s dyn Store, given: Option<&'s Head>) -> Self {
        let head = Head::default();
        let found = Verified { links: 0, jobs: 0, entries: 0, lines: 0, removed: 0, removed_until: None, head };
        Self {
            store,
            given,
            found,
            open: BTreeMap::new(),
            closed: HashSet::new(),
            suspects: Vec::new(),
            plugins: HashSet::new(),
            authority: Authority::default(),
        }
    }

    /// Verifies the database itself, then all links of the hash chain, and then the open jobs and the [`Suspect`]s.
    pub(crate) async fn all(mut self) -> Result<Verified, VerifyStop> {
        // A changed schema or a damaged index can hide rows from all later reads.
        let cannot = |error| VerifyStop::reading(error, None, "the database cannot be checked".to_owned());
        if let Some(fault) = self.store.database_fault().await.map_err(cannot)? {
            return Err(Fault::link(fault).into());
        }
        self.read_links().await?;
        if let Some(given) = self.given
            && given.number > self.found.head.number
        {
            let (end, number) = (self.found.head.number, given.number);
            return Err(Fault::link(format!(
                "the hash chain ends at link {end}, but the given head is link {number}: links were removed from the end"
            ))
            .into());
        }
        let mut checks = 0;
        while let Err(stop) = self.check_rest().await {
            checks += 1;
            let more = matches!(stop, VerifyStop::Fault(_)) && checks < MAX_CHECKS && self.read_links().await?;
            if !more {
                return Err(stop);
            }
        }
        Ok(self.found)
    }

    /// Reads and verifies the links after the last link that was read. Returns whether the hash chain had new links.
    async fn read_links(&mut self) -> Result<bool, VerifyStop> {
        let mut any = false;
        loop {
            let behind = self.found.head.number;
            let cannot =
                |error| VerifyStop::reading(error, None, format!("the hash chain after link {behind} cannot be read"));
            let page = self.store.links(behind, PAGE).await.map_err(cannot)?;
            if page.is_empty() {
                return Ok(any);
            }
            any = true;
            for link in &page {
                self.link(link, &page).await?;
            }
        }
    }

    async fn link(&mut self, link: &Link, page: &[Link]) -> Result<(), VerifyStop> {
        let number = self.found.head.number + 1;
        if link.number != number || link.hash_after(&self.found.head.hash) != link.hash {
            return Err(explain(page, number, &self.found.head.hash).into());
        }
        if self.given.is_some_and(|given| given.number == number && given.hash != link.hash) {
            let message = format!("the hash chain does not contain the given head: link {number} has another hash");
            return Err(Fault::link(message).into());
        }
        self.found.head = Head { number, hash: link.hash.clone(), ..Head::default() };
        self.found.links += 1;
        let job = &link.subject;
        match link.kind {
            LinkKind::Open => {
                self.job_opened(job);
                if self.open.insert(job.clone(), link.digest.clone()).is_some() {
                    let message = format!("link {number} of the hash chain opens job {job}, which is already open");
                    return Err(Fault::of(job, message).into());
                }
                Ok(())
            }
            LinkKind::Close => match self.open.remove(job) {
                Some(opening) => self.closed(job, &opening, link).await,
                None => {
                    let message = format!("link {number} of the hash chain closes job {job}, which is not open");
                    Err(Fault::of(job, message).into())
                }
            },
            LinkKind::Lines | LinkKind::Refusal => self.lines(link).await,
            LinkKind::Removal => {
                let Ok(moment) = link.subject.parse::<Timestamp>() else {
                    let message = format!("link {number} of the hash chain records a removal, but has no valid time");
                    return Err(Fault::link(message).into());
                };
                // Whoever forges a link can also record a removal. What is newer than the shortest retention period
                // cannot have been removed, and readers see the time of every other removal.
                let newest = link
                    .at
                    .min(Timestamp::now())
                    .saturating_sub(SignedDuration::try_from(MIN_KEEP).unwrap_or_default());
                if self.given.is_some_and(|given| number > given.number) && newest.is_ok_and(|newest| moment > newest) {
                    let message = format!(
                        "link {number} of the hash chain, after the given head, records the removal of data from \
                         before {}, which is less than a day ago or less than a day before the removal",
                        utc_text(moment)
                    );
                    return Err(Fault::link(message).into());
                }
                self.found.removed_until = self.found.removed_until.max(Some(moment));
                self.removal(moment);
                self.authority.removal(number, moment);
                Ok(())
            }
            LinkKind::Event if !self.open.contains_key(job) => {
                let message =
                    format!("link {number} of the hash chain records an event of job {job}, which is not open");
                Err(Fault::of(job, message).into())
            }
            _ => {
                self.authority.apply(link);
                Ok(())
            }
        }
    }

    /// Verifies a closed job. If it has a fault, adds the job to the [`Suspect`]s.
    async fn closed(&mut self, job: &str, opening: &str, link: &Link) -> Result<(), VerifyStop> {
        let mut exists = true;
        let checked = match StoredJob::read(self.store, job).await {
            Ok(found) => {
                exists = !found.is_missing();
                let events = self.authority.events(job);
                found.check(self.store, job, opening, events, Some(link)).await.map(|()| found)
            }
            Err(stop) => Err(stop),
        };
        self.authority.forget(job);
        match checked {
            Ok(found) => {
                self.count(job, &found).await?;
                self.closed.insert(job.to_owned());
            }
            // The job may have been removed, and a later job may have the same id.
            Err(VerifyStop::Fault(fault)) => {
                self.suspects.push(Suspect { at: link.at, fault, exists, removed: false });
            }
            Err(stop) => return Err(stop),
        }
        Ok(())
    }

    /// Counts a verified job and its entries. If the given head has the job, its journal must begin with the entries
    /// that the head records. If no earlier job had the same plugin, also verifies the file of the
    /// plugin.
    async fn count(&mut self, job: &str, found: &StoredJob) -> Result<(), VerifyStop> {
        if let Some((entries, hash)) = self.given.and_then(|given| given.open.get(job))
            && found.entries.get((*entries as usize).wrapping_sub(1)).is_none_or(|last| last.hash != *hash)
        {
            let message =
                format!("the journal of job {job} does not begin with the {entries} entries of the given head");
            return Err(Fault::of(job, message).into());
        }
        if let Some(row) = &found.row
            && !self.plugins.contains(&row.digest)
        {
            check_bytes(self.store, job, &row.digest).await?;
            self.plugins.insert(row.digest.clone());
        }
        self.found.jobs += 1;
        self.found.entries += found.entries.len() as u64;
        Ok(())
    }

    async fn lines(&mut self, link: &Link) -> Result<(), VerifyStop> {
        let number = link.number;
        let cannot = |error| {
            let what = format!("an audit record of link {number} of the hash chain cannot be read");
            VerifyStop::reading(error, None, what)
        };
        let lines = self.store.audit_records(number).await.map_err(cannot)?;
        if lines.is_empty() {
            let fault = Fault::link(format!("the audit records of link {number} of the hash chain are missing"));
            self.suspects.push(Suspect { at: link.at, fault, exists: false, removed: false });
            return Ok(());
        }
        if AuditRecord::group_digest(&lines) != link.digest {
            let message = format!("an audit record of link {number} of the hash chain was changed, removed or moved");
            return Err(Fault::link(message).into());
        }
        self.found.lines += lines.len() as u64;
        Ok(())
    }

    /// Handles a link that records the removal of all rows from before `moment`. Drops each suspect from before
    /// `moment` whose data is missing, because the removal explains the missing data. Marks every other suspect from
    /// before `moment` as removed.
    fn removal(&mut self, moment: Timestamp) {
        let mut removed = 0;
        self.suspects.retain_mut(|suspect| {
            let explained = suspect.at < moment;
            suspect.removed |= explained;
            let resolved = explained && !suspect.exists;
            removed += u64::from(resolved && suspect.fault.job.is_some());
            !resolved
        });
        self.found.removed += removed;
    }

    /// Handles a link that records a new job with the id `job`. If a suspect with this id is marked as removed, drops
    /// the suspect and counts its job as removed.
    fn job_opened(&mut self, job: &str) {
        let before = self.suspects.len();
        self.suspects.retain(|suspect| !suspect.removed || suspect.fault.job.as_deref() != Some(job));
        self.found.removed += (before - self.suspects.len()) as u64;
        self.closed.remove(job);
    }

    /// Returns the fault of the first suspect that no removal explains. Then verifies the open jobs and the rows that
    /// give authority, and checks that the hash chain has an opening link for every stored job.
    async fn check_rest(&mut self) -> Result<(), VerifyStop> {
        for at in (0..self.suspects.len()).rev() {
            // A host may have removed the job during the verification.
            if let Suspect { fault: Fault { job: Some(job), .. }, removed: true, .. } = &self.suspects[at]
                && StoredJob::read(self.store, job).await?.is_missing()
            {
                self.suspects.remove(at);
                self.found.removed += 1;
            }
        }
        if let Some(suspect) = self.suspects.first() {
            return Err(suspect.fault.clone().into());
        }
        let counted = (self.found.jobs, self.found.entries);
        let rest = self.rows().await;
        if rest.is_err() {
            (self.found.jobs, self.found.entries) = counted;
        }
        rest
    }

    async fn rows(&mut self) -> Result<(), VerifyStop> {
        // 1. Read the rows, and then the links that a host wrote meanwhile. So every row of a host has its link.
        let head = self.found.head.number;
        let cannot = |error| VerifyStop::reading(error, None, "the jobs cannot be read".to_owned());
        let jobs: Vec<String> =
            self.store.jobs(&JobQuery::default()).await.map_err(cannot)?.into_iter().map(|row| row.id).collect();
        let rows = Rows::read(self.store).await?;
        self.read_links().await?;
        self.authority.check(&rows, head)?;
        let mut ids = HashSet::new();
        if let Some(job) = jobs.iter().find(|job| !ids.insert(job.as_str())) {
            return Err(Fault::of(job, format!("job {job} is stored twice")).into());
        }
        let has_link = |job: &&String| self.open.contains_key(*job) || self.closed.contains(*job);
        if let Some(job) = jobs.iter().rev().find(|job| !has_link(job)) {
            let message =
                format!("job {job} was added to the store later: the hash chain has no link for the start of the job");
            return Err(Fault::of(job, message).into());
        }
        // 2. The open jobs.
        for (job, opening) in self.open.clone() {
            let found = StoredJob::read(self.store, &job).await?;
            found.check(self.store, &job, &opening, self.authority.events(&job), None).await?;
            self.count(&job, &found).await?;
            if let Some(last) = found.entries.last() {
                self.found.head.open.insert(job, (last.entry.number + 1, last.hash.clone()));
            }
        }
        // 3. The rows that no link covers.
        let cannot = |error| VerifyStop::reading(error, None, "the rows without a link cannot be read".to_owned());
        match self.store.stray_row().await.map_err(cannot)? {
            Some(row) => Err(Fault::link(row).into()),
            None => Ok(()),
        }
    }
}

/// Describes why the hash of the link `number` is wrong. `before` is the hash of the previous link.
fn explain(page: &[Link], number: u64, before: &str) -> Fault {
    let here = page.iter().find(|link| link.number == number);
    let moved = page.iter().filter(|link| link.number > number).find(|link| {
        let hash = Link { number, ..(*link).clone() }.hash_after(before);
        hash == link.hash || here.is_some_and(|here| here.hash == hash)
    });
    Fault::link(match (moved, here) {
        (Some(moved), _) => {
            format!("link {} of the hash chain was moved: the link belongs at number {number}", moved.number)
        }
        (None, Some(_)) => format!("link {number} of the hash chain was changed"),
        (None, None) => format!("link {number} of the hash chain is missing"),
    })
}
