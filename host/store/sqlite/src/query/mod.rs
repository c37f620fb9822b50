//! Reads the rows of messages, grants, freezes, accounts at identity providers and releases, and counts the usage of host calls.

pub(crate) mod job;

use sqlx::{QueryBuilder, Sqlite, SqlitePool, sqlite::SqliteRow};
use wardroom::{
    model::RunKey,
    store::{CallCount, Freeze, Grant, IdentityLink, InboxRow, Release, ReleaseQuery, StoreError},
};

use crate::convert::{Columns, enum_column, store_error};

/// Converts each row of a query's result with `read`. Fails if the query failed or if one row cannot be converted.
pub(crate) fn all<T>(
    rows: Result<Vec<SqliteRow>, sqlx::Error>,
    read: impl Fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.map_err(store_error)?.iter().map(read).collect()
}

/// Returns the smallest number that a row of the page after `after` can have; `None` if no row can have a greater
/// number. Before the first page, `after` is 0. The first page has no lower bound, so that rows with numbers below 1,
/// which no host writes, are not hidden.
pub(crate) fn first_of_page(after: u64) -> Option<i64> {
    match after {
        0 => Some(i64::MIN),
        _ => i64::try_from(after).ok()?.checked_add(1),
    }
}

pub(crate) async fn releases(pool: &SqlitePool, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
    // Without the window function, SQLite stops at the limit.
    let mut statement = QueryBuilder::<Sqlite>::new(match query.latest {
        true => {
            "select * from (
             select *, row_number() over (partition by app, environment order by ended desc, seq desc) as place
             from release where 1"
        }
        false => "select * from release where 1",
    });
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
    if query.latest {
        statement.push(") where place = 1");
    }
    statement.push(" order by ended desc, seq desc");
    if let Some(limit) = query.limit {
        statement.push(" limit ").push_bind(limit);
    }
    all(statement.build().fetch_all(pool).await, release)
}

pub(crate) fn release(row: &SqliteRow) -> Result<Release, StoreError> {
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
}

pub(crate) fn message(row: &SqliteRow) -> Result<InboxRow, StoreError> {
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
}

pub(crate) fn grant(row: &SqliteRow) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: row.text("id")?,
        person: row.person("person_id", "person_name")?,
        role: row.text("role")?,
        app: row.text("app")?,
        environment: row.optional_text("environment")?,
        by: row.person("by_id", "by_name")?,
        bot: row.text("bot")?,
        at: row.time("at")?,
        until: row.optional_time("until")?,
    })
}

pub(crate) fn freeze(row: &SqliteRow) -> Result<Freeze, StoreError> {
    Ok(Freeze {
        environment: row.text("environment")?,
        until: row.optional_time("until")?,
        reason: row.text("reason")?,
        by: row.person("by_id", "by_name")?,
        at: row.time("at")?,
    })
}

pub(crate) fn identity_link(row: &SqliteRow) -> Result<IdentityLink, StoreError> {
    let groups = row.optional_json("groups")?;
    Ok(IdentityLink {
        person: row.person("person_id", "person_name")?,
        provider: row.text("provider")?,
        issuer: row.text("issuer")?,
        subject: row.text("subject")?,
        groups: groups.ok_or_else(|| StoreError::Failed("an account has no groups".to_owned()))?,
        at: row.time("at")?,
        until: row.time("until")?,
    })
}

/// Returns the smallest text that is greater than all texts with the prefix `prefix`, for example `ac` for `ab`.
/// Returns `None` if such a text does not exist, for example for an empty prefix. SQLite compares UTF-8 bytes, which
/// have the same order as the characters.
pub(crate) fn prefix_end(prefix: &str) -> Option<String> {
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

/// Returns a description of an audit record that no link covers, or of a journal entry without a job.
pub(crate) async fn stray_row(pool: &SqlitePool) -> Result<Option<String>, StoreError> {
    let link: Option<i64> = sqlx::query_scalar(
        "select link from line where not exists (
             select 1 from link where number = line.link and kind in ('lines', 'refusal')) limit 1",
    )
    .fetch_optional(pool)
    .await
    .map_err(store_error)?;
    if let Some(link) = link {
        let row = format!("an audit record was added to link {link} of the hash chain, which covers no audit records");
        return Ok(Some(row));
    }
    let job: Option<String> =
        sqlx::query_scalar("select job from entry where not exists (select 1 from job where id = entry.job) limit 1")
            .fetch_optional(pool)
            .await
            .map_err(store_error)?;
    Ok(job.map(|job| format!("a journal entry of job {job} was added, but the store has no such job")))
}

pub(crate) async fn usage(pool: &SqlitePool) -> Result<Vec<(String, CallCount)>, StoreError> {
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
        Ok((row.text("plugin")?, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_has_no_lower_bound() {
        assert_eq!(first_of_page(0), Some(i64::MIN));
        assert_eq!(first_of_page(1), Some(2));
        assert_eq!(first_of_page(i64::MAX as u64), None);
        assert_eq!(first_of_page(u64::MAX), None);
    }

    #[test]
    fn a_prefix_ends_at_the_next_text() {
        assert_eq!(prefix_end("ab").as_deref(), Some("ac"));
        assert_eq!(prefix_end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(prefix_end("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(prefix_end("\u{10ffff}"), None);
        assert_eq!(prefix_end(""), None);
    }
}
