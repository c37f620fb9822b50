//! The text of approval messages. The host writes the text; the plugin provides only the values in the plan.

use jiff::Timestamp;

use super::{
    approval_request::{ApprovalRequest, Counted, Decision},
    plan::{Plan, PlanEnd},
};
use crate::{
    base::{PREFIX, Text, clean, utc_text},
    model::name_and_id,
    policy::Need,
    store::JobRow,
};

/// The maximum number of pending effects in a plan. People cannot approve a plan with more pending effects, because one
/// message could not list them.
const MAX_SHOWN: usize = 40;
/// The maximum length of the list of a plan's pending effects ([`sent_length`]). People cannot approve a plan with a
/// longer list, because one message could not show it on every network.
const MAX_PLAN_LENGTH: usize = 10_000;
/// The maximum length of the command line and of each completed effect in the text ([`sent_length`]). A longer one is
/// truncated: only the pending effects are approved.
const MAX_OTHER_LENGTH: usize = 600;
/// The maximum number of completed effects that the text of a plan lists. If there are more, the text lists the latest,
/// and gives only the number of the earlier ones.
const MAX_DONE: usize = 5;

/// Returns the outbox key of the message about a job's approval request number `ask`, such as `7f3ak/approval-1`.
pub(crate) fn key(job: &str, ask: u32) -> String {
    format!("{job}/approval-{ask}")
}

/// Parses the outbox key of an approval message into the job id and the number of the approval request.
pub(crate) fn parse_key(key: &str) -> Option<(&str, u32)> {
    let (job, ask) = key.split_once("/approval-")?;
    Some((job, ask.parse().ok()?))
}

/// Returns the argument of `approve` and `deny` for an approval request: `7f3ak` for the first request of a job,
/// `7f3ak-2` for the second. A command that was copied from an older request has another number, so it does not approve
/// a newer request.
pub(crate) fn argument(job: &str, ask: u32) -> String {
    if ask == 1 { job.to_owned() } else { format!("{job}-{ask}") }
}

/// Returns the status text of a job that waits for approval: `waits for approval, 1 of 2 (deployer)`.
pub(crate) fn approval_line(ask: &ApprovalRequest) -> String {
    let needs: Vec<String> = ask
        .needs
        .iter()
        .enumerate()
        .map(|(at, need)| format!("{} of {} ({})", ask.count(at).min(need.count), need.count, need.from.join(" or ")))
        .collect();
    format!("waits for approval, {}", needs.join(" and "))
}

/// Returns a text about an approval of a person who has lost the role since.
pub(crate) fn lapsed_text(given: &Counted) -> String {
    let who = name_and_id(&given.id, &given.name);
    format!("the approval of {who} no longer counts, because {who} no longer has a role that can give it")
}

/// Returns whether a plan is small enough that one message lists all its pending effects. People cannot approve a
/// larger plan.
pub(crate) fn can_be_shown(plan: &Plan) -> bool {
    let lengths: Vec<usize> =
        plan.effects.iter().filter(|effect| !effect.done).map(|effect| sent_length(&effect.shown())).collect();
    lengths.len() <= MAX_SHOWN && lengths.iter().sum::<usize>() <= MAX_PLAN_LENGTH
}

/// Returns the maximum length of a text when it is sent, in bytes. Networks escape punctuation: a character of markup
/// has up to six bytes as a reference in HTML.
fn sent_length(text: &str) -> usize {
    text.chars().map(|letter| if letter.is_ascii_punctuation() { 6 } else { letter.len_utf8() }).sum()
}

/// Truncates a text that is not approved to [`MAX_OTHER_LENGTH`].
fn truncated(text: &str) -> String {
    let mut length = 0;
    let kept: String = text
        .chars()
        .take_while(|letter| {
            length += sent_length(letter.encode_utf8(&mut [0; 4]));
            length <= MAX_OTHER_LENGTH
        })
        .collect();
    if kept.len() == text.len() { kept } else { format!("{kept}[...]") }
}

/// Returns the effects of a plan, one per line: the last [`MAX_DONE`] completed effects, then all pending effects.
pub(crate) fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let done = plan.effects.iter().filter(|effect| effect.done).count();
    if let Some(earlier) = done.checked_sub(MAX_DONE).filter(|earlier| *earlier > 0) {
        lines.push(format!("[done] {earlier} earlier effects"));
    }
    for (number, effect) in plan.effects.iter().enumerate().skip(done.saturating_sub(MAX_DONE)) {
        let number = number + 1;
        lines.push(match effect.done {
            true => format!("[done] {number}. {}", truncated(&effect.shown())),
            false => format!("{number}. {}", effect.shown()),
        });
    }
    match &plan.end {
        PlanEnd::Ended if plan.effects.is_empty() => lines.push("the plan has no effects".to_owned()),
        PlanEnd::Ended => {}
        PlanEnd::Depends => lines.push("further effects depend on a result that a dry run cannot predict".to_owned()),
        PlanEnd::Broke(why) => lines.push(format!("then the plugin fails: {}", clean(why))),
    }
    lines
}

