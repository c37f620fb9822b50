//! Queries on the reading connections: inbox, outbox, cursors, releases, plugins' values and usage counts.

mod job;
mod journal;
mod rights;

pub(crate) use job::{due, job, jobs, locks, next_wake, open_jobs};
pub(crate) use journal::{audit_records, blob, entries, links, newest_time, tip};
pub(crate) use rights::{freezes, grants};

use sqlx::{QueryBuilder, Sqlite, SqlitePool, sqlite::SqliteRow};
use wardroom::{
    model::RunKey,
    store::{CallCount, InboxRow, OutboxRow, PendingRow, Release, ReleaseQuery, RoomCursor, StoreError, Usage},
};

use crate::convert::{Columns, enum_column, store_error};

/// Converts each row of a query's result with `read`.
fn all<T>(
    rows: Result<Vec<SqliteRow>, sqlx::Error>,
    read: impl Fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.map_err(|error| store_error(&error))?.iter().map(read).collect()
}

pub(crate) async fn unhandled(pool: &SqlitePool) -> Result<Vec<InboxRow>, StoreError> {
    let rows = sqlx::query(
        "select network, room, event, thread, sender_id, sender_name, text, at, direct, reaction, bot, unproven, started
         from inbox
         where done = 0 order by seq",
    );
    all(rows.fetch_all(pool).await, |row| {
        Ok(InboxRow {
            key: row.inbox_key()?,
            thread: row.optional_text("thread")?,
            sender: row.person("sender_id", "sender_name")?,
            text: row.text("text")?,
            at: row.time("at")?,
            direct: row.flag("direct")?,
            reaction: row.optional_json("reaction")?,
            bot: row.text("bot")?,
            unproven: row.optional_text("unproven")?,
            started: row.optional_json("started")?,
        })
    })
}

pub(crate) async fn key_of_event(pool: &SqlitePool, network: &str, event: &str) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar("select key from outbox where network = ? and event = ?")
        .bind(network)
        .bind(event)
        .fetch_optional(pool)
        .await
        .map_err(|error| store_error(&error))
}

pub(crate) async fn event_of_key(pool: &SqlitePool, key: &str) -> Result<Option<String>, StoreError> {
    let event: Option<Option<String>> = sqlx::query_scalar("select event from outbox where key = ?")
        .bind(key)
        .fetch_optional(pool)
        .await
        .map_err(|error| store_error(&error))?;
    Ok(event.flatten())
}

pub(crate) async fn cursor(
    pool: &SqlitePool,
    bot: &str,
    network: &str,
    room: &str,
) -> Result<Option<RoomCursor>, StoreError> {
    let row = sqlx::query("select event, at from mark where bot = ? and network = ? and room = ?")
        .bind(bot)
        .bind(network)
        .bind(room)
        .fetch_optional(pool)
        .await
        .map_err(|error| store_error(&error))?;
    row.map(|row| {
        let (event, at) = (row.optional_text("event")?, row.time("at")?);
        Ok(RoomCursor { bot: bot.into(), network: network.into(), room: room.into(), event, at })
    })
    .transpose()
}

pub(crate) async fn outbox(pool: &SqlitePool) -> Result<Vec<PendingRow>, StoreError> {
    let rows = sqlx::query(
        "select key, bot, network, room, thread, purpose, text, version, event from outbox
         where sent < version and given_up = 0 order by seq",
    );
    all(rows.fetch_all(pool).await, |row| {
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

pub(crate) async fn releases(pool: &SqlitePool, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
    let mut statement = QueryBuilder::<Sqlite>::new(
        "select * from (select *, row_number() over (partition by app, environment order by ended desc, seq desc) as place
         from release where 1",
    );
    if let Some(app) = &query.app {
        statement.push(" and app = ").push_bind(app);
    }
    if let Some(environment) = &query.environment {
        statement.push(" and environment = ").push_bind(environment);
    }
    if let Some(version) = &query.version {
        statement.push(" and version = ").push_bind(version);
    }
    if let Some(outcome) = &query.outcome {
        statement.push(" and outcome = ").push_bind(enum_column(outcome)?);
    }
    statement.push(")");
    if query.latest {
        statement.push(" where place = 1");
    }
    statement.push(" order by ended desc, seq desc");
    all(statement.build().fetch_all(pool).await, |row| {
        let run = row.text("run")?;
        Ok(Release {
            run: RunKey::parse(&run).ok_or_else(|| StoreError::Failed(format!("`{run}` is not a run key")))?,
            app: row.text("app")?,
            environment: row.text("environment")?,
            version: row.text("version")?,
            person: row.person("person_id", "person_name")?,
            job: row.text("job")?,
            started: row.time("started")?,
            ended: row.time("ended")?,
            outcome: row.variant("outcome")?,
            recorded: row.flag("recorded")?,
        })
    })
}

pub(crate) async fn value(pool: &SqlitePool, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    sqlx::query_scalar("select value from value where plugin = ? and key = ?")
        .bind(plugin)
        .bind(key)
        .fetch_optional(pool)
        .await
        .map_err(|error| store_error(&error))
}

pub(crate) async fn values(
    pool: &SqlitePool,
    plugin: &str,
    prefix: &str,
    limit: u32,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    // A range uses the index; `like` would not, and would read `%` in a prefix as a wildcard.
    sqlx::query_as(
        "select key, value from value where plugin = ?1 and key >= ?2 and (?3 is null or key < ?3) order by key limit ?4",
    )
    .bind(plugin)
    .bind(prefix)
    .bind(prefix_end(prefix))
    .bind(limit)
    .fetch_all(pool)
    .await
    .map_err(|error| store_error(&error))
}

/// Returns the smallest text that is greater than all texts with the prefix `prefix`, for example `ac` for `ab`.
/// Returns `None` if such a text does not exist, for example for an empty prefix. SQLite compares UTF-8 bytes, which
/// have the same order as the characters.
fn prefix_end(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The range skips the surrogates, which are not characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

pub(crate) async fn usage(pool: &SqlitePool) -> Result<Vec<Usage>, StoreError> {
    let rows = sqlx::query(
        "select plugin, call, sum(allowed) as allowed, sum(refused) as refused from (
             select plugin, call, count(*) filter (where kind <> 'denied') as allowed,
                    count(*) filter (where kind = 'denied') as refused
             from entry where kind in ('call', 'intent', 'wait', 'denied') group by plugin, call
             union all
             select plugin, value ->> 'call', value ->> 'allowed', value ->> 'refused'
             from line, json_each(line.calls) where plugin is not null
         ) group by plugin, call order by plugin, call",
    );
    all(rows.fetch_all(pool).await, |row| {
        let count =
            CallCount { call: row.text("call")?, allowed: row.number("allowed")?, refused: row.number("refused")? };
        Ok(Usage { plugin: row.text("plugin")?, count })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_the_next_text() {
        assert_eq!(prefix_end("ab").as_deref(), Some("ac"));
        assert_eq!(prefix_end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(prefix_end("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(prefix_end("\u{10ffff}"), None);
        assert_eq!(prefix_end(""), None);
    }
}
