//! `wardroom audit`: per plugin and call, what it can do, may do and did.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::json;
use wardroom::{
    access::{Allow, Attribute, Pattern},
    capability::TABLE,
    config::BotConfig,
    engine::Plugins,
    plugin::LoadedPlugin,
    port::{
        Store as _,
        store::{CallCount, Usage},
    },
};

use super::{held, starters};
use crate::{Exit, arguments::Format, report, wiring};

/// One call of one plugin.
struct Finding {
    call: &'static str,
    kind: &'static str,
    may: Vec<String>,
    any: bool,
    did: u64,
    refused: u64,
}

pub(crate) async fn audit(path: &Path, format: Format) -> anyhow::Result<Exit> {
    let Some(wired) = wiring::wire_or_report(path) else { return Ok(Exit::Wrong) };
    let plugins = wired.plugins(wired.lock.as_ref()).await?;
    let (usage, overridden) = match wardroom_sqlite::SqliteStore::open_read_only(&wired.state.database).await {
        Ok(store) => {
            let read = (store.usage().await, store.jobs(&held::overridden()).await);
            store.close().await;
            (read.0?, read.1?)
        }
        Err(wardroom_sqlite::OpenError::Missing { .. }) => (Vec::new(), Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut warnings = warnings(&plugins, &wired.config.bots);
    warnings.extend(held::unmet(&wired.config.approvals, &wired.config.access));
    match format {
        Format::Json => {
            let mut facts = json(&plugins, &usage, &warnings);
            facts["overrides"] = overridden.iter().map(held::overridden_fact).collect();
            facts["approvals"] = wired.config.approvals.iter().map(|rule| json!(held::rule_line(rule))).collect();
            facts["starters"] = json!(starters::facts(&wired.config));
            report::out(&facts.to_string())?;
        }
        Format::Text => {
            let first = overridden.iter().map(held::overridden_line);
            let rules = wired.config.approvals.iter().map(held::rule_line);
            let lines: Vec<String> = first.chain(rules).chain(starters::lines(&wired.config)).collect();
            let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
            report::out(&format!("{lines}{}", text(&plugins, &usage, &warnings)))?;
        }
    }
    Ok(Exit::Done)
}

/// The calls that a plugin can make or is granted, and what it did.
fn findings(plugin: &LoadedPlugin, usage: &[Usage]) -> Vec<Finding> {
    let used: BTreeMap<&str, &CallCount> = usage
        .iter()
        .filter(|usage| *usage.plugin == *plugin.name)
        .map(|usage| (usage.count.call.as_str(), &usage.count))
        .collect();
    let rows = TABLE.iter().enumerate().filter(|(_, row)| plugin.calls.iter().any(|call| call.name == row.name));
    rows.map(|(index, row)| {
        let rules: Vec<&Allow> = plugin.grants.naming(index).collect();
        let count = used.get(row.name);
        Finding {
            call: row.name,
            kind: row.kind.as_str(),
            may: rules.iter().map(|rule| may(rule, row.attributes)).collect(),
            any: rules.iter().any(|rule| rule.limits.is_any()) && row.kind.needs_rule(),
            did: count.map_or(0, |count| count.allowed),
            refused: count.map_or(0, |count| count.refused),
        }
    })
    .collect()
}

/// What was done by calls that nobody can make any more: by other bytes of a plugin, or one that is gone.
fn past<'u>(plugins: &Plugins, usage: &'u [Usage]) -> impl Iterator<Item = &'u Usage> {
    let can = |usage: &Usage| {
        let mut calls = plugins.get(&usage.plugin).into_iter().flat_map(|plugin| &plugin.calls);
        calls.any(|row| row.name == usage.count.call)
    };
    usage.iter().filter(move |usage| !can(usage))
}

/// What a rule permits, and where it stands: `environment ["staging"], any app (plugins.toml line 61)`.
fn may(rule: &Allow, attributes: &[Attribute]) -> String {
    let list = |patterns: &[Pattern]| {
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("\"{}\"", pattern.as_str())).collect();
        patterns.join(", ")
    };
    let mut limits: Vec<String> =
        rule.commands.iter().map(|commands| format!("command [{}]", list(commands))).collect();
    let named = rule.limits.iter();
    limits.extend(named.map(|(attribute, patterns)| format!("{} [{}]", attribute.as_str(), list(patterns))));
    let named = |attribute: &Attribute| rule.limits.iter().any(|(known, _)| known == *attribute);
    // Versions and parameters are limited by what was typed; apps and environments are what a rule is for.
    let places = [Attribute::App, Attribute::Environment];
    let open = places.iter().filter(|attribute| attributes.contains(attribute) && !named(attribute));
    limits.extend(open.map(|attribute| format!("any {}", attribute.as_str())));
    let limits = if limits.is_empty() { "any".to_owned() } else { limits.join(", ") };
    let beyond: Vec<&str> = rule.beyond.iter().map(|attribute| attribute.as_str()).collect();
    let beyond = if beyond.is_empty() { String::new() } else { format!(", not as typed: {}", beyond.join(", ")) };
    format!("{limits}{beyond} ({} line {})", file_name(&rule.at.file), rule.at.line)
}

