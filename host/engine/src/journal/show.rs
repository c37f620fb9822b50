//! Formats a job's journal as text for people.
//!
//! Invariant: each entry is one line of limited length without invisible characters.
//! Not here: the verification of journals (`verify`).

use std::fmt;

use serde_json::Value;

use crate::{
    base::one_line,
    journal::JobJournal,
    model::{NO_RULE, RunKey},
    store::{Entry, EntryKind, HashedEntry, JobRow},
};

/// The maximum length of the line of a journal entry, in characters. A longer line is truncated.
const MAX_LINE: usize = 240;
/// The maximum length of an argument or a result of a host call, in characters. A longer value is truncated.
const MAX_VALUE: usize = 100;

impl fmt::Display for JobJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = &self.job;
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
        for HashedEntry { entry, .. } in &self.entries {
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
        lines.iter().try_for_each(|line| writeln!(f, "{}", truncate(&one_line(line), MAX_LINE)))
    }
}

fn status_text(job: &JobRow) -> String {
    let status = &job.status;
    let about = if status.about.is_empty() { status.phase.as_str() } else { &status.about };
    format!("{about}, since {}", status.since.strftime("%Y-%m-%d %H:%M:%S UTC"))
}

/// Describes a journal entry in one line, without its number and time.
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
        EntryKind::End => end_line("plugin ended", &body["end"], &body["text"], body),
        EntryKind::Closed => end_line("closed", &body["outcome"], &body["said"], body),
    }
}

/// Formats the first journal entry: `invocation deploy {app: cms, version: 1.0.2} by @bob:example.org`.
fn invocation(entry: &Entry) -> String {
    let invocation = &entry.body["invocation"];
    let Some(command) = text(&invocation["command"]) else { return format!("invocation {}", body_or_size(entry)) };
    let argument = |argument: &Value| format!("{}: {}", bare(&argument["name"]), value(&argument["value"]));
    let arguments = invocation["arguments"].as_array();
    let arguments = arguments.map(|all| all.iter().map(argument).collect::<Vec<_>>().join(", "));
    let caller = &invocation["caller"];
    format!("invocation {command} {{{}}} by {}", arguments.unwrap_or_default(), bare(&caller["id"]))
}

/// Formats a host call with its attributes: `pipelines.trigger {pipeline: cms/staging}`.
fn call(entry: &Entry) -> String {
    let attributes: Vec<String> = entry
        .attributes
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| format!("{name}: {}", truncate(&values.join(", "), MAX_VALUE)))
        .collect();
    if attributes.is_empty() { entry.call.clone() } else { format!("{} {{{}}}", entry.call, attributes.join(", ")) }
}

fn rule(how: &str, entry: &Entry) -> String {
    match entry.rule.as_str() {
        // Show no rule for a host call that needs no rule.
        "" | NO_RULE => String::new(),
        rule => format!(" {how} {rule}"),
    }
}

/// Formats the result of a host call. Truncates a long result.
fn answer(entry: &Entry) -> String {
    let answer = &entry.body["answer"];
    match answer.as_object().and_then(|object| object.iter().next()) {
        Some((kind, Value::Null)) if kind == "Ok" => "done".to_owned(),
        Some((kind, value)) if kind == "Ok" => brief(value),
        Some((kind, error)) if kind == "Err" => format!("failed, {}", problem(error)),
        _ => body_or_size(entry),
    }
}

/// Formats an error that a host call returned: the kind of the error, and its message or fields.
fn problem(error: &Value) -> String {
    let Some((kind, about)) = error.as_object().and_then(|object| object.iter().next()) else { return brief(error) };
    let about = text(&about["message"]).map_or_else(|| brief(about), |message| truncate(&message, MAX_VALUE));
    format!("{}: {about}", kind.to_lowercase())
}

/// Formats the entry that records the end of the plugin or of the job: `closed: succeeded: Deployed.`. If `kind` is not
/// a string, formats the whole body.
fn end_line(event: &str, kind: &Value, message: &Value, body: &Value) -> String {
    match (text(kind), text(message)) {
        (Some(kind), Some(message)) => format!("{event}: {kind}: {message}"),
        (Some(kind), _) => format!("{event}: {kind}"),
        (None, _) => format!("{event}: {}", brief(body)),
    }
}

/// Formats a body of unknown form, or the size of a body that is stored as a blob.
fn body_or_size(entry: &Entry) -> String {
    match (&entry.blob, entry.body["bytes"].as_u64()) {
        (Some(_), Some(bytes)) => format!("{bytes} bytes, stored as a blob"),
        _ => brief(&entry.body),
    }
}

/// Formats the value of an argument without its type: `cms` for `{"Text": "cms"}`.
fn value(value: &Value) -> String {
    brief(value.as_object().and_then(|object| object.values().next()).unwrap_or(value))
}

/// Returns the string of a JSON value; `None` if the value is not a string or is empty.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn brief(value: &Value) -> String {
    truncate(&bare(value), MAX_VALUE)
}

/// Formats a JSON value without quotation marks.
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

/// Truncates a text to `most` characters, and marks the truncation with ` ...`.
fn truncate(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}
