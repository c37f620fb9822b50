//! A store that calls hooks around the methods of another store: for tests, measurements and injected faults.
//!
//! Invariant: the wrapper changes no argument, no result and no order. Only an error of a hook replaces a call.

use std::sync::Arc;

use async_trait::async_trait;
use wardroom::Timestamp;

use wardroom::store::{
    AuditRecord, CallCount, DeploymentLock, Freeze, Grant, HashedEntry, IdentityLink, InboxKey, InboxRow, JobPhase,
    JobQuery, JobRow, Link, PendingRow, Release, ReleaseQuery, Removed, RoomCursor, Store, StoreError, Write,
};

/// The hooks of a [`HookedStore`]. Each does nothing by default, except those that return a [`StoreHooks::Pending`].
#[async_trait]
pub trait StoreHooks: Send + Sync + 'static {
    /// The value that the hook before a list of writes passes to the hook after it, because the store consumes the
    /// list.
    type Pending: Send;

    /// Called before every method except [`Store::commit`] and [`Store::note`], with the method's name.
    ///
    /// # Errors
    /// The method returns this error, and the inner store is not called.
    async fn before_read(&self, _method: &'static str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Called before [`Store::commit`].
    ///
    /// # Errors
    /// `commit` returns this error, and the inner store is not called.
    async fn before_commit(&self, writes: &[Write]) -> Result<Self::Pending, StoreError>;

    /// Called after [`Store::commit`], even if it failed.
    async fn after_commit(&self, _pending: Self::Pending) {}

    /// Called before [`Store::note`].
    ///
    /// # Errors
    /// The writes are lost, as in a crash.
    fn before_note(&self, writes: &[Write]) -> Result<Self::Pending, StoreError>;

    /// Called after [`Store::note`].
    fn after_note(&self, _pending: Self::Pending) {}
}

/// A store that calls hooks around the methods of another store.
pub struct HookedStore<S: ?Sized, H> {
    store: Arc<S>,
    hooks: H,
}

impl<S: Store + ?Sized, H: StoreHooks> HookedStore<S, H> {
    /// Wraps a store.
    pub fn new(store: Arc<S>, hooks: H) -> Self {
        Self { store, hooks }
    }

    /// Returns the hooks.
    pub fn hooks(&self) -> &H {
        &self.hooks
    }
}

#[async_trait]
impl<S: Store + ?Sized, H: StoreHooks> Store for HookedStore<S, H> {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        let pending = self.hooks.before_commit(&writes).await?;
        let committed = self.store.commit(writes).await;
        self.hooks.after_commit(pending).await;
        committed
    }

    fn note(&self, writes: Vec<Write>) {
        if let Ok(pending) = self.hooks.before_note(&writes) {
            self.store.note(writes);
            self.hooks.after_note(pending);
        }
    }

    async fn unhandled(&self) -> Result<Vec<InboxRow>, StoreError> {
        self.hooks.before_read("unhandled").await?;
        self.store.unhandled().await
    }

    async fn messages(&self, after: u64, limit: u32) -> Result<Vec<(u64, InboxRow)>, StoreError> {
        self.hooks.before_read("messages").await?;
        self.store.messages(after, limit).await
    }

    async fn is_handled(&self, key: &InboxKey) -> Result<Option<bool>, StoreError> {
        self.hooks.before_read("is_handled").await?;
        self.store.is_handled(key).await
    }

    async fn cursor(&self, bot: &str, network: &str, room: &str) -> Result<Option<RoomCursor>, StoreError> {
        self.hooks.before_read("cursor").await?;
        self.store.cursor(bot, network, room).await
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        self.hooks.before_read("outbox").await?;
        self.store.outbox().await
    }

    async fn key_of_event(&self, network: &str, event: &str) -> Result<Option<String>, StoreError> {
        self.hooks.before_read("key_of_event").await?;
        self.store.key_of_event(network, event).await
    }

    async fn event_of_key(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.hooks.before_read("event_of_key").await?;
        self.store.event_of_key(key).await
    }

    async fn newest_deduplication_key(&self, prefix: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        self.hooks.before_read("newest_deduplication_key").await?;
        self.store.newest_deduplication_key(prefix).await
    }

    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        self.hooks.before_read("job").await?;
        self.store.job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
        self.hooks.before_read("jobs").await?;
        self.store.jobs(query).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        self.hooks.before_read("due").await?;
        self.store.due(now, limit).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.hooks.before_read("next_wake").await?;
        self.store.next_wake().await
    }

    async fn open_jobs(&self) -> Result<Vec<(JobPhase, u64)>, StoreError> {
        self.hooks.before_read("open_jobs").await?;
        self.store.open_jobs().await
    }

    async fn locks(&self) -> Result<Vec<(DeploymentLock, String)>, StoreError> {
        self.hooks.before_read("locks").await?;
        self.store.locks().await
    }

    async fn entries(&self, job: &str) -> Result<Vec<HashedEntry>, StoreError> {
        self.hooks.before_read("entries").await?;
        self.store.entries(job).await
    }

    async fn journal_head(&self, job: &str) -> Result<Option<(u32, String)>, StoreError> {
        self.hooks.before_read("journal_head").await?;
        self.store.journal_head(job).await
    }

    async fn newest_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.hooks.before_read("newest_time").await?;
        self.store.newest_time().await
    }

    async fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.hooks.before_read("blob").await?;
        self.store.blob(digest).await
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
        self.hooks.before_read("links").await?;
        self.store.links(after, limit).await
    }

    async fn audit_records(&self, link: u64) -> Result<Vec<AuditRecord>, StoreError> {
        self.hooks.before_read("audit_records").await?;
        self.store.audit_records(link).await
    }

    async fn database_fault(&self) -> Result<Option<String>, StoreError> {
        self.hooks.before_read("database_fault").await?;
        self.store.database_fault().await
    }

    async fn stray_row(&self) -> Result<Option<String>, StoreError> {
        self.hooks.before_read("stray_row").await?;
        self.store.stray_row().await
    }

    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.hooks.before_read("remove").await?;
        self.store.remove(before, loaded).await
    }

    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
        self.hooks.before_read("releases").await?;
        self.store.releases(query).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        self.hooks.before_read("grants").await?;
        self.store.grants().await
    }

    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        self.hooks.before_read("freezes").await?;
        self.store.freezes().await
    }

    async fn identity_links(&self) -> Result<Vec<IdentityLink>, StoreError> {
        self.hooks.before_read("identity_links").await?;
        self.store.identity_links().await
    }

    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.hooks.before_read("value").await?;
        self.store.value(plugin, key).await
    }

    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.hooks.before_read("values").await?;
        self.store.values(plugin, prefix, limit).await
    }

    async fn values_size(&self, plugin: &str) -> Result<(u64, u64), StoreError> {
        self.hooks.before_read("values_size").await?;
        self.store.values_size(plugin).await
    }

    async fn usage(&self) -> Result<Vec<(String, CallCount)>, StoreError> {
        self.hooks.before_read("usage").await?;
        self.store.usage().await
    }
}
