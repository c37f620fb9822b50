//! Reads `[people]`, `[role.*]`, and the owners of apps.
//!
//! Not here: `[person.*]`, `[machine.*]` and `[group.*]` (`members`).

use std::{collections::BTreeMap, sync::Arc};

use super::members::Members;
use crate::{
    base::{At, Key, Located, Pattern, Table, TableKeys, check_visible, clean, nearest},
    model::{Catalog, RoomName},
    policy::{Member, Role},
};

pub(crate) static PEOPLE_KEYS: TableKeys = TableKeys {
    path: "people",
    about: "The admins, and the room that gets reports of changed rights. The table is allowed only in the main file.",
    keys: &[
        Key::strings(
            "admins",
            "The people who can run every command on every app and environment: ids, or names of a `[person.NAME]`. \
             Without this key, the host has no admins.",
        ),
        Key::string(
            "tell",
            "The room that gets a report of each right that is granted or revoked in chat, and of plugins that do not \
             load. Without this key, no report is sent.",
        ),
    ],
};

pub(crate) static ROLE_KEYS: TableKeys = TableKeys {
    path: "role.NAME",
    about: "A role: its members can run these commands on these apps in these environments. The pattern `*` matches \
            any name. An empty list of patterns matches nothing.",
    keys: &[
        Key::strings(
            "members",
            "The members: ids, names of a `[person.NAME]` or a `[machine.NAME]`, `group:NAME`, `room:ROOM`, or \
             `everyone`.",
        )
        .required_unless("with `grant_in_chat = true`"),
        Key::strings("commands", "The commands that the role allows, as patterns: `deploy`, `auth *`.").required(),
        Key::strings("apps", "The apps to which the role applies, as patterns.").required(),
        Key::strings("environments", "The environments to which the role applies, as patterns.").required(),
        Key::strings("rooms", "The rooms in which the role applies. Without this key, the role applies in every room."),
        Key::boolean(
            "grant_in_chat",
            "Whether admins and the owners of an app can grant the role on that app in chat.",
        )
        .default("false"),
    ],
};

/// Reads `[people]`. Returns the ids of the admins, and the room that receives reports of changed rights.
pub(crate) fn people(root: &mut Table, members: &Members) -> (Vec<String>, Option<RoomName>) {
    let Some(mut people) = root.table("people") else { return (Vec::new(), None) };
    let listed = people.strings("admins").map(|admins| admins.value).unwrap_or_default();
    let mut admins = Vec::new();
    for admin in listed {
        match members.member(&people, &admin) {
            Some(Member::Person(id)) => admins.push(id),
            // The configuration file alone must determine the admins, so groups and rooms are not allowed.
            Some(_) => people.problem(
                &admin.at,
                format!("`{}` cannot be an admin; only a person can be an admin", admin.value),
                "admins = [\"@alice:example.org\"]".to_owned(),
            ),
            None => {}
        }
    }
    let tell = RoomName::read(&mut people, "tell", members.networks);
    people.finish();
    (admins, tell)
}

/// Returns the owners of each app. Apps without owners are left out.
pub(crate) fn owners(root: &Table, catalog: &Catalog, members: &Members) -> BTreeMap<String, Vec<Member>> {
    let mut all = BTreeMap::new();
    for app in catalog.apps() {
        let mut owners = Vec::new();
        for owner in &app.owners {
            match members.member(root, owner) {
                Some(Member::Everyone) => {
                    let fix = "owners = [\"@carol:example.org\", \"group:web\"]".to_owned();
                    root.problem(&owner.at, "`everyone` cannot be an owner of an app", fix);
                }
                member => owners.extend(member),
            }
        }
        if !owners.is_empty() {
            all.insert(app.name.clone(), owners);
        }
    }
    all
}

