//! A job's life as a person reads it.
//!
//! Invariant: one line an entry, and nothing in it that does not show or is longer than a line should be.
//! Not here: whether it is what was written (`verify`).

use serde_json::Value;

use crate::{
    base::clean,
    model::{NO_RULE, RunKey},
    store::{Entry, EntryKind, HashedEntry, JobRow},
};

/// How many characters a line has at most.
const WIDEST: usize = 240;
/// How many of them an answer or an argument has at most.
const BRIEF: usize = 100;

/// A job's life, one line an entry.
pub fn show(job: &JobRow, entries: &[HashedEntry]) -> String {
    let mut lines = vec![
        format!("job {}: {}", job.id, job.line),
        format!(
            "asked by {} ({}) at {}, plugin {} {}",
            job.caller.name,
            job.caller.id,
            job.opened.strftime("%Y-%m-%d %H:%M:%S UTC"),
            job.plugin,
            job.digest
        ),
    ];
    lines.extend(job.parent.iter().map(|parent| format!("left for later by job {parent}")));
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
        None => stands(job),
    });
    lines.iter().map(|line| cut(&clean(&line.replace(['\n', '\r'], " ")), WIDEST)).collect::<Vec<_>>().join("\n")
}

/// Where an open job stands.
fn stands(job: &JobRow) -> String {
    let stand = &job.stand;
    let about = if stand.about.is_empty() { stand.phase.as_str() } else { &stand.about };
    format!("{about}, since {}", stand.since.strftime("%Y-%m-%d %H:%M:%S UTC"))
}

/// What an entry says.
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
            format!("{}{}: waits{until}", call(entry), rule("allowed by", entry))
        }
        EntryKind::Result => {
            let of = entry.of.map(|of| format!(" of {of}")).unwrap_or_default();
            let settled = text(&body["settled"]).map(|how| format!(", settled: {how}")).unwrap_or_default();
            format!("result{of}: {}{settled}", answer(entry))
        }
        EntryKind::Denied => format!("{}{}: {}", call(entry), rule("refused:", entry), answer(entry)),
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

/// What was typed.
fn invocation(entry: &Entry) -> String {
    let asked = &entry.body["invocation"];
    let Some(command) = text(&asked["command"]) else { return format!("invocation {}", beside(entry)) };
    let argument = |argument: &Value| format!("{}: {}", bare(&argument["name"]), value(&argument["value"]));
    let arguments = asked["arguments"].as_array().map(|all| all.iter().map(argument).collect::<Vec<_>>().join(", "));
    let caller = &asked["caller"];
    format!("invocation {command} {{{}}} by {}", arguments.unwrap_or_default(), bare(&caller["id"]))
}

/// A call with the attributes that the rules saw.
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
        // A call that needs no rule says nothing of one.
        "" | NO_RULE => String::new(),
        rule => format!(" {how} {rule}"),
    }
}

/// What came of a call, short.
fn answer(entry: &Entry) -> String {
    let answer = &entry.body["answer"];
    match answer.as_object().and_then(|object| object.iter().next()) {
        Some((kind, Value::Null)) if kind == "Ok" => "done".to_owned(),
        Some((kind, value)) if kind == "Ok" => brief(value),
        Some((kind, error)) if kind == "Err" => format!("failed, {}", problem(error)),
        _ => beside(entry),
    }
}

/// An error of the contract: a word, or a word with what it is about.
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

/// How something ended, and the words for it.
fn said(what: &str, how: &Value, words: &Value, body: &Value) -> String {
    match (text(how), text(words)) {
        (Some(how), Some(words)) => format!("{what}: {how}: {words}"),
        (Some(how), _) => format!("{what}: {how}"),
        (None, _) => format!("{what}: {}", brief(body)),
    }
}

/// A body of no known shape, or one that is too large for its entry.
fn beside(entry: &Entry) -> String {
    match (&entry.beside, entry.body["bytes"].as_u64()) {
        (Some(_), Some(bytes)) => format!("{bytes} bytes, kept beside"),
        _ => brief(&entry.body),
    }
}

/// A value of an argument: what it is, without the name of its type.
fn value(value: &Value) -> String {
    match value.as_object().and_then(|object| object.values().next()) {
        Some(inner) => brief(inner),
        None => brief(value),
    }
}

/// A text that says something.
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

/// A text of at most so many characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}
