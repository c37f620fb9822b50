//! The table of the audit report: for each plugin and host call, the rules that permit it and how often it was used.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wardroom::{
    hostcall::{Plugin, Plugins},
    model::Attribute,
    policy::{Allow, Pattern},
    store::{CallCount, Usage},
};

/// One host call of one plugin.
struct Finding {
    call: &'static str,
    kind: &'static str,
    may: Vec<String>,
    /// Whether a rule permits the call without a limit.
    any: bool,
    did: u64,
    refused: u64,
}

/// The calls that a plugin imports.
fn findings(plugin: &Plugin, usage: &[Usage]) -> Vec<Finding> {
    let used: BTreeMap<&str, &CallCount> = usage
        .iter()
        .filter(|usage| *usage.plugin == *plugin.name)
        .map(|usage| (usage.count.call.as_str(), &usage.count))
        .collect();
    let mut rows = plugin.calls.clone();
    rows.sort_by_key(|row| row.name);
    rows.iter()
        .map(|row| {
            let rules: Vec<&Allow> = plugin.grants.naming(row.name).collect();
            let count = used.get(row.name);
            Finding {
                call: row.name,
                kind: row.kind.as_str(),
                may: rules.iter().map(|rule| rule_text(rule, row.attributes)).collect(),
                any: rules.iter().any(|rule| rule.limits.is_any()) && row.kind.needs_rule(),
                did: count.map_or(0, |count| count.allowed),
                refused: count.map_or(0, |count| count.refused),
            }
        })
        .collect()
}

/// The usage of calls that no loaded plugin imports any more: earlier bytes of a plugin, or a removed plugin.
fn past<'u>(plugins: &Plugins, usage: &'u [Usage]) -> impl Iterator<Item = &'u Usage> {
    let imported = |usage: &Usage| {
        let mut calls = plugins.get(&usage.plugin).into_iter().flat_map(|plugin| &plugin.calls);
        calls.any(|row| row.name == usage.count.call)
    };
    usage.iter().filter(move |usage| !imported(usage))
}

/// What a rule permits, with its line: `environment ["staging"], any app (plugins.toml line 61)`.
fn rule_text(rule: &Allow, attributes: &[Attribute]) -> String {
    let list = |patterns: &[Pattern]| {
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("\"{}\"", pattern.as_str())).collect();
        patterns.join(", ")
    };
    // 1. The commands and attributes that the rule names.
    let mut limits: Vec<String> =
        rule.commands.iter().map(|commands| format!("command [{}]", list(commands))).collect();
    let named = rule.limits.iter();
    limits.extend(named.map(|(attribute, patterns)| format!("{} [{}]", attribute.as_str(), list(patterns))));
    // 2. An app or environment that it does not name. Other attributes are limited by what was typed.
    let is_named = |attribute: &Attribute| rule.limits.iter().any(|(name, _)| name == *attribute);
    let target = [Attribute::App, Attribute::Environment];
    let unlimited = target.iter().filter(|attribute| attributes.contains(attribute) && !is_named(attribute));
    limits.extend(unlimited.map(|attribute| format!("any {}", attribute.as_str())));
    let limits = if limits.is_empty() { "any".to_owned() } else { limits.join(", ") };
    // 3. The attributes that may differ from what was typed.
    let beyond: Vec<&str> = rule.beyond.iter().map(|attribute| attribute.as_str()).collect();
    let beyond = if beyond.is_empty() { String::new() } else { format!(", not as typed: {}", beyond.join(", ")) };
    format!("{limits}{beyond} ({} line {})", super::file_name(&rule.at.file), rule.at.line)
}

pub(super) fn json(plugins: &Plugins, usage: &[Usage]) -> Vec<Value> {
    let plugin = |plugin: &std::sync::Arc<Plugin>| {
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
        json!({
            "name": &*plugin.name, "digest": plugin.digest, "contract": plugin.contract, "commands": commands,
            "calls": calls,
        })
    };
    plugins.loaded().iter().map(plugin).collect()
}

pub(super) fn past_json(plugins: &Plugins, usage: &[Usage]) -> Vec<Value> {
    past(plugins, usage)
        .map(|Usage { plugin, count }| {
            json!({ "plugin": plugin, "call": count.call, "did": count.allowed, "refused": count.refused })
        })
        .collect()
}

pub(super) fn text(plugins: &Plugins, usage: &[Usage]) -> String {
    let mut text = String::new();
    for plugin in plugins.loaded() {
        let short_digest: String = plugin.digest.chars().take("sha256:".len() + 12).collect();
        let commands: Vec<&str> = plugin.description.commands.iter().map(|spec| spec.name.as_str()).collect();
        let (name, commands, contract) = (&plugin.name, commands.join(", "), &plugin.contract);
        text.push_str(&format!("plugin {name} ({commands}) {short_digest} {contract}\n"));
        text.push_str(&format!("  {:18} {:5} {:>4} {:>7}  {}\n", "can call", "kind", "did", "refused", "may"));
        for found in findings(plugin, usage) {
            let may = if found.may.is_empty() { "no rule needed".to_owned() } else { found.may.join("; ") };
            let Finding { call, kind, did, refused, .. } = found;
            text.push_str(&format!("  {call:18} {kind:5} {did:>4} {refused:>7}  {may}\n"));
        }
    }
    for past in past(plugins, usage) {
        let CallCount { call, allowed, refused } = &past.count;
        text.push_str(&format!("plugin {} can no longer call {call}: did {allowed}, refused {refused}\n", past.plugin));
    }
    text
}
