//! `wardroom journal show`: shows the journal of one job, and checks its hashes.

use serde_json::{Value, json};
use wardroom::{
    journal::JobJournal,
    store::{HashedEntry, StoreError},
};
use wardroom_sqlite::SqliteStore;

use super::job::{job_json, no_job};
use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn show(wiring: &Wiring<'_>, id: &str, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring.store_or_report().await? else { return Ok(Exit::Invalid) };
    let shown = show_from(&store, id, format).await;
    store.close().await;
    shown
}

async fn show_from(store: &SqliteStore, id: &str, format: Format) -> anyhow::Result<Exit> {
    let Some(journal) = JobJournal::read(store, &id.to_lowercase()).await? else { return Ok(no_job(id)) };
    let mut fault = journal.check().err().map(|fault| fault.message);
    match format {
        Format::Json => {
            let mut entries = Vec::with_capacity(journal.entries().len());
            for entry in journal.entries() {
                entries.push(entry_json(store, entry, &mut fault).await?);
            }
            report::out(&json!({ "job": job_json(journal.job()), "entries": entries, "fault": fault }).to_string())?;
        }
        Format::Text => report::out(&journal.to_string())?,
    }
    Ok(fault.map_or(Exit::Done, |fault| report::failed(&fault)))
}

/// Returns a journal entry as JSON. If the entry's body is stored as a blob, reads the blob. If the blob is missing or
/// was changed, the JSON contains the size of the body and not the body. In this case, stores a description of the
/// error in `fault`, unless `fault` already contains an error.
async fn entry_json(store: &SqliteStore, entry: &HashedEntry, fault: &mut Option<String>) -> Result<Value, StoreError> {
    let mut json = json!(entry.entry);
    json["hash"] = json!(entry.hash);
    match entry.entry.unpack(store).await {
        Ok(body) => json["body"] = body,
        Err(StoreError::Failed(reason)) => drop(fault.get_or_insert(reason)),
        Err(error) => return Err(error),
    }
    Ok(json)
}
