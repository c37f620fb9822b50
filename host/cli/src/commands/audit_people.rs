//! `wardroom audit people`: reports the commands that each person may run, with the rule or grant that permits them.

use serde_json::json;

use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn people(wiring: &Wiring<'_>, format: Format) -> anyhow::Result<Exit> {
    let Some(wired) = wiring.read_or_report() else { return Ok(Exit::Invalid) };
    let people = wired.review_with_grants().await?.people();
    report::print(format, || json!(people), || people.to_string())?;
    Ok(Exit::Done)
}
