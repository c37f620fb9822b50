//! Stores the changes of a job: its creation, status, deployment lock, journal entries and end.

use wardroom::store::{DeploymentLock, Entry, EntryKind, JobEnd, JobRow, JobStatus, LinkKind, StoreError};

use crate::{
    chain::Tip,
    convert::{enum_column, json_column, store_error, time_column},
    transaction::Transaction,
};

impl<'w> Transaction<'_, 'w> {
    pub(super) async fn open_job(&mut self, job: &'w JobRow) -> Result<(), StoreError> {
        let exists = || StoreError::Failed(format!("job `{}` already exists", job.id));
        if job.end.is_some() || self.tip(&job.id).await?.is_some() {
            return Err(exists());
        }
        // The id of a removed job is not reused, because pipeline runs and releases still refer to the id.
        let removed: Option<i64> = sqlx::query_scalar("select 1 from link where subject = ? and kind = 'open' limit 1")
            .bind(&job.id)
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(store_error)?;
        if removed.is_some() {
            return Err(exists());
        }
        let query = sqlx::query(
            "insert into job (id, network, room, event, thread, bot, caller_id, caller_name, plugin, digest, command,
             app, environment, line, parent, overrides, opened, phase, about, since, wake)
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
        .bind(job.status.wake.map(time_column));
        self.execute(query).await?;
        let tip = Tip { entries: 0, hash: String::new(), open: true, changed: false };
        self.changes.tips.insert(job.id.clone(), tip);
        self.opened.push(job);
        Ok(())
    }

    pub(super) async fn set_status(&mut self, job: &str, status: &JobStatus) -> Result<(), StoreError> {
        self.open_tip(job).await?;
        let query = sqlx::query("update job set phase = ?, about = ?, since = ?, wake = ? where id = ?")
            .bind(enum_column(&status.phase)?)
            .bind(&status.about)
            .bind(time_column(status.since))
            .bind(status.wake.map(time_column))
            .bind(job);
        self.execute(query).await.map(drop)
    }

    pub(super) async fn take_lock(&mut self, lock: &DeploymentLock, job: &str) -> Result<(), StoreError> {
        self.open_tip(job).await?;
        let holder: String = sqlx::query_scalar(
            "insert into place (app, environment, job) values (?, ?, ?)
             on conflict (app, environment) do update set job = job returning job",
        )
        .bind(&lock.app)
        .bind(&lock.environment)
        .bind(job)
        .fetch_one(&mut *self.connection)
        .await
        .map_err(store_error)?;
        if holder != job {
            return Err(StoreError::Failed(format!("the deployment lock `{lock}` is held by job `{holder}`")));
        }
        Ok(())
    }

    pub(super) async fn release_lock(&mut self, lock: &DeploymentLock, job: &str) -> Result<(), StoreError> {
        self.open_tip(job).await?;
        let query = sqlx::query("delete from place where app = ? and environment = ? and job = ?");
        self.execute(query.bind(&lock.app).bind(&lock.environment).bind(job)).await.map(drop)
    }

    pub(super) async fn append(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let (job, number) = (&entry.job, entry.number);
        let Some(tip) = self.tip(job).await? else {
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
        let query = sqlx::query(
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
        .bind(&hash);
        self.execute(query).await?;
        if number == 0 {
            let Some(row) = self.opened.iter().find(|row| row.id == *job) else {
                return Err(StoreError::Failed(format!(
                    "the first journal entry of job `{job}` is not stored with the job"
                )));
            };
            let digest = row.opening_digest(&hash);
            self.write_link(LinkKind::Open, job, &digest, entry.at).await?;
        } else if entry.kind == EntryKind::Event {
            self.write_link(LinkKind::Event, job, &hash, entry.at).await?;
        }
        Ok(())
    }

    pub(super) async fn close_job(&mut self, job: &str, end: &JobEnd) -> Result<(), StoreError> {
        let tip = self.open_tip(job).await?;
        tip.open = false;
        tip.changed = false;
        let (entries, hash) = (tip.entries, tip.hash.clone());
        let query =
            sqlx::query("update job set outcome = ?, ended = ?, summary = ?, entries = ?, tip = ? where id = ?")
                .bind(enum_column(&end.outcome)?)
                .bind(time_column(end.at))
                .bind(&end.summary)
                .bind(entries)
                .bind(&hash)
                .bind(job);
        self.execute(query).await?;
        self.execute(sqlx::query("delete from place where job = ?").bind(job)).await?;
        self.write_link(LinkKind::Close, job, &end.closing_digest(&hash), end.at).await.map(drop)
    }
}
