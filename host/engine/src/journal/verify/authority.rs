//! Verifies the rows that give or take authority: grants, freezes, accounts at identity providers, releases and
//! messages. Each row must have its link
//! in the hash chain, and each link its row.

use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use jiff::Timestamp;

use crate::{
    journal::verify::{Fault, VerifyStop},
    store::{InboxKey, Link, LinkKind, ReleaseQuery, Store},
};

/// The maximum number of messages in one read.
const PAGE: u32 = 1000;
// The nouns for the rows of each table.
const GRANT: &str = "grant";
const FREEZE: &str = "freeze of";
const IDENTITY: &str = "account";
const RELEASE: &str = "release";
const MESSAGE: &str = "message";

/// What the newest link of a row records.
struct Linked {
    /// The digest of the row; `None` after the row was removed by a person.
    digest: Option<String>,
    /// The number of the link.
    link: u64,
    /// The time in the link. For a message, the time of the message.
    at: Timestamp,
}

/// The newest link of each row of a table, by the subject of the link.
type Table = BTreeMap<String, Linked>;

/// What the hash chain records, up to the current link.
#[derive(Default)]
pub(crate) struct Authority {
    grants: Table,
    freezes: Table,
    identities: Table,
    releases: Table,
    messages: Table,
    /// The removals: the number of each link, and the time before which messages were removed.
    removals: Vec<(u64, Timestamp)>,
    /// The hashes of the event entries of each job that is open at the current link, in order.
    events: HashMap<String, Vec<String>>,
}

/// The digests of the rows of a table, by the subject of the row's link.
type Digests = BTreeMap<String, String>;

/// The digests of the rows in the store.
#[derive(Default)]
pub(crate) struct Rows {
    grants: Digests,
    freezes: Digests,
    identities: Digests,
    releases: Digests,
    messages: Digests,
}

impl Rows {
    pub(crate) async fn read(store: &dyn Store) -> Result<Self, VerifyStop> {
        let cannot =
            |what: &'static str| move |error| VerifyStop::reading(error, None, format!("the {what} cannot be read"));
        let grants = store.grants().await.map_err(cannot("grants"))?;
        let freezes = store.freezes().await.map_err(cannot("freezes"))?;
        let identities = store.identity_links().await.map_err(cannot("accounts at identity providers"))?;
        let releases = store.releases(&ReleaseQuery::default()).await.map_err(cannot("releases"))?;
        let mut rows = Self::default();
        grants.iter().try_for_each(|row| add(&mut rows.grants, GRANT, row.id.clone(), row))?;
        freezes.iter().try_for_each(|row| add(&mut rows.freezes, FREEZE, row.environment.clone(), row))?;
        identities.iter().try_for_each(|row| add(&mut rows.identities, IDENTITY, row.key(), row))?;
        releases.iter().try_for_each(|row| add(&mut rows.releases, RELEASE, row.run.as_str().to_owned(), row))?;
        let mut behind = 0;
        loop {
            let page = store.messages(behind, PAGE).await.map_err(cannot("messages"))?;
            let Some((last, _)) = page.last() else { break };
            behind = *last;
            page.iter().try_for_each(|(_, row)| add(&mut rows.messages, MESSAGE, row.key.subject(), row))?;
        }
        Ok(rows)
    }
}

/// Adds the digest of a row. The host acts on every row of a table, so a second row with the same subject is a fault.
/// `what` is the noun for a row.
fn add(table: &mut Digests, what: &str, subject: String, row: &impl serde::Serialize) -> Result<(), Fault> {
    match table.entry(subject) {
        Entry::Vacant(free) => {
            free.insert(Link::row_digest(row));
            Ok(())
        }
        Entry::Occupied(first) => Err(Fault::link(format!("the {what} {} is stored twice", name(first.key())))),
    }
}

/// Returns the name of a row in a message. `subject` is the subject of the row's link.
fn name(subject: &str) -> String {
    match serde_json::from_str::<InboxKey>(subject) {
        Ok(key) => format!("{} in {}", key.event, key.room),
        Err(_) => subject.to_owned(),
    }
}

impl Authority {
    /// Applies a link that is not about a job's start or end, audit records or a removal.
    pub(crate) fn apply(&mut self, link: &Link) {
        let table = match link.kind {
            LinkKind::Grant | LinkKind::Revoke => &mut self.grants,
            LinkKind::Freeze | LinkKind::Unfreeze => &mut self.freezes,
            LinkKind::Identity => &mut self.identities,
            LinkKind::Release => &mut self.releases,
            LinkKind::Message => &mut self.messages,
            LinkKind::Event => {
                self.events.entry(link.subject.clone()).or_default().push(link.digest.clone());
                return;
            }
            LinkKind::Open | LinkKind::Close | LinkKind::Lines | LinkKind::Refusal | LinkKind::Removal => return,
        };
        let is_removed = matches!(link.kind, LinkKind::Revoke | LinkKind::Unfreeze);
        let digest = (!is_removed).then(|| link.digest.clone());
        table.insert(link.subject.clone(), Linked { digest, link: link.number, at: link.at });
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

    /// Compares rows of the store with the links. The rows were read after the link `head` and before the current link.
    pub(crate) fn check(&self, rows: &Rows, head: u64) -> Result<(), Fault> {
        let never = |_: &Linked| false;
        compare(GRANT, &self.grants, &rows.grants, head, never)?;
        compare(FREEZE, &self.freezes, &rows.freezes, head, never)?;
        compare(IDENTITY, &self.identities, &rows.identities, head, never)?;
        compare(RELEASE, &self.releases, &rows.releases, head, never)?;
        let is_removed = |message: &Linked| {
            self.removals.iter().rev().any(|(link, moment)| *link > message.link && *moment > message.at)
        };
        compare(MESSAGE, &self.messages, &rows.messages, head, is_removed)
    }
}

/// Compares the rows of one table with their links. `what` is the noun for a row. A row whose link is newer than `head`
/// can have changed after it was read. `is_removed` returns whether the host removed a row later.
fn compare(
    what: &str,
    linked: &Table,
    stored: &Digests,
    head: u64,
    is_removed: impl Fn(&Linked) -> bool,
) -> Result<(), Fault> {
    for (subject, digest) in stored {
        let fault = match linked.get(subject) {
            Some(link) if link.link > head || link.digest.as_ref() == Some(digest) => continue,
            Some(Linked { digest: Some(_), .. }) => "was changed",
            _ => "was added: the hash chain has no link for it",
        };
        return Err(Fault::link(format!("the {what} {} {fault}", name(subject))));
    }
    let is_missing = |(subject, link): &(&String, &Linked)| {
        link.link <= head && link.digest.is_some() && !stored.contains_key(*subject) && !is_removed(link)
    };
    match linked.iter().find(is_missing) {
        Some((subject, _)) => Err(Fault::link(format!("the {what} {} is missing", name(subject)))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_row_with_the_same_subject_is_a_fault() {
        let mut table = Digests::new();
        assert_eq!(add(&mut table, GRANT, "7f3a/3".into(), &"deployer"), Ok(()));
        assert_eq!(add(&mut table, GRANT, "7f3a/4".into(), &"deployer"), Ok(()));
        for row in ["deployer", "admin"] {
            let fault = add(&mut table, GRANT, "7f3a/3".into(), &row).unwrap_err();
            assert_eq!(fault.message, "the grant 7f3a/3 is stored twice");
        }
    }
}
