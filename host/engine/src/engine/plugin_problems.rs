//! What is wrong with a configuration once its plugins are known.

use crate::{
    base::{Problem, nearest},
    config::Config,
    hostcall::Plugins,
    plugin::PluginConfig,
};

impl Plugins {
    /// All that is wrong once plugins are known: those that did not load, roles that name commands which do not exist, and
    /// expectations that the rules do not meet.
    pub fn problems(&self, config: &Config) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self
            .not_loaded()
            .iter()
            .map(|plugin| Problem {
                at: plugin.at.clone(),
                message: format!("plugin {} is not loaded: {}", plugin.name, plugin.error),
                fix: plugin.error.fix(),
            })
            .collect();
        // What a plugin without a description may have nobody knows: roles are not blamed for it.
        let unknown = self.not_loaded().iter().any(|plugin| plugin.commands.is_empty());
        if unknown {
            return problems;
        }
        let missing = self.not_loaded().iter().flat_map(|plugin| plugin.commands.iter().map(String::as_str));
        problems.extend(config.plugins.iter().flat_map(|plugin| self.unknown_commands(plugin)));
        let names: Vec<&str> = self.table().specs().iter().map(|spec| spec.name.as_str()).chain(missing).collect();
        for role in &config.access.roles {
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
        problems.extend(self.misled(config));
        problems.extend(self.unmet(config));
        problems.sort();
        problems
    }

    /// The rules of a plugin that are for commands which it does not have.
    fn unknown_commands(&self, plugin: &PluginConfig) -> Vec<Problem> {
        let Some(loaded) = self.get(&plugin.name) else { return Vec::new() };
        let names: Vec<&str> = loaded.description.commands.iter().map(|spec| spec.name.as_str()).collect();
        let rules = plugin.grants.rules().iter();
        let named = rules.flat_map(|rule| rule.commands.iter().flatten().map(move |command| (rule, command)));
        let unknown = named.filter(|(_, command)| !names.iter().any(|name| command.matches(name)));
        unknown
            .map(|(rule, command)| Problem {
                at: rule.at.clone(),
                message: format!(
                    "a rule of plugin {} is for the command `{}`, which it does not have",
                    plugin.name,
                    command.as_str()
                ),
                fix: nearest(command.as_str(), names.iter().copied()).map(|meant| format!("command = [\"{meant}\"]")),
            })
            .collect()
    }
}
