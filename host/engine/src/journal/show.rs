//! A job's journal as text for people.
//!
//! Invariant: one line per entry, without invisible characters and with a bounded length.
//! Not here: verification (`verify`).

use serde_json::Value;

use crate::{
    base::clean,
    model::{NO_RULE, RunKey},
    store::{Entry, EntryKind, HashedEntry, JobRow},
};

/// The maximum length of a line, in characters.
const WIDEST: usize = 240;
/// The maximum length of an answer or argument, in characters.
const BRIEF: usize = 100;

/// A job's journal, one line per entry.
pub fn show(job: &JobRow, entries: &[HashedEntry]) -> String {
    let mut lines = vec![
        format!("job {}: {}", job.id, job.line),
        format!(
            "started by {} ({}) at {}, plugin {} {}",
            job.caller.name,
            job.caller.id,
            job.opened.strftime("%Y-%m-%d %H:%M:%S UTC"),
            job.plugin,
            job.digest
        ),
    ];
    lines.extend(job.parent.iter().map(|parent| format!("scheduled by job {parent}")));
    let mut day = None;
    for HashedEntry { entry, .. } in entries {
        let date = entry.at.strftime("%Y-%m-%d").to_string();
        let time = entry.at.strftime("%H:%M:%S.%3f");
        let when = if day.as_ref() == Some(&date) { time.to_string() } else { format!("{date} {time}") };
        day = Some(date);
        lines.push(format!("{:>4}  {when}  {}", entry.number, line(entry)));
    }
    lines.push(match &job.end {
        Some(end) => format!("ended at {}: {}", end.at.strftime("%Y-%m-%d %H:%M:%S UTC"), end.outcome.as_str()),
        None => status_text(job),
    });
    lines.iter().map(|line| cut(&clean(&line.replace(['\n', '\r'], " ")), WIDEST)).collect::<Vec<_>>().join("\n")
}

/// The status of an open job.
fn status_text(job: &JobRow) -> String {
    let status = &job.status;
    let about = if status.about.is_empty() { status.phase.as_str() } else { &status.about };
    format!("{about}, since {}", status.since.strftime("%Y-%m-%d %H:%M:%S UTC"))
}

/// The description of an entry.
fn line(entry: &Entry) -> String {
    let body = &entry.body;
    match entry.kind {
        EntryKind::Invocation => invocation(entry),
        EntryKind::Call => format!("{}{}: {}", call(entry), rule("allowed by", entry), answer(entry)),
        EntryKind::Intent => {
            let key = RunKey::new(&entry.job, entry.number);
            format!("{}{}: intent, key {key}", call(entry), rule("allowed by", entry))
        }
        EntryKind::Wait => {
            let timers = body["timers"].as_object().into_iter().flat_map(serde_json::Map::values);
            let until = timers.filter_map(|timer| text(&timer["at"])).min();
            let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
            format!("{}{}: waiting{until}", call(entry), rule("allowed by", entry))
        }
        EntryKind::Result => {
            let of = entry.of.map(|of| format!(" of {of}")).unwrap_or_default();
            let settled = text(&body["settled"]).map(|how| format!(", settled: {how}")).unwrap_or_default();
            format!("result{of}: {}{settled}", answer(entry))
        }
        EntryKind::Denied => format!("{}{}: {}", call(entry), rule("denied:", entry), answer(entry)),
        EntryKind::Event => {
            let what = text(&body["event"]).unwrap_or_else(|| brief(body));
            let by = text(&body["by"]).map(|by| format!(" by {by}")).unwrap_or_default();
            let about = text(&body["about"]).map(|about| format!(": {about}")).unwrap_or_default();
            format!("{what}{by}{about}")
        }
        EntryKind::End => said("plugin ended", &body["end"], &body["text"], body),
        EntryKind::Closed => said("closed", &body["outcome"], &body["said"], body),
    }
}

/// The command of entry 0.
fn invocation(entry: &Entry) -> String {
    let asked = &entry.body["invocation"];
    let Some(command) = text(&asked["command"]) else { return format!("invocation {}", body_or_size(entry)) };
    let argument = |argument: &Value| format!("{}: {}", bare(&argument["name"]), value(&argument["value"]));
    let arguments = asked["arguments"].as_array().map(|all| all.iter().map(argument).collect::<Vec<_>>().join(", "));
    let caller = &asked["caller"];
    format!("invocation {command} {{{}}} by {}", arguments.unwrap_or_default(), bare(&caller["id"]))
}

/// A call with the attributes that the rules matched.
fn call(entry: &Entry) -> String {
    let attributes: Vec<String> = entry
        .attributes
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| format!("{name}: {}", cut(&values.join(", "), BRIEF)))
        .collect();
    if attributes.is_empty() { entry.call.clone() } else { format!("{} {{{}}}", entry.call, attributes.join(", ")) }
}

fn rule(how: &str, entry: &Entry) -> String {
    match entry.rule.as_str() {
        // Calls that need no rule show none.
        "" | NO_RULE => String::new(),
        rule => format!(" {how} {rule}"),
    }
}

/// The answer of a call, shortened.
fn answer(entry: &Entry) -> String {
    let answer = &entry.body["answer"];
    match answer.as_object().and_then(|object| object.iter().next()) {
        Some((kind, Value::Null)) if kind == "Ok" => "done".to_owned(),
        Some((kind, value)) if kind == "Ok" => brief(value),
        Some((kind, error)) if kind == "Err" => format!("failed, {}", problem(error)),
        _ => body_or_size(entry),
    }
}

/// An error of the contract: its kind, with its message if it has one.
fn problem(error: &Value) -> String {
    let (kind, about) = match error.as_object().and_then(|object| object.iter().next()) {
        Some((kind, about)) => (kind.to_lowercase(), about),
        None => return brief(error),
    };
    match text(&about["message"]) {
        Some(message) => format!("{kind}: {}", cut(&message, BRIEF)),
        None => format!("{kind}: {}", brief(about)),
    }
}

/// The kind of an end, with its text.
fn said(what: &str, how: &Value, words: &Value, body: &Value) -> String {
    match (text(how), text(words)) {
        (Some(how), Some(words)) => format!("{what}: {how}: {words}"),
        (Some(how), _) => format!("{what}: {how}"),
        (None, _) => format!("{what}: {}", brief(body)),
    }
}

/// A body that has another shape, or that is a blob.
fn body_or_size(entry: &Entry) -> String {
    match (&entry.blob, entry.body["bytes"].as_u64()) {
        (Some(_), Some(bytes)) => format!("{bytes} bytes, stored as a blob"),
        _ => brief(&entry.body),
    }
}

/// An argument's value without its type.
fn value(value: &Value) -> String {
    match value.as_object().and_then(|object| object.values().next()) {
        Some(inner) => brief(inner),
        None => brief(value),
    }
}

/// A text, unless it is empty.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn brief(value: &Value) -> String {
    cut(&bare(value), BRIEF)
}

/// A value without quotation marks.
fn bare(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(bare).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}: {}", bare(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A text, truncated to `most` characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}
