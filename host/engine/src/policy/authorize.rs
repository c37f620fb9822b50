//! The check of a typed command: may this person run it, there, through this bot?

use super::{
    access::Access,
    role::{Member, Rights},
};
use crate::{
    command::{Asker, Command},
    model::Person,
    store::InboxRow,
};

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

    /// Who typed it, and where.
    pub fn asker(&self) -> Asker<'_> {
        Asker::from(&self.message)
    }

    /// What let them when this was made.
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
            && !self.bots.touches(&message.bot, environment)
        {
            return Err(Refused { message: self.not_through(&message.bot, environment) });
        }
        let rights = self.rights(&message, name, command.spec().target.clone());
        if rights.rule(app, environment).is_none() {
            return Err(Refused { message: self.missing(name, app, environment) });
        }
        Ok(Authorized { command, message, rights })
    }

    /// A command that was authorized when it was typed, with the rights that its caller has now. They may be none:
    /// then each call is refused by itself.
    pub(crate) fn resume(&self, command: Command, message: InboxRow) -> Authorized {
        let rights = self.rights(&message, &command.spec().name, command.spec().target.clone());
        Authorized { command, message, rights }
    }

    /// That an environment is not touched through an identity, and which one may.
    pub(crate) fn not_through(&self, bot: &str, environment: &str) -> String {
        let name = self.bots.get(bot).map_or(bot, |bot| bot.name.as_str());
        let serves = match self.bots.environments(bot) {
            [] => "none".to_owned(),
            environments => environments.join(", "),
        };
        let others: Vec<&str> = self.bots.touching(environment).collect();
        let help = match others.as_slice() {
            [] => self.help(),
            others => format!("ask {} for that", others.join(" or ")),
        };
        format!("`{environment}` is not touched through {name}, which serves {serves}: {help}")
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
