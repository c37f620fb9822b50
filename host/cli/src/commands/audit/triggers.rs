//! The triggers of the configuration in the audit report: aliases, fixed answers, listen rules, schedules, hooks and notices.

use serde_json::{Value, json};
use wardroom::{base::At, config::Config, messaging::Occasion};

/// One trigger.
struct TriggerRow {
    kind: &'static str,
    /// The words, the pattern, the time or the name.
    what: String,
    /// The command, or the effect without one.
    does: String,
    /// The machine account of a schedule or hook.
    who: Option<String>,
    room: Option<String>,
    at: String,
}

fn rows(config: &Config) -> Vec<TriggerRow> {
    let triggers = &config.triggers;
    let mut rows = Vec::new();
    let mut add = |kind, what: String, does: &str, who: Option<&str>, room: Option<String>, at: &At| {
        rows.push(TriggerRow {
            kind,
            what,
            does: does.to_owned(),
            who: who.map(str::to_owned),
            room,
            at: format!("{} line {}", super::file_name(&at.file), at.line),
        });
    };
    for alias in &triggers.aliases {
        add("alias", alias.typed.join(" "), alias.command.as_str(), None, None, &alias.at);
    }
    for said in &triggers.said {
        add("say", said.typed.join(" "), "a fixed answer", None, None, &said.at);
    }
    for listen in &triggers.listens {
        let rooms = listen.rooms.as_ref().map(|rooms| {
            let rooms: Vec<String> = rooms.iter().map(ToString::to_string).collect();
            rooms.join(", ")
        });
        add("listen", listen.pattern.to_string(), listen.command.as_str(), None, rooms, &listen.at);
    }
    for schedule in &triggers.schedules {
        let what = format!("{} at {}", schedule.name, schedule.cron.as_str());
        let room = Some(schedule.room.to_string());
        add("schedule", what, schedule.command.as_str(), Some(&schedule.machine.name), room, &schedule.at);
    }
    for hook in &triggers.hooks {
        let room = Some(hook.room.to_string());
        add("hook", hook.name.clone(), hook.command.as_str(), Some(&hook.machine.name), room, &hook.at);
    }
    for notice in config.notices.iter() {
        let on: Vec<&str> = notice.on.iter().map(|on: &Occasion| on.as_str()).collect();
        add("notify", on.join(", "), "a notification", None, Some(notice.room.to_string()), &notice.at);
    }
    rows
}

/// One line for each trigger.
pub(super) fn text(config: &Config) -> Vec<String> {
    let line = |row: TriggerRow| {
        let who = row.who.map(|who| format!(", as {who}")).unwrap_or_default();
        let room = row.room.map(|room| format!(", in {room}")).unwrap_or_default();
        format!("{} {}: {}{who}{room} ({})", row.kind, row.what, row.does, row.at)
    };
    rows(config).into_iter().map(line).collect()
}

pub(super) fn json(config: &Config) -> Vec<Value> {
    let object = |row: TriggerRow| json!({ "kind": row.kind, "what": row.what, "does": row.does, "as": row.who, "room": row.room, "at": row.at });
    rows(config).into_iter().map(object).collect()
}
