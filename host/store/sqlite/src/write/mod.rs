//! Executes one [`Write`] inside the transaction of the caller.
//!
//! Not here: the choice of the writes that share a transaction (`writer/task.rs`), and the links of the hash chain
//! (`chain.rs`).

mod job;
mod rights;

use sqlx::{SqliteConnection, sqlite::SqliteQueryResult};
use wardroom::{
    Timestamp,
    store::{AuditRecord, InboxKey, InboxRow, LinkKind, OutboxKind, OutboxRow, Release, RoomCursor, StoreError, Write},
};

use crate::{
    chain::{ChainCache, ChainDraft},
    convert::{enum_column, json_column, store_error, time_column},
};

/// Executes one write. If the write stores a message that the inbox did not have before, adds the message's inbox key
/// to `new`.
pub(crate) async fn execute<'w>(
    connection: &mut SqliteConnection,
    chain: &ChainCache,
    draft: &mut ChainDraft<'w>,
    write: &'w Write,
    new: &mut Vec<InboxKey>,
) -> Result<(), StoreError> {
    match write {
        Write::Receive(row) => receive(connection, row, new).await,
        Write::ReceiveOnce { key, received, row, announcements } => {
            if is_new(connection, key, *received).await? {
                receive(&mut *connection, row, new).await?;
                for row in announcements {
                    enqueue(&mut *connection, row).await?;
                }
            }
            Ok(())
        }
        Write::Handled(key) => mark_done(connection, key).await,
        Write::SetCursor(row) => set_cursor(connection, row).await,
        Write::Send(row) => enqueue(connection, row).await,
        Write::Sent { key, version, event } => mark_sent(connection, key, *version, event.as_deref()).await,
        Write::Open(row) => job::open(connection, chain, draft, row).await,
        Write::JobStatus { job, status } => job::set_status(connection, chain, draft, job, status).await,
        Write::Lock { lock, job } => job::take_lock(connection, chain, draft, lock, job).await,
        Write::Close { job, end } => job::close(connection, chain, draft, job, end).await,
        Write::Append(row) => job::append(connection, chain, draft, row).await,
        Write::StoreBlob { digest, bytes } => store_blob(connection, digest, bytes).await,
        Write::AuditRecord(row) if row.refused => {
            draft.write_audit_records(connection, chain, LinkKind::Refusal, &[row]).await
        }
        Write::AuditRecord(row) => {
            draft.add_audit_record(row);
            Ok(())
        }
        Write::Release(row) => insert_release(connection, row).await,
        Write::Grant(row) => rights::grant(connection, row).await,
        Write::Revoke(id) => rights::revoke(connection, id).await,
        Write::Freeze(row) => rights::freeze(connection, row).await,
        Write::Unfreeze(environment) => rights::unfreeze(connection, environment).await,
        Write::SetValue { plugin, key, value } => set_value(connection, plugin, key, value).await,
        Write::DeleteValue { plugin, key } => delete_value(connection, plugin, key).await,
    }
}

/// Drops the result of an SQL statement, and converts its error to a [`StoreError`].
fn done(result: Result<SqliteQueryResult, sqlx::Error>) -> Result<(), StoreError> {
    result.map(drop).map_err(|error| store_error(&error))
}

async fn receive(connection: &mut SqliteConnection, row: &InboxRow, new: &mut Vec<InboxKey>) -> Result<(), StoreError> {
    let result = sqlx::query(
        "insert into inbox (network, room, event, thread, sender_id, sender_name, text, at, direct, reaction, bot,
         unproven, started) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (network, room, event) do nothing",
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
    .bind(row.started.as_ref().map(json_column).transpose()?)
    .execute(connection)
    .await
    .map_err(|error| store_error(&error))?;
    if result.rows_affected() > 0 {
        new.push(row.key.clone());
    }
    Ok(())
}

/// Stores a deduplication key. Returns false if the key was already stored.
async fn is_new(connection: &mut SqliteConnection, key: &str, received: Timestamp) -> Result<bool, StoreError> {
    let result = sqlx::query("insert into came (name, at) values (?, ?) on conflict (name) do nothing")
        .bind(key)
        .bind(time_column(received))
        .execute(connection)
        .await
        .map_err(|error| store_error(&error))?;
    Ok(result.rows_affected() > 0)
}

