//! Verifies the rows that give or take authority: grants, freezes, releases and messages. Each row must have its link in
//! the hash chain, and each link its row.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::{
    journal::verify::{Fault, VerifyStop},
    store::{Link, LinkKind, ReleaseQuery, Store},
};

/// The maximum number of messages in one read.
const PAGE: u32 = 1000;

/// What the hash chain records of a message.
struct Message {
    digest: String,
    /// The time of the message.
    at: Timestamp,
    /// The number of the link.
    link: u64,
}

/// The rows that the hash chain records up to the current link, by subject, each with the digest of the row.
#[derive(Default)]
pub(crate) struct Authority {
    grants: BTreeMap<String, String>,
    freezes: BTreeMap<String, String>,
    releases: BTreeMap<String, String>,
    /// The newest link of each message.
    messages: HashMap<String, Message>,
    /// The removals: the number of each link, and the time before which rows were removed.
    removals: Vec<(u64, Timestamp)>,
    /// The hashes of the event entries of each job that is open at the current link, in order.
    events: HashMap<String, Vec<String>>,
}

impl Authority {
    /// Applies a link that is not about a job's start or end, audit records or a removal.
    pub(crate) fn apply(&mut self, link: &Link) {
        let (subject, digest) = (link.subject.clone(), link.digest.clone());
        match link.kind {
            LinkKind::Grant => drop(self.grants.insert(subject, digest)),
            LinkKind::Revoke => drop(self.grants.remove(&subject)),
            LinkKind::Freeze => drop(self.freezes.insert(subject, digest)),
            LinkKind::Unfreeze => drop(self.freezes.remove(&subject)),
            LinkKind::Release => drop(self.releases.insert(subject, digest)),
            LinkKind::Message => {
                let message = Message { digest, at: link.at, link: link.number };
                drop(self.messages.insert(subject, message));
            }
            LinkKind::Event => self.events.entry(subject).or_default().push(digest),
            _ => {}
        }
    }

    /// Applies the link with this number, which records the removal of rows from before `moment`.
    pub(crate) fn removal(&mut self, link: u64, moment: Timestamp) {
        self.removals.push((link, moment));
    }

    /// Returns the hashes of the event entries of a job, in order.
    pub(crate) fn events(&self, job: &str) -> &[String] {
        self.events.get(job).map(Vec::as_slice).unwrap_or_default()
    }

    /// Forgets the events of a job that was closed and verified.
    pub(crate) fn forget(&mut self, job: &str) {
        self.events.remove(job);
    }

    /// Compares the rows of the store with the hash chain.
    pub(crate) async fn check(&self, store: &dyn Store) -> Result<(), VerifyStop> {
        let cannot =
            |what: &'static str| move |error| VerifyStop::reading(error, None, format!("the {what} cannot be read"));
        let grants = store.grants().await.map_err(cannot("grants"))?;
        let grants = grants.iter().map(|row| (row.id.clone(), Link::row_digest(row)));
        compare("grant", &self.grants, grants.collect())?;
        let freezes = store.freezes().await.map_err(cannot("freezes"))?;
        let freezes = freezes.iter().map(|row| (row.environment.clone(), Link::row_digest(row)));
        compare("freeze of", &self.freezes, freezes.collect())?;
        let releases = store.releases(&ReleaseQuery::default()).await.map_err(cannot("releases"))?;
        let releases = releases.iter().map(|row| (row.run.as_str().to_owned(), Link::row_digest(row)));
        compare("release", &self.releases, releases.collect())?;
        self.check_messages(store).await
    }

    /// Compares the inbox with the hash chain. A message may be missing if a later link records the removal of rows of
    /// its time.
    async fn check_messages(&self, store: &dyn Store) -> Result<(), VerifyStop> {
        let mut missing: HashMap<&str, &Message> =
            self.messages.iter().map(|(key, link)| (key.as_str(), link)).collect();
        let mut behind = 0;
        loop {
            let cannot =
                |error| VerifyStop::reading(error, None, format!("the inbox after row {behind} cannot be read"));
            let page = store.messages(behind, PAGE).await.map_err(cannot)?;
            let Some((last, _)) = page.last() else { break };
            behind = *last;
            for (_, row) in &page {
                let (event, room, sender) = (&row.key.event, &row.key.room, &row.sender.id);
                let fault = match missing.remove(row.key.subject().as_str()) {
                    Some(message) if message.digest == Link::row_digest(row) => continue,
                    Some(_) => format!("the message {event} in {room} was changed: its sender is {sender}"),
                    None => format!("the message {event} in {room} was added: the hash chain has no link for it"),
                };
                return Err(Fault::link(fault).into());
            }
        }
        let is_removed =
            |message: &Message| self.removals.iter().any(|(link, moment)| *link > message.link && *moment > message.at);
        match missing.into_values().filter(|message| !is_removed(message)).map(|message| message.link).min() {
            Some(link) => Err(Fault::link(format!("the message of link {link} of the hash chain is missing")).into()),
            None => Ok(()),
        }
    }
}

/// Compares the rows of one table with the links of the hash chain. `what` is the noun for a row.
fn compare(what: &str, chained: &BTreeMap<String, String>, stored: BTreeMap<String, String>) -> Result<(), Fault> {
    for (subject, digest) in &stored {
        match chained.get(subject) {
            Some(expected) if expected == digest => {}
            Some(_) => return Err(Fault::link(format!("the {what} {subject} was changed"))),
            None => {
                let message = format!("the {what} {subject} was added: the hash chain has no link for it");
                return Err(Fault::link(message));
            }
        }
    }
    match chained.keys().find(|subject| !stored.contains_key(*subject)) {
        Some(subject) => Err(Fault::link(format!("the {what} {subject} is missing"))),
        None => Ok(()),
    }
}
