//! The check of a typed command: may this person run it, there, through this bot?

use std::sync::Arc;

use super::{Member, Rights, Role};
use crate::{
    command::{Command, Target},
    message::Person,
    port::store::InboxRow,
};

/// The people and roles of the configuration.
#[derive(Debug, Default)]
pub struct Access {
    /// The ids of those who may do everything.
    pub admins: Vec<String>,
    /// The roles, in the order of the file.
    pub roles: Vec<Arc<Role>>,
    /// The environments that may be touched through the bot.
    pub bot_environments: Vec<String>,
    /// The bot's name.
    pub bot: String,
}

/// A command that its caller may run. Only [`Access::authorize`] makes one, and a job that goes on has its own again.
///
/// ```compile_fail,E0451
/// use wardroom::{access::{Authorized, Rights}, command::Command, port::store::InboxRow};
///
/// // There is no way to make one from its parts: they are private.
/// fn forge(command: Command, message: InboxRow, rights: Rights) -> Authorized {
///     Authorized { command, message, rights }
/// }
/// ```
#[derive(Debug)]
pub struct Authorized {
    command: Command,
    message: InboxRow,
    rights: Rights,
}

impl Authorized {
    /// What was typed.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The message that it was typed in.
    pub fn message(&self) -> &InboxRow {
        &self.message
    }

    /// Who typed it.
    pub fn caller(&self) -> &Person {
        &self.message.sender
    }

    /// What lets them.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }
}

/// A command that its caller may not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which right is missing and who can help, one line.
    pub message: String,
}

impl Access {
    /// Lets a command pass, or says which right is missing.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn authorize(&self, command: Command, message: InboxRow) -> Result<Authorized, Refused> {
        let (app, environment) = (command.app(), command.environment());
        let name = command.spec().name.as_str();
        if let Some(environment) = environment
            && !self.bot_environments.iter().any(|known| known == environment)
        {
            let message = format!(
                "`{environment}` is not touched through {}, which serves {}: {}",
                self.bot,
                if self.bot_environments.is_empty() { "none".to_owned() } else { self.bot_environments.join(", ") },
                self.help()
            );
            return Err(Refused { message });
        }
        let rights = self.rights(&message.sender.id, name, command.spec().target.clone());
        if rights.rule(app, environment).is_none() {
            return Err(Refused { message: self.missing(name, app, environment) });
        }
        Ok(Authorized { command, message, rights })
    }

    /// A command that was authorized when it was typed, with the rights that its caller has now. They may be none:
    /// then each call is refused by itself.
    pub(crate) fn resume(&self, command: Command, message: InboxRow) -> Authorized {
        let rights = self.rights(&message.sender.id, &command.spec().name, command.spec().target.clone());
        Authorized { command, message, rights }
    }

    /// What lets a person run a command, before app and environment are looked at.
    pub fn rights(&self, person: &str, command: &str, target: Target) -> Rights {
        if target.is_open() {
            Rights::Open
        } else if self.is_admin(person) {
            Rights::Admin
        } else if target.is_for_admins() {
            Rights::Roles(Arc::from([]))
        } else {
            let roles = self.roles.iter().filter(|role| role.has(person) && role.runs(command)).cloned();
            Rights::Roles(roles.collect())
        }
    }

    /// Whether a person has any right on an app and an environment: what they have none on they are not told of.
    pub fn sees(&self, person: &str, app: Option<&str>, environment: Option<&str>) -> bool {
        let fits = |role: &Arc<Role>| role.has(person) && role.covers(app, environment);
        self.is_admin(person) || self.roles.iter().any(fits)
    }

    /// Whether two ids are one person's.
    pub fn same_person(&self, one: &str, other: &str) -> bool {
        one == other
    }

    /// A role by its name.
    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// Whether a person is in a role by name, on an app and an environment, and not only as one of everyone: a right that
    /// counts for approvals.
    pub fn stands_for(&self, role: &str, person: &str, app: Option<&str>, environment: Option<&str>) -> bool {
        let named = |role: &Arc<Role>| role.members.contains(&Member::Person(person.to_owned()));
        self.role(role).is_some_and(|role| named(role) && role.covers(app, environment))
    }

    /// Whether more people are in a role than it names by their ids.
    pub fn names_more_than_people(&self, role: &str) -> bool {
        let others = |member: &Member| !matches!(member, Member::Person(_) | Member::Everyone);
        self.role(role).is_some_and(|role| role.members.iter().any(others))
    }

    /// The ids of those who are in a role by name.
    pub fn named_in(&self, role: &str) -> Vec<String> {
        let members = self.role(role).map(|role| role.members.as_slice()).unwrap_or_default();
        let id = |member: &Member| match member {
            Member::Person(id) => Some(id.clone()),
            Member::Everyone => None,
        };
        members.iter().filter_map(id).collect()
    }

    /// Whether a person may do everything.
    pub fn is_admin(&self, person: &str) -> bool {
        self.admins.iter().any(|admin| admin == person)
    }

    /// Whether a person may run a command at all, wherever.
    pub fn may_run(&self, person: &str, command: &str, target: Target) -> bool {
        let fits = |role: &Arc<Role>| role.has(person) && role.runs(command);
        target.is_open() || self.is_admin(person) || (!target.is_for_admins() && self.roles.iter().any(fits))
    }

    /// Everybody whom the configuration names, by id.
    pub fn people(&self) -> Vec<String> {
        let members = self.roles.iter().flat_map(|role| &role.members);
        let named = members.filter_map(|member| match member {
            Member::Person(id) => Some(id.clone()),
            Member::Everyone => None,
        });
        let mut people: Vec<String> = self.admins.iter().cloned().chain(named).collect();
        people.sort();
        people.dedup();
        people
    }

    /// Who can help somebody who may not.
    pub(crate) fn help(&self) -> String {
        match self.admins.as_slice() {
            [] => "plugins.toml names no admin".to_owned(),
            admins => format!("ask {}", admins.join(" or ")),
        }
    }

    /// Which right is missing, and who can help.
    pub(crate) fn missing(&self, command: &str, app: Option<&str>, environment: Option<&str>) -> String {
        let on = [("app", app), ("environment", environment)]
            .into_iter()
            .filter_map(|(word, value)| value.map(|value| format!("{word} `{value}`")))
            .collect::<Vec<_>>()
            .join(" and ");
        let on = if on.is_empty() { on } else { format!(" on {on}") };
        // Role names help to ask for the right thing; who is in them is nobody's business here.
        let fitting: Vec<String> = self
            .roles
            .iter()
            .filter(|role| role.runs(command) && role.covers(app, environment))
            .filter(|role| !role.members.contains(&Member::Everyone))
            .map(|role| format!("`{}`", role.name))
            .collect();
        let role = match fitting.as_slice() {
            [] => "and no role has that right".to_owned(),
            roles => format!("which takes the role {}", roles.join(" or ")),
        };
        let help = self.help();
        format!("you may not run `{command}`{on}, {role}: {help}")
    }
}
