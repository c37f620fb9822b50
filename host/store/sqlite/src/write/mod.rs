//! Executes one [`Write`], which is one change of the store, inside a [`Transaction`].
//!
//! Not here: the choice of the writes that share a transaction (`writer/task.rs`), and the links of the hash chain
//! (`chain.rs`).

mod job;
mod rights;

use std::time::Duration;

use wardroom::{
    Timestamp,
    store::{
        AuditRecord, InboxKey, InboxRow, Link, LinkKind, OutboxKind, OutboxRow, Release, RoomCursor, StoreError, Write,
    },
};

use crate::{
    convert::{enum_column, json_column, time_column},
    transaction::Transaction,
};

impl<'w> Transaction<'_, 'w> {
    /// Makes the change that `write` describes. If the change stores a message that the inbox did not have before, adds
    /// the message's inbox key to `new`.
    pub(crate) async fn write(&mut self, write: &'w Write, new: &mut Vec<InboxKey>) -> Result<(), StoreError> {
        match write {
            Write::Receive(row) => self.receive(row, new).await,
            Write::ReceiveOnce { key, received, window, row, announcements } => {
                if self.is_new(key, *received, *window).await? {
                    self.receive(row, new).await?;
                    for row in announcements {
                        self.enqueue(row).await?;
                    }
                }
                Ok(())
            }
            Write::Handled(key) => self.mark_done(key).await,
            Write::SetCursor(row) => self.set_cursor(row).await,
            Write::Send(row) => self.enqueue(row).await,
            Write::Sent { key, version, event } => self.mark_sent(key, *version, event.as_deref()).await,
            Write::Open(row) => self.open_job(row).await,
            Write::JobStatus { job, status } => self.set_status(job, status).await,
            Write::Lock { lock, job } => self.take_lock(lock, job).await,
            Write::Unlock { lock, job } => self.release_lock(lock, job).await,
            Write::Close { job, end } => self.close_job(job, end).await,
            Write::Append(row) => self.append(row).await,
            Write::StoreBlob { digest, bytes } => self.store_blob(digest, bytes).await,
            Write::AuditRecord(row) if row.refused => self.write_audit_records(LinkKind::Refusal, &[row]).await,
            Write::AuditRecord(row) => {
                self.audit_records.push(row);
                Ok(())
            }
            Write::Release(row) => self.insert_release(row).await,
            Write::Grant(row) => self.grant(row).await,
            Write::Revoke(id) => self.revoke(id).await,
            Write::Freeze(row) => self.freeze(row).await,
            Write::Unfreeze(environment) => self.unfreeze(environment).await,
            Write::LinkIdentity(row) => self.link_identity(row).await,
            Write::SetValue { plugin, key, value } => self.set_value(plugin, key, value).await,
            Write::DeleteValue { plugin, key } => self.delete_value(plugin, key).await,
        }
    }

    async fn receive(&mut self, row: &InboxRow, new: &mut Vec<InboxKey>) -> Result<(), StoreError> {
        let query = sqlx::query(
            "insert into inbox (network, room, event, thread, sender_id, sender_name, text, at, direct, reaction, bot,
             unproven, started) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             on conflict (network, room, event) do nothing",
        )
        .bind(&row.key.network)
        .bind(&row.key.room)
        .bind(&row.key.event)
        .bind(&row.thread)
        .bind(&row.sender.id)
        .bind(&row.sender.name)
        .bind(&row.text)
        .bind(time_column(row.at))
        .bind(row.direct)
        .bind(row.reaction.as_ref().map(json_column).transpose()?)
        .bind(&row.bot)
        .bind(&row.unproven)
        .bind(row.started.as_ref().map(json_column).transpose()?);
        if self.execute(query).await? > 0 {
            new.push(row.key.clone());
            self.write_link(LinkKind::Message, &row.key.subject(), &Link::row_digest(row), row.at).await?;
        }
        Ok(())
    }

    /// Stores a deduplication key. Returns false if the key was already stored, unless that was at least `window` ago.
    async fn is_new(&mut self, key: &str, received: Timestamp, window: Option<Duration>) -> Result<bool, StoreError> {
        // An empty text is before every time.
        let limit = window.and_then(|window| received.checked_sub(window).ok()).map(time_column).unwrap_or_default();
        let query = sqlx::query(
            "insert into came (name, at) values (?, ?)
             on conflict (name) do update set at = excluded.at where came.at <= ?",
        )
        .bind(key)
        .bind(time_column(received))
        .bind(limit);
        Ok(self.execute(query).await? > 0)
    }

    async fn mark_done(&mut self, key: &InboxKey) -> Result<(), StoreError> {
        let query = sqlx::query("update inbox set done = 1 where network = ? and room = ? and event = ?")
            .bind(&key.network)
            .bind(&key.room)
            .bind(&key.event);
        self.execute(query).await.map(drop)
    }

    async fn set_cursor(&mut self, cursor: &RoomCursor) -> Result<(), StoreError> {
        let query = sqlx::query(
            "insert into mark (bot, network, room, event, at) values (?, ?, ?, ?, ?)
             on conflict (bot, network, room) do update set event = excluded.event, at = excluded.at
             where excluded.at >= at",
        )
        .bind(&cursor.bot)
        .bind(&cursor.network)
        .bind(&cursor.room)
        .bind(&cursor.event)
        .bind(time_column(cursor.at));
        self.execute(query).await.map(drop)
    }

    async fn enqueue(&mut self, row: &OutboxRow) -> Result<(), StoreError> {
        // A new text of a status card does not change the card's room and thread, because a sent message cannot move.
        let query = sqlx::query(
            "insert into outbox (key, network, room, thread, card, purpose, text, at, bot)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             on conflict (key) do update set purpose = excluded.purpose, text = excluded.text, version = version + 1,
             given_up = given_up and not ?10
             where card = 1 and excluded.card = 1",
        )
        .bind(&row.key)
        .bind(&row.network)
        .bind(&row.room)
        .bind(&row.thread)
        .bind(row.purpose.is_card())
        .bind(json_column(&row.purpose)?)
        .bind(json_column(&row.text)?)
        .bind(time_column(Timestamp::now()))
        .bind(&row.bot)
        // The network can refuse a card and accept the closing message in its place.
        .bind(row.purpose == OutboxKind::Closing);
        self.execute(query).await.map(drop)
    }

    async fn mark_sent(&mut self, key: &str, version: u64, event: Option<&str>) -> Result<(), StoreError> {
        let query = sqlx::query(
            "update outbox set sent = max(sent, min(?1, version)), event = coalesce(event, ?2),
             given_up = max(given_up, ?2 is null and ?1 >= version) where key = ?3",
        )
        .bind(i64::try_from(version).unwrap_or(i64::MAX))
        .bind(event)
        .bind(key);
        self.execute(query).await.map(drop)
    }

    async fn store_blob(&mut self, digest: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let query = sqlx::query("insert into beside (digest, bytes) values (?, ?) on conflict (digest) do nothing")
            .bind(digest)
            .bind(bytes);
        self.execute(query).await.map(drop)
    }

    /// Inserts the audit record of a query command (a command that only reads) or of a refused command. `link` is the
    /// number of the record's link in the hash chain.
    pub(crate) async fn insert_audit_record(&mut self, record: &AuditRecord, link: u64) -> Result<(), StoreError> {
        let query = sqlx::query(
            "insert into line (link, network, room, event, caller_id, caller_name, plugin, command, at, calls, denials,
             refused) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(i64::try_from(link).unwrap_or(i64::MAX))
        .bind(&record.inbox.network)
        .bind(&record.inbox.room)
        .bind(&record.inbox.event)
        .bind(&record.caller.id)
        .bind(&record.caller.name)
        .bind(&record.plugin)
        .bind(&record.command)
        .bind(time_column(record.at))
        .bind(json_column(&record.calls)?)
        .bind(json_column(&record.denials)?)
        .bind(record.refused);
        self.execute(query).await.map(drop)
    }

    async fn insert_release(&mut self, release: &Release) -> Result<(), StoreError> {
        let query = sqlx::query(
            "insert into release (run, app, environment, version, person_id, person_name, job, started, ended, outcome,
             recorded) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (run) do nothing",
        )
        .bind(release.run.as_str())
        .bind(&release.app)
        .bind(&release.environment)
        .bind(&release.version)
        .bind(&release.person.id)
        .bind(&release.person.name)
        .bind(&release.job)
        .bind(time_column(release.started))
        .bind(time_column(release.ended))
        .bind(enum_column(&release.outcome)?)
        .bind(release.recorded);
        if self.execute(query).await? > 0 {
            let (run, digest) = (release.run.as_str(), Link::row_digest(release));
            self.write_link(LinkKind::Release, run, &digest, release.ended).await?;
        }
        Ok(())
    }

    async fn set_value(&mut self, plugin: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let query = sqlx::query(
            "insert into value (plugin, key, value) values (?, ?, ?)
             on conflict (plugin, key) do update set value = excluded.value",
        )
        .bind(plugin)
        .bind(key)
        .bind(value);
        self.execute(query).await.map(drop)
    }

    async fn delete_value(&mut self, plugin: &str, key: &str) -> Result<(), StoreError> {
        let query = sqlx::query("delete from value where plugin = ? and key = ?").bind(plugin).bind(key);
        self.execute(query).await.map(drop)
    }
}
