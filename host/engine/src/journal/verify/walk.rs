//! Walks along the chain and verifies each link with its job or audit records.
//!
//! A host may write meanwhile. A mismatch is therefore checked again after the newer links were read.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::job::{Found, check_bytes, gone};
use crate::{
    journal::verify::{Fault, Head, Verified, VerifyStop},
    store::{JobQuery, Link, LinkKind, Store, line_digest, lines_digest, link_hash},
};

/// The number of links per page.
const PAGE: u32 = 500;
/// The number of times that a mismatch is checked again.
const LOOKS: usize = 5;

/// A closed job or group of audit records that is missing or changed. A later removal may explain it.
struct Suspect {
    job: Option<String>,
    /// The time of its closing.
    at: Timestamp,
    fault: Fault,
    /// Whether data with the same id exists.
    other: bool,
    /// Whether a removal came later.
    removed: bool,
}

/// The state of a walk.
pub(crate) struct Walk<'s> {
    store: &'s dyn Store,
    given: Option<&'s Head>,
    found: Verified,
    /// Open jobs, with the hash of their first entry.
    open: BTreeMap<String, String>,
    /// Closed jobs that verified.
    over: HashSet<String>,
    suspects: Vec<Suspect>,
    /// The digests of plugins whose bytes were verified.
    plugins: HashSet<String>,
}

impl<'s> Walk<'s> {
    pub(crate) fn new(store: &'s dyn Store, given: Option<&'s Head>) -> Self {
        let head = Head { number: 0, hash: String::new() };
        let found = Verified { links: 0, jobs: 0, entries: 0, lines: 0, removed: 0, head };
        Self {
            store,
            given,
            found,
            open: BTreeMap::new(),
            over: HashSet::new(),
            suspects: Vec::new(),
            plugins: HashSet::new(),
        }
    }

    /// Walks to the end of the chain, and then checks the open jobs and the suspects.
    pub(crate) async fn all(mut self) -> Result<Verified, VerifyStop> {
        self.on().await?;
        if let Some(given) = self.given
            && given.number > self.found.head.number
        {
            let (end, number) = (self.found.head.number, given.number);
            return Err(Fault::link(format!(
                "the chain ends at link {end}, before the given head, link {number}: links were removed from its end"
            ))
            .into());
        }
        let mut looks = 0;
        while let Err(stop) = self.rest().await {
            looks += 1;
            let more = matches!(stop, VerifyStop::Fault(_)) && looks < LOOKS && self.on().await?;
            if !more {
                return Err(stop);
            }
        }
        Ok(self.found)
    }

