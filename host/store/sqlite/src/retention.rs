//! Removes what was over before a moment, some of it at a time; the links stay.
//!
//! A job that still has words to be sent is kept, and so are the message that caused a kept job and the words of one:
//! without them the message would be handled anew, and a card be sent twice.
//! Architecture Invariant: one call does little enough that the writer is not held up for long; `more` says that there
//! is more.
//! Not here: how long anything is kept (the engine says so).

use std::collections::HashMap;

use sqlx::SqliteConnection;
use wardroom::{
    Timestamp,
    port::{
        RunKey,
        store::{LinkKind, NAMES_LONGER, Removed, StoreError},
    },
};

use crate::{
    chain::{Chain, Draft},
    convert::{Columns, json, store, time},
};

/// How many jobs are removed at once, at most.
const JOBS: usize = 500;
/// How many entries they may have together; one job is removed whatever it has.
const ENTRIES: i64 = 20_000;
/// How many rows of each other kind are removed at once, at most (the statements say it too); of lines so many groups.
const ROWS: u64 = 5000;

/// Removes some.
pub(crate) async fn some(
    connection: &mut SqliteConnection,
    chain: &Chain,
    draft: &mut Draft<'_>,
    before: Timestamp,
    loaded: &[String],
) -> Result<Removed, StoreError> {
    let mut removed = Removed::default();
    jobs(connection, before, &mut removed).await?;
    rows(connection, before, &mut removed).await?;
    if !removed.jobs.is_empty() || removed.rows > 0 {
        draft.link(connection, chain, LinkKind::Removal, &before.to_string(), "", Timestamp::now()).await?;
    }
    if !removed.more {
        removed.more = beside(connection, loaded).await? == ROWS;
    }
    Ok(removed)
}

async fn jobs(connection: &mut SqliteConnection, before: Timestamp, removed: &mut Removed) -> Result<(), StoreError> {
    let over: Vec<(String, i64)> = sqlx::query_as(
        "select id, entries from job where ended < ? and not exists (
             select 1 from outbox
             where key >= job.id || '/' and key < job.id || '0' and sent < version and given_up = 0
         ) order by ended, seq limit ?",
    )
    .bind(time(before))
    .bind(i64::try_from(JOBS + 1).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await
    .map_err(|error| store(&error))?;
    let found = over.len();
    let mut entries = 0;
    let fits = |(at, (_, more)): &(usize, (String, i64))| {
        entries += more;
        *at < JOBS && (*at == 0 || entries <= ENTRIES)
    };
    let ids: Vec<String> = over.into_iter().enumerate().take_while(fits).map(|(_, (id, _))| id).collect();
    removed.more = ids.len() < found;
    if ids.is_empty() {
        return Ok(());
    }
    let list = json(&ids)?;
    let mut runs = runs(connection, &list).await?;
    delete(connection, "delete from entry where job in (select value from json_each(?))", &list).await?;
    // What was said for a job goes with it.
    removed.rows += delete(
        connection,
        "delete from outbox where seq in (
             select outbox.seq from json_each(?) as gone cross join outbox
             on outbox.key >= gone.value || '/' and outbox.key < gone.value || '0')",
        &list,
    )
    .await?;
    delete(connection, "delete from job where id in (select value from json_each(?))", &list).await?;
    for id in ids {
        let runs = runs.remove(&id).unwrap_or_default();
        removed.jobs.push((id, runs));
    }
    Ok(())
}

/// The runs that jobs may have started, with their pipelines, by job.
async fn runs(
    connection: &mut SqliteConnection,
    jobs: &str,
) -> Result<HashMap<String, Vec<(RunKey, String)>>, StoreError> {
    let rows = sqlx::query(
        "select job, number, attributes ->> '$.pipeline[0]' as pipeline from entry
         where job in (select value from json_each(?)) and kind = 'intent' and call = 'pipelines.trigger'
         and pipeline is not null order by job, number",
    )
    .bind(jobs)
    .fetch_all(connection)
    .await
    .map_err(|error| store(&error))?;
    let mut runs: HashMap<String, Vec<_>> = HashMap::new();
    for row in rows {
        let job = row.text("job")?;
        let key = RunKey::new(&job, row.number("number")?);
        runs.entry(job).or_default().push((key, row.text("pipeline")?));
    }
    Ok(runs)
}

async fn rows(connection: &mut SqliteConnection, before: Timestamp, removed: &mut Removed) -> Result<(), StoreError> {
    let moment = time(before);
    for statement in [
        "delete from inbox where seq in (
             select seq from inbox where done = 1 and at < ? and not exists (
                 select 1 from job
                 where job.network = inbox.network and job.room = inbox.room and job.event = inbox.event
             ) limit 5000)",
        "delete from outbox where seq in (
             select seq from outbox where at < ? and (sent >= version or given_up = 1) and not exists (
                 select 1 from job where job.id = substr(outbox.key, 1, instr(outbox.key, '/') - 1)
             ) limit 5000)",
    ] {
        let rows = delete(connection, statement, &moment).await?;
        removed.more |= rows >= ROWS;
        removed.rows += rows;
    }
    if let Ok(before) = before.checked_sub(NAMES_LONGER) {
        let statement = "delete from came where name in (select name from came where at < ? limit 5000)";
        let rows = delete(connection, statement, &time(before)).await?;
        removed.more |= rows >= ROWS;
        removed.rows += rows;
    }
    // A group goes as a whole: its link stands for all of its lines.
    let groups: Vec<i64> = sqlx::query_scalar(
        "select line.link from line join link on link.number = line.link
         where line.at < ?1 and link.at < ?1 group by line.link limit ?2",
    )
    .bind(&moment)
    .bind(i64::try_from(ROWS).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await
    .map_err(|error| store(&error))?;
    removed.more |= groups.len() as u64 >= ROWS;
    let list = json(&groups)?;
    removed.rows +=
        delete(connection, "delete from line where link in (select value from json_each(?))", &list).await?;
    Ok(())
}

/// Removes what nothing refers to any more.
async fn beside(connection: &mut SqliteConnection, loaded: &[String]) -> Result<u64, StoreError> {
    delete(
        connection,
        "delete from beside where seq in (
             select seq from beside where digest not in (select value from json_each(?))
             and not exists (select 1 from entry where entry.beside = beside.digest)
             and not exists (select 1 from job where job.digest = beside.digest) limit 5000)",
        &json(&loaded)?,
    )
    .await
}

/// Runs a statement with one value, and says how many rows it took away.
async fn delete(connection: &mut SqliteConnection, statement: &'static str, value: &str) -> Result<u64, StoreError> {
    let done = sqlx::query(statement).bind(value).execute(connection).await.map_err(|error| store(&error))?;
    Ok(done.rows_affected())
}
