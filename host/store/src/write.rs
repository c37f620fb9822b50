//! One [`Write`] as statements, inside a transaction that somebody else holds.
//!
//! Not here: which writes share a transaction (`group`).

use sqlx::{SqliteConnection, error::ErrorKind, sqlite::SqliteQueryResult};
use wardroom::port::store::{
    Entry, InboxKey, InboxRow, JobEnd, JobRow, Line, Mark, OutboxRow, Purpose, Release, StoreError, Write,
};

use crate::convert::{json, store, time, word};

/// Makes one change. The key of a message that was new is added to `new`.
pub(crate) async fn make(
    connection: &mut SqliteConnection,
    write: &Write,
    new: &mut Vec<InboxKey>,
) -> Result<(), StoreError> {
    match write {
        Write::Receive(row) => receive(connection, row, new).await,
        Write::Done(key) => done(connection, key).await,
        Write::Mark(row) => mark(connection, row).await,
        Write::Say(row) => say(connection, row).await,
        Write::Sent { key, version, event } => sent(connection, key, *version, event.as_deref()).await,
        Write::Open(row) => open(connection, row).await,
        Write::Close { job, end } => close(connection, job, end).await,
        Write::Enter(row) => enter(connection, row).await,
        Write::Line(row) => line(connection, row).await,
        Write::Release(row) => release(connection, row).await,
        Write::Set { plugin, key, value } => set(connection, plugin, key, value).await,
        Write::Delete { plugin, key } => delete(connection, plugin, key).await,
    }
}

type Done = Result<SqliteQueryResult, sqlx::Error>;

fn plain(done: Done) -> Result<(), StoreError> {
    done.map(drop).map_err(|error| store(&error))
}

async fn receive(connection: &mut SqliteConnection, row: &InboxRow, new: &mut Vec<InboxKey>) -> Result<(), StoreError> {
    let done = sqlx::query(
        "insert into inbox (network, room, event, thread, sender_id, sender_name, text, at)
         values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (network, room, event) do nothing",
    )
    .bind(&row.key.network)
    .bind(&row.key.room)
    .bind(&row.key.event)
    .bind(&row.thread)
    .bind(&row.sender.id)
    .bind(&row.sender.name)
    .bind(&row.text)
    .bind(time(row.at))
    .execute(connection)
    .await
    .map_err(|error| store(&error))?;
    if done.rows_affected() > 0 {
        new.push(row.key.clone());
    }
    Ok(())
}

async fn done(connection: &mut SqliteConnection, key: &InboxKey) -> Result<(), StoreError> {
    let done = sqlx::query("update inbox set done = 1 where network = ? and room = ? and event = ?")
        .bind(&key.network)
        .bind(&key.room)
        .bind(&key.event)
        .execute(connection)
        .await;
    plain(done)
}

async fn mark(connection: &mut SqliteConnection, mark: &Mark) -> Result<(), StoreError> {
    let done = sqlx::query(
        "insert into mark (network, room, event, at) values (?, ?, ?, ?)
         on conflict (network, room) do update set event = excluded.event, at = excluded.at where excluded.at >= at",
    )
    .bind(&mark.network)
    .bind(&mark.room)
    .bind(&mark.event)
    .bind(time(mark.at))
    .execute(connection)
    .await;
    plain(done)
}

async fn say(connection: &mut SqliteConnection, row: &OutboxRow) -> Result<(), StoreError> {
    // The place of a card stays: what was sent cannot be moved to another room or thread.
    let done = sqlx::query(
        "insert into outbox (key, network, room, thread, card, purpose, text) values (?, ?, ?, ?, ?, ?, ?)
         on conflict (key) do update set purpose = excluded.purpose, text = excluded.text, version = version + 1
         where card = 1 and excluded.card = 1",
    )
    .bind(&row.key)
    .bind(&row.network)
    .bind(&row.room)
    .bind(&row.thread)
    .bind(matches!(row.purpose, Purpose::Card { .. }))
    .bind(json(&row.purpose)?)
    .bind(json(&row.text)?)
    .execute(connection)
    .await;
    plain(done)
}

async fn sent(
    connection: &mut SqliteConnection,
    key: &str,
    version: u64,
    event: Option<&str>,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "update outbox set sent = max(sent, min(?1, version)), event = coalesce(event, ?2),
         given_up = max(given_up, ?2 is null) where key = ?3",
    )
    .bind(i64::try_from(version).unwrap_or(i64::MAX))
    .bind(event)
    .bind(key)
    .execute(connection)
    .await;
    plain(done)
}

