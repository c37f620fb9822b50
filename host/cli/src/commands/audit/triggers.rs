//! What sets commands off besides typing them, for the report: each one line with its place in the file.

use serde_json::{Value, json};
use wardroom::{
    config::{At, Config},
    reply::Occasion,
};

/// One of them.
struct Started {
    kind: &'static str,
    what: String,
    does: String,
    who: Option<String>,
    room: Option<String>,
    at: String,
}

fn all(config: &Config) -> Vec<Started> {
    let starters = &config.starters;
    let place = |at: &At| format!("{} line {}", at.file.rsplit('/').next().unwrap_or(&at.file), at.line);
    let mut all = Vec::new();
    for alias in &starters.aliases {
        let (what, does) = (alias.typed.join(" "), alias.command.as_str().to_owned());
        all.push(Started { kind: "alias", what, does, who: None, room: None, at: place(&alias.at) });
    }
    for said in &starters.said {
        let does = "a fixed answer".to_owned();
        all.push(Started { kind: "say", what: said.typed.join(" "), does, who: None, room: None, at: place(&said.at) });
    }
    for listen in &starters.listens {
        let rooms = listen.rooms.as_ref().map(|rooms| {
            let rooms: Vec<String> = rooms.iter().map(ToString::to_string).collect();
            rooms.join(", ")
        });
        let (what, does) = (listen.pattern.to_string(), listen.command.as_str().to_owned());
        all.push(Started { kind: "listen", what, does, who: None, room: rooms, at: place(&listen.at) });
    }
    for schedule in &starters.schedules {
        all.push(Started {
            kind: "schedule",
            what: format!("{} at {}", schedule.name, schedule.cron.as_str()),
            does: schedule.command.as_str().to_owned(),
            who: Some(schedule.machine.name.clone()),
            room: Some(schedule.room.to_string()),
            at: place(&schedule.at),
        });
    }
    for hook in &starters.hooks {
        all.push(Started {
            kind: "hook",
            what: hook.name.clone(),
            does: hook.command.as_str().to_owned(),
            who: Some(hook.machine.name.clone()),
            room: Some(hook.room.to_string()),
            at: place(&hook.at),
        });
    }
    for notice in config.notices.iter() {
        let on: Vec<&str> = notice.on.iter().map(|on: &Occasion| on.as_str()).collect();
        all.push(Started {
            kind: "notify",
            what: on.join(", "),
            does: "is told".to_owned(),
            who: None,
            room: Some(notice.room.to_string()),
            at: place(&notice.at),
        });
    }
    all
}

/// One line each.
pub(super) fn lines(config: &Config) -> Vec<String> {
    let line = |started: Started| {
        let who = started.who.map(|who| format!(", as {who}")).unwrap_or_default();
        let room = started.room.map(|room| format!(", in {room}")).unwrap_or_default();
        format!("{} {}: {}{who}{room} ({})", started.kind, started.what, started.does, started.at)
    };
    all(config).into_iter().map(line).collect()
}

/// The same as facts.
pub(super) fn facts(config: &Config) -> Vec<Value> {
    let fact = |started: Started| {
        json!({
            "kind": started.kind, "what": started.what, "does": started.does, "as": started.who,
            "room": started.room, "at": started.at,
        })
    };
    all(config).into_iter().map(fact).collect()
}
