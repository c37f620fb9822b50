//! Removes the data that is older than a given time: closed jobs, messages, deduplication keys and audit records. Also
//! removes blobs to which nothing refers any more. The links of the hash chain are never removed.
//!
//! A closed job is kept while it has unsent messages. The inbox row and the outbox rows of a kept job are kept too.
//! Without these rows, the host would handle the job's message again and send the job's status card again.
//!
//! Invariant: one call removes a limited number of rows, so that it does not block other writes for long.
//! If `Removed::more` is set, the caller calls again.
//! Not here: the retention period (`host/engine`).

use std::collections::HashMap;

use wardroom::{
    Timestamp,
    model::RunKey,
    store::{LinkKind, Removed, StoreError, Write},
};

use crate::{
    convert::{Columns, json_column, store_error, time_column},
    transaction::Transaction,
};

/// Maximum number of jobs that one call removes.
const MAX_JOBS: usize = 500;
/// Maximum number of journal entries that one call removes together with their jobs. If a single job has more entries,
/// one call removes only this job.
const MAX_ENTRIES: i64 = 20_000;
/// Maximum number of inbox rows that one call removes. The same maximum applies separately to deduplication keys, to
/// links whose audit records are removed, to blobs, and to outbox rows that are not removed with their job. The SQL
/// statements in this file repeat the number.
const MAX_ROWS: u64 = 5000;

impl Transaction<'_, '_> {
    /// Removes one batch of the data that is older than `before`: closed jobs, messages, audit records, and
    /// deduplication keys. Appends a link that records the removal to the hash chain. After the last batch of this
    /// data, also removes blobs to which no job and no journal entry refers, for example the files of old plugins.
    /// `loaded` contains the digests of the loaded plugins, whose files are kept.
    ///
    /// Returns the removed jobs, and whether more data may be left to remove.
    pub(crate) async fn remove_some(&mut self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        self.remove_jobs(before, &mut removed).await?;
        self.remove_rows(before, &mut removed).await?;
        if !removed.jobs.is_empty() || removed.rows > 0 {
            self.write_link(LinkKind::Removal, &before.to_string(), "", Timestamp::now()).await?;
        }
        if !removed.more {
            removed.more = self.remove_blobs(loaded).await? == MAX_ROWS;
        }
        Ok(removed)
    }

