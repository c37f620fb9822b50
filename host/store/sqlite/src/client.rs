//! The type [`SqliteStore`]: a store with one writing connection and a pool of reading connections.

use std::path::Path;

use async_trait::async_trait;
use sqlx::SqlitePool;
use wardroom::{
    Timestamp,
    store::{
        AuditRecord, CallCount, DeploymentLock, Entry, Freeze, Grant, HashedEntry, IdentityLink, InboxKey, InboxRow,
        JobPhase, JobQuery, JobRow, Link, OutboxRow, PendingRow, Release, ReleaseQuery, Removed, RoomCursor, Store,
        StoreError, Write,
    },
};

use crate::{
    MachineClaim, OpenError,
    convert::{Columns, store_error, time_column},
    integrity, machine_id, open,
    query::{self, all, job},
    writer::Writer,
};

/// A [`Store`] in one SQLite database file.
///
/// The store needs a tokio runtime. Call [`SqliteStore::close`] before the runtime stops. Otherwise, the changes that
/// were passed to [`Store::note`] shortly before may be lost.
#[derive(Debug)]
pub struct SqliteStore {
    /// The writer of the database; `None` for a read-only store.
    writer: Option<Writer>,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens a database for a host and migrates it to the schema of this build. Creates a missing folder with mode 0700
    /// and a missing file with mode 0600. Locks the folder until the store is closed or the process ends.
    ///
    /// # Errors
    /// - [`OpenError::InUse`] if another host uses the folder.
    /// - [`OpenError::OtherMachine`] if a host on another computer used the database.
    /// - [`OpenError::Newer`] if a newer build migrated the database.
    /// - [`OpenError::Folder`] and [`OpenError::Database`] for I/O and SQLite errors.
    /// - [`OpenError::Database`] also if somebody changed the schema, for example by a view or a trigger.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_as(path, &MachineClaim { machine: machine_id(), adopt: false }).await
    }

    /// Opens a database like [`SqliteStore::open`], but also takes over a database that a host on another computer
    /// used.
    ///
    /// # Errors
    /// The errors of [`SqliteStore::open`] except [`OpenError::OtherMachine`].
    pub async fn open_adopting(path: &Path) -> Result<Self, OpenError> {
        Self::open_as(path, &MachineClaim { machine: machine_id(), adopt: true }).await
    }

    /// Opens a database like [`SqliteStore::open`], but with the machine id of `claim` instead of the machine id of the
    /// operating system.
    ///
    /// # Errors
    /// The errors of [`SqliteStore::open`]. [`OpenError::OtherMachine`] is possible only if `claim` has a machine id
    /// and `adopt` of `claim` is false.
    pub async fn open_as(path: &Path, claim: &MachineClaim) -> Result<Self, OpenError> {
        let (connection, lock) = open::open_writer(path, claim).await?;
        Ok(Self { writer: Some(Writer::start(connection, lock)), readers: open::reader_pool(path) })
    }

    /// Opens a database for reading, even while a host uses the database. Every commit fails with
    /// [`StoreError::Failed`].
    ///
    /// # Errors
    /// - [`OpenError::Missing`] if the file does not exist.
    /// - [`OpenError::Newer`] or [`OpenError::Older`] if a build with another schema version last migrated the
    ///   database.
    /// - [`OpenError::Folder`] and [`OpenError::Database`] for I/O and SQLite errors.
    pub async fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        open::check_readable(path).await?;
        Ok(Self { writer: None, readers: open::reader_pool(path) })
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.writer.as_ref().ok_or_else(|| StoreError::Failed("the store is read-only".into()))
    }

    /// Waits until the writer has tried to store the changes from earlier [`Store::note`] calls. Does nothing in a
    /// read-only store.
    async fn flush(&self) -> Result<(), StoreError> {
        match &self.writer {
            Some(writer) => writer.flush().await,
            None => Ok(()),
        }
    }

    /// Returns the number of transactions that were committed since the store was opened. Commits that are requested at
    /// the same time share a transaction.
    pub fn transactions(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::transactions)
    }

    /// Stores the changes that were passed to [`Store::note`], closes the database and unlocks its folder. Reads and
    /// commits after this call fail.
    pub async fn close(&self) {
        // Close the reading connections first: the last open connection writes the write-ahead log back to the database
        // file, and a reading connection cannot write.
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        self.writer()?.commit(writes).await
    }

    fn note(&self, writes: Vec<Write>) {
        match &self.writer {
            Some(writer) => writer.note(writes),
            None => tracing::error!(
                "an audit record or journal entry is lost, because the database is open read-only; hint: report this bug with the host's log"
            ),
        }
    }

    async fn unhandled(&self) -> Result<Vec<InboxRow>, StoreError> {
        let rows = sqlx::query("select * from inbox where done = 0 order by seq");
        all(rows.fetch_all(&self.readers).await, query::message)
    }

    async fn messages(&self, after: u64, limit: u32) -> Result<Vec<(u64, InboxRow)>, StoreError> {
        let Some(first) = query::first_of_page(after) else { return Ok(Vec::new()) };
        let rows = sqlx::query("select * from inbox where seq >= ? order by seq limit ?").bind(first).bind(limit);
        all(rows.fetch_all(&self.readers).await, |row| Ok((row.row_number("seq")?, query::message(row)?)))
    }

    async fn is_handled(&self, key: &InboxKey) -> Result<Option<bool>, StoreError> {
        sqlx::query_scalar("select done from inbox where network = ? and room = ? and event = ?")
            .bind(&key.network)
            .bind(&key.room)
            .bind(&key.event)
            .fetch_optional(&self.readers)
            .await
            .map_err(store_error)
    }

    async fn cursor(&self, bot: &str, network: &str, room: &str) -> Result<Option<RoomCursor>, StoreError> {
        let row = sqlx::query("select event, at from mark where bot = ? and network = ? and room = ?")
            .bind(bot)
            .bind(network)
            .bind(room)
            .fetch_optional(&self.readers)
            .await
            .map_err(store_error)?;
        row.map(|row| {
            let (event, at) = (row.optional_text("event")?, row.time("at")?);
            Ok(RoomCursor { bot: bot.into(), network: network.into(), room: room.into(), event, at })
        })
        .transpose()
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        let rows = sqlx::query(
            "select key, bot, network, room, thread, purpose, text, version, event from outbox
             where sent < version and given_up = 0 order by seq",
        );
        all(rows.fetch_all(&self.readers).await, |row| {
            let pending = OutboxRow {
                key: row.text("key")?,
                bot: row.text("bot")?,
                network: row.text("network")?,
                room: row.text("room")?,
                thread: row.optional_text("thread")?,
                purpose: row.json("purpose")?,
                text: row.json("text")?,
            };
            Ok(PendingRow { row: pending, event: row.optional_text("event")?, version: row.number("version")? })
        })
    }

    async fn event_of_key(&self, key: &str) -> Result<Option<String>, StoreError> {
        let event = sqlx::query_scalar("select event from outbox where key = ?").bind(key);
        let event: Option<Option<String>> = event.fetch_optional(&self.readers).await.map_err(store_error)?;
        Ok(event.flatten())
    }

    async fn key_of_event(&self, network: &str, event: &str) -> Result<Option<String>, StoreError> {
        let key = sqlx::query_scalar("select key from outbox where network = ? and event = ?");
        key.bind(network).bind(event).fetch_optional(&self.readers).await.map_err(store_error)
    }

    async fn newest_deduplication_key(&self, prefix: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        // Every text with the prefix is before the prefix with the highest character.
        let row = sqlx::query(
            "select name, at from came where name >= ?1 and name < ?1 || char(1114111) order by at desc, name desc limit 1",
        );
        let row = row.bind(prefix).fetch_optional(&self.readers).await.map_err(store_error)?;
        row.map(|row| Ok((row.text("name")?, row.time("at")?))).transpose()
    }

    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        let row = sqlx::query("select * from job where id = ?").bind(id).fetch_optional(&self.readers).await;
        row.map_err(store_error)?.as_ref().map(job::read).transpose()
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
        let mut statement = job::select("select * from job", query)?;
        all(statement.build().fetch_all(&self.readers).await, job::read)
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let rows = sqlx::query(job::DUE).bind(time_column(now)).bind(limit);
        all(rows.fetch_all(&self.readers).await, job::read)
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query(job::NEXT_WAKE).fetch_one(&self.readers).await;
        row.map_err(store_error)?.optional_time("wake")
    }

    async fn open_jobs(&self) -> Result<Vec<(JobPhase, u64)>, StoreError> {
        let rows = sqlx::query(job::OPEN_JOBS).fetch_all(&self.readers).await;
        all(rows, |row| Ok((row.variant("phase")?, row.number("jobs")?)))
    }

    async fn locks(&self) -> Result<Vec<(DeploymentLock, String)>, StoreError> {
        let rows = sqlx::query("select app, environment, job from place order by app, environment");
        all(rows.fetch_all(&self.readers).await, |row| {
            Ok((DeploymentLock { app: row.text("app")?, environment: row.text("environment")? }, row.text("job")?))
        })
    }

    async fn entries(&self, job: &str) -> Result<Vec<HashedEntry>, StoreError> {
        self.flush().await?;
        let rows = sqlx::query(
            "select number, kind, plugin, call, ifnull(of, -1) as of, rule, attributes, body, beside, at, hash
             from entry where job = ? order by number",
        );
        all(rows.bind(job).fetch_all(&self.readers).await, |row| {
            let of: i64 = row.number("of")?;
            let entry = Entry {
                job: job.to_owned(),
                number: row.number("number")?,
                kind: row.variant("kind")?,
                plugin: row.text("plugin")?,
                call: row.text("call")?,
                of: u32::try_from(of).ok(),
                rule: row.text("rule")?,
                attributes: row.json("attributes")?,
                body: row.json("body")?,
                blob: row.optional_text("beside")?,
                at: row.time("at")?,
            };
            Ok(HashedEntry { entry, hash: row.text("hash")? })
        })
    }

    async fn journal_head(&self, job: &str) -> Result<Option<(u32, String)>, StoreError> {
        self.flush().await?;
        let row =
            sqlx::query("select entries, tip from job where id = ?").bind(job).fetch_optional(&self.readers).await;
        let row = row.map_err(store_error)?;
        row.map(|row| Ok((row.number("entries")?, row.text("tip")?))).transpose()
    }

    async fn newest_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query(
            "select max(at) as at from (select at from (select at from entry order by seq desc limit 1)
             union all select at from (select at from link where kind <> 'message' order by number desc limit 1))",
        );
        row.fetch_one(&self.readers).await.map_err(store_error)?.optional_time("at")
    }

    async fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = sqlx::query_scalar("select bytes from beside where digest = ?").bind(digest);
        bytes.fetch_optional(&self.readers).await.map_err(store_error)
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
        let Some(first) = query::first_of_page(after) else { return Ok(Vec::new()) };
        let rows = sqlx::query(
            "select number, kind, subject, digest, at, hash from link where number >= ? order by number limit ?",
        );
        all(rows.bind(first).bind(limit).fetch_all(&self.readers).await, |row| {
            Ok(Link {
                number: row.row_number("number")?,
                kind: row.variant("kind")?,
                subject: row.text("subject")?,
                digest: row.text("digest")?,
                at: row.time("at")?,
                hash: row.text("hash")?,
            })
        })
    }

    async fn audit_records(&self, link: u64) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query(
            "select network, room, event, caller_id, caller_name, plugin, command, at, calls, denials, refused
             from line where link = ? order by seq",
        );
        let rows = rows.bind(i64::try_from(link).unwrap_or(i64::MAX));
        all(rows.fetch_all(&self.readers).await, |row| {
            Ok(AuditRecord {
                inbox: row.inbox_key()?,
                caller: row.person("caller_id", "caller_name")?,
                plugin: row.optional_text("plugin")?,
                command: row.text("command")?,
                at: row.time("at")?,
                calls: row.json("calls")?,
                denials: row.json("denials")?,
                refused: row.flag("refused")?,
            })
        })
    }

    async fn database_fault(&self) -> Result<Option<String>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        integrity::fault(&mut connection).await
    }

    async fn stray_row(&self) -> Result<Option<String>, StoreError> {
        query::stray_row(&self.readers).await
    }

    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.writer()?.remove(before, loaded).await
    }

    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
        query::releases(&self.readers, query).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        let rows = sqlx::query("select * from granted order by seq");
        all(rows.fetch_all(&self.readers).await, query::grant)
    }

    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        let rows = sqlx::query("select * from freeze order by environment");
        all(rows.fetch_all(&self.readers).await, query::freeze)
    }

    async fn identity_links(&self) -> Result<Vec<IdentityLink>, StoreError> {
        let rows = sqlx::query("select * from identity_link order by person_id, provider, issuer, subject");
        all(rows.fetch_all(&self.readers).await, query::identity_link)
    }

    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = sqlx::query_scalar("select value from value where plugin = ? and key = ?");
        value.bind(plugin).bind(key).fetch_optional(&self.readers).await.map_err(store_error)
    }

    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        // A range uses the index; `like` would not, and would read `%` in a prefix as a wildcard.
        sqlx::query_as(
            "select key, value from value where plugin = ?1 and key >= ?2 and (?3 is null or key < ?3)
             order by key limit ?4",
        )
        .bind(plugin)
        .bind(prefix)
        .bind(query::prefix_end(prefix))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)
    }

    async fn values_size(&self, plugin: &str) -> Result<(u64, u64), StoreError> {
        let row = sqlx::query(
            "select count(*) as count, ifnull(sum(length(cast(key as blob)) + length(value)), 0) as bytes
             from value where plugin = ?",
        );
        let row = row.bind(plugin).fetch_one(&self.readers).await.map_err(store_error)?;
        Ok((row.number("count")?, row.number("bytes")?))
    }

    async fn usage(&self) -> Result<Vec<(String, CallCount)>, StoreError> {
        query::usage(&self.readers).await
    }
}
