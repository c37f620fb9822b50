//! `[plugin.*]`: which files are loaded, what each may do, its limits and its settings.

use std::{sync::Arc, time::Duration};

use super::rules;
use crate::{
    base::{Located, Table},
    model::{CallTable, Catalog, Limits},
    plugin::PluginConfig,
    policy::Grants,
};

/// Reads all plugins, in the order of the file.
pub(crate) fn read(root: &mut Table, calls: &CallTable, catalog: &Catalog, roles: &[&str]) -> Vec<PluginConfig> {
    let mut plugins = Vec::new();
    for (name, mut table) in root.tables("plugin") {
        let at = table.at().clone();
        if !is_name(&name.value) {
            table.problem(
                &name.at,
                format!("`{}` is no name for a plugin", name.value),
                "lower case letters, digits and dashes".to_owned(),
            );
        }
        let module = table.required_string("module", &format!("\"guests/{}.wasm\"", name.value));
        let rules = table.array("allow");
        let rules =
            rules.into_iter().filter_map(|rule| rules::allow(rule, &name.value, calls, catalog, roles)).collect();
        let limits = table.table("limits").map(read_limits).unwrap_or_default();
        let settings_at = table.at_key("config");
        let settings = table.table("config").map(read_settings).unwrap_or_default();
        let folder = table.folder().to_owned();
        table.finish();
        let Some(module) = module else { continue };
        plugins.push(PluginConfig {
            name: name.value,
            at,
            module: folder.join(&module.value),
            module_text: module.value,
            grants: Arc::new(Grants::new(rules, calls)),
            limits,
            settings,
            settings_at,
        });
    }
    plugins
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn read_limits(mut table: Table) -> Limits {
    let mut limits = Limits::default();
    let bounded = |table: &mut Table, key: &str, least: Duration, most: Duration| {
        let span = table.duration(key)?;
        if !(least..=most).contains(&span.value) {
            let message = format!("`{key}` must be from {} ms to {} s", least.as_millis(), most.as_secs());
            table.problem(&span.at, message, None);
        }
        Some(span.value)
    };
    if let Some(memory) = table.integer("memory_mib", 1, Limits::MOST_MEMORY_MIB as i64) {
        limits.memory = usize::try_from(memory.value).unwrap_or(1) << 20;
    }
    if let Some(cpu) = bounded(&mut table, "cpu", Duration::from_millis(10), Duration::from_secs(60)) {
        limits.cpu = cpu;
    }
    if let Some(wall) = bounded(&mut table, "wall", Duration::from_millis(100), Duration::from_secs(3600)) {
        limits.wall = wall;
    }
    if let Some(calls) = table.integer("calls", 1, 1_000_000) {
        limits.calls = u32::try_from(calls.value).unwrap_or(u32::MAX);
    }
    if let Some(bytes) = table.integer("bytes_out_kib", 1, 1 << 20) {
        limits.bytes_out = usize::try_from(bytes.value).unwrap_or(1) << 10;
    }
    if let Some(bytes) = table.integer("bytes_in_kib", 1, 1 << 20) {
        limits.bytes_in = usize::try_from(bytes.value).unwrap_or(1) << 10;
    }
    if let Some(acts) = table.integer("acts", 0, 1_000) {
        limits.acts = u32::try_from(acts.value).unwrap_or(0);
    }
    table.finish();
    limits
}

fn read_settings(mut table: Table) -> Vec<(Located<String>, Vec<Located<String>>)> {
    let mut settings = Vec::new();
    for key in table.keys() {
        if let Some(values) = table.strings(&key.value) {
            settings.push((key, values.value));
        }
    }
    table.finish();
    settings
}
