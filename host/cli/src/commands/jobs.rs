//! `wardroom jobs`: lists jobs, like the command `jobs` in a room.
//!
//! All jobs are shown without a check of rights, because the user of the command line can read the database file.

use serde_json::{Value, json};
use wardroom::store::{JobQuery, Store as _};

use super::job::job_json;
use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn jobs(wiring: &Wiring<'_>, all: bool, limit: u32, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring.store_or_report().await? else { return Ok(Exit::Invalid) };
    // Read one more row than the limit, to find out whether there are more jobs.
    let query = JobQuery { open: (!all).then_some(true), limit: Some(limit.saturating_add(1)), ..JobQuery::default() };
    let read = store.jobs(&query).await;
    store.close().await;
    let mut jobs = read?;
    let more = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    let json = || {
        let jobs: Vec<Value> = jobs.iter().map(job_json).collect();
        json!({ "jobs": jobs, "more": more })
    };
    let text = || {
        let mut lines: Vec<String> = jobs.iter().map(|row| row.status_line(None)).collect();
        if lines.is_empty() {
            lines.push(if all { "No job exists." } else { "No job is open." }.to_owned());
        }
        if more {
            lines.push(format!("There are more jobs. To list them, add --limit {}", limit.saturating_mul(2)));
        }
        lines.join("\n")
    };
    report::print(format, json, text)?;
    Ok(Exit::Done)
}
