//! `wardroom jobs` and `wardroom job`: the same facts as in the room, read from outside.
//!
//! Everything is shown: whoever can read the database needs no right in the room.

use std::path::Path;

use serde_json::{Value, json};
use wardroom::{
    job::{self, Status},
    port::{
        Store as _,
        store::{JobQuery, JobRow, Place},
    },
};

use crate::{Exit, arguments::Format, report, wiring};

pub(crate) async fn jobs(path: &Path, all: bool, limit: u32, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring::look(path).await? else { return Ok(Exit::Wrong) };
    // One more than is shown tells whether that is all.
    let query = JobQuery { open: (!all).then_some(true), limit: Some(limit.saturating_add(1)), ..JobQuery::default() };
    let read = store.jobs(&query).await;
    store.close().await;
    let mut jobs = read?;
    let more = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    match format {
        Format::Json => {
            let jobs: Vec<Value> = jobs.iter().map(fact).collect();
            report::out(&json!({ "jobs": jobs, "more": more }).to_string())?;
        }
        Format::Text => {
            let mut lines: Vec<String> = jobs.iter().map(|row| job::line(row, None)).collect();
            if lines.is_empty() {
                lines.push(if all { "There is no job." } else { "No job is open." }.to_owned());
            }
            if more {
                lines.push(format!("There are more; to see them: --limit {}", limit.saturating_mul(2)));
            }
            report::out(&lines.join("\n"))?;
        }
    }
    Ok(Exit::Done)
}

pub(crate) async fn job(path: &Path, id: &str, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring::look(path).await? else { return Ok(Exit::Wrong) };
    let read = async {
        let Some(row) = store.job(&id.to_lowercase()).await? else { return Ok(None) };
        let places = store.places().await?.into_iter().filter(|(_, holder)| *holder == row.id);
        let status = Status::read(&store, &row, places.map(|(place, _)| place).collect()).await;
        Ok::<_, wardroom::port::StoreError>(Some((row, status)))
    };
    let read = read.await;
    store.close().await;
    let Some((row, status)) = read? else { return Ok(no_job(id)) };
    match format {
        Format::Json => {
            let mut fact = fact(&row);
            fact["holds"] = status.places.iter().map(Place::to_string).collect();
            fact["in_doubt"] = json!(status.in_doubt);
            fact["called_off"] = json!(status.called_off);
            fact["entries"] = json!(status.entries.as_ref().ok());
            fact["fault"] = json!(status.entries.as_ref().err());
            report::out(&fact.to_string())?;
        }
        Format::Text => report::out(&status.text(&row, None))?,
    }
    Ok(Exit::Done)
}

/// There is no job of this id.
pub(super) fn no_job(id: &str) -> Exit {
    report::error(&format!("there is no job `{}`", wardroom::reply::clean(id)));
    Exit::Failed
}

/// A job for programs.
pub(super) fn fact(row: &JobRow) -> Value {
    let mut fact = json!({
        "id": row.id, "line": row.line, "command": row.command, "app": row.app, "environment": row.environment,
        "caller": row.caller, "bot": row.bot, "plugin": row.plugin, "digest": row.digest, "parent": row.parent,
        "opened": row.opened, "open": row.end.is_none(),
    });
    match &row.end {
        Some(end) => {
            fact["outcome"] = json!(end.outcome.as_str());
            fact["ended"] = json!(end.at);
            fact["said"] = json!(end.summary);
        }
        None => {
            fact["stands"] = json!(row.stand.phase.as_str());
            fact["about"] = json!(row.stand.about);
            fact["since"] = json!(row.stand.since);
            fact["wakes"] = json!(row.stand.wake);
        }
    }
    fact
}
