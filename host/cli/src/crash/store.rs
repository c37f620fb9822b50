//! The places around what is written.

use std::sync::Arc;

use async_trait::async_trait;
use wardroom::{
    Timestamp,
    port::{
        Store, StoreError,
        store::{
            EntryKind, Freeze, Grant, InboxKey, InboxRow, JobQuery, JobRow, Line, Link, Mark, PendingRow, Phase, Place,
            Release, ReleaseQuery, Removed, Sealed, Usage, Write,
        },
    },
};

use super::Points;

/// A store that is watched.
pub(super) struct Watched {
    pub(super) store: Arc<dyn Store>,
    pub(super) points: &'static Points,
}

#[async_trait]
impl Store for Watched {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        let name = format!("commit {}", name(&writes));
        self.points.around(&name, self.store.commit(writes)).await
    }

    fn note(&self, writes: Vec<Write>) {
        let name = name(&writes);
        self.points.pass(&format!("before note {name}"));
        self.store.note(writes);
        self.points.pass(&format!("after note {name}"));
    }

    async fn waiting(&self) -> Result<Vec<InboxRow>, StoreError> {
        self.store.waiting().await
    }

    async fn mark(&self, bot: &str, network: &str, room: &str) -> Result<Option<Mark>, StoreError> {
        self.store.mark(bot, network, room).await
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        self.store.outbox().await
    }

    async fn sent_event(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.store.sent_event(key).await
    }

    async fn sent_as(&self, network: &str, event: &str) -> Result<Option<String>, StoreError> {
        self.store.sent_as(network, event).await
    }

    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        self.store.job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
        self.store.jobs(query).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        self.store.due(now, limit).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_wake().await
    }

    async fn open_jobs(&self) -> Result<Vec<(Phase, u64)>, StoreError> {
        self.store.open_jobs().await
    }

    async fn places(&self) -> Result<Vec<(Place, String)>, StoreError> {
        self.store.places().await
    }

    async fn entries(&self, job: &str) -> Result<Vec<Sealed>, StoreError> {
        self.store.entries(job).await
    }

    async fn tip(&self, job: &str) -> Result<Option<(u32, String)>, StoreError> {
        self.store.tip(job).await
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.newest().await
    }

    async fn beside(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.beside(digest).await
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
        self.store.links(after, limit).await
    }

    async fn lines(&self, link: u64) -> Result<Vec<Line>, StoreError> {
        self.store.lines(link).await
    }

    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.store.remove(before, loaded).await
    }

    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
        self.store.releases(query).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        self.store.grants().await
    }

    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        self.store.freezes().await
    }

    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.value(plugin, key).await
    }

    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store.values(plugin, prefix, limit).await
    }

    async fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        self.store.usage().await
    }
}

/// The kinds of some writes in short, those that follow one of their own left out: `open+enter:invocation+done+say`.
fn name(writes: &[Write]) -> String {
    let mut words: Vec<&str> =
        writes.iter().flat_map(|write| [word(write)].into_iter().chain(announced(write))).collect();
    words.dedup();
    if words.is_empty() { "nothing".to_owned() } else { words.join("+") }
}

/// What comes with what comes once.
fn announced(write: &Write) -> Option<&'static str> {
    matches!(write, Write::Once { words, .. } if !words.is_empty()).then_some("say")
}

fn word(write: &Write) -> &'static str {
    match write {
        Write::Receive(_) | Write::Once { .. } => "receive",
        Write::Done(_) => "done",
        Write::Mark(_) => "mark",
        Write::Say(_) => "say",
        Write::Sent { .. } => "sent",
        Write::Open(_) => "open",
        Write::Stand { .. } => "stand",
        Write::Take { .. } => "take",
        Write::Close { .. } => "close",
        Write::Keep { .. } => "keep",
        Write::Line(_) => "line",
        Write::Release(_) => "release",
        Write::Grant(_) => "grant",
        Write::Revoke(_) => "revoke",
        Write::Freeze(_) => "freeze",
        Write::Thaw(_) => "thaw",
        Write::Set { .. } => "set",
        Write::Delete { .. } => "delete",
        Write::Enter(entry) => match entry.kind {
            EntryKind::Invocation => "enter:invocation",
            EntryKind::Call => "enter:call",
            EntryKind::Intent => "enter:intent",
            EntryKind::Wait => "enter:wait",
            EntryKind::Result => "enter:result",
            EntryKind::Denied => "enter:denied",
            EntryKind::Event => "enter:event",
            EntryKind::End => "enter:end",
            EntryKind::Closed => "enter:closed",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_short_name() {
        let set = || Write::Set { plugin: "deploy".into(), key: "k".into(), value: Vec::new() };
        let delete = Write::Delete { plugin: "deploy".into(), key: "k".into() };
        assert_eq!(name(&[set(), set(), delete]), "set+delete");
        assert_eq!(name(&[]), "nothing");
    }
}
