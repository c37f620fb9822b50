//! `wardroom audit`: reports the host calls of each plugin that are imported, permitted and made. `wardroom audit
//! people`: reports the commands that each person may run, with the rule or grant that permits them.

use serde_json::json;
use wardroom::store::Store;

use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn audit(wiring: &Wiring<'_>, format: Format) -> anyhow::Result<Exit> {
    let Some(wired) = wiring.read_or_report() else { return Ok(Exit::Invalid) };
    let (review, state) = wired.review().await?;
    let store = state.store().await?;
    let audit = review.audit(store.as_ref().map(|store| store as &dyn Store)).await;
    if let Some(store) = store {
        store.close().await;
    }
    let audit = audit?;
    report::print(format, || json!(audit), || audit.to_string())?;
    Ok(Exit::Done)
}

pub(crate) async fn people(wiring: &Wiring<'_>, format: Format) -> anyhow::Result<Exit> {
    let Some(wired) = wiring.read_or_report() else { return Ok(Exit::Invalid) };
    let people = wired.review_with_grants().await?.people();
    report::print(format, || json!(people), || people.to_string())?;
    Ok(Exit::Done)
}
