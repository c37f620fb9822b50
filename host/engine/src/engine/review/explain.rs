//! Explains whether a person may run a command, with the rule that decides it. Used by `can` in the room, by
//! `wardroom can` and by `[[expect]]`.
//!
//! Invariant: the decision is made by the functions that also decide a typed command, and has no effect.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    base::clean,
    command::{Asker, Command, Parsed, Target, Vocabulary},
    hostcall::Plugins,
    model::{Attribute, Attributes, CallKind, CallSpec, Catalog},
    policy::{Access, Allow, Approval, Member, Rights, Role},
};

/// The answer to "may this person run this command?".
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// Whether the person may run the command.
    pub yes: bool,
    /// The rule that permits it, or the one that is missing, in one line.
    pub because: String,
    /// The plugin's own grants for the command, and the approvals that hold its effects, one line each.
    pub notes: Vec<String>,
}

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.yes { "yes" } else { "no" }, self.because)?;
        self.notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

/// The rules and plugins from which rights are explained.
#[derive(Clone, Copy)]
pub(crate) struct Explainer<'a> {
    pub(crate) access: &'a Access,
    pub(crate) catalog: &'a Catalog,
    pub(crate) plugins: &'a Plugins,
    pub(crate) approvals: &'a [Approval],
}

impl Explainer<'_> {
    /// Explains whether a person may run a typed line.
    ///
    /// # Errors
    /// The problem with the line, as text for people.
    pub(crate) fn line(&self, who: Asker<'_>, line: &str, vocabulary: &Vocabulary<'_>) -> Result<Explained, String> {
        match self.plugins.table().parse(line, vocabulary) {
            Ok(Parsed::Command(command)) => Ok(self.command(who, &command)),
            Ok(Parsed::Help(spec)) => Err(format!("`{}` asks for help, which everybody may", spec.name)),
            Err(misparse) => Err(misparse.to_string()),
        }
    }

    /// Explains whether a person may run a parsed command.
    pub(crate) fn command(&self, who: Asker<'_>, command: &Command) -> Explained {
        let access = self.access;
        let (app, environment) = (command.app(), command.environment());
        let (spec, id) = (command.spec(), clean(who.id));
        let no = |because: String| Explained { yes: false, because, notes: Vec::new() };
        if let Some(environment) = environment
            && !self.serves(who, environment)
        {
            return no(match who.bot {
                Some(bot) => access.not_through(bot, environment),
                None => format!("`{environment}` is not among the environments of any [bot.*]"),
            });
        }
        let rights = access.rights(who, &spec.name, spec.target.clone());
        let because = match &rights {
            Rights::Open => format!("`{}` is open to all; it shows and changes only what {id} may", spec.name),
            Rights::Admin => format!("{id} is an admin"),
            Rights::Roles(_) => match rights.role_for(app, environment) {
                None => {
                    let missing = access.missing(&spec.name, app, environment).replacen("you ", "", 1);
                    return Explained { notes: self.unavailable_groups(command), ..no(format!("{id} {missing}")) };
                }
                Some(held) if held.grant.is_some() => format!("{id} has the role {}", held.rule()),
                Some(held) => format!("{id} has the role {} ({})", held.role.name, held.role.at),
            },
        };
        match self.plugin_grants(command) {
            Err(because) => no(because),
            Ok(notes) => Explained { yes: true, because, notes },
        }
    }

    /// Whether the bot of the question serves an environment. Without a bot, whether any bot does.
    fn serves(&self, who: Asker<'_>, environment: &str) -> bool {
        match who.bot {
            Some(bot) => self.access.bots.touches(bot, environment),
            None => self.access.bots.touching(environment).next().is_some(),
        }
    }

    /// The unavailable groups whose members would have the right, one line each. An unavailable group counts as empty.
    fn unavailable_groups(&self, command: &Command) -> Vec<String> {
        let (access, name) = (self.access, &command.spec().name);
        let fits = |role: &&Arc<Role>| role.runs(name) && role.covers(command.app(), command.environment());
        let members = access.roles.iter().filter(fits).flat_map(|role| &role.members);
        let closed = members.filter_map(|member| match member {
            Member::Group(group) => {
                access.group(group).err().map(|why| format!("nobody is in the group {group}: {why}"))
            }
            Member::Everyone | Member::Person(_) | Member::Room(_) => None,
        });
        closed.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The plugin's grants for a command, one line for each call that can have effects. The arguments of a call are
    /// known only when it runs, so only the typed values are checked.
    ///
    /// # Errors
    /// The plugin is not loaded, or no grant permits any of its effects.
    fn plugin_grants(&self, command: &Command) -> Result<Vec<String>, String> {
        let Target::Plugin(name) = &command.spec().target else { return Ok(Vec::new()) };
        let Some(plugin) = self.plugins.get(name) else { return Err(format!("plugin {name} is not loaded")) };
        if command.spec().kind == crate::command::CommandKind::Query {
            return Ok(Vec::new());
        }
        let acts = plugin.calls.iter().filter(|row| row.kind == CallKind::Acts);
        let (mut notes, mut refused) = (Vec::new(), Vec::new());
        for row in acts {
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
                    refused.push(format!("plugin {name} may not call {} there{why}", row.name));
                }
            }
        }
        // One permitted effect is enough for a yes; the calls that are not permitted are listed too.
        if notes.is_empty() && !refused.is_empty() {
            return Err(refused.join("; "));
        }
        notes.extend(refused);
        Ok(notes)
    }
}

impl Explainer<'_> {
    /// The approvals that a call needs if the command makes it with the typed values, one line per rule.
    fn required_approvals(&self, row: &CallSpec, command: &Command) -> Vec<String> {
        let typed = |attribute| -> Vec<String> { command.typed(attribute).map(str::to_owned).collect() };
        let attributes: Attributes = [Attribute::App, Attribute::Environment, Attribute::Version]
            .into_iter()
            .map(|attribute| (attribute, typed(attribute)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        let rules = self.approvals.iter().filter(|rule| rule.obliges(row, &attributes));
        rules
            .map(|rule| {
                format!(
                    "{} waits for approval by {} of {} ({})",
                    row.name,
                    rule.count,
                    rule.from.join(" or "),
                    rule.text
                )
            })
            .collect()
    }
}

/// The first limit of a rule that the typed values do not match, as it is written in the file.
fn first_mismatch(rule: &Allow, command: &Command) -> Option<String> {
    rule.limits.iter().find_map(|(attribute, patterns)| {
        let judged = matches!(
            attribute,
            Attribute::App | Attribute::Environment | Attribute::Version | Attribute::Person | Attribute::Role
        );
        // An attribute in `beyond` may differ from the typed value, so the typed value is not checked.
        let fits = rule.beyond.contains(&attribute)
            || command.typed(attribute).all(|value| patterns.iter().any(|pattern| pattern.matches(value)));
        (judged && !fits).then(|| {
            let takes: Vec<String> = patterns.iter().map(|pattern| format!("\"{}\"", pattern.as_str())).collect();
            format!("{} = [{}]", attribute.as_str(), takes.join(", "))
        })
    })
}
