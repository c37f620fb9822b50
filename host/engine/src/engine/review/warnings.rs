//! The warnings of the audit report, about rules and settings that a reviewer should check.

use std::collections::BTreeSet;

use super::texts::pattern_list;
use crate::{
    config::BotConfig,
    hostcall::{Plugin, Plugins},
    plugin::Lock,
    policy::Allow,
};

pub(super) fn warnings(plugins: &Plugins, bots: &[BotConfig]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !plugins.locked() {
        warnings.push(Lock::MISSING.to_owned());
    }
    for plugin in plugins.not_loaded() {
        warnings.push(format!("plugin {} is not loaded: {}", plugin.name, plugin.error));
    }
    for plugin in plugins.loaded() {
        for rule in plugin.grants.rules() {
            rule_warnings(plugin, rule, &mut warnings);
        }
    }
    for bot in bots.iter().filter(|bot| !bot.environments_named) {
        let name = &bot.identity.name;
        warnings.push(format!(
            "{}: [bot.{name}] has no `environments`, so its commands can change all environments",
            bot.at
        ));
    }
    if plugins.loaded().is_empty() {
        let names: Vec<&str> = bots.iter().map(|bot| bot.identity.name.as_str()).collect();
        warnings.push(format!("no plugin is loaded for the bot {}", names.join(" and the bot ")));
    }
    warnings
}

fn rule_warnings(plugin: &Plugin, rule: &Allow, warnings: &mut Vec<String>) {
    let (name, at) = (&plugin.name, &rule.at);
    let granted = || plugin.calls.iter().filter(|row| rule.calls.iter().any(|call| call.matches(row.name)));
    if granted().next().is_none() {
        warnings.push(format!("plugin {name}: {at} grants host calls that the plugin does not import"));
    }
    let attributes: BTreeSet<&str> =
        granted().flat_map(|row| row.attributes).map(|attribute| attribute.as_str()).collect();
    if rule.limits.is_any() && !attributes.is_empty() {
        let attributes: Vec<&str> = attributes.into_iter().collect();
        let (calls, attributes) = (pattern_list(&rule.calls), attributes.join(", "));
        warnings.push(format!("plugin {name}: {at} allows {calls} with any {attributes}"));
    }
    for attribute in &rule.beyond {
        let commands = rule.commands.as_ref().map(|commands| {
            let names: Vec<String> = commands.iter().map(|name| format!("`{}`", name.as_str())).collect();
            format!(" of {}", names.join(", "))
        });
        let (attribute, commands) = (attribute.as_str(), commands.unwrap_or_default());
        warnings.push(format!(
            "plugin {name}: {at} permits host calls{commands} whose {attribute} differs from the command's {attribute}"
        ));
    }
}
