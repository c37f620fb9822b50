//! What the room sees of an approval: the host's words, never the plugin's.

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

/// More effects than this cannot be approved at once, nor such that take more bytes to be shown.
const MOST_SHOWN: usize = 40;
const LONGEST_PLAN: usize = 12_000;
/// So many of the effects that happened are shown.
const MOST_DONE: usize = 5;

/// The key of the message that asks.
pub(crate) fn key(job: &str, ask: u32) -> String {
    format!("{job}/approval-{ask}")
}

/// The job and the number of the ask, of a message's key.
pub(crate) fn key_parts(key: &str) -> Option<(&str, u32)> {
    let (job, ask) = key.split_once("/approval-")?;
    Some((job, ask.parse().ok()?))
}

/// What is typed behind `approve` for one ask: the job's id, and from the second ask on its number, so that nobody approves of
/// what they have not seen.
pub(crate) fn handle(job: &str, ask: u32) -> String {
    if ask == 1 { job.to_owned() } else { format!("{job}-{ask}") }
}

/// The job and the ask of a handle; the ask is left out where its number is.
pub(crate) fn handle_parts(word: &str) -> (&str, Option<u32>) {
    match word.rsplit_once('-').map(|(job, ask)| (job, ask.parse())) {
        Some((job, Ok(ask))) => (job, Some(ask)),
        _ => (word, None),
    }
}

/// Where a job stands that asks: `waits for approval, 1 of 2 (deployer)`.
pub(crate) fn approval_line(ask: &ApprovalRequest) -> String {
    let needs: Vec<String> = ask
        .needs
        .iter()
        .enumerate()
        .map(|(at, need)| format!("{} of {} ({})", ask.count(at).min(need.count), need.count, need.from.join(" or ")))
        .collect();
    format!("waits for approval, {}", needs.join(" and "))
}

/// Whether a plan can be shown whole: what cannot be read cannot be approved.
pub(crate) fn fits(plan: &Plan) -> bool {
    let ahead: Vec<usize> =
        plan.effects.iter().filter(|effect| !effect.done).map(|effect| effect.shown().len()).collect();
    ahead.len() <= MOST_SHOWN && ahead.iter().sum::<usize>() <= LONGEST_PLAN
}

/// The effects of a plan, a line each: those to come whole, and of those that happened the last ones.
pub(crate) fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let done = plan.effects.iter().filter(|effect| effect.done).count();
    if let Some(earlier) = done.checked_sub(MOST_DONE).filter(|earlier| *earlier > 0) {
        lines.push(format!("[done] {earlier} effects before"));
    }
    for (number, effect) in plan.effects.iter().enumerate().skip(done.saturating_sub(MOST_DONE)) {
        let mark = if effect.done { "[done] " } else { "" };
        lines.push(format!("{mark}{}. {}", number + 1, effect.shown()));
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
    let up = |unit: i64| seconds.div_euclid(unit) + i64::from(seconds % unit > 0);
    match up(60) {
        _ if seconds < 60 => "less than a minute".to_owned(),
        minutes @ 0..120 => format!("{minutes} min"),
        _ => format!("{} h", up(3600)),
    }
}

/// The message that asks: what, who, until when; or how it ended. `asked` are the ids of those who can approve;
/// `thumbs`: whether reactions count there.
pub(crate) fn message(row: &JobRow, ask: &ApprovalRequest, asked: &[String], now: Timestamp, thumbs: bool) -> Text {
    let who = who_is(&row.caller.id, &row.caller.name);
    let mut text = Text::default();
    match &ask.decision {
        None => {
            text.push_lines(format!("`{}` (job {}, asked by {who}) {}", row.line, row.id, approval_line(ask)));
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
        let names: Vec<String> = ask.given.iter().map(|given| who_is(&given.id, &given.name)).collect();
        text.push_lines(format!("Approved by {}.", names.join(", ")));
    }
    if ask.decision.is_none() {
        let (up, down) = if thumbs { (" or 👍", " or 👎") } else { ("", "") };
        let (until, left, handle) = (moment(ask.until), left(ask.until, now), handle(&row.id, ask.number));
        text.push_lines(format!("Until {until}, {left} left: `approve {handle}`{up}, `deny {handle} REASON`{down}."));
        text.push_people(asked);
    }
    text
}

/// The thumb that an emoji is, whatever its skin.
pub(crate) fn thumb(emoji: &str) -> Option<Thumb> {
    let bare: String =
        emoji.chars().filter(|letter| !matches!(letter, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')).collect();
    match bare.as_str() {
        "\u{1f44d}" => Some(Thumb::Up),
        "\u{1f44e}" => Some(Thumb::Down),
        _ => None,
    }
}

/// What a thumb says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thumb {
    Up,
    Down,
}
