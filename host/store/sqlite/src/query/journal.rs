//! Queries for journal entries, links of the hash chain, audit records and blobs.

use sqlx::SqlitePool;
use wardroom::{
    Timestamp,
    store::{AuditRecord, Entry, HashedEntry, Link, StoreError},
};

use super::all;
use crate::convert::{Columns, store_error};

pub(crate) async fn entries(pool: &SqlitePool, job: &str) -> Result<Vec<HashedEntry>, StoreError> {
    let rows = sqlx::query(
        "select number, kind, plugin, call, ifnull(of, -1) as of, rule, attributes, body, beside, at, hash from entry
         where job = ? order by number",
    );
    all(rows.bind(job).fetch_all(pool).await, |row| {
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

pub(crate) async fn tip(pool: &SqlitePool, job: &str) -> Result<Option<(u32, String)>, StoreError> {
    let row = sqlx::query("select entries, tip from job where id = ?").bind(job).fetch_optional(pool).await;
    let row = row.map_err(|error| store_error(&error))?;
    row.map(|row| Ok((row.number("entries")?, row.text("tip")?))).transpose()
}

pub(crate) async fn newest_time(pool: &SqlitePool) -> Result<Option<Timestamp>, StoreError> {
    let row = sqlx::query(
        "select max(at) as at from (select at from (select at from entry order by seq desc limit 1)
         union all select at from (select at from link order by number desc limit 1))",
    );
    row.fetch_one(pool).await.map_err(|error| store_error(&error))?.optional_time("at")
}

pub(crate) async fn blob(pool: &SqlitePool, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
    sqlx::query_scalar("select bytes from beside where digest = ?")
        .bind(digest)
        .fetch_optional(pool)
        .await
        .map_err(|error| store_error(&error))
}

pub(crate) async fn links(pool: &SqlitePool, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
    let rows = sqlx::query(
        "select number, kind, subject, digest, at, hash from link where number > ? order by number limit ?",
    );
    all(rows.bind(i64::try_from(after).unwrap_or(i64::MAX)).bind(limit).fetch_all(pool).await, |row| {
        Ok(Link {
            number: row.number("number")?,
            kind: row.variant("kind")?,
            subject: row.text("subject")?,
            digest: row.text("digest")?,
            at: row.time("at")?,
            hash: row.text("hash")?,
        })
    })
}

pub(crate) async fn audit_records(pool: &SqlitePool, link: u64) -> Result<Vec<AuditRecord>, StoreError> {
    let rows = sqlx::query(
        "select network, room, event, caller_id, caller_name, plugin, command, at, calls, denials, refused from line
         where link = ? order by seq",
    );
    all(rows.bind(i64::try_from(link).unwrap_or(i64::MAX)).fetch_all(pool).await, |row| {
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