fn file_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// What a reviewer should look at.
fn warnings(plugins: &Plugins, bots: &[BotConfig]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !plugins.locked() {
        warnings.push(
            "no plugins.lock: any bytes are taken for a plugin; write one with `wardroom plugin lock`".to_owned(),
        );
    }
    for plugin in plugins.not_loaded() {
        warnings.push(format!("plugin {} is not loaded: {}", plugin.name, plugin.error));
    }
    for plugin in plugins.loaded() {
        let wanted = |rule: &Allow| plugin.calls.iter().any(|row| rule.calls.iter().any(|call| call.matches(row.name)));
        for rule in plugin.grants.rules() {
            if !wanted(rule) {
                warnings.push(format!("plugin {}: {} grants what it cannot call", plugin.name, rule.at));
            }
            let named = plugin.calls.iter().filter(|row| rule.calls.iter().any(|call| call.matches(row.name)));
            let open: BTreeSet<&str> =
                named.flat_map(|row| row.attributes).map(|attribute| attribute.as_str()).collect();
            if rule.limits.is_any() && !open.is_empty() {
                let calls: Vec<&str> = rule.calls.iter().map(Pattern::as_str).collect();
                let open: Vec<&str> = open.into_iter().collect();
                warnings.push(format!(
                    "plugin {}: {} allows {} with any {}",
                    plugin.name,
                    rule.at,
                    calls.join(", "),
                    open.join(", ")
                ));
            }
            for attribute in &rule.beyond {
                let commands = rule.commands.as_ref().map(|commands| {
                    let names: Vec<String> = commands.iter().map(|name| format!("`{}`", name.as_str())).collect();
                    format!(" in {}", names.join(", "))
                });
                warnings.push(format!(
                    "plugin {}: {} lets {} differ from what was typed{}",
                    plugin.name,
                    rule.at,
                    attribute.as_str(),
                    commands.unwrap_or_default()
                ));
            }
        }
    }
    for bot in bots.iter().filter(|bot| !bot.environments_named) {
        let name = &bot.identity.name;
        warnings.push(format!("{}: [bot.{name}] names no environments: all of them, also future ones", bot.at));
    }
    if plugins.loaded().is_empty() {
        let names: Vec<&str> = bots.iter().map(|bot| bot.identity.name.as_str()).collect();
        warnings.push(format!("{} has no plugin", names.join(" and ")));
    }
    warnings
}

fn json(plugins: &Plugins, usage: &[Usage], warnings: &[String]) -> serde_json::Value {
    let plugin = |plugin: &std::sync::Arc<LoadedPlugin>| {
        let calls: Vec<_> = findings(plugin, usage)
            .into_iter()
            .map(|found| {
                json!({
                    "call": found.call, "kind": found.kind, "may": found.may, "any": found.any,
                    "did": found.did, "refused": found.refused,
                })
            })
            .collect();
        let commands: Vec<_> = plugin.description.commands.iter().map(|spec| spec.name.clone()).collect();
        json!({ "name": &*plugin.name, "digest": plugin.digest, "contract": plugin.contract, "commands": commands, "calls": calls })
    };
    let not_loaded: Vec<_> = plugins
        .not_loaded()
        .iter()
        .map(|plugin| json!({ "name": plugin.name, "error": plugin.error.to_string() }))
        .collect();
    json!({
        "plugins": plugins.loaded().iter().map(plugin).collect::<Vec<_>>(),
        "not_loaded": not_loaded,
        "past": past(plugins, usage)
            .map(|past| json!({ "plugin": past.plugin, "call": past.count.call, "did": past.count.allowed, "refused": past.count.refused }))
            .collect::<Vec<_>>(),
        "locked": plugins.locked(),
        "warnings": warnings,
    })
}

fn text(plugins: &Plugins, usage: &[Usage], warnings: &[String]) -> String {
    let mut text = String::new();
    for plugin in plugins.loaded() {
        let short: String = plugin.digest.chars().take("sha256:".len() + 12).collect();
        let commands: Vec<&str> = plugin.description.commands.iter().map(|spec| spec.name.as_str()).collect();
        text.push_str(&format!("plugin {} ({}) {short} {}\n", plugin.name, commands.join(", "), plugin.contract));
        text.push_str(&format!("  {:18} {:5} {:>4} {:>7}  {}\n", "can call", "kind", "did", "refused", "may"));
        for found in findings(plugin, usage) {
            let may = if found.may.is_empty() { "no rule needed".to_owned() } else { found.may.join("; ") };
            text.push_str(&format!(
                "  {:18} {:5} {:>4} {:>7}  {may}\n",
                found.call, found.kind, found.did, found.refused
            ));
        }
    }
    for past in past(plugins, usage) {
        let CallCount { call, allowed, refused } = &past.count;
        text.push_str(&format!("plugin {} can no longer call {call}: did {allowed}, refused {refused}\n", past.plugin));
    }
    for warning in warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}