async fn mark_done(connection: &mut SqliteConnection, key: &InboxKey) -> Result<(), StoreError> {
    let result = sqlx::query("update inbox set done = 1 where network = ? and room = ? and event = ?")
        .bind(&key.network)
        .bind(&key.room)
        .bind(&key.event)
        .execute(connection)
        .await;
    done(result)
}

async fn set_cursor(connection: &mut SqliteConnection, cursor: &RoomCursor) -> Result<(), StoreError> {
    let result = sqlx::query(
        "insert into mark (bot, network, room, event, at) values (?, ?, ?, ?, ?)
         on conflict (bot, network, room) do update set event = excluded.event, at = excluded.at where excluded.at >= at",
    )
    .bind(&cursor.bot)
    .bind(&cursor.network)
    .bind(&cursor.room)
    .bind(&cursor.event)
    .bind(time_column(cursor.at))
    .execute(connection)
    .await;
    done(result)
}

async fn enqueue(connection: &mut SqliteConnection, row: &OutboxRow) -> Result<(), StoreError> {
    // A new text of a status card does not change the card's room and thread, because a sent message cannot move.
    let result = sqlx::query(
        "insert into outbox (key, network, room, thread, card, purpose, text, at, bot) values (?, ?, ?, ?, ?, ?, ?, ?, ?)
         on conflict (key) do update set purpose = excluded.purpose, text = excluded.text, version = version + 1
         where card = 1 and excluded.card = 1",
    )
    .bind(&row.key)
    .bind(&row.network)
    .bind(&row.room)
    .bind(&row.thread)
    .bind(matches!(row.purpose, OutboxKind::Card { .. }))
    .bind(json_column(&row.purpose)?)
    .bind(json_column(&row.text)?)
    .bind(time_column(Timestamp::now()))
    .bind(&row.bot)
    .execute(connection)
    .await;
    done(result)
}

async fn mark_sent(
    connection: &mut SqliteConnection,
    key: &str,
    version: u64,
    event: Option<&str>,
) -> Result<(), StoreError> {
    let result = sqlx::query(
        "update outbox set sent = max(sent, min(?1, version)), event = coalesce(event, ?2),
         given_up = max(given_up, ?2 is null) where key = ?3",
    )
    .bind(i64::try_from(version).unwrap_or(i64::MAX))
    .bind(event)
    .bind(key)
    .execute(connection)
    .await;
    done(result)
}

async fn store_blob(connection: &mut SqliteConnection, digest: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let result = sqlx::query("insert into beside (digest, bytes) values (?, ?) on conflict (digest) do nothing")
        .bind(digest)
        .bind(bytes)
        .execute(connection)
        .await;
    done(result)
}

/// Inserts the audit record of a query or a refused command. `link` is the number of the record's link in the hash
/// chain.
pub(crate) async fn insert_audit_record(
    connection: &mut SqliteConnection,
    record: &AuditRecord,
    link: u64,
) -> Result<(), StoreError> {
    let result = sqlx::query(
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
    .bind(record.refused)
    .execute(connection)
    .await;
    done(result)
}

async fn insert_release(connection: &mut SqliteConnection, release: &Release) -> Result<(), StoreError> {
    let result = sqlx::query(
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
    .bind(release.recorded)
    .execute(connection)
    .await;
    done(result)
}

async fn set_value(connection: &mut SqliteConnection, plugin: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
    let result = sqlx::query(
        "insert into value (plugin, key, value) values (?, ?, ?)
         on conflict (plugin, key) do update set value = excluded.value",
    )
    .bind(plugin)
    .bind(key)
    .bind(value)
    .execute(connection)
    .await;
    done(result)
}

async fn delete_value(connection: &mut SqliteConnection, plugin: &str, key: &str) -> Result<(), StoreError> {
    let result =
        sqlx::query("delete from value where plugin = ? and key = ?").bind(plugin).bind(key).execute(connection).await;
    done(result)
}
