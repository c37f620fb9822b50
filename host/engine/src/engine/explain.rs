//! Whether somebody may run a command, and the rule that says so or the one that is missing: for `can`, for
//! `wardroom can`, and for what the configuration expects.
//!
//! Invariant: it judges with the same functions as a command that is typed, and does nothing.

use std::{collections::BTreeSet, sync::Arc};

use super::{builder::Host, verdict::Refusal};
use crate::{
    base::clean,
    command::{Asker, Command, Parsed, Target, Value, Vocabulary},
    hostcall::Plugins,
    model::{Attribute, Attributes, CallKind, Catalog},
    policy::{Access, Allow, Approval, Member, Rights, Role},
};

/// What a question about rights comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Whether they may.
    pub yes: bool,
    /// The rule that says so, or the one that is missing, one line.
    pub because: String,
    /// What else there is to know, each one line: the plugin's own grants, and what holds an effect all the same.
    pub notes: Vec<String>,
}

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.yes { "yes" } else { "no" }, self.because)?;
        self.notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

/// What a question about rights is answered from.
#[derive(Clone, Copy)]
pub struct Explainer<'a> {
    /// People and roles.
    pub access: &'a Access,
    /// Apps and environments.
    pub catalog: &'a Catalog,
    /// Plugins and their commands.
    pub plugins: &'a Plugins,
    /// What effects need of other people.
    pub approvals: &'a [Approval],
}

impl Explainer<'_> {
    /// Whether somebody may run what they would type.
    ///
    /// # Errors
    /// What is wrong with the line, for people.
    pub fn line(&self, who: Asker<'_>, line: &str, vocabulary: &Vocabulary<'_>) -> Result<Explained, String> {
        match self.plugins.table().parse(line, vocabulary) {
            Ok(Parsed::Command(command)) => Ok(self.command(who, &command)),
            Ok(Parsed::Help(spec)) => Err(format!("`{}` asks for help, which everybody may", spec.name)),
            Err(misparse) => Err(misparse.to_string()),
        }
    }

    /// Whether somebody may run a command.
    pub fn command(&self, who: Asker<'_>, command: &Command) -> Explained {
        let access = self.access;
        let (app, environment) = (command.app(), command.environment());
        let (spec, id) = (command.spec(), clean(who.id));
        let no = |because: String| Explained { yes: false, because, notes: Vec::new() };
        if let Some(environment) = environment
            && !self.touched(who, environment)
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
                    return Explained { notes: self.closed(command), ..no(format!("{id} {missing}")) };
                }
                Some(held) if held.grant.is_some() => format!("{id} has the role {}", held.rule()),
                Some(held) => format!("{id} has the role {} ({})", held.role.name, held.role.at),
            },
        };
        match self.plugin(command) {
            Err(because) => no(because),
            Ok(notes) => Explained { yes: true, because, notes },
        }
    }

    /// Whether an environment may be touched through the identity that somebody asks, or through any.
    fn touched(&self, who: Asker<'_>, environment: &str) -> bool {
        match who.bot {
            Some(bot) => self.access.bots.touches(bot, environment),
            None => self.access.bots.touching(environment).next().is_some(),
        }
    }

    /// The groups that would give the right and that nobody is in now, each one line.
    fn closed(&self, command: &Command) -> Vec<String> {
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

    /// What the plugin of a command is granted for it, in principle: each thing that it could do, one line.
    fn plugin(&self, command: &Command) -> Result<Vec<String>, String> {
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
            match rules.iter().find(|rule| misses(rule, command).is_none()) {
                Some(rule) => {
                    notes.push(format!("plugin {name} may call {}: {}", row.name, rule.at));
                    notes.extend(self.held_by(row.name, command));
                }
                None => {
                    let why = rules.first().and_then(|rule| Some((rule, misses(rule, command)?)));
                    let why = why.map_or_else(String::new, |(rule, why)| format!(": {} allows {why}", rule.at));
                    refused.push(format!("plugin {name} may not call {} there{why}", row.name));
                }
            }
        }
        // A plugin that may do one of the things that it can do is of use; what it may not is said all the same.
        if notes.is_empty() && !refused.is_empty() {
            return Err(refused.join("; "));
        }
        notes.extend(refused);
        Ok(notes)
    }
}

impl Explainer<'_> {
    /// What a call that a command makes there needs of other people, one line a rule.
    fn held_by(&self, call: &str, command: &Command) -> Vec<String> {
        let typed = |attribute| -> Vec<String> { command.typed(attribute).map(str::to_owned).collect() };
        let attributes: Attributes = [Attribute::App, Attribute::Environment, Attribute::Version]
            .into_iter()
            .map(|attribute| (attribute, typed(attribute)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        let rules = self.approvals.iter().filter(|rule| rule.obliges(call, &attributes));
        rules
            .map(|rule| {
                format!("{call} waits for approval by {} of {} ({})", rule.count, rule.from.join(" or "), rule.text)
            })
            .collect()
    }
}

/// What a rule allows in which it does not take what was typed, if there is such a thing.
fn misses(rule: &Allow, command: &Command) -> Option<String> {
    rule.limits.iter().find_map(|(attribute, patterns)| {
        let judged = matches!(
            attribute,
            Attribute::App | Attribute::Environment | Attribute::Version | Attribute::Person | Attribute::Role
        );
        // In what was typed an effect may differ only where the rule says so.
        let fits = rule.beyond.contains(&attribute)
            || command.typed(attribute).all(|value| patterns.iter().any(|pattern| pattern.matches(value)));
        (judged && !fits).then(|| {
            let takes: Vec<String> = patterns.iter().map(|pattern| format!("\"{}\"", pattern.as_str())).collect();
            format!("{} = [{}]", attribute.as_str(), takes.join(", "))
        })
    })
}

impl Host {
    /// `can USER COMMAND...`
    pub(crate) fn can(&self, authorized: &crate::policy::Authorized) -> Result<String, Refusal> {
        let text = |name: &str| {
            authorized.command().arguments().find_map(|(parameter, value)| match value {
                Value::Text(text) if parameter.name == name => Some(text.as_str()),
                _ => None,
            })
        };
        let (who, line) = (text("user").unwrap_or_default(), text("command").unwrap_or_default());
        let (asker, access) = (authorized.asker(), &*self.context.access);
        let explainer = Explainer {
            access,
            catalog: &self.context.catalog,
            plugins: &self.plugins,
            approvals: &self.context.approvals,
        };
        // With the words that the asker knows: an app that they may not see is none.
        let vocabulary = Vocabulary::of(&self.context.catalog, access, asker);
        let explained = explainer.line(asker.named(who), line, &vocabulary);
        explained.map(|explained| explained.to_string()).map_err(Refusal::Malformed)
    }
}
