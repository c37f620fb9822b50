//! Prints a short listing of a host's database, read directly from the SQLite file.
//!
//! Invariant: the listing contains, in the order of writing, the person, the call, its attributes, the deciding rule
//! and the outcome.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions, sqlite::SqliteRow};

/// A database that a test reads.
pub(crate) struct Journal {
    connection: SqliteConnection,
    runtime: tokio::runtime::Runtime,
}

impl Journal {
    /// Opens the database of a state folder. A host may use it at the same time.
    pub(crate) fn open(state: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let options = SqliteConnectOptions::new().filename(state.join("wardroom.db")).read_only(true);
        let connection = runtime.block_on(SqliteConnection::connect_with(&options)).context("the database opens")?;
        Ok(Self { connection, runtime })
    }

    /// Changes the database without the host, which must not run. Returns the number of changed rows.
    pub(crate) fn tamper(state: &Path, statement: &'static str) -> Result<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let options = SqliteConnectOptions::new().filename(state.join("wardroom.db")).foreign_keys(false);
        runtime.block_on(async {
            let mut connection = SqliteConnection::connect_with(&options).await.context("the database opens")?;
            let done = sqlx::query(statement).execute(&mut connection).await?;
            connection.close().await?;
            Ok(done.rows_affected())
        })
    }

    /// Returns the rows of a query.
    fn rows(&mut self, question: &'static str) -> Result<Vec<SqliteRow>> {
        Ok(self.runtime.block_on(sqlx::query(question).fetch_all(&mut self.connection))?)
    }

    /// Returns the first column of a query's only row.
    pub(crate) fn count(&mut self, question: &'static str) -> Result<i64> {
        Ok(self.rows(question)?.first().context("one row")?.try_get(0)?)
    }

    /// Returns the first column of each row of a query.
    pub(crate) fn texts(&mut self, question: &'static str) -> Result<Vec<String>> {
        self.rows(question)?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Returns the whole listing.
    pub(crate) fn listing(&mut self) -> Result<String> {
        let mut text = String::new();
        for job in self.rows("select id, line, caller_id, plugin, outcome from job order by seq")? {
            let id: String = job.try_get("id")?;
            let outcome: Option<String> = job.try_get("outcome")?;
            let (line, caller, plugin): (String, String, String) =
                (job.try_get("line")?, job.try_get("caller_id")?, job.try_get("plugin")?);
            writeln!(text, "job {id}: {line}: by {caller}, plugin {plugin}: {}", outcome.as_deref().unwrap_or("open"))?;
            for entry in self.rows("select * from entry order by job, number")? {
                if entry.try_get::<String, _>("job")? == id {
                    writeln!(text, "  {}", entry_line(&entry)?)?;
                }
            }
        }
        for line in self.rows("select * from line order by seq")? {
            writeln!(text, "{}", line_line(&line)?)?;
        }
        for release in self.rows("select * from release order by seq")? {
            let word = |name: &str| release.try_get::<String, _>(name);
            let (app, environment, version) = (word("app")?, word("environment")?, word("version")?);
            writeln!(
                text,
                "release {}: {app} {environment} {version}: by {}: {}",
                word("run")?,
                word("person_id")?,
                word("outcome")?
            )?;
        }
        let waiting = self.count("select count(*) from inbox where done = 0")?;
        let unsent = self.count("select count(*) from outbox where sent < version and given_up = 0")?;
        writeln!(text, "waiting in the inbox {waiting}, in the outbox {unsent}")?;
        Ok(text)
    }
}

/// Formats an entry:
/// `2 intent pipelines.trigger app=cms environment=staging | plugin.deploy, plugins.toml line 30, role deployer`
fn entry_line(row: &SqliteRow) -> Result<String> {
    let number: i64 = row.try_get("number")?;
    let of: Option<i64> = row.try_get("of")?;
    let word = |name: &str| row.try_get::<String, _>(name);
    let mut text = format!("{number} {}", word("kind")?);
    let call = word("call")?;
    if !call.is_empty() {
        write!(text, " {call}")?;
    }
    if let Some(of) = of {
        write!(text, " of {of}")?;
    }
    let attributes: Value = serde_json::from_str(&word("attributes")?)?;
    for (name, values) in attributes.as_object().context("attributes are an object")? {
        let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        write!(text, " {name}={}", values.join(","))?;
    }
    let rule = word("rule")?;
    if !rule.is_empty() {
        write!(text, " | {rule}")?;
    }
    let body: Value = serde_json::from_str(&word("body")?)?;
    if let Some(outcome) = body.get("outcome").and_then(Value::as_str) {
        write!(text, " {outcome}")?;
    }
    Ok(text)
}

/// Formats the record of a query: `line: where cms: by operator, plugin deploy: catalog.apps 1`
fn line_line(row: &SqliteRow) -> Result<String> {
    let word = |name: &str| row.try_get::<String, _>(name);
    let plugin: Option<String> = row.try_get("plugin")?;
    let mut text = format!("line: {}: by {}", word("command")?, word("caller_id")?);
    if let Some(plugin) = plugin {
        write!(text, ", plugin {plugin}")?;
    }
    let calls: Value = serde_json::from_str(&word("calls")?)?;
    for call in calls.as_array().into_iter().flatten() {
        write!(text, ": {} {}", call["call"].as_str().unwrap_or("?"), call["allowed"])?;
        if call["refused"] != 0 {
            write!(text, ", refused {}", call["refused"])?;
        }
    }
    let denials: Value = serde_json::from_str(&word("denials")?)?;
    for denial in denials.as_array().into_iter().flatten() {
        write!(text, ": {}", denial.as_str().unwrap_or("?"))?;
    }
    Ok(text)
}
