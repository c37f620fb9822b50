//! Executes the writes of a job: creation, status, deployment lock, journal entry and end.

use sqlx::SqliteConnection;
use wardroom::store::{DeploymentLock, Entry, JobEnd, JobRow, JobStatus, LinkKind, StoreError};

use super::done;
use crate::{
    chain::{ChainCache, ChainDraft},
    convert::{enum_column, json_column, store_error, time_column},
};

pub(super) async fn open<'w>(
    connection: &mut SqliteConnection,
    chain: &ChainCache,
    draft: &mut ChainDraft<'w>,
    job: &'w JobRow,
) -> Result<(), StoreError> {
    let exists = || StoreError::Failed(format!("job `{}` already exists", job.id));
    if job.end.is_some() || draft.tip(connection, chain, &job.id).await?.is_some() {
        return Err(exists());
    }
    // The id of a removed job is not reused, because pipeline runs and releases still refer to the id.
    let removed: Option<i64> = sqlx::query_scalar("select 1 from link where subject = ? and kind = 'open' limit 1")
        .bind(&job.id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| store_error(&error))?;
    if removed.is_some() {
        return Err(exists());
    }
    let result = sqlx::query(
        "insert into job (id, network, room, event, thread, bot, caller_id, caller_name, plugin, digest, command, app,
         environment, line, parent, overrides, opened, phase, about, since, wake)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    .bind(&job.app)
    .bind(&job.environment)
    .bind(&job.line)
    .bind(&job.parent)
    .bind(&job.overrides)
    .bind(time_column(job.opened))
    .bind(enum_column(&job.status.phase)?)
    .bind(&job.status.about)
    .bind(time_column(job.status.since))
    .bind(job.status.wake.map(time_column))
    .execute(connection)
    .await;
    done(result)?;
    draft.add_job(&job.id);
    Ok(())
}

pub(super) async fn set_status(
    connection: &mut SqliteConnection,
    chain: &ChainCache,
    draft: &mut ChainDraft<'_>,
    job: &str,
    status: &JobStatus,
) -> Result<(), StoreError> {
    draft.open_tip(connection, chain, job).await?;
    let result = sqlx::query("update job set phase = ?, about = ?, since = ?, wake = ? where id = ?")
        .bind(enum_column(&status.phase)?)
        .bind(&status.about)
        .bind(time_column(status.since))
        .bind(status.wake.map(time_column))
        .bind(job)
        .execute(connection)
        .await;
    done(result)
}

pub(super) async fn take_lock(
    connection: &mut SqliteConnection,
    chain: &ChainCache,
    draft: &mut ChainDraft<'_>,
    lock: &DeploymentLock,
    job: &str,
) -> Result<(), StoreError> {
    draft.open_tip(connection, chain, job).await?;
    let holder: String = sqlx::query_scalar(
        "insert into place (app, environment, job) values (?, ?, ?)
         on conflict (app, environment) do update set job = job returning job",
    )
    .bind(&lock.app)
    .bind(&lock.environment)
    .bind(job)
    .fetch_one(connection)
    .await
    .map_err(|error| store_error(&error))?;
    if holder != job {
        return Err(StoreError::Failed(format!("the deployment lock `{lock}` is held by job `{holder}`")));
    }
    Ok(())
}

pub(super) async fn append(
    connection: &mut SqliteConnection,
    chain: &ChainCache,
    draft: &mut ChainDraft<'_>,
    entry: &Entry,
) -> Result<(), StoreError> {
    let (job, number) = (&entry.job, entry.number);
    let Some(tip) = draft.tip(connection, chain, job).await? else {
        return Err(StoreError::Failed(format!("there is no job `{job}`")));
    };
    if !tip.open {
        return Err(StoreError::Failed(format!("job `{job}` is not open")));
    }
    if number < tip.entries {
        return Err(StoreError::Failed(format!("journal entry {number} of job `{job}` already exists")));
    }
    if number > tip.entries {
        let next = tip.entries;
        return Err(StoreError::Failed(format!(
            "journal entry {number} of job `{job}` is out of order: the next number is {next}"
        )));
    }
    let hash = entry.hash(&tip.hash);
    tip.entries += 1;
    tip.hash.clone_from(&hash);
    tip.changed = true;
    let result = sqlx::query(
        "insert into entry (job, number, kind, plugin, call, of, rule, attributes, body, beside, at, hash)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(job)
    .bind(number)
    .bind(enum_column(&entry.kind)?)
    .bind(&entry.plugin)
    .bind(&entry.call)
    .bind(entry.of)
    .bind(&entry.rule)
    .bind(json_column(&entry.attributes)?)
    .bind(json_column(&entry.body)?)
    .bind(&entry.blob)
    .bind(time_column(entry.at))
    .bind(&hash)
    .execute(&mut *connection)
    .await;
    done(result)?;
    if number == 0 {
        draft.write_link(connection, chain, LinkKind::Open, job, &hash, entry.at).await?;
    }
    Ok(())
}

pub(super) async fn close(
    connection: &mut SqliteConnection,
    chain: &ChainCache,
    draft: &mut ChainDraft<'_>,
    job: &str,
    end: &JobEnd,
) -> Result<(), StoreError> {
    let tip = draft.open_tip(connection, chain, job).await?;
    tip.open = false;
    tip.changed = false;
    let (entries, hash) = (tip.entries, tip.hash.clone());
    let result = sqlx::query("update job set outcome = ?, ended = ?, summary = ?, entries = ?, tip = ? where id = ?")
        .bind(enum_column(&end.outcome)?)
        .bind(time_column(end.at))
        .bind(&end.summary)
        .bind(entries)
        .bind(&hash)
        .bind(job)
        .execute(&mut *connection)
        .await;
    done(result)?;
    done(sqlx::query("delete from place where job = ?").bind(job).execute(&mut *connection).await)?;
    draft.write_link(connection, chain, LinkKind::Close, job, &hash, end.at).await?;
    Ok(())
}
