//! Finds the configuration problems that can be found only after the plugins are loaded.

use super::{Review, expectations};
use crate::{
    base::{At, Pattern, Problem, nearest},
    hostcall::Plugins,
    plugin::PluginConfig,
};

pub(super) fn problems(review: &Review) -> Vec<Problem> {
    let Review { config, access, plugins, .. } = review;
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
    // 2. Report commands that several plugins have.
    for contested in plugins.contested() {
        let of = |plugin: &&PluginConfig| contested.plugins.contains(&plugin.name);
        let Some(last) = config.plugins.iter().rfind(of) else { continue };
        problems.push(Problem {
            at: last.at.clone(),
            message: format!(
                "the plugins {} have the same command `{}`, which therefore belongs to none of them",
                contested.plugins.join(" and "),
                contested.word
            ),
            fix: Some(format!("commands = [\"{}\"]   in the table of one of them", contested.word)),
        });
    }
    // 3. Stop if the commands of a plugin are unknown, because a role could name one of them.
    let unknown = plugins.not_loaded().iter().any(|plugin| plugin.commands.is_empty());
    if unknown {
        problems.sort();
        return problems;
    }
    // 4. Report unknown commands in grants of plugins, in roles and in `[[notify]]`.
    let missing = plugins.not_loaded().iter().flat_map(|plugin| plugin.commands.iter().map(String::as_str));
    problems.extend(config.plugins.iter().flat_map(|plugin| unknown_commands(plugins, plugin)));
    let names: Vec<&str> = plugins.table().specs().iter().map(|spec| spec.name.as_str()).chain(missing).collect();
    let mut check_names = |at: &At, what: &str, patterns: &[Pattern]| {
        for name in patterns.iter().filter(|pattern| pattern.is_literal()).map(Pattern::as_str) {
            if !names.contains(&name) {
                let message = format!("{what} names the command `{name}`, which no plugin has");
                let fix = nearest(name, names.iter().copied()).map(|meant| format!("\"{meant}\""));
                problems.push(Problem { at: at.clone(), message, fix });
            }
        }
    };
    for role in &access.roles {
        check_names(&role.at, &format!("role {}", role.name), &role.commands);
    }
    for notice in config.notices.iter() {
        check_names(&notice.at, "[[notify]]", notice.commands.as_deref().unwrap_or_default());
    }
    // 5. Report problems of triggers, and `[[expect]]` tests that fail.
    problems.extend(review.trigger_problems());
    problems.extend(expectations::unmet(review));
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
