//! `[people]` and `[role.*]`.

use std::sync::Arc;

use super::{
    catalog::Catalog,
    problem::nearest,
    table::{Located, Table},
};
use crate::access::{Member, Pattern, Role};

/// Reads the admins.
pub(super) fn admins(root: &mut Table) -> Vec<String> {
    let Some(mut people) = root.table("people") else { return Vec::new() };
    let admins = people.strings("admins").map(|admins| admins.value).unwrap_or_default();
    for admin in &admins {
        if admin.value == "everyone" {
            people.problem(&admin.at, "`everyone` cannot be admin", "admins = [\"@alice:example.org\"]".to_owned());
        }
    }
    people.finish();
    admins.into_iter().map(|admin| admin.value).collect()
}

/// Reads the roles.
pub(super) fn roles(root: &mut Table, catalog: &Catalog) -> Vec<Arc<Role>> {
    let mut roles = Vec::new();
    for (name, mut table) in root.tables("role") {
        let at = table.at().clone();
        let members = required(&mut table, "members", "[\"@bob:example.org\"]");
        let commands = required(&mut table, "commands", "[\"where\"]");
        let apps = required(&mut table, "apps", "[\"*\"]");
        let environments = required(&mut table, "environments", "[\"staging\"]");
        known(&table, "app", &apps, catalog.apps().map(|app| app.name.as_str()));
        known(&table, "environment", &environments, catalog.environments());
        let members = members.into_iter().map(|member| match member.value.as_str() {
            "everyone" => Member::Everyone,
            _ => Member::Person(member.value),
        });
        roles.push(Arc::new(Role {
            name: name.value,
            at,
            members: members.collect(),
            commands: patterns(&table, &commands),
            apps: patterns(&table, &apps),
            environments: patterns(&table, &environments),
        }));
        table.finish();
    }
    roles
}

fn required(table: &mut Table, key: &str, example: &str) -> Vec<Located<String>> {
    if !table.has(key) {
        table.missing(key, example);
        return Vec::new();
    }
    table.strings(key).map(|list| list.value).unwrap_or_default()
}

/// Texts as patterns; those that are none are problems.
pub(super) fn patterns(table: &Table, texts: &[Located<String>]) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for text in texts {
        match Pattern::new(text.value.as_str()) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => table.problem(&text.at, error.to_string(), None),
        }
    }
    patterns
}

/// Reports names without a star that do not exist: such a rule can never match.
pub(super) fn known<'a>(
    table: &Table,
    what: &str,
    names: &[Located<String>],
    exist: impl Iterator<Item = &'a str> + Clone,
) {
    for name in names {
        if !name.value.contains('*') && !exist.clone().any(|known| known == name.value) {
            let fix = match nearest(&name.value, exist.clone()) {
                Some(meant) => format!("\"{meant}\""),
                None => format!("[{what}.{}]   to have one", name.value),
            };
            table.problem(&name.at, format!("there is no {what} `{}`", name.value), fix);
        }
    }
}
