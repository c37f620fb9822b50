//! The table of the audit report: for each plugin and host call, the rules that permit it and how often it was used.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    hostcall::{Plugin, Plugins},
    model::Attribute,
    policy::{Allow, Pattern},
    store::{CallCount, Usage, short_digest},
};

/// A loaded plugin with the calls that it imports.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PluginFindings {
    /// Its name in the configuration.
    pub name: String,
    /// The digest of its bytes.
    pub digest: String,
    /// The contract's version.
    pub contract: String,
    /// Its commands.
    pub commands: Vec<String>,
    /// The calls that it imports, by name.
    pub calls: Vec<Finding>,
}

/// One host call of one plugin.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The call's name.
    pub call: &'static str,
    /// The call's kind.
    pub kind: &'static str,
    /// The rules that permit it, one line each; empty where no rule is needed.
    pub may: Vec<String>,
    /// Whether a rule permits it without a limit.
    pub any: bool,
    /// How often it was made and permitted.
    pub did: u64,
    /// How often it was refused.
    pub refused: u64,
}

/// The use of a call that no loaded plugin imports any more: earlier bytes of a plugin, or a removed plugin.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PastUse {
    /// The plugin's name.
    pub plugin: String,
    /// The call's name.
    pub call: String,
    /// How often it was made and permitted.
    pub did: u64,
    /// How often it was refused.
    pub refused: u64,
}

impl PluginFindings {
    pub(super) fn new(plugin: &Plugin, usage: &[Usage]) -> Self {
        let used: BTreeMap<&str, &CallCount> = usage
            .iter()
            .filter(|usage| *usage.plugin == *plugin.name)
            .map(|usage| (usage.count.call.as_str(), &usage.count))
            .collect();
        let mut rows = plugin.calls.clone();
        rows.sort_by_key(|row| row.name);
        let calls = rows.iter().map(|row| {
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
        });
        Self {
            name: plugin.name.to_string(),
            digest: plugin.digest.clone(),
            contract: plugin.contract.clone(),
            commands: plugin.description.commands.iter().map(|spec| spec.name.clone()).collect(),
            calls: calls.collect(),
        }
    }
}

pub(super) fn past(plugins: &Plugins, usage: &[Usage]) -> Vec<PastUse> {
    let imported = |usage: &Usage| {
        let mut calls = plugins.get(&usage.plugin).into_iter().flat_map(|plugin| &plugin.calls);
        calls.any(|row| row.name == usage.count.call)
    };
    let past = usage.iter().filter(|usage| !imported(usage));
    past.map(|Usage { plugin, count }| PastUse {
        plugin: plugin.clone(),
        call: count.call.clone(),
        did: count.allowed,
        refused: count.refused,
    })
    .collect()
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
    format!("{limits}{beyond} ({} line {})", super::reviewed::file_name(&rule.at.file), rule.at.line)
}

impl fmt::Display for PluginFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short_digest = short_digest(&self.digest);
        let (name, commands, contract) = (&self.name, self.commands.join(", "), &self.contract);
        writeln!(f, "plugin {name} ({commands}) {short_digest} {contract}")?;
        writeln!(f, "  {:18} {:5} {:>4} {:>7}  may", "can call", "kind", "did", "refused")?;
        for found in &self.calls {
            let may = if found.may.is_empty() { "no rule needed".to_owned() } else { found.may.join("; ") };
            let Finding { call, kind, did, refused, .. } = found;
            writeln!(f, "  {call:18} {kind:5} {did:>4} {refused:>7}  {may}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PastUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, call, did, refused } = self;
        write!(f, "plugin {plugin} can no longer call {call}: did {did}, refused {refused}")
    }
}
