//! The check of a command: may this person run it, on this app and environment, through this bot?

use super::{
    access::Access,
    role::{Member, Rights},
};
use crate::{
    command::{Asker, Command},
    model::Person,
    store::InboxRow,
};

/// A command that its caller may run. Only [`Access::authorize`] creates one; a resumed job gets its own again.
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
pub(crate) struct Authorized {
    command: Command,
    message: InboxRow,
    rights: Rights,
}

impl Authorized {
    /// The command that may be run.
    pub(crate) fn command(&self) -> &Command {
        &self.command
    }

    /// The message with the command.
    pub(crate) fn message(&self) -> &InboxRow {
        &self.message
    }

    /// The person who sent it.
    pub(crate) fn caller(&self) -> &Person {
        &self.message.sender
    }

    /// The person and the room, for further checks.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker::from(&self.message)
    }

    /// The rights at the time of the check.
    pub(crate) fn rights(&self) -> &Rights {
        &self.rights
    }
}

/// A command that its caller may not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The missing right and who can grant it, in one line.
    pub message: String,
}

impl Access {
    /// Checks whether the sender of a message may run its command.
    ///
    /// # Errors
    /// [`Refused`], with the missing right.
    pub(crate) fn authorize(&self, command: Command, message: InboxRow) -> Result<Authorized, Refused> {
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

    /// Restores the command of a job that was authorized when it was typed, with the caller's current rights. If they
    /// are gone, each call of the job is denied.
    pub(crate) fn resume(&self, command: Command, message: InboxRow) -> Authorized {
        let rights = self.rights(&message, &command.spec().name, command.spec().target.clone());
        Authorized { command, message, rights }
    }

    /// The refusal of an environment that a bot may not change, with the bots that may.
    pub(crate) fn not_through(&self, bot: &str, environment: &str) -> String {
        let name = self.bots.get(bot).map_or(bot, |bot| bot.name.as_str());
        let serves = match self.bots.environments(bot) {
            [] => "none".to_owned(),
            environments => environments.join(", "),
        };
        let others: Vec<&str> = self.bots.touching(environment).collect();
        let help = match others.as_slice() {
            [] => self.help(),
            others => format!("use {}", others.join(" or ")),
        };
        format!("bot `{name}` may not change `{environment}`, only: {serves}; {help}")
    }

    /// The admins to ask, for refusals.
    pub(crate) fn help(&self) -> String {
        match self.admins.as_slice() {
            [] => "plugins.toml has no `admins`".to_owned(),
            admins => format!("ask {}", admins.join(" or ")),
        }
    }

    /// The refusal of a command, with the roles that allow it and the people who can help.
    pub(crate) fn missing(&self, command: &str, app: Option<&str>, environment: Option<&str>) -> String {
        let on = [("app", app), ("environment", environment)]
            .into_iter()
            .filter_map(|(word, value)| value.map(|value| format!("{word} `{value}`")))
            .collect::<Vec<_>>()
            .join(" and ");
        let on = if on.is_empty() { on } else { format!(" on {on}") };
        // Role names help people to ask for the right role. The members of a role are not disclosed here.
        let fitting: Vec<String> = self
            .roles
            .iter()
            .filter(|role| role.runs(command) && role.covers(app, environment))
            .filter(|role| !role.members.contains(&Member::Everyone))
            .map(|role| format!("`{}`", role.name))
            .collect();
        let role = match fitting.as_slice() {
            [] => "and no role allows it".to_owned(),
            roles => format!("it needs the role {}", roles.join(" or ")),
        };
        let help = self.help();
        format!("you may not run `{command}`{on}; {role}: {help}")
    }
}
