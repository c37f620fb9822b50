//! What the room sees of an approval: the host's words, never the plugin's.

use jiff::Timestamp;

use super::{Ask, Decision, Need, Plan, PlanEnd};
use crate::{
    port::store::JobRow,
    reply::{Text, clean, moment},
};

/// More effects than this are counted and not shown.
const MOST_SHOWN: usize = 20;

/// The key of the message that asks.
pub(crate) fn key(job: &str, ask: u32) -> String {
    format!("{job}/approval-{ask}")
}

/// The job and the number of the ask, of a message's key.
pub(crate) fn key_parts(key: &str) -> Option<(&str, u32)> {
    let (job, ask) = key.split_once("/approval-")?;
    Some((job, ask.parse().ok()?))
}

/// Where a job stands that asks: `waits for approval, 1 of 2 (deployer)`.
pub(crate) fn line(ask: &Ask) -> String {
    let needs: Vec<String> = ask
        .needs
        .iter()
        .enumerate()
        .map(|(at, need)| format!("{} of {} ({})", ask.count(at).min(need.count), need.count, need.from.join(" or ")))
        .collect();
    format!("waits for approval, {}", needs.join(" and "))
}

/// The effects of a plan, a line each.
pub(crate) fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, effect) in plan.effects.iter().enumerate().take(MOST_SHOWN) {
        let done = if effect.done { " (done)" } else { "" };
        lines.push(format!("{}. {}{done}", number + 1, effect.about()));
    }
    match plan.effects.len().checked_sub(MOST_SHOWN) {
        None | Some(0) => {}
        Some(more) => lines.push(format!("and {more} more")),
    }
    match &plan.end {
        PlanEnd::Ended if plan.effects.is_empty() => lines.push("nothing".to_owned()),
        PlanEnd::Ended => {}
        PlanEnd::Depends => lines.push("the rest depends on this".to_owned()),
        PlanEnd::Broke(why) => lines.push(format!("then it ends: {}", clean(why))),
    }
    lines
}

/// How much time is left: `4 min`, `2 h`. Rounded up, so that what is said is never more than gone.
fn left(until: Timestamp, now: Timestamp) -> String {
    let seconds = until.as_second().saturating_sub(now.as_second()).max(0);
    match seconds {
        0..60 => "less than a minute".to_owned(),
        60..7200 => format!("{} min", seconds.div_euclid(60) + i64::from(seconds % 60 > 0)),
        _ => format!("{} h", seconds.div_euclid(3600) + i64::from(seconds % 3600 > 0)),
    }
}

/// The message that asks: what, who, until when; or how it ended. `asked` are the ids of those who can approve.
pub(crate) fn message(row: &JobRow, ask: &Ask, asked: &[String], now: Timestamp) -> Text {
    let who = clean(&row.caller.name);
    let mut text = Text::default();
    match &ask.decision {
        None => {
            text.push_lines(format!("`{}` (job {}, asked by {who}) {}", row.line, row.id, line(ask)));
            text.push_lines("It is going to:");
        }
        Some(Decision::Approved) => {
            text.push_lines(format!("`{}` (job {}, asked by {who}) was approved", row.line, row.id));
            text.push_lines("Approved was:");
        }
        Some(Decision::NotApproved(why)) => {
            text.push_lines(format!("`{}` (job {}, asked by {who}) was not approved: {why}", row.line, row.id));
            text.push_lines("Not approved was:");
        }
    }
    for line in plan_lines(&ask.plan) {
        text.push_lines(format!("  {line}"));
    }
    let rules: Vec<&str> = ask.needs.iter().map(|need: &Need| need.rule.as_str()).collect();
    text.push_lines(format!("Asked for by {}.", rules.join("; ")));
    if !ask.given.is_empty() {
        let names: Vec<String> = ask.given.iter().map(|given| clean(&given.name)).collect();
        text.push_lines(format!("Approved by {}.", names.join(", ")));
    }
    if ask.decision.is_none() {
        text.push_lines(format!(
            "Until {}, {} left: `approve {}` or 👍, `deny {} REASON` or 👎.",
            moment(ask.until),
            left(ask.until, now),
            row.id,
            row.id
        ));
        text.push_people(asked);
    }
    text
}