/// Returns the remaining time until `until`, rounded up: `4 min`, `2 h`.
fn left(until: Timestamp, now: Timestamp) -> String {
    let seconds = until.as_second().saturating_sub(now.as_second()).max(0);
    let up = |unit: i64| seconds.div_euclid(unit) + i64::from(seconds % unit > 0);
    match up(60) {
        _ if seconds < 60 => "less than a minute".to_owned(),
        minutes @ 0..120 => format!("{minutes} min"),
        _ => format!("{} h", up(3600)),
    }
}

/// Returns the text of an approval message: the plan, the rules and the approvals so far. If the request is not decided
/// yet, the text also contains the deadline, the commands to type, and mentions of the people whose ids are in `asked`.
/// If `thumbs` is true, the text offers the reactions 👍 and 👎 in addition to the commands.
pub(crate) fn message(row: &JobRow, ask: &ApprovalRequest, asked: &[String], now: Timestamp, thumbs: bool) -> Text {
    let who = name_and_id(&row.caller.id, &row.caller.name);
    let (status, heading) = match &ask.decision {
        None => (approval_line(ask), "The plan:"),
        Some(Decision::Approved) => ("was approved".to_owned(), "The approved plan:"),
        Some(Decision::NotApproved(why)) => (format!("was not approved: {why}"), "The plan that was not approved:"),
    };
    let mut text = Text::lines(format!("`{}` (job {}, requested by {who}) {status}", truncated(&row.line), row.id));
    text.push_lines(heading);
    for line in plan_lines(&ask.plan) {
        text.push_lines(format!("  {line}"));
    }
    let rules: Vec<&str> = ask.needs.iter().map(|need: &Need| need.rule.as_str()).collect();
    text.push_lines(format!("The approval is required by {}.", rules.join("; ")));
    if !ask.given.is_empty() {
        let names: Vec<String> = ask.given.iter().map(|given| name_and_id(&given.id, &given.name)).collect();
        text.push_lines(format!("Approved by {}.", names.join(", ")));
    }
    if ask.decision.is_none() {
        let (up, down) = if thumbs { (" or 👍", " or 👎") } else { ("", "") };
        let (until, left, handle) = (utc_text(ask.until), left(ask.until, now), argument(&row.id, ask.number));
        text.push_lines(format!(
            "Answer until {until} ({left} left): `{PREFIX}approve {handle}`{up}, or `{PREFIX}deny {handle} REASON`{down}."
        ));
        text.push_people(asked);
    }
    text
}

/// Returns the vote that an emoji stands for, regardless of its skin tone. Returns `None` for an emoji that is not a
/// vote.
pub(crate) fn thumb(emoji: &str) -> Option<Thumb> {
    let bare: String =
        emoji.chars().filter(|letter| !matches!(letter, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')).collect();
    match bare.as_str() {
        "\u{1f44d}" => Some(Thumb::Up),
        "\u{1f44e}" => Some(Thumb::Down),
        _ => None,
    }
}

/// A vote by reaction: 👍 or 👎.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thumb {
    Up,
    Down,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::plan::Effect;

    fn plan(done: usize, pending: usize, text: &str) -> Plan {
        let effect = |index: usize| {
            let effect = Effect::new("jobs.later", Default::default(), json!({ "text": text }), &[]);
            Effect { done: index < done, ..effect }
        };
        Plan { effects: (0..done + pending).map(effect).collect(), end: PlanEnd::Ended }
    }

    #[test]
    fn a_plan_that_no_message_can_show_is_refused() {
        for (pending, text, expected) in [
            (40, "short", true),
            (41, "short", false),
            (1, &"x".repeat(9_000), true),
            (1, &"x".repeat(10_000), false),
            // A network escapes each of these characters.
            (1, &"&".repeat(1_500), true),
            (1, &"&".repeat(2_000), false),
        ] {
            assert_eq!(can_be_shown(&plan(0, pending, text)), expected, "{pending} {}", text.len());
        }
        assert!(can_be_shown(&plan(50, 1, &"x".repeat(9_000))), "completed effects are truncated");
    }

    #[test]
    fn completed_effects_do_not_hide_pending_effects() {
        let lines = plan_lines(&plan(7, 2, &"&".repeat(500)));
        assert_eq!(lines.len(), 8, "{lines:?}");
        assert_eq!(lines[0], "[done] 2 earlier effects");
        assert!(lines[1..6].iter().all(|line| line.starts_with("[done] ") && line.ends_with("&[...]")), "{lines:?}");
        assert!(lines[1..6].iter().all(|line| line.len() < 150), "{lines:?}");
        assert!(lines[6].starts_with("8. jobs.later") && lines[7].ends_with("&\""), "{lines:?}");
    }
}
