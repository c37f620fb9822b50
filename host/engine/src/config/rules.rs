//! Reads `[[plugin.NAME.allow]]`: the grants of one plugin.

use std::collections::BTreeSet;

use super::people::{check_names, patterns};
use crate::{
    base::{Key, Located, Table, TableKeys, nearest},
    model::{App, Attribute, CallKind, CallSpec, CallTable, Catalog},
    policy::{Allow, Scope},
};

/// The keys that grants and approval rules can have for the contract's host calls, one for each attribute of a call.
const ATTRIBUTES: [Key; 8] = [
    Key::strings("app", "Patterns for the app. Without this key, any app."),
    Key::strings("environment", "Patterns for the environment. Without this key, any environment."),
    Key::strings("version", "Patterns for the version. Without this key, any version."),
    Key::strings(
        "pipeline",
        "Patterns for the name of the pipeline, for example `cms/staging`. Without this key, any pipeline.",
    ),
    Key::strings(
        "parameter",
        "Patterns for the values of the pipeline parameters other than app, environment and version. Without this key, any \
         value.",
    ),
    Key::strings("key", "Patterns for the key in the plugin's own store. Without this key, any key."),
    Key::strings(
        "person",
        "Patterns for the id of the person in the host call's arguments. Without this key, any person.",
    ),
    Key::strings("role", "Patterns for the role in the host call's arguments. Without this key, any role."),
];

pub(crate) static ALLOW_KEYS: TableKeys = TableKeys {
    path: "plugin.NAME.allow",
    about: "A grant: the plugin can make these host calls if every attribute in the grant has only values that match. \
            If a host call lacks one of the attributes in the grant, the grant does not apply to it. An empty list \
            matches nothing.",
    keys: &[
        Key::strings("call", "Patterns for the granted host calls, for example `pipelines.trigger` or `catalog.*`.")
            .required(),
        Key::strings(
            "command",
            "Patterns for the plugin's commands that can use the grant. Without this key, all commands.",
        ),
        Key::strings(
            "beyond",
            "Without this key, every value of an effect must be an argument of the command that the person typed. The key \
             lists the attributes to which this does not apply: `app`, `environment`, `version`, `parameter`.",
        ),
    ],
};

/// Returns the keys that grants and approval rules can have, one for each attribute of a host call, such as `app`.
pub(crate) fn attribute_keys(calls: &CallTable) -> Vec<Key> {
    let named = calls.attributes().into_iter().filter(|attribute| matches!(attribute, Attribute::Named(_)));
    let about = "Patterns for an attribute that a capability defines. Without this key, any value.";
    let named = named.map(|attribute| Key::strings(attribute.as_str(), about));
    ATTRIBUTES.into_iter().chain(named).collect()
}

/// Reads one grant of the plugin `plugin`. Returns `None` if the grant's `call` has no valid pattern.
pub(crate) fn allow(
    mut table: Table,
    plugin: &str,
    all: &CallTable,
    catalog: &Catalog,
    roles: &[&str],
) -> Option<Allow> {
    let at = table.at().clone();
    table.add_keys(&attribute_keys(all));
    let texts = table.required_strings("call", "[\"pipelines.wait\", \"catalog.*\"]");
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

/// Returns the host calls that match the patterns in a grant's key `call`. Reports each pattern that matches no host
/// call.
fn named_rows<'c>(table: &Table, all: &'c CallTable, texts: &[Located<String>]) -> Vec<&'c CallSpec> {
    let mut rows: Vec<&'c CallSpec> = Vec::new();
    for text in texts {
        let Ok(pattern) = crate::base::Pattern::new(text.value.as_str()) else { continue };
        let hits: Vec<&CallSpec> = all.iter().filter(|row| pattern.matches(row.name)).collect();
        if hits.is_empty() {
            let fix = nearest(&text.value, all.iter().map(|row| row.name)).map(|meant| format!("call = \"{meant}\""));
            table.problem(&text.at, format!("no host call matches the pattern `{}`", text.value), fix);
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
    // A grant never permits a host call that does not have all attributes of the grant. Report such host calls.
    for row in rows {
        if !row.attributes.contains(&attribute) {
            let has: Vec<&str> = row.attributes.iter().map(|attribute| attribute.as_str()).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            let message = format!(
                "the host call `{}` does not have the attribute `{name}` (its attributes: {has}), so the grant never \
                     permits the call",
                row.name
            );
            table.problem(&at, message, Some(format!("a separate grant for {}, without `{name}`", row.name)));
        }
    }
    if let Some(exist) = known_values(attribute, catalog, roles) {
        let (opened, named): (Vec<_>, Vec<_>) = values
            .value
            .iter()
            .cloned()
            .partition(|value| attribute == Attribute::Pipeline && value.value.contains(':'));
        check_names(table, attribute.as_str(), &named, exist.iter().copied());
        check_opened(table, &opened, catalog);
    }
    limits.set(attribute, patterns(table, &values.value));
}

/// Reports patterns for opened pipelines, `SYSTEM:PATH`, whose system has none.
fn check_opened(table: &Table, values: &[Located<String>], catalog: &Catalog) {
    for value in values {
        let system = value.value.split(':').next().unwrap_or_default();
        let is_pattern = system.contains('*');
        if !is_pattern && catalog.open_pipelines(system).next().is_none() {
            let message =
                format!("`{}` matches no pipeline, because `[[pipelines.{system}.open]]` is missing", value.value);
            table.problem(&value.at, message, format!("[[pipelines.{system}.open]]"));
        }
    }
}

/// Returns all values that an attribute can have; `None` if the configuration does not list them. `roles` are the names
/// of all roles.
pub(crate) fn known_values<'c>(attribute: Attribute, catalog: &'c Catalog, roles: &[&'c str]) -> Option<Vec<&'c str>> {
    match attribute {
        Attribute::App => Some(catalog.apps().map(|app| app.name.as_str()).collect()),
        Attribute::Environment => Some(catalog.environments().collect()),
        Attribute::Pipeline => {
            Some(catalog.apps().flat_map(App::pipelines).map(|pipeline| pipeline.pipeline.as_str()).collect())
        }
        Attribute::Role => Some(roles.to_vec()),
        Attribute::Version | Attribute::Parameter | Attribute::Key | Attribute::Person | Attribute::Named(_) => None,
    }
}

fn read_beyond(table: &mut Table, all: &CallTable, rows: &[&CallSpec]) -> BTreeSet<Attribute> {
    const EXAMPLE: &str = "beyond = [\"version\"]";
    let Some(names) = table.strings("beyond") else { return BTreeSet::new() };
    if !rows.iter().any(|row| row.kind == CallKind::Acts) {
        let message = "`beyond` applies only to host calls that have effects, and the grant allows no such host call";
        table.problem(&names.at, message, None);
    }
    let mut beyond = BTreeSet::new();
    for name in names.value {
        match all.attribute(&name.value) {
            Some(attribute @ (Attribute::App | Attribute::Environment | Attribute::Version | Attribute::Parameter)) => {
                beyond.insert(attribute);
            }
            _ => {
                let message =
                    format!("`beyond` cannot contain `{}`, only: app, environment, version, parameter", name.value);
                table.problem(&name.at, message, EXAMPLE.to_owned());
            }
        }
    }
    beyond
}
