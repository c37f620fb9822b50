//! The check of a command: may this person run it, on this app and environment, through this bot?

use std::{ops::Deref, sync::Arc};

use super::{access::Access, request::Request, role::Member};
use crate::{command::Command, store::InboxRow};

/// A command that its sender may run. Only [`Access::authorize`] creates one: holding one is the proof.
#[derive(Debug, Clone)]
pub(crate) struct Authorized(Arc<Request>);

impl Authorized {
    /// The request, for the run of a query or of a job.
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
        Ok(Authorized(Arc::new(Request::new(command, message, rights))))
    }

    /// The request of a job that continues, with the sender's rights of now. It proves nothing: the gate judges each call of the
    /// job by these rights, so a job whose sender has lost them continues without effects.
    pub(crate) fn resume(&self, command: Command, message: InboxRow) -> Arc<Request> {
        let rights = self.rights(&message, &command.spec().name, command.spec().target.clone());
        Arc::new(Request::new(command, message, rights))
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
