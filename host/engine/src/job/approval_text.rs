//! The approval messages of a room. The host writes all of this text; the plugin writes none of it.

use jiff::Timestamp;

use super::{
    approval_request::{ApprovalRequest, Decision},
    plan::{Plan, PlanEnd},
};
use crate::{
    base::{Text, clean, moment},
    model::who_is,
    policy::Need,
    store::JobRow,
};

/// Limits of a plan that can be approved: pending effects, and bytes of text. A larger plan cannot be shown whole.
const MOST_SHOWN: usize = 40;
const LONGEST_PLAN: usize = 12_000;
/// The number of completed effects that a plan lists.
const MOST_DONE: usize = 5;

/// The outbox key of an approval message.
pub(crate) fn key(job: &str, ask: u32) -> String {
    format!("{job}/approval-{ask}")
}

/// The job id and the number of the request in an outbox key; the inverse of [`key`].
pub(crate) fn parse_key(key: &str) -> Option<(&str, u32)> {
    let (job, ask) = key.split_once("/approval-")?;
    Some((job, ask.parse().ok()?))
}

/// The argument of `approve` and `deny` for one request: the job's id, and from the second request on also its number.
/// The number prevents an approval of a newer request that the person has not read.
pub(crate) fn argument(job: &str, ask: u32) -> String {
    if ask == 1 { job.to_owned() } else { format!("{job}-{ask}") }
}

/// The job id and the number of the request in an argument of `approve`; the number is `None` if only the id was given.
pub(crate) fn parse_argument(word: &str) -> (&str, Option<u32>) {
    match word.rsplit_once('-').map(|(job, ask)| (job, ask.parse())) {
        Some((job, Ok(ask))) => (job, Some(ask)),
        _ => (word, None),
    }
}

/// The status of a job that waits for approval: `waits for approval, 1 of 2 (deployer)`.
pub(crate) fn approval_line(ask: &ApprovalRequest) -> String {
    let needs: Vec<String> = ask
        .needs
        .iter()
        .enumerate()
        .map(|(at, need)| format!("{} of {} ({})", ask.count(at).min(need.count), need.count, need.from.join(" or ")))
        .collect();
    format!("waits for approval, {}", needs.join(" and "))
}

/// Whether a plan is small enough to be shown whole. A plan that cannot be shown whole cannot be approved.
pub(crate) fn can_be_shown(plan: &Plan) -> bool {
    let ahead: Vec<usize> =
        plan.effects.iter().filter(|effect| !effect.done).map(|effect| effect.shown().len()).collect();
    ahead.len() <= MOST_SHOWN && ahead.iter().sum::<usize>() <= LONGEST_PLAN
}

/// The effects of a plan, one per line: all pending effects, and the last [`MOST_DONE`] of the completed ones.
pub(crate) fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let done = plan.effects.iter().filter(|effect| effect.done).count();
    if let Some(earlier) = done.checked_sub(MOST_DONE).filter(|earlier| *earlier > 0) {
        lines.push(format!("[done] {earlier} earlier effects"));
    }
    for (number, effect) in plan.effects.iter().enumerate().skip(done.saturating_sub(MOST_DONE)) {
        let mark = if effect.done { "[done] " } else { "" };
        lines.push(format!("{mark}{}. {}", number + 1, effect.shown()));
    }
    match &plan.end {
        PlanEnd::Ended if plan.effects.is_empty() => lines.push("nothing".to_owned()),
        PlanEnd::Ended => {}
        PlanEnd::Depends => lines.push("the next effects depend on the result of this one".to_owned()),
        PlanEnd::Broke(why) => lines.push(format!("then the plugin fails: {}", clean(why))),
    }
    lines
}

/// The remaining time: `4 min`, `2 h`. Rounded up.
fn left(until: Timestamp, now: Timestamp) -> String {
    let seconds = until.as_second().saturating_sub(now.as_second()).max(0);
    let up = |unit: i64| seconds.div_euclid(unit) + i64::from(seconds % unit > 0);
    match up(60) {
        _ if seconds < 60 => "less than a minute".to_owned(),
        minutes @ 0..120 => format!("{minutes} min"),
        _ => format!("{} h", up(3600)),
    }
}

/// The approval message of a job: the plan, the rules, the approvals so far, the deadline and the commands to type;
/// after the decision, the decision. `asked` are the ids of the people to mention. `thumbs` says whether reactions
/// count in this room.
pub(crate) fn message(row: &JobRow, ask: &ApprovalRequest, asked: &[String], now: Timestamp, thumbs: bool) -> Text {
    let who = who_is(&row.caller.id, &row.caller.name);
    let mut text = Text::default();
    match &ask.decision {
        None => {
            text.push_lines(format!("`{}` (job {}, asked by {who}) {}", row.line, row.id, approval_line(ask)));
            text.push_lines("The plan:");
        }
        Some(Decision::Approved) => {
            text.push_lines(format!("`{}` (job {}, asked by {who}) was approved", row.line, row.id));
            text.push_lines("The approved plan:");
        }
        Some(Decision::NotApproved(why)) => {
            text.push_lines(format!("`{}` (job {}, asked by {who}) was not approved: {why}", row.line, row.id));
            text.push_lines("The plan that was not approved:");
        }
    }
    for line in plan_lines(&ask.plan) {
        text.push_lines(format!("  {line}"));
    }
    let rules: Vec<&str> = ask.needs.iter().map(|need: &Need| need.rule.as_str()).collect();
    text.push_lines(format!("Required by {}.", rules.join("; ")));
    if !ask.given.is_empty() {
        let names: Vec<String> = ask.given.iter().map(|given| who_is(&given.id, &given.name)).collect();
        text.push_lines(format!("Approved by {}.", names.join(", ")));
    }
    if ask.decision.is_none() {
        let (up, down) = if thumbs { (" or 👍", " or 👎") } else { ("", "") };
        let (until, left, handle) = (moment(ask.until), left(ask.until, now), argument(&row.id, ask.number));
        text.push_lines(format!(
            "Answer until {until} ({left} left): `approve {handle}`{up}, or `deny {handle} REASON`{down}."
        ));
        text.push_people(asked);
    }
    text
}

/// The vote that an emoji stands for. Skin tones and variation selectors are ignored.
pub(crate) fn thumb(emoji: &str) -> Option<Thumb> {
    let bare: String =
        emoji.chars().filter(|letter| !matches!(letter, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')).collect();
    match bare.as_str() {
        "\u{1f44d}" => Some(Thumb::Up),
        "\u{1f44e}" => Some(Thumb::Down),
        _ => None,
    }
}

/// The two emoji that count as votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thumb {
    Up,
    Down,
}
