//! Lists the triggers of a configuration in the audit report: aliases, fixed answers, listen rules, schedules, hooks
//! and notifications.

use std::fmt;

use serde::Serialize;

use super::texts::position;
use crate::{base::At, config::Config, messaging::NoticeEvent};

#[derive(Debug, Clone, Serialize)]
pub(super) struct TriggerRow {
    /// The name of the trigger's table, such as `schedule`.
    kind: &'static str,
    /// What starts the command: the words that a person types, the pattern of a message, the schedule's name and times,
    /// or the hook's name.
    what: String,
    /// The command. For triggers without a command, a description such as `a fixed answer`.
    does: String,
    /// The machine account of a schedule or hook.
    #[serde(rename = "as")]
    machine: Option<String>,
    /// The rooms in which the trigger applies.
    room: Option<String>,
    at: String,
}

pub(super) fn rows(config: &Config) -> Vec<TriggerRow> {
    let triggers = &config.triggers;
    let mut rows = Vec::new();
    let mut add = |kind, what: String, does: &str, machine: Option<&str>, room: Option<String>, at: &At| {
        rows.push(TriggerRow {
            kind,
            what,
            does: does.to_owned(),
            machine: machine.map(str::to_owned),
            room,
            at: position(at),
        });
    };
    for alias in &triggers.aliases {
        add("alias", alias.typed.join(" "), alias.command.as_str(), None, None, &alias.at);
    }
    for answer in &triggers.fixed_answers {
        add("say", answer.typed.join(" "), "a fixed answer", None, None, &answer.at);
    }
    for listen in &triggers.listens {
        let rooms = listen.rooms.as_ref().map(|rooms| rooms.iter().map(ToString::to_string).collect::<Vec<_>>());
        let rooms = rooms.map(|rooms| rooms.join(", "));
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
        let on: Vec<&str> = notice.on.iter().map(|on: &NoticeEvent| on.as_str()).collect();
        add("notify", on.join(", "), "a notification", None, Some(notice.room.to_string()), &notice.at);
    }
    rows
}

impl fmt::Display for TriggerRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, what, does, at, .. } = self;
        let machine = self.machine.as_ref().map(|machine| format!(", as {machine}")).unwrap_or_default();
        let room = self.room.as_ref().map(|room| format!(", in {room}")).unwrap_or_default();
        write!(f, "{kind} {what}: {does}{machine}{room} ({at})")
    }
}
