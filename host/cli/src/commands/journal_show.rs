//! `wardroom journal show`: the journal of one job, with its hashes checked.

use serde_json::{Value, json};
use wardroom::{
    journal,
    store::{HashedEntry, Store as _, StoreError},
};
use wardroom_sqlite::SqliteStore;

use super::job::{job_json, no_job};
use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn show(wiring: &Wiring<'_>, id: &str, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring.store_or_report().await? else { return Ok(Exit::Wrong) };
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
            let mut list = Vec::with_capacity(entries.len());
            for entry in &entries {
                list.push(entry_json(store, entry, &mut fault).await?);
            }
            report::out(&json!({ "job": job_json(&row), "entries": list, "fault": fault }).to_string())?;
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

/// An entry with its whole body. A large body is stored as a blob; a missing or changed blob is the first `fault`, unless
/// there is an earlier one.
async fn entry_json(store: &SqliteStore, entry: &HashedEntry, fault: &mut Option<String>) -> Result<Value, StoreError> {
    let mut json = json!(entry.entry);
    json["hash"] = json!(entry.hash);
    match journal::unpack(store, &entry.entry).await {
        Ok(body) => json["body"] = body,
        Err(StoreError::Failed(reason)) => drop(fault.get_or_insert(reason)),
        Err(error) => return Err(error),
    }
    Ok(json)
}
