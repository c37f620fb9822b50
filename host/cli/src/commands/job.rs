//! `wardroom job`: shows the status or the outcome of one job, like the command `job` in a room.
//!
//! All jobs are shown without a check of rights, because the user of the command line can read the database file.

use serde_json::{Value, json};
use wardroom::{
    job::Status,
    store::{DeploymentLock, JobRow, Store as _},
};

use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn job(wiring: &Wiring<'_>, id: &str, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring.store_or_report().await? else { return Ok(Exit::Invalid) };
    let read = async {
        let Some(row) = store.job(&id.to_lowercase()).await? else { return Ok(None) };
        let locks = store.locks().await?.into_iter().filter(|(_, holder)| *holder == row.id);
        let status = Status::read(&store, &row, locks.map(|(lock, _)| lock).collect()).await;
        Ok::<_, wardroom::store::StoreError>(Some((row, status)))
    };
    let read = read.await;
    store.close().await;
    let Some((row, status)) = read? else { return Ok(no_job(id)) };
    let json = || {
        let mut json = job_json(&row);
        json["holds"] = status.locks.iter().map(DeploymentLock::to_string).collect();
        json["in_doubt"] = json!(status.in_doubt);
        json["cancelled"] = json!(status.cancelled);
        json["entries"] = json!(status.entries.as_ref().ok());
        json["fault"] = json!(status.entries.as_ref().err());
        json
    };
    report::print(format, json, || status.text(&row, None))?;
    Ok(Exit::Done)
}

/// Prints the error that no job has the id `id`. Returns [`Exit::Failed`].
pub(super) fn no_job(id: &str) -> Exit {
    report::failed(&format!("there is no job `{}`", wardroom::base::clean(id)))
}

pub(super) fn job_json(row: &JobRow) -> Value {
    let mut json = json!({
        "id": row.id, "line": row.line, "command": row.command, "app": row.app, "environment": row.environment,
        "caller": row.caller, "bot": row.bot, "plugin": row.plugin, "digest": row.digest, "parent": row.parent,
        "opened": row.opened, "open": row.end.is_none(),
    });
    match &row.end {
        Some(end) => {
            json["outcome"] = json!(end.outcome.as_str());
            json["ended"] = json!(end.at);
            json["summary"] = json!(end.summary);
        }
        None => {
            json["phase"] = json!(row.status.phase.as_str());
            json["about"] = json!(row.status.about);
            json["since"] = json!(row.status.since);
            json["wakes_at"] = json!(row.status.wake);
        }
    }
    json
}
