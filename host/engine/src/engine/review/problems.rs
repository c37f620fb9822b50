//! Finds the configuration problems that can be found only after the plugins are loaded.

use super::{expectations, reviewed::Reviewed};
use crate::{
    base::{Problem, nearest},
    hostcall::Plugins,
    plugin::PluginConfig,
};

pub(super) fn problems(reviewed: &Reviewed) -> Vec<Problem> {
    let Reviewed { config, access, plugins } = reviewed;
    // 1. Report plugins that failed to load.
    let mut problems: Vec<Problem> = plugins
        .not_loaded()
        .iter()
        .map(|plugin| Problem {
            at: plugin.at.clone(),
            message: format!("plugin {} is not loaded: {}", plugin.name, plugin.error),
            fix: plugin.error.fix(),
        })
        .collect();
    // 2. Stop if the commands of a plugin are unknown, because a role could name one of them.
    let unknown = plugins.not_loaded().iter().any(|plugin| plugin.commands.is_empty());
    if unknown {
        return problems;
    }
    // 3. Report unknown commands in grants of plugins, in roles and in `[[notify]]`.
    let missing = plugins.not_loaded().iter().flat_map(|plugin| plugin.commands.iter().map(String::as_str));
    problems.extend(config.plugins.iter().flat_map(|plugin| unknown_commands(plugins, plugin)));
    let names: Vec<&str> = plugins.table().specs().iter().map(|spec| spec.name.as_str()).chain(missing).collect();
    for role in &access.roles {
        for pattern in role.commands.iter().filter(|pattern| pattern.is_literal()) {
            if !names.contains(&pattern.as_str()) {
                let meant = nearest(pattern.as_str(), names.iter().copied());
                problems.push(Problem {
                    at: role.at.clone(),
                    message: format!(
                        "role {} names the command `{}`, which no plugin has",
                        role.name,
                        pattern.as_str()
                    ),
                    fix: meant.map(|meant| format!("\"{meant}\"")),
                });
            }
        }
    }
    for notice in config.notices.iter() {
        for pattern in notice.commands.iter().flatten().filter(|pattern| pattern.is_literal()) {
            if !names.contains(&pattern.as_str()) {
                let message = format!("[[notify]] names the command `{}`, which no plugin has", pattern.as_str());
                let meant = nearest(pattern.as_str(), names.iter().copied());
                let fix = meant.map(|meant| format!("\"{meant}\""));
                problems.push(Problem { at: notice.at.clone(), message, fix });
            }
        }
    }
    // 4. Report problems of triggers, and `[[expect]]` tests that fail.
    problems.extend(reviewed.trigger_problems());
    problems.extend(expectations::unmet(reviewed));
    problems.sort();
    problems
}

/// Returns a configuration problem for each grant of a plugin that names a command which the plugin does not have.
fn unknown_commands(plugins: &Plugins, plugin: &PluginConfig) -> Vec<Problem> {
    let Some(loaded) = plugins.get(&plugin.name) else { return Vec::new() };
    let names: Vec<&str> = loaded.description.commands.iter().map(|spec| spec.name.as_str()).collect();
    let rules = plugin.grants.rules().iter();
    let named = rules.flat_map(|rule| rule.commands.iter().flatten().map(move |command| (rule, command)));
    let unknown = named.filter(|(_, command)| !names.iter().any(|name| command.matches(name)));
    unknown
        .map(|(rule, command)| Problem {
            at: rule.at.clone(),
            message: format!(
                "a grant of plugin {} names the command `{}`, which the plugin does not have",
                plugin.name,
                command.as_str()
            ),
            fix: nearest(command.as_str(), names.iter().copied()).map(|meant| format!("command = [\"{meant}\"]")),
        })
        .collect()
}
