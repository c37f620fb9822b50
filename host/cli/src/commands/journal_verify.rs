//! `wardroom journal verify`: checks the hash chain of all jobs, queries and refusals.

use serde_json::{Value, json};
use wardroom::journal::{Head, Verified};

use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn verify(wiring: &Wiring<'_>, head: Option<&Head>, format: Format) -> anyhow::Result<Exit> {
    let Some(store) = wiring.store_or_report().await? else { return Ok(Exit::Invalid) };
    let verified = wardroom::journal::verify(&store, head).await;
    store.close().await;
    match verified? {
        Ok(verified) => {
            report::print(format, || json(&verified), || text(&verified))?;
            Ok(Exit::Done)
        }
        Err(fault) => {
            if format == Format::Json {
                report::out(&json!({ "valid": false, "job": fault.job, "fault": fault.message }).to_string())?;
            }
            Ok(report::failed(&fault.message))
        }
    }
}

fn json(verified: &Verified) -> Value {
    json!({
        "valid": true, "links": verified.links, "jobs": verified.jobs, "entries": verified.entries,
        "lines": verified.lines, "removed": verified.removed, "removed_until": verified.removed_until, "head": verified.head.to_string(),
    })
}

fn text(verified: &Verified) -> String {
    let mut lines = vec![format!(
        "valid: {} with {}, {} of queries and refusals, {}",
        count(verified.jobs, "job", "jobs"),
        count(verified.entries, "entry", "entries"),
        count(verified.lines, "record", "records"),
        count(verified.links, "link", "links"),
    )];
    if let Some(until) = verified.removed_until {
        let jobs = count(verified.removed, "job", "jobs");
        lines.push(format!(
            "{jobs} removed after the retention period, from before {}",
            until.strftime("%Y-%m-%d %H:%M UTC")
        ));
    }
    lines.push(match verified.head.number {
        0 => "the journal is empty".to_owned(),
        _ => format!("head {}", verified.head),
    });
    lines.join("\n")
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
