//! The table of the audit report: for each plugin and host call, the rules that permit the call, and the number of
//! calls that were made.

use std::fmt;

use serde::Serialize;

use super::texts::{position, quoted_patterns};
use crate::{
    hostcall::{Plugin, Plugins},
    model::Attribute,
    policy::Allow,
    store::{CallCount, short_digest},
};

/// A loaded plugin with the host calls that it imports.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PluginFindings {
    name: String,
    digest: String,
    contract: String,
    commands: Vec<String>,
    /// The host calls, in the order of their names.
    calls: Vec<Finding>,
}

/// One host call of one plugin.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    call: &'static str,
    kind: &'static str,
    /// The rules that permit the call, one line each; empty if the call requires no rule.
    may: Vec<String>,
    /// Whether a rule without conditions permits the call, for example on every app and environment.
    any: bool,
    /// The number of calls that the plugin made and that were permitted.
    did: u64,
    refused: u64,
}

/// The counts of a host call that a plugin made in the past and no longer imports, because the plugin was changed or
/// removed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PastUse {
    plugin: String,
    call: String,
    /// The number of calls that the plugin made and that were permitted.
    did: u64,
    refused: u64,
}

impl PluginFindings {
    pub(super) fn new(plugin: &Plugin, usage: &[(String, CallCount)]) -> Self {
        let mut rows = plugin.calls.clone();
        rows.sort_by_key(|row| row.name);
        let calls = rows.iter().map(|row| {
            let rules: Vec<&Allow> = plugin.grants.naming(row.name).collect();
            let count = usage.iter().find(|(name, count)| **name == *plugin.name && count.call == row.name);
            Finding {
                call: row.name,
                kind: row.kind.as_str(),
                may: rules.iter().map(|rule| rule_text(rule, row.attributes)).collect(),
                any: rules.iter().any(|rule| rule.limits.is_any()) && row.kind.needs_rule(),
                did: count.map_or(0, |(_, count)| count.allowed),
                refused: count.map_or(0, |(_, count)| count.refused),
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

pub(super) fn past(plugins: &Plugins, usage: &[(String, CallCount)]) -> Vec<PastUse> {
    let imported = |plugin: &str, call: &str| {
        let mut calls = plugins.get(plugin).into_iter().flat_map(|plugin| &plugin.calls);
        calls.any(|row| row.name == call)
    };
    let past = usage.iter().filter(|(plugin, count)| !imported(plugin, &count.call));
    past.map(|(plugin, count)| PastUse {
        plugin: plugin.clone(),
        call: count.call.clone(),
        did: count.allowed,
        refused: count.refused,
    })
    .collect()
}

/// Describes what a grant permits, with its place in the configuration: `environment ["staging"], any app (plugins.toml
/// line 61)`.
fn rule_text(rule: &Allow, attributes: &[Attribute]) -> String {
    // 1. Add the commands and attributes of the rule.
    let mut limits: Vec<String> =
        rule.commands.iter().map(|commands| format!("command [{}]", quoted_patterns(commands))).collect();
    let named = rule.limits.iter();
    limits.extend(named.map(|(attribute, patterns)| format!("{} [{}]", attribute.as_str(), quoted_patterns(patterns))));
    // 2. Add `any app` and `any environment` if the rule does not limit them.
    let is_named = |attribute: &Attribute| rule.limits.iter().any(|(name, _)| name == *attribute);
    let target = [Attribute::App, Attribute::Environment];
    let unlimited = target.iter().filter(|attribute| attributes.contains(attribute) && !is_named(attribute));
    limits.extend(unlimited.map(|attribute| format!("any {}", attribute.as_str())));
    let limits = if limits.is_empty() { "any".to_owned() } else { limits.join(", ") };
    // 3. Add the attributes whose values may differ from the arguments of the command.
    let beyond: Vec<&str> = rule.beyond.iter().map(|attribute| attribute.as_str()).collect();
    let beyond =
        if beyond.is_empty() { String::new() } else { format!(", may differ from the command: {}", beyond.join(", ")) };
    format!("{limits}{beyond} ({})", position(&rule.at))
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
        write!(
            f,
            "plugin {plugin} can no longer call {call}, which it used before: {did} past calls were allowed, {refused} \
             were refused"
        )
    }
}
