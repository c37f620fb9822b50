//! Walks along the chain: each link, and the job or the lines that it stands for.
//!
//! A host may write meanwhile: what does not fit is looked at again when the links that came since were read.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::job::{Found, check_bytes, gone};
use crate::{
    journal::verify::{Fault, GuestStop, Head, Verified},
    store::{JobQuery, Link, LinkKind, Store, line_digest, lines_digest, link_hash},
};

/// How many links are read at once.
const PAGE: u32 = 500;
/// How often what does not fit is looked at again.
const LOOKS: usize = 5;

/// Something over that is not there or not as it was. A later removal may explain it.
struct InDoubt {
    job: Option<String>,
    /// When it was over.
    at: Timestamp,
    fault: Fault,
    /// Whether something else is there under the same id.
    other: bool,
    /// Whether a removal came after it.
    removed: bool,
}

/// How far the walk came.
pub(crate) struct Walk<'s> {
    store: &'s dyn Store,
    given: Option<&'s Head>,
    found: Verified,
    /// Open jobs with the hash of their first entry.
    open: BTreeMap<String, String>,
    /// Jobs that are over and were found whole.
    over: HashSet<String>,
    doubts: Vec<InDoubt>,
    /// Plugins whose bytes were checked.
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
            doubts: Vec::new(),
            plugins: HashSet::new(),
        }
    }

    /// Walks to the end and looks at what is still open there.
    pub(crate) async fn all(mut self) -> Result<Verified, GuestStop> {
        self.on().await?;
        if let Some(given) = self.given
            && given.number > self.found.head.number
        {
            let (end, number) = (self.found.head.number, given.number);
            return Err(Fault::link(format!(
                "the chain ends at link {end} and does not go through the given head, link {number}: its end was cut off"
            ))
            .into());
        }
        let mut looks = 0;
        while let Err(stop) = self.rest().await {
            looks += 1;
            let more = matches!(stop, GuestStop::Fault(_)) && looks < LOOKS && self.on().await?;
            if !more {
                return Err(stop);
            }
        }
        Ok(self.found)
    }

    /// Reads the links that there are behind the last one; whether there were any.
    async fn on(&mut self) -> Result<bool, GuestStop> {
        let mut any = false;
        loop {
            let behind = self.found.head.number;
            let cannot =
                |error| GuestStop::reading(error, None, format!("the chain behind link {behind} cannot be read"));
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

    async fn link(&mut self, link: &Link, page: &[Link]) -> Result<(), GuestStop> {
        let number = self.found.head.number + 1;
        if link.number != number || link_hash(&self.found.head.hash, link) != link.hash {
            return Err(explain(page, number, &self.found.head.hash).into());
        }
        if self.given.is_some_and(|given| given.number == number && given.hash != link.hash) {
            return Err(Fault::link(format!(
                "the chain does not go through the given head: link {number} is another one"
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
                    return Err(Fault::of(job, format!("link {number} opens job {job}, which is open")).into());
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
                    return Err(Fault::link(format!("link {number} removes what was over before no time")).into());
                };
                self.removal(moment);
                Ok(())
            }
        }
    }

    /// A job that is over.
    async fn closed(&mut self, job: &str, opening: &str, link: &Link) -> Result<(), GuestStop> {
        let doubt = |fault, other| InDoubt { job: Some(job.to_owned()), at: link.at, fault, other, removed: false };
        let found = match Found::read(self.store, job).await {
            Ok(found) if found.is_nothing() => {
                self.doubts.push(doubt(gone(job), false));
                return Ok(());
            }
            Ok(found) => found,
            Err(GuestStop::Fault(fault)) => {
                self.doubts.push(doubt(fault, true));
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
            // Perhaps this one was removed, and its id is used again.
            Err(GuestStop::Fault(fault)) => {
                self.doubts.push(doubt(fault, true));
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }

    async fn whole(&mut self, job: &str, found: &Found) -> Result<(), GuestStop> {
        if let Some(name) = found.digest()
            && self.plugins.insert(name.to_owned())
        {
            check_bytes(self.store, job, name).await?;
        }
        self.found.jobs += 1;
        self.found.entries += found.entries();
        Ok(())
    }

    async fn lines(&mut self, link: &Link) -> Result<(), GuestStop> {
        let number = link.number;
        let cannot = |error| GuestStop::reading(error, None, format!("a line of link {number} cannot be read"));
        let lines = self.store.lines(number).await.map_err(cannot)?;
        if lines.is_empty() {
            let fault = Fault::link(format!("the lines of link {number} are missing"));
            self.doubts.push(InDoubt { job: None, at: link.at, fault, other: false, removed: false });
            return Ok(());
        }
        if lines_digest(lines.iter().map(line_digest)) != link.digest {
            return Err(Fault::link(format!("a line of link {number} was changed, removed or moved")).into());
        }
        self.found.lines += lines.len() as u64;
        Ok(())
    }

    /// What was over before this moment may be gone.
    fn removal(&mut self, moment: Timestamp) {
        let mut removed = 0;
        self.doubts.retain_mut(|doubt| {
            let explained = doubt.at < moment;
            doubt.removed |= explained;
            let gone = explained && !doubt.other;
            removed += u64::from(gone && doubt.job.is_some());
            !gone
        });
        self.found.removed += removed;
    }

    /// A job is opened: one of the same id that was removed before is explained.
    fn begins_anew(&mut self, job: &str) {
        let before = self.doubts.len();
        self.doubts.retain(|doubt| !doubt.removed || doubt.job.as_deref() != Some(job));
        self.found.removed += (before - self.doubts.len()) as u64;
        self.over.remove(job);
    }

    /// What no link closes, and what no link speaks of.
    async fn rest(&mut self) -> Result<(), GuestStop> {
        for at in (0..self.doubts.len()).rev() {
            // It may have been removed while it was looked at.
            if let InDoubt { job: Some(job), removed: true, .. } = &self.doubts[at]
                && Found::read(self.store, job).await?.is_nothing()
            {
                self.doubts.remove(at);
                self.found.removed += 1;
            }
        }
        if let Some(doubt) = self.doubts.first() {
            return Err(doubt.fault.clone().into());
        }
        let counted = (self.found.jobs, self.found.entries);
        let rest = self.open_jobs().await;
        if rest.is_err() {
            (self.found.jobs, self.found.entries) = counted;
        }
        rest
    }

    async fn open_jobs(&mut self) -> Result<(), GuestStop> {
        let open: Vec<(String, String)> = self.open.iter().map(|(job, first)| (job.clone(), first.clone())).collect();
        for (job, opening) in open {
            let found = Found::read(self.store, &job).await?;
            found.check(self.store, &job, &opening, None).await?;
            self.whole(&job, &found).await?;
        }
        let cannot = |error| GuestStop::reading(error, None, "the jobs cannot be read".to_owned());
        let rows = self.store.jobs(&JobQuery::default()).await.map_err(cannot)?;
        match rows.iter().rev().map(|row| &row.id).find(|id| !self.open.contains_key(*id) && !self.over.contains(*id)) {
            Some(job) => Err(Fault::of(job, format!("job {job} was added: no link opens it")).into()),
            None => Ok(()),
        }
    }
}

/// What became of a link that does not follow the one with the hash `before`.
fn explain(page: &[Link], number: u64, before: &str) -> Fault {
    let here = page.iter().find(|link| link.number == number);
    let moved = page.iter().filter(|link| link.number > number).find(|link| {
        let hash = link_hash(before, &Link { number, ..(*link).clone() });
        hash == link.hash || here.is_some_and(|here| here.hash == hash)
    });
    Fault::link(match (moved, here) {
        (Some(moved), _) => format!("link {number} stands where link {} stood", moved.number),
        (None, Some(_)) => format!("link {number} was changed"),
        (None, None) => format!("link {number} is missing"),
    })
}