    /// Reads the links after the last one. Returns whether there were any.
    async fn on(&mut self) -> Result<bool, VerifyStop> {
        let mut any = false;
        loop {
            let behind = self.found.head.number;
            let cannot =
                |error| VerifyStop::reading(error, None, format!("the chain after link {behind} cannot be read"));
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
        if link.number != number || link_hash(&self.found.head.hash, link) != link.hash {
            return Err(explain(page, number, &self.found.head.hash).into());
        }
        if self.given.is_some_and(|given| given.number == number && given.hash != link.hash) {
            return Err(Fault::link(format!(
                "the chain does not contain the given head: link {number} has another hash"
            ))
            .into());
        }
        self.found.head = Head { number, hash: link.hash.clone() };
        self.found.links += 1;
        let job = &link.subject;
        match link.kind {
            LinkKind::Open => {
                self.begins_anew(job);
                if self.open.insert(job.clone(), link.digest.clone()).is_some() {
                    return Err(Fault::of(job, format!("link {number} opens job {job}, which is already open")).into());
                }
                Ok(())
            }
            LinkKind::Close => match self.open.remove(job) {
                Some(opening) => self.closed(job, &opening, link).await,
                None => Err(Fault::of(job, format!("link {number} closes job {job}, which is not open")).into()),
            },
            LinkKind::Lines | LinkKind::Refusal => self.lines(link).await,
            LinkKind::Removal => {
                let Ok(moment) = link.subject.parse::<Timestamp>() else {
                    return Err(Fault::link(format!("link {number} is a removal without a valid time")).into());
                };
                self.removal(moment);
                Ok(())
            }
        }
    }

    /// Verifies a closed job.
    async fn closed(&mut self, job: &str, opening: &str, link: &Link) -> Result<(), VerifyStop> {
        let suspect = |fault, other| Suspect { job: Some(job.to_owned()), at: link.at, fault, other, removed: false };
        let found = match Found::read(self.store, job).await {
            Ok(found) if found.is_nothing() => {
                self.suspects.push(suspect(gone(job), false));
                return Ok(());
            }
            Ok(found) => found,
            Err(VerifyStop::Fault(fault)) => {
                self.suspects.push(suspect(fault, true));
                return Ok(());
            }
            Err(stop) => return Err(stop),
        };
        match found.check(self.store, job, opening, Some(link)).await {
            Ok(()) => {
                self.whole(job, &found).await?;
                self.over.insert(job.to_owned());
                Ok(())
            }
            // The job may have been removed, and its id used again.
            Err(VerifyStop::Fault(fault)) => {
                self.suspects.push(suspect(fault, true));
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }

    async fn whole(&mut self, job: &str, found: &Found) -> Result<(), VerifyStop> {
        if let Some(name) = found.digest()
            && self.plugins.insert(name.to_owned())
        {
            check_bytes(self.store, job, name).await?;
        }
        self.found.jobs += 1;
        self.found.entries += found.entries();
        Ok(())
    }

    async fn lines(&mut self, link: &Link) -> Result<(), VerifyStop> {
        let number = link.number;
        let cannot =
            |error| VerifyStop::reading(error, None, format!("an audit record of link {number} cannot be read"));
        let lines = self.store.audit_records(number).await.map_err(cannot)?;
        if lines.is_empty() {
            let fault = Fault::link(format!("the audit records of link {number} are missing"));
            self.suspects.push(Suspect { job: None, at: link.at, fault, other: false, removed: false });
            return Ok(());
        }
        if lines_digest(lines.iter().map(line_digest)) != link.digest {
            return Err(Fault::link(format!("an audit record of link {number} was changed, removed or moved")).into());
        }
        self.found.lines += lines.len() as u64;
        Ok(())
    }

    /// A removal explains missing data that was closed before its time.
    fn removal(&mut self, moment: Timestamp) {
        let mut removed = 0;
        self.suspects.retain_mut(|suspect| {
            let explained = suspect.at < moment;
            suspect.removed |= explained;
            let gone = explained && !suspect.other;
            removed += u64::from(gone && suspect.job.is_some());
            !gone
        });
        self.found.removed += removed;
    }

    /// A job is opened: an earlier job with the same id that was removed is explained.
    fn begins_anew(&mut self, job: &str) {
        let before = self.suspects.len();
        self.suspects.retain(|suspect| !suspect.removed || suspect.job.as_deref() != Some(job));
        self.found.removed += (before - self.suspects.len()) as u64;
        self.over.remove(job);
    }

    /// Verifies open jobs, remaining suspects, and that every job has a link.
    async fn rest(&mut self) -> Result<(), VerifyStop> {
        for at in (0..self.suspects.len()).rev() {
            // The job may have been removed during the verification.
            if let Suspect { job: Some(job), removed: true, .. } = &self.suspects[at]
                && Found::read(self.store, job).await?.is_nothing()
            {
                self.suspects.remove(at);
                self.found.removed += 1;
            }
        }
        if let Some(suspect) = self.suspects.first() {
            return Err(suspect.fault.clone().into());
        }
        let counted = (self.found.jobs, self.found.entries);
        let rest = self.open_jobs().await;
        if rest.is_err() {
            (self.found.jobs, self.found.entries) = counted;
        }
        rest
    }

    async fn open_jobs(&mut self) -> Result<(), VerifyStop> {
        let open: Vec<(String, String)> = self.open.iter().map(|(job, first)| (job.clone(), first.clone())).collect();
        for (job, opening) in open {
            let found = Found::read(self.store, &job).await?;
            found.check(self.store, &job, &opening, None).await?;
            self.whole(&job, &found).await?;
        }
        let cannot = |error| VerifyStop::reading(error, None, "the jobs cannot be read".to_owned());
        let rows = self.store.jobs(&JobQuery::default()).await.map_err(cannot)?;
        match rows.iter().rev().map(|row| &row.id).find(|id| !self.open.contains_key(*id) && !self.over.contains(*id)) {
            Some(job) => Err(Fault::of(job, format!("job {job} was added: no link of the chain opens it")).into()),
            None => Ok(()),
        }
    }
}

/// Describes why a link does not continue the chain after the hash `before`.
fn explain(page: &[Link], number: u64, before: &str) -> Fault {
    let here = page.iter().find(|link| link.number == number);
    let moved = page.iter().filter(|link| link.number > number).find(|link| {
        let hash = link_hash(before, &Link { number, ..(*link).clone() });
        hash == link.hash || here.is_some_and(|here| here.hash == hash)
    });
    Fault::link(match (moved, here) {
        (Some(moved), _) => format!("link {} was moved: it belongs at number {number}", moved.number),
        (None, Some(_)) => format!("link {number} was changed"),
        (None, None) => format!("link {number} is missing"),
    })
}