async fn open(connection: &mut SqliteConnection, job: &JobRow) -> Result<(), StoreError> {
    let end = job.end.as_ref();
    let done = sqlx::query(
        "insert into job (id, network, room, event, thread, bot, caller_id, caller_name, plugin, digest, command,
         line, opened, outcome, ended, summary) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&job.id)
    .bind(&job.inbox.network)
    .bind(&job.inbox.room)
    .bind(&job.inbox.event)
    .bind(&job.thread)
    .bind(&job.bot)
    .bind(&job.caller.id)
    .bind(&job.caller.name)
    .bind(&job.plugin)
    .bind(&job.digest)
    .bind(&job.command)
    .bind(&job.line)
    .bind(time(job.opened))
    .bind(end.map(|end| word(&end.outcome)).transpose()?)
    .bind(end.map(|end| time(end.at)))
    .bind(end.map(|end| &end.summary))
    .execute(connection)
    .await;
    match kind(&done) {
        Some(ErrorKind::UniqueViolation) => Err(StoreError::Failed(format!("job `{}` was opened before", job.id))),
        _ => plain(done),
    }
}

async fn close(connection: &mut SqliteConnection, job: &str, end: &JobEnd) -> Result<(), StoreError> {
    let done = sqlx::query("update job set outcome = ?, ended = ?, summary = ? where id = ? and ended is null")
        .bind(word(&end.outcome)?)
        .bind(time(end.at))
        .bind(&end.summary)
        .bind(job)
        .execute(connection)
        .await
        .map_err(|error| store(&error))?;
    if done.rows_affected() == 0 {
        return Err(StoreError::Failed(format!("job `{job}` is not open")));
    }
    Ok(())
}

async fn enter(connection: &mut SqliteConnection, entry: &Entry) -> Result<(), StoreError> {
    let done = sqlx::query(
        "insert into entry (job, number, kind, plugin, call, of, rule, attributes, body, at)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&entry.job)
    .bind(entry.number)
    .bind(word(&entry.kind)?)
    .bind(&entry.plugin)
    .bind(&entry.call)
    .bind(entry.of)
    .bind(&entry.rule)
    .bind(json(&entry.attributes)?)
    .bind(json(&entry.body)?)
    .bind(time(entry.at))
    .execute(connection)
    .await;
    let (job, number) = (&entry.job, entry.number);
    match kind(&done) {
        Some(ErrorKind::UniqueViolation) => {
            Err(StoreError::Failed(format!("entry {number} of job `{job}` was written before")))
        }
        Some(ErrorKind::ForeignKeyViolation) => Err(StoreError::Failed(format!("there is no job `{job}`"))),
        _ => plain(done),
    }
}

fn kind(done: &Done) -> Option<ErrorKind> {
    Some(done.as_ref().err()?.as_database_error()?.kind())
}

async fn line(connection: &mut SqliteConnection, line: &Line) -> Result<(), StoreError> {
    let done = sqlx::query(
        "insert into line (network, room, event, caller_id, caller_name, plugin, command, at, calls, denials)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&line.inbox.network)
    .bind(&line.inbox.room)
    .bind(&line.inbox.event)
    .bind(&line.caller.id)
    .bind(&line.caller.name)
    .bind(&line.plugin)
    .bind(&line.command)
    .bind(time(line.at))
    .bind(json(&line.calls)?)
    .bind(json(&line.denials)?)
    .execute(connection)
    .await;
    plain(done)
}

async fn release(connection: &mut SqliteConnection, release: &Release) -> Result<(), StoreError> {
    let done = sqlx::query(
        "insert into release (run, app, environment, version, person_id, person_name, job, started, ended, outcome)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (run) do nothing",
    )
    .bind(release.run.as_str())
    .bind(&release.app)
    .bind(&release.environment)
    .bind(&release.version)
    .bind(&release.person.id)
    .bind(&release.person.name)
    .bind(&release.job)
    .bind(time(release.started))
    .bind(time(release.ended))
    .bind(word(&release.outcome)?)
    .execute(connection)
    .await;
    plain(done)
}

async fn set(connection: &mut SqliteConnection, plugin: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
    let done = sqlx::query(
        "insert into value (plugin, key, value) values (?, ?, ?)
         on conflict (plugin, key) do update set value = excluded.value",
    )
    .bind(plugin)
    .bind(key)
    .bind(value)
    .execute(connection)
    .await;
    plain(done)
}

async fn delete(connection: &mut SqliteConnection, plugin: &str, key: &str) -> Result<(), StoreError> {
    let done =
        sqlx::query("delete from value where plugin = ? and key = ?").bind(plugin).bind(key).execute(connection).await;
    plain(done)
}