pub(crate) fn roles(root: &mut Table, catalog: &Catalog, members: &Members) -> Vec<Arc<Role>> {
    let mut roles = Vec::new();
    for (name, mut table) in root.tables("role") {
        let at = table.at().clone();
        if let Err(reason) = check_visible(&name.value) {
            let shown = clean(&name.value);
            table.problem(
                &name.at,
                format!("the name of [role.{shown}] is not valid: {reason}"),
                format!("[role.{shown}]"),
            );
        }
        let grant_in_chat = table.boolean_or_default("grant_in_chat");
        // A role that can be granted in chat needs no members in the file.
        let listed = match grant_in_chat && !table.has("members") {
            true => Vec::new(),
            false => table.required_strings("members", "[\"@bob:example.org\"]"),
        };
        let commands = table.required_strings("commands", "[\"where\"]");
        let apps = table.required_strings("apps", "[\"*\"]");
        let environments = table.required_strings("environments", "[\"staging\"]");
        check_names(&table, "app", &apps, catalog.apps().map(|app| app.name.as_str()));
        check_names(&table, "environment", &environments, catalog.environments());
        let listed = listed.iter().filter_map(|member| members.member(&table, member)).collect();
        let rooms = members.rooms(&mut table, "rooms");
        roles.push(Arc::new(Role {
            name: name.value,
            at,
            members: listed,
            commands: patterns(&table, &commands),
            apps: patterns(&table, &apps),
            environments: patterns(&table, &environments),
            rooms,
            grant_in_chat,
        }));
        table.finish();
    }
    roles
}

/// Parses patterns such as `deploy*`. Reports and skips invalid patterns.
pub(crate) fn patterns(table: &Table, texts: &[Located<String>]) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for text in texts {
        match Pattern::new(text.value.as_str()) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => table.problem(&text.at, error.to_string(), None),
        }
    }
    patterns
}

/// Reports a configuration problem for each name that is not in `exist`: a rule for such a name would never match.
/// Ignores patterns with `*`. `what` is the kind of the names, for example `app`.
pub(crate) fn check_names<'a>(
    table: &Table,
    what: &str,
    names: &[Located<String>],
    exist: impl Iterator<Item = &'a str> + Clone,
) {
    for name in names {
        if !name.value.contains('*') && !exist.clone().any(|known| known == name.value) {
            unknown_name(table, what, name, exist.clone());
        }
    }
}

/// Reports an empty list in a rule that forbids something or requires an approval: the rule would never apply. `key` is
/// the key of the list, and `at` its place in the file.
pub(crate) fn check_not_empty(table: &Table, (key, at): (&str, &At), values: &[Located<String>]) {
    if values.is_empty() {
        let message = format!("`{key}` is empty, so the rule never applies");
        table.problem(at, message, format!("{key} = [\"*\"]"));
    }
}

/// Reports each pattern with `*` that matches no name in `exist`, in the key `key` of a rule that forbids something or
/// requires an approval.
pub(crate) fn check_patterns<'a>(
    table: &Table,
    key: &str,
    values: &[Located<String>],
    exist: impl Iterator<Item = &'a str> + Clone,
) {
    let is_pattern =
        |value: &&Located<String>| value.value.contains('*') && !matches!(value.value.as_str(), "*" | "**");
    for value in values.iter().filter(is_pattern) {
        let matches = |pattern: &Pattern| exist.clone().any(|name| pattern.matches(name));
        if Pattern::new(value.value.as_str()).is_ok_and(|pattern| !matches(&pattern)) {
            let message =
                format!("the pattern `{}` of `{key}` matches nothing, so the rule never applies", value.value);
            table.problem(&value.at, message, None);
        }
    }
}

/// Reports that a name is not in `exist`. `what` is the kind of the names, for example `app`.
pub(crate) fn unknown_name<'a>(
    table: &Table,
    what: &str,
    name: &Located<String>,
    exist: impl Iterator<Item = &'a str>,
) {
    let fix = match nearest(&name.value, exist) {
        Some(meant) => format!("\"{meant}\""),
        None => format!("[{what}.{}]", name.value),
    };
    table.problem(&name.at, format!("there is no {what} `{}`", name.value), fix);
}
