//! Checks whether a person may run a command on an app and an environment, through the bot that received the message.

use std::{ops::Deref, sync::Arc};

use super::{
    access::Access,
    request::Request,
    role::{Member, Rights},
};
use crate::{command::Command, model::Attribute, store::InboxRow};

/// A command that its sender may run. Only [`Access::authorize`] creates such a value, so the value proves that the
/// check passed.
#[derive(Debug, Clone)]
pub(crate) struct Authorized(Arc<Request>);

impl Authorized {
    /// Returns the command's request, which has passed the check.
    pub(crate) fn request(&self) -> &Arc<Request> {
        &self.0
    }
}

impl Deref for Authorized {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0
    }
}

/// The refusal of a command whose sender lacks a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The missing right and the people who can grant it, in one line.
    pub message: String,
}

impl Access {
    /// Checks whether the sender of a message may run the command in the message.
    ///
    /// # Errors
    /// [`Refused`], with the missing right.
    pub(crate) fn authorize(&self, command: Command, message: InboxRow) -> Result<Authorized, Refused> {
        let rights = self.check(&command, &message)?;
        Ok(Authorized(Arc::new(Request::new(command, message, rights))))
    }

    /// Checks whether the sender of a message may run a command, for every app and environment in the command, targets
    /// and sources. Returns the rights of the sender.
    ///
    /// # Errors
    /// [`Refused`], with the missing right.
    pub(crate) fn check(&self, command: &Command, message: &InboxRow) -> Result<Rights, Refused> {
        let name = command.spec().name.as_str();
        let elsewhere = |environment: &&str| !self.bots.may_change(&message.bot, environment);
        if let Some(environment) = command.named(Attribute::Environment).find(elsewhere) {
            return Err(Refused { message: self.not_through(&message.bot, environment) });
        }
        let rights = self.rights(message, name, command.target_of_right());
        let missing = |(app, environment): &(Option<&str>, Option<&str>)| rights.rule(*app, *environment).is_none();
        match command.places().into_iter().find(missing) {
            Some((app, environment)) => Err(Refused { message: self.missing(name, app, environment) }),
            None => Ok(rights),
        }
    }

    /// Returns the request of a job that continues, with the current rights of the sender. The request alone permits
    /// nothing: each host call of the job is checked against these rights. If the sender has lost the rights, the job
    /// continues without effects.
    pub(crate) fn resume(&self, command: Command, message: InboxRow) -> Arc<Request> {
        let rights = self.rights(&message, &command.spec().name, command.spec().target.clone());
        Arc::new(Request::new(command, message, rights))
    }

    /// Returns the refusal message for a command that was sent to the bot `bot`, although this bot may not change
    /// `environment`. The message names the bots that may change the environment.
    pub(crate) fn not_through(&self, bot: &str, environment: &str) -> String {
        let name = self.bots.get(bot).map_or(bot, |bot| bot.name.as_str());
        let scope = match self.bots.environments(bot) {
            [] => "or any other environment".to_owned(),
            environments => format!("only `{}`", environments.join("`, `")),
        };
        let others: Vec<String> = self.bots.that_may_change(environment).map(|other| format!("`{other}`")).collect();
        let help = match others.as_slice() {
            [] => self.help(),
            others => format!("use bot {}", others.join(" or ")),
        };
        format!("bot `{name}` may not change environment `{environment}`, {scope}; {help}")
    }

    /// Returns the last part of a refusal message: the admins to ask for the right.
    pub(crate) fn help(&self) -> String {
        match self.admins.as_slice() {
            [] => "no admin can be asked, because [people] in plugins.toml has no `admins`".to_owned(),
            admins => format!("ask {}", admins.join(" or ")),
        }
    }

    /// Returns the message for a command whose sender lacks a right. The message names the roles that allow the
    /// command, and the admins to ask.
    pub(crate) fn missing(&self, command: &str, app: Option<&str>, environment: Option<&str>) -> String {
        let on = [("app", app), ("environment", environment)]
            .into_iter()
            .filter_map(|(word, value)| value.map(|value| format!("{word} `{value}`")))
            .collect::<Vec<_>>()
            .join(" and ");
        let on = if on.is_empty() { on } else { format!(" on {on}") };
        // The message names roles, so that people can ask for a role, but it does not disclose the members of a role.
        let fitting: Vec<String> = self
            .roles
            .iter()
            .filter(|role| role.runs(command) && role.covers(app, environment))
            .filter(|role| !role.members.contains(&Member::Everyone))
            .map(|role| format!("`{}`", role.name))
            .collect();
        let role = match fitting.as_slice() {
            [] => "no role allows the command".to_owned(),
            roles => format!("the command needs the role {}", roles.join(" or ")),
        };
        let help = self.help();
        format!("you may not run `{command}`{on}: {role}; {help}")
    }
}
