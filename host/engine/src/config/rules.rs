//! `[[plugin.NAME.allow]]`: what one plugin is granted.

use std::collections::BTreeSet;

use super::people::{known, patterns};
use crate::{
    base::{Located, Table, nearest},
    model::{Attribute, CallKind, CallSpec, CallTable, Catalog},
    policy::{Allow, Scope},
};

/// Reads one rule.
pub(crate) fn allow(
    mut table: Table,
    plugin: &str,
    all: &CallTable,
    catalog: &Catalog,
    roles: &[&str],
) -> Option<Allow> {
    let at = table.at().clone();
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
    finish(table, all);
    let text = format!("plugin.{plugin}, {at}").into();
    (!calls.is_empty()).then_some(Allow { at, calls, commands, limits, beyond, text })
}

/// The rows that a rule's calls name; a call that names none is a problem.
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
    // A rule for several calls may name what only some have: the others it then never permits, and that is said.
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
        Attribute::App => known(table, "app", &values.value, catalog.apps().map(|app| app.name.as_str())),
        Attribute::Environment => known(table, "environment", &values.value, catalog.environments()),
        Attribute::Pipeline => {
            let names: Vec<&str> = catalog
                .apps()
                .flat_map(|app| &app.deployments)
                .map(|deployment| deployment.pipeline.as_str())
                .collect();
            known(table, "pipeline", &values.value, names.into_iter());
        }
        Attribute::Role => known(table, "role", &values.value, roles.iter().copied()),
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

/// Like [`Table::finish`], and knows all words that some rule may have.
fn finish(mut table: Table, all: &CallTable) {
    for attribute in all.attributes() {
        table.expect(attribute.as_str());
    }
    table.expect("beyond");
    table.expect("command");
    table.finish();
}
