//! Explains whether a person may run a command, with the rule that decides it. The command `can`, the subcommand
//! `wardroom can` and the `[[expect]]` tests use this explanation.
//!
//! Invariant: the explanation comes from the same functions that check a command in a room. No command is run, and
//! nothing is stored.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::texts::{quoted_patterns, unavailable_group};
use crate::{
    base::clean,
    command::{Asker, Builtin, Command, Parsed, Target, Vocabulary},
    hostcall::Plugins,
    model::{Attribute, Attributes, CallKind, CallSpec, Catalog},
    policy::{Access, Allow, Approval, Member, Rights, Role, freeze_places},
};

/// Whether a person may run a command, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Explained {
    pub(crate) yes: bool,
    /// The rule that permits the command, or the right that is missing, in one line.
    pub(crate) because: String,
    /// The plugin's grants for the command, and the approvals that its effects require, one line each.
    pub(crate) notes: Vec<String>,
}

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.yes { "yes" } else { "no" }, self.because)?;
        self.notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

/// The report on whether a person may run a command.
#[derive(Serialize)]
pub(super) struct CanReport<'a> {
    pub(super) who: &'a str,
    pub(super) command: &'a str,
    #[serde(flatten)]
    pub(super) explained: &'a Explained,
}

impl std::fmt::Display for CanReport<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.explained.fmt(f)
    }
}

/// Explains whether a person may run a command. Holds the roles, plugins and approval rules that decide this.
#[derive(Clone, Copy)]
pub(crate) struct Explainer<'a> {
    pub(crate) access: &'a Access,
    pub(crate) catalog: &'a Catalog,
    pub(crate) plugins: &'a Plugins,
    pub(crate) approvals: &'a [Approval],
}

