//! `wardroom journal`: what is written down about a job, and whether it is still what was written.
//!
//! Invariant: nothing is shown as good that does not follow from what was written before it.

use std::path::Path;

use serde_json::{Value, json};
use wardroom::{
    journal::{self, Head},
    port::{Store as _, StoreError, store::Sealed},
};
use wardroom_sqlite::SqliteStore;

use super::jobs::{fact, no_job};
use crate::{Exit, arguments::Format, report, wiring};

pub(crate) async fn show(path: &Path, id: &str, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring::look(path).await? else { return Ok(Exit::Wrong) };
    let shown = show_from(&store, id, format).await;
    store.close().await;
    shown
}

async fn show_from(store: &SqliteStore, id: &str, format: Format) -> anyhow::Result<Exit> {
    let Some(row) = store.job(&id.to_lowercase()).await? else { return Ok(no_job(id)) };
    let (entries, tip) = journal::read(store, &row.id).await?;
    let Some(tip) = tip else { return Ok(no_job(id)) };
    let mut fault = journal::check_entries(&row.id, &entries, &tip).err().map(|fault| fault.message);
    match format {
        Format::Json => {
            let mut facts = Vec::with_capacity(entries.len());
            for sealed in &entries {
                facts.push(entry(store, sealed, &mut fault).await?);
            }
            report::out(&json!({ "job": fact(&row), "entries": facts, "fault": fault }).to_string())?;
        }
        Format::Text => report::out(&journal::show(&row, &entries))?,
    }
    match fault {
        None => Ok(Exit::Done),
        Some(fault) => {
            report::error(&fault);
            Ok(Exit::Failed)
        }
    }
}

/// An entry for programs, with what stands beside it. That may be missing or changed, which is a fault.
async fn entry(store: &SqliteStore, sealed: &Sealed, fault: &mut Option<String>) -> Result<Value, StoreError> {
    let mut fact = json!(sealed.entry);
    fact["hash"] = json!(sealed.hash);
    match journal::unpack(store, &sealed.entry).await {
        Ok(body) => fact["body"] = body,
        Err(StoreError::Failed(reason)) => drop(fault.get_or_insert(reason)),
        Err(error) => return Err(error),
    }
    Ok(fact)
}

pub(crate) async fn verify(path: &Path, head: Option<&Head>, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring::look(path).await? else { return Ok(Exit::Wrong) };
    let verified = journal::verify(&store, head).await;
    store.close().await;
    match (verified?, format) {
        (Ok(found), Format::Json) => {
            let head = text(&found.head);
            report::out(
                &json!({
                    "whole": true, "links": found.links, "jobs": found.jobs, "entries": found.entries,
                    "lines": found.lines, "removed": found.removed, "head": head,
                })
                .to_string(),
            )?;
        }
        (Ok(found), Format::Text) => {
            let mut lines = vec![format!(
                "whole: {} with {}, {} of queries and refusals, {}",
                many(found.jobs, "job", "jobs"),
                many(found.entries, "entry", "entries"),
                many(found.lines, "line", "lines"),
                many(found.links, "link", "links"),
            )];
            if found.removed > 0 {
                lines.push(format!("{} removed after their time", many(found.removed, "job", "jobs")));
            }
            lines.push(match found.head.number {
                0 => "nothing is written down yet".to_owned(),
                _ => format!("head {}", text(&found.head)),
            });
            report::out(&lines.join("\n"))?;
        }
        (Err(fault), format) => {
            if format == Format::Json {
                report::out(&json!({ "whole": false, "job": fault.job, "fault": fault.message }).to_string())?;
            }
            report::error(&fault.message);
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Done)
}

/// An end of the chain as `--head` takes it.
fn text(head: &Head) -> String {
    format!("{}:{}", head.number, head.hash)
}

fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
