//! Reads `[[notify]]`: notifications of job results, approval requests and changes of rights.

use super::{
    members::Members,
    people::{check_names, patterns},
};
use crate::{
    base::{Key, Located, Pattern, Table, TableKeys, Template, nearest},
    messaging::{Notice, NoticeEvent, Notices, PLACEHOLDERS},
    model::{Catalog, RoomName},
};

pub(crate) static NOTIFY_KEYS: TableKeys = TableKeys {
    path: "notify",
    about: "A notification to a room.",
    keys: &[
        Key::strings(
            "on",
            "The events that send the notification: `success`, `failure`, `cancelled`, `not-approved`, `approval`, \
             `rights`.",
        )
        .required(),
        Key::string(
            "room",
            "The room that gets the notification. The room can be on a different network from the room of the command.",
        )
        .required(),
        Key::strings("apps", "Patterns for the app. Without this key, any app."),
        Key::strings("environments", "Patterns for the environment. Without this key, any environment."),
        Key::strings("commands", "Patterns for the command. Without this key, any command."),
        Key::string(
            "text",
            "The text of the notification. It can have the placeholders `{summary}`, `{command}`, `{app}`, `{title}`, \
             `{environment}`, `{person}`, `{outcome}`, `{job}` and `{took}`.",
        )
        .default("{summary}"),
    ],
};

pub(crate) fn read(root: &mut Table, catalog: &Catalog, members: &Members<'_>) -> Notices {
    Notices::new(root.array("notify").into_iter().filter_map(|table| notice(table, catalog, members)).collect())
}

fn notice(mut table: Table, catalog: &Catalog, members: &Members<'_>) -> Option<Notice> {
    let at = table.at().clone();
    let events = NoticeEvent::ALL.map(NoticeEvent::as_str);
    let before = table.problems().count();
    let listed = table.has("on");
    let mut on = Vec::new();
    for word in table.required_strings("on", "[\"success\", \"failure\"]") {
        match NoticeEvent::parse(&word.value) {
            Some(event) => on.push(event),
            None => {
                let fix = nearest(&word.value, events)
                    .map_or_else(|| format!("one of: {}", events.join(", ")), |meant| format!("\"{meant}\""));
                let message = format!("`{}` is not an event for notifications", crate::base::clean(&word.value));
                table.problem(&word.at, message, fix);
            }
        }
    }
    if listed && on.is_empty() && table.problems().count() == before {
        let message = "`on` is empty, so the notification would never be sent";
        table.problem(&at, message, "on = [\"success\"]".to_owned());
    }
    table.require("room", "\"#management:example.org\"");
    let room = RoomName::read(&mut table, "room", members.networks);
    let apps = limit(&mut table, "apps", "app", catalog.apps().map(|app| app.name.as_str()));
    let environments = limit(&mut table, "environments", "environment", catalog.environments());
    // The names of commands cannot be checked, because the plugins are not loaded yet.
    let commands = table.strings("commands").map(|names| patterns(&table, &names.value));
    let at_text = table.at_key("text");
    let text = Located { value: table.string_or_default("text"), at: at_text };
    let text = template(&table, &text);
    table.finish();
    Some(Notice { at, on, apps, environments, commands, room: room?, text: text? })
}

/// Parses the text of a notification. Reports a configuration problem for each placeholder that is not in
/// [`PLACEHOLDERS`].
fn template(table: &Table, text: &Located<String>) -> Option<Template> {
    let template = Template::parse(&text.value)
        .inspect_err(|error| {
            let fix = format!("text = {:?}   (a literal brace is written twice)", Template::escape(&text.value));
            table.problem(&text.at, error, fix);
        })
        .ok()?;
    let mut unknown = template.placeholders().filter(|name| !PLACEHOLDERS.contains(name)).peekable();
    let known = unknown.peek().is_none();
    for name in unknown {
        let message = format!("`{{{}}}` is not a placeholder of notifications", crate::base::clean(name));
        let fix = match nearest(name, PLACEHOLDERS) {
            Some(meant) => format!("{{{meant}}}"),
            None => format!("one of: {}", PLACEHOLDERS.join(", ")),
        };
        table.problem(&text.at, message, fix);
    }
    known.then_some(template)
}

/// Reads a key that limits a notification to certain names. `what` is the kind of the names, such as `app`. `exist`
/// contains the valid names; each other name is reported as a configuration problem.
fn limit<'a>(
    table: &mut Table,
    key: &str,
    what: &str,
    exist: impl Iterator<Item = &'a str> + Clone,
) -> Option<Vec<Pattern>> {
    let names = table.strings(key)?.value;
    check_names(table, what, &names, exist);
    Some(patterns(table, &names))
}
