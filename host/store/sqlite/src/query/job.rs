//! The queries for jobs. Each query uses an index, so that it stays fast with a hundred thousand waiting jobs.

use sqlx::{QueryBuilder, Sqlite, sqlite::SqliteRow};
use wardroom::store::{JobEnd, JobQuery, JobRow, JobStatus, StoreError};

use crate::convert::{Columns, enum_column};

pub(crate) const DUE: &str =
    "select * from job where ended is null and wake is not null and wake <= ? order by wake, seq limit ?";
pub(crate) const NEXT_WAKE: &str = "select min(wake) as wake from job where ended is null and wake is not null";
pub(crate) const OPEN_JOBS: &str =
    "select phase, count(*) as jobs from job where ended is null group by phase order by phase";

pub(crate) fn select(start: &str, query: &JobQuery) -> Result<QueryBuilder<Sqlite>, StoreError> {
    let mut statement = QueryBuilder::<Sqlite>::new(start);
    statement.push(" where 1");
    statement.push(match query.open {
        Some(true) => " and ended is null",
        Some(false) => " and ended is not null",
        None => "",
    });
    if let Some(phases) = &query.phases {
        statement.push(" and phase in (");
        let mut list = statement.separated(", ");
        for phase in phases {
            list.push_bind(enum_column(phase)?);
        }
        statement.push(")");
    }
    if let Some(plugin) = &query.plugin {
        statement.push(" and plugin = ").push_bind(plugin.clone());
    }
    if let Some(caller) = &query.caller {
        statement.push(" and caller_id = ").push_bind(caller.clone());
    }
    if let Some((network, room, root)) = &query.thread {
        statement.push(" and network = ").push_bind(network.clone());
        statement.push(" and room = ").push_bind(room.clone());
        statement.push(" and thread = ").push_bind(root.clone());
    }
    if let Some(inbox) = &query.inbox {
        statement.push(" and network = ").push_bind(inbox.network.clone());
        statement.push(" and room = ").push_bind(inbox.room.clone());
        statement.push(" and event = ").push_bind(inbox.event.clone());
    }
    if query.overrides {
        statement.push(" and overrides is not null");
    }
    statement.push(" order by seq desc");
    if let Some(limit) = query.limit {
        statement.push(" limit ").push_bind(limit);
    }
    Ok(statement)
}

pub(crate) fn read(row: &SqliteRow) -> Result<JobRow, StoreError> {
    let end = match row.optional_time("ended")? {
        Some(at) => Some(JobEnd { outcome: row.variant("outcome")?, at, summary: row.text("summary")? }),
        None => None,
    };
    Ok(JobRow {
        id: row.text("id")?,
        inbox: row.inbox_key()?,
        thread: row.optional_text("thread")?,
        bot: row.text("bot")?,
        caller: row.person("caller_id", "caller_name")?,
        plugin: row.text("plugin")?,
        digest: row.text("digest")?,
        command: row.text("command")?,
        app: row.optional_text("app")?,
        environment: row.optional_text("environment")?,
        line: row.text("line")?,
        parent: row.optional_text("parent")?,
        overrides: row.optional_text("overrides")?,
        opened: row.time("opened")?,
        status: JobStatus {
            phase: row.variant("phase")?,
            about: row.text("about")?,
            since: row.time("since")?,
            wake: row.optional_time("wake")?,
        },
        end,
    })
}

#[cfg(test)]
mod tests {
    use sqlx::Row;
    use wardroom::store::JobPhase;

    use super::*;
    use crate::{MachineClaim, open};

    async fn query_plan(statement: &mut QueryBuilder<Sqlite>) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut connection, _lock) =
            open::open_writer(&folder.path().join("wardroom.db"), &MachineClaim::default()).await.expect("opens");
        let rows = statement.build().fetch_all(&mut connection).await.expect("a plan");
        rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn every_query_uses_an_index() {
        let all = JobQuery::default();
        let open = JobQuery { open: Some(true), ..all.clone() };
        let thread = ("matrix".to_owned(), "!ops".to_owned(), "$root".to_owned());
        let inbox = wardroom::store::InboxKey { network: "n".into(), room: "r".into(), event: "e".into() };
        for (query, found) in [
            (open.clone(), "SCAN job USING INDEX job_open"),
            (JobQuery { open: Some(false), ..all.clone() }, "SCAN job USING INDEX job_over"),
            (
                JobQuery { phases: Some(vec![JobPhase::Queued]), ..open.clone() },
                "SEARCH job USING INDEX job_phase (phase=?)",
            ),
            (
                JobQuery { phases: Some(vec![JobPhase::Queued, JobPhase::Held]), ..open.clone() },
                "SEARCH job USING INDEX job_phase (phase=?); USE TEMP B-TREE FOR ORDER BY",
            ),
            (
                JobQuery { plugin: Some("p".into()), phases: Some(vec![JobPhase::Scheduled]), ..open.clone() },
                "SEARCH job USING INDEX job_plugin_phase (plugin=? AND phase=?)",
            ),
            (JobQuery { plugin: Some("p".into()), ..all.clone() }, "SEARCH job USING INDEX job_plugin (plugin=?)"),
            (
                JobQuery { thread: Some(thread.clone()), ..all.clone() },
                "SEARCH job USING INDEX job_thread (network=? AND room=? AND thread=?)",
            ),
            (
                JobQuery { thread: Some(thread), ..open.clone() },
                "SEARCH job USING INDEX job_thread (network=? AND room=? AND thread=?)",
            ),
            (
                JobQuery { inbox: Some(inbox), ..open },
                "SEARCH job USING INDEX job_inbox (network=? AND room=? AND event=?)",
            ),
        ] {
            let mut statement = select("explain query plan select * from job", &query).expect("a statement");
            assert_eq!(query_plan(&mut statement).await, found, "{query:?}");
        }
        for (statement, found) in [
            (DUE, "SEARCH job USING INDEX job_wake (wake>? AND wake<?)"),
            (NEXT_WAKE, "SEARCH job USING INDEX job_wake (wake>?)"),
            (OPEN_JOBS, "SCAN job USING INDEX job_phase"),
        ] {
            let mut statement = QueryBuilder::new(format!("explain query plan {statement}"));
            assert_eq!(query_plan(&mut statement).await, found);
        }
    }
}