impl Explainer<'_> {
    /// Explains whether a person may run the command in `line`.
    ///
    /// # Errors
    /// Fails if the line is not a valid command. The error is the message for the person.
    pub(crate) fn line(&self, who: Asker<'_>, line: &str, vocabulary: &Vocabulary<'_>) -> Result<Explained, String> {
        match self.plugins.table().parse(line, vocabulary) {
            Ok(Parsed::Command(command)) => Ok(self.command(who, &command)),
            Ok(Parsed::Help(spec)) => {
                Err(format!("the line asks for the help of `{}`, which everybody may read", spec.name))
            }
            Err(misparse) => Err(misparse.to_string()),
        }
    }

    /// Explains whether a person may run a parsed command.
    pub(crate) fn command(&self, who: Asker<'_>, command: &Command) -> Explained {
        let access = self.access;
        let (spec, id) = (command.spec(), clean(who.id));
        let no = |because: String| Explained { yes: false, because, notes: Vec::new() };
        if let Some(environment) = command.named(Attribute::Environment).find(|name| !self.serves(who, name)) {
            return no(match who.bot {
                Some(bot) => access.not_through(bot, environment),
                None => format!("no bot has the environment `{environment}` in the key `environments` of [bot.NAME]"),
            });
        }
        let rights = access.rights(who, &spec.name, command.target_of_right());
        let places = match (&spec.target, command.environment()) {
            (Target::Host(Builtin::Freeze | Builtin::Unfreeze), Some(environment)) => {
                freeze_places(self.catalog, environment)
            }
            _ => command.places(),
        };
        let because = match &rights {
            Rights::Open => format!("everybody may run `{}`; its effect is limited to the rights of {id}", spec.name),
            Rights::Admin => format!("{id} is an admin"),
            Rights::Roles(_) => {
                let mut roles = Vec::new();
                for (app, environment) in places {
                    let Some(held) = rights.role_for(app, environment) else {
                        let missing = access.missing(&spec.name, app, environment).replacen("you ", "", 1);
                        return Explained { notes: self.unavailable_groups(command), ..no(format!("{id} {missing}")) };
                    };
                    let role = match held.grant {
                        Some(_) => held.rule(),
                        None => format!("{} ({})", held.role.name, held.role.at),
                    };
                    if !roles.contains(&role) {
                        roles.push(role);
                    }
                }
                format!("{id} has the role {}", roles.join(" and "))
            }
        };
        match self.plugin_grants(command) {
            Err(because) => no(because),
            Ok(notes) => Explained { yes: true, because, notes },
        }
    }

    /// Returns whether the bot of `who` is configured for an environment. If `who` has no bot, returns whether any bot
    /// is configured for the environment.
    fn serves(&self, who: Asker<'_>, environment: &str) -> bool {
        match who.bot {
            Some(bot) => self.access.bots.may_change(bot, environment),
            None => self.access.bots.that_may_change(environment).next().is_some(),
        }
    }

    /// Returns one line for each group that cannot be read, if its members might be permitted to run the command. All
    /// other checks treat the group as empty.
    fn unavailable_groups(&self, command: &Command) -> Vec<String> {
        let (access, name) = (self.access, &command.spec().name);
        let fits = |role: &&Arc<Role>| {
            role.runs(name) && command.places().iter().any(|(app, environment)| role.covers(*app, *environment))
        };
        let members = access.roles.iter().filter(fits).flat_map(|role| &role.members);
        let closed = members.filter_map(|member| match member {
            Member::Group(group) => unavailable_group(access, group),
            Member::Everyone | Member::Person(_) | Member::Room(_) => None,
        });
        closed.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Explains whether the plugin's grants permit a command. Returns one line for each host call that has effects.
    /// Checks only the arguments of the command, because the arguments of a host call are unknown before the plugin
    /// makes the call.
    ///
    /// # Errors
    /// Fails if the plugin is not loaded, or if no grant permits any effect of the plugin.
    fn plugin_grants(&self, command: &Command) -> Result<Vec<String>, String> {
        let Target::Plugin(name) = &command.spec().target else { return Ok(Vec::new()) };
        let Some(plugin) = self.plugins.get(name) else { return Err(format!("plugin {name} is not loaded")) };
        if command.spec().kind == crate::command::CommandKind::Query {
            return Ok(Vec::new());
        }
        let effects = plugin.calls.iter().filter(|row| row.kind == CallKind::Acts);
        let (mut notes, mut refused) = (Vec::new(), Vec::new());
        for row in effects {
            let rules: Vec<&Allow> =
                plugin.grants.naming(row.name).filter(|rule| rule.is_for(&command.spec().name)).collect();
            match rules.iter().find(|rule| first_mismatch(rule, command).is_none()) {
                Some(rule) => {
                    notes.push(format!("plugin {name} may call {}: {}", row.name, rule.at));
                    notes.extend(self.required_approvals(row, command));
                }
                None => {
                    let why = rules.first().and_then(|rule| Some((rule, first_mismatch(rule, command)?)));
                    let why = why.map_or_else(String::new, |(rule, why)| format!(": {} allows {why}", rule.at));
                    refused.push(format!("plugin {name} may not call {} with these arguments{why}", row.name));
                }
            }
        }
        // The answer is yes if at least one effect is permitted. The notes list the other effects too.
        if notes.is_empty() && !refused.is_empty() {
            return Err(refused.join("; "));
        }
        notes.extend(refused);
        Ok(notes)
    }

    /// Returns one line for each approval rule that applies to a host call. Assumes that the call has the app, the
    /// environment and the version of the command.
    fn required_approvals(&self, row: &CallSpec, command: &Command) -> Vec<String> {
        let typed = |attribute| -> Vec<String> { command.typed(attribute).map(str::to_owned).collect() };
        let attributes: Attributes = [Attribute::App, Attribute::Environment, Attribute::Version]
            .into_iter()
            .map(|attribute| (attribute, typed(attribute)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        let rules = self.approvals.iter().filter(|rule| rule.applies_to(row, &attributes));
        rules
            .map(|rule| {
                format!(
                    "{} requires approvals: {} from {} ({})",
                    row.name,
                    rule.count,
                    rule.from.join(" or "),
                    rule.text
                )
            })
            .collect()
    }
}

/// Returns the first condition of a grant that the arguments of a command do not meet, in the syntax of `plugins.toml`:
/// `app = ["cms"]`. Returns `None` if the arguments meet all conditions.
fn first_mismatch(rule: &Allow, command: &Command) -> Option<String> {
    rule.limits.iter().find_map(|(attribute, patterns)| {
        let is_checked = matches!(
            attribute,
            Attribute::App | Attribute::Environment | Attribute::Version | Attribute::Person | Attribute::Role
        );
        // An attribute in `beyond` may differ from the argument of the command, so it always matches.
        let fits = rule.beyond.contains(&attribute)
            || command.typed(attribute).all(|value| patterns.iter().any(|pattern| pattern.matches(value)));
        (is_checked && !fits).then(|| format!("{} = [{}]", attribute.as_str(), quoted_patterns(patterns)))
    })
}