    async fn remove_jobs(&mut self, before: Timestamp, removed: &mut Removed) -> Result<(), StoreError> {
        // 1. Find the oldest ended jobs without unsent messages, one more than the limit.
        let ended: Vec<(String, i64)> = sqlx::query_as(
            "select id, entries from job where ended < ? and not exists (
                 select 1 from outbox
                 where key >= job.id || '/' and key < job.id || '0' and sent < version and given_up = 0
             ) order by ended, seq limit ?",
        )
        .bind(time_column(before))
        .bind(i64::try_from(MAX_JOBS + 1).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.connection)
        .await
        .map_err(store_error)?;
        // 2. Take as many of these jobs as the limits allow.
        let found = ended.len();
        let mut entries = 0;
        let fits = |(index, (_, of_job)): &(usize, (String, i64))| {
            entries += of_job;
            *index < MAX_JOBS && (*index == 0 || entries <= MAX_ENTRIES)
        };
        let ids: Vec<String> = ended.into_iter().enumerate().take_while(fits).map(|(_, (id, _))| id).collect();
        removed.more = ids.len() < found;
        if ids.is_empty() {
            return Ok(());
        }
        // 3. Remove the journal entries, messages and rows of these jobs. The engine then removes the files of their
        //    pipeline runs.
        let list = json_column(&ids)?;
        let mut runs = self.runs_of(&list).await?;
        self.delete("delete from entry where job in (select value from json_each(?))", &list).await?;
        removed.rows += self
            .delete(
                "delete from outbox where seq in (
                 select outbox.seq from json_each(?) as removed cross join outbox
                 on outbox.key >= removed.value || '/' and outbox.key < removed.value || '0')",
                &list,
            )
            .await?;
        self.delete("delete from job where id in (select value from json_each(?))", &list).await?;
        for id in ids {
            let runs = runs.remove(&id).unwrap_or_default();
            removed.jobs.push((id, runs));
        }
        Ok(())
    }

    /// Returns the pipeline runs that each job may have started: the key of each run and the name of its pipeline.
    /// `jobs` is a JSON list of job ids.
    async fn runs_of(&mut self, jobs: &str) -> Result<HashMap<String, Vec<(RunKey, String)>>, StoreError> {
        let rows = sqlx::query(
            "select job, number, attributes ->> '$.pipeline[0]' as pipeline from entry
             where job in (select value from json_each(?)) and kind = 'intent' and call = 'pipelines.trigger'
             and pipeline is not null order by job, number",
        )
        .bind(jobs)
        .fetch_all(&mut *self.connection)
        .await
        .map_err(store_error)?;
        let mut runs: HashMap<String, Vec<_>> = HashMap::new();
        for row in rows {
            let job = row.text("job")?;
            let key = RunKey::new(&job, row.number("number")?);
            runs.entry(job).or_default().push((key, row.text("pipeline")?));
        }
        Ok(runs)
    }

    /// Removes one batch of rows that are older than `before` and belong to no stored job. These rows are received
    /// messages that were handled, outgoing messages, whether they were sent or not, and audit records. Also removes
    /// deduplication keys, but only those that are older than `before` by more than [`Write::DEDUPLICATION_RETENTION`].
    /// Adds the number of removed rows to `removed.rows`.
    async fn remove_rows(&mut self, before: Timestamp, removed: &mut Removed) -> Result<(), StoreError> {
        let time = time_column(before);
        for statement in [
            "delete from inbox where seq in (
                 select seq from inbox where done = 1 and at < ? and not exists (
                     select 1 from job
                     where job.network = inbox.network and job.room = inbox.room and job.event = inbox.event
                 ) limit 5000)",
            "delete from outbox where seq in (
                 select seq from outbox where at < ? and not exists (
                     select 1 from job where job.id = substr(outbox.key, 1, instr(outbox.key, '/') - 1)
                 ) limit 5000)",
        ] {
            let rows = self.delete(statement, &time).await?;
            removed.more |= rows >= MAX_ROWS;
            removed.rows += rows;
        }
        if let Ok(before) = before.checked_sub(Write::DEDUPLICATION_RETENTION) {
            let statement = "delete from came where name in (select name from came where at < ? limit 5000)";
            let rows = self.delete(statement, &time_column(before)).await?;
            removed.more |= rows >= MAX_ROWS;
            removed.rows += rows;
        }
        // Remove all audit records of a link together, because the link's digest covers all of them.
        let groups: Vec<i64> = sqlx::query_scalar(
            "select line.link from line join link on link.number = line.link
             where line.at < ?1 and link.at < ?1 group by line.link limit ?2",
        )
        .bind(&time)
        .bind(i64::try_from(MAX_ROWS).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.connection)
        .await
        .map_err(store_error)?;
        removed.more |= groups.len() as u64 >= MAX_ROWS;
        let list = json_column(&groups)?;
        removed.rows += self.delete("delete from line where link in (select value from json_each(?))", &list).await?;
        Ok(())
    }

    /// Removes up to [`MAX_ROWS`] blobs to which no journal entry and no job refers. Keeps the files of the loaded
    /// plugins, whose digests are in `loaded`. Returns the number of removed blobs.
    async fn remove_blobs(&mut self, loaded: &[String]) -> Result<u64, StoreError> {
        self.delete(
            "delete from beside where seq in (
                 select seq from beside where digest not in (select value from json_each(?))
                 and not exists (select 1 from entry where entry.beside = beside.digest)
                 and not exists (select 1 from job where job.digest = beside.digest) limit 5000)",
            &json_column(&loaded)?,
        )
        .await
    }

    /// Executes an SQL statement with `value` as its only parameter, and returns the number of deleted rows.
    async fn delete(&mut self, statement: &'static str, value: &str) -> Result<u64, StoreError> {
        self.execute(sqlx::query(statement).bind(value)).await
    }
}
