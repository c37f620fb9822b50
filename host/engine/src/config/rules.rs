//! `[[plugin.NAME.allow]]`: the grants of one plugin.

use std::collections::BTreeSet;

use super::people::{check_names, patterns};
use crate::{
    base::{Key, Located, Table, TableKeys, nearest},
    model::{Attribute, CallKind, CallSpec, CallTable, Catalog},
    policy::{Allow, Scope},
};

/// The keys for the attributes of the contract's host calls.
pub(crate) const ATTRIBUTES: [Key; 8] = [
    Key::strings("app", "Patterns for the app. Without it, any app."),
    Key::strings("environment", "Patterns for the environment. Without it, any environment."),
    Key::strings("version", "Patterns for the version. Without it, any version."),
    Key::strings(
        "pipeline",
        "Patterns for the name of the pipeline, for example `cms/staging`. Without it, any pipeline.",
    ),
    Key::strings("parameter", "Patterns for the values of the pipeline's other parameters. Without it, any values."),
    Key::strings("key", "Patterns for the key in the plugin's own store. Without it, any key."),
    Key::strings("person", "Patterns for the id of the person that the call is about. Without it, anybody."),
    Key::strings("role", "Patterns for the role that the call is about. Without it, any role."),
];

/// The keys of `[[plugin.NAME.allow]]`.
pub(crate) static ALLOW_KEYS: TableKeys = TableKeys {
    path: "plugin.NAME.allow",
    about: "A grant: the plugin can make these host calls if all values of each attribute that the rule names match. A named \
            attribute that the call does not have never matches, and an empty list matches nothing.",
    keys: &[
        Key::strings("call", "The host calls that are granted, as patterns: `pipelines.trigger`, `catalog.*`.")
            .required(),
        ATTRIBUTES[0],
        ATTRIBUTES[1],
        ATTRIBUTES[2],
        ATTRIBUTES[3],
        ATTRIBUTES[4],
        ATTRIBUTES[5],
        ATTRIBUTES[6],
        ATTRIBUTES[7],
        Key::strings("command", "Patterns for the plugin's commands that the grant is for. Without it, all of them."),
        Key::strings(
            "beyond",
            "The attributes that may differ from what was typed: `app`, `environment`, `version`, `parameter`. Without it, none may.",
        ),
    ],
};

/// The keys for the attributes of host calls outside the contract.
pub(crate) fn named_attributes(calls: &CallTable) -> Vec<Key> {
    let named = calls.attributes().into_iter().filter(|attribute| matches!(attribute, Attribute::Named(_)));
    let about = "Patterns for this attribute of calls outside the contract. Without it, any value.";
    named.map(|attribute| Key::strings(attribute.as_str(), about)).collect()
}

/// Reads one grant. A grant without a valid call gives `None`.
pub(crate) fn allow(
    mut table: Table,
    plugin: &str,
    all: &CallTable,
    catalog: &Catalog,
    roles: &[&str],
) -> Option<Allow> {
    let at = table.at().clone();
    table.add_keys(&named_attributes(all));
    if !table.has("call") {
        table.missing("call", "[\"pipelines.wait\", \"catalog.*\"]");
    }
    let texts = table.strings("call").map(|list| list.value).unwrap_or_default();
    let calls = patterns(&table, &texts);
    let rows = named_rows(&table, all, &texts);
    let mut limits = Scope::default();
    let mut beyond = BTreeSet::new();
    let mut commands = None;
    for key in table.keys() {
        if key.value == "beyond" {
            beyond = read_beyond(&mut table, all, &rows);
        } else if key.value == "command" {
            commands = table.strings("command").map(|names| patterns(&table, &names.value));
        } else if let Some(attribute) = all.attribute(&key.value) {
            limit(&mut table, attribute, &rows, &mut limits, (catalog, roles));
        }
    }
    table.finish();
    let text = format!("plugin.{plugin}, {at}").into();
    (!calls.is_empty()).then_some(Allow { at, calls, commands, limits, beyond, text })
}

/// The rows of the call table that a grant's `call` matches. A text without a match is reported.
fn named_rows<'c>(table: &Table, all: &'c CallTable, texts: &[Located<String>]) -> Vec<&'c CallSpec> {
    let mut rows: Vec<&'c CallSpec> = Vec::new();
    for text in texts {
        let Ok(pattern) = crate::policy::Pattern::new(text.value.as_str()) else { continue };
        let hits: Vec<&CallSpec> = all.iter().filter(|row| pattern.matches(row.name)).collect();
        if hits.is_empty() {
            let fix = nearest(&text.value, all.iter().map(|row| row.name)).map(|meant| format!("call = \"{meant}\""));
            table.problem(&text.at, format!("there is no call `{}`", text.value), fix);
        }
        rows.extend(hits);
    }
    rows
}

fn limit(
    table: &mut Table,
    attribute: Attribute,
    rows: &[&CallSpec],
    limits: &mut Scope,
    (catalog, roles): (&Catalog, &[&str]),
) {
    let name = attribute.as_str();
    let at = table.at_key(name);
    let Some(values) = table.strings(name) else { return };
    // A rule never permits a call that lacks one of its attributes, so such a call is reported.
    for row in rows {
        if !row.attributes.contains(&attribute) {
            let has: Vec<&str> = row.attributes.iter().map(|attribute| attribute.as_str()).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            let message =
                format!("{} has no attribute `{name}` (it has: {has}), so this rule never permits it", row.name);
            table.problem(&at, message, Some(format!("a rule of its own for {}, without `{name}`", row.name)));
        }
    }
    match attribute {
        Attribute::App => check_names(table, "app", &values.value, catalog.apps().map(|app| app.name.as_str())),
        Attribute::Environment => check_names(table, "environment", &values.value, catalog.environments()),
        Attribute::Pipeline => {
            let names: Vec<&str> = catalog
                .apps()
                .flat_map(|app| &app.deployments)
                .map(|deployment| deployment.pipeline.as_str())
                .collect();
            check_names(table, "pipeline", &values.value, names.into_iter());
        }
        Attribute::Role => check_names(table, "role", &values.value, roles.iter().copied()),
        Attribute::Version | Attribute::Parameter | Attribute::Key | Attribute::Person | Attribute::Named(_) => {}
    }
    limits.set(attribute, patterns(table, &values.value));
}

fn read_beyond(table: &mut Table, all: &CallTable, rows: &[&CallSpec]) -> BTreeSet<Attribute> {
    const EXAMPLE: &str = "beyond = [\"version\"]";
    let Some(names) = table.strings("beyond") else { return BTreeSet::new() };
    if !rows.iter().any(|row| row.kind == CallKind::Acts) {
        table.problem(&names.at, "`beyond` is for calls that act, and this rule names none", None);
    }
    let mut beyond = BTreeSet::new();
    for name in names.value {
        match all.attribute(&name.value) {
            Some(attribute @ (Attribute::App | Attribute::Environment | Attribute::Version | Attribute::Parameter)) => {
                beyond.insert(attribute);
            }
            _ => {
                let message =
                    format!("`{}` is nothing that people type: app, environment, version, parameter", name.value);
                table.problem(&name.at, message, EXAMPLE.to_owned());
            }
        }
    }
    beyond
}
