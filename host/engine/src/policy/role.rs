//! Roles. A role allows its members to run certain commands on certain apps in certain environments.

use std::sync::Arc;

use crate::base::Pattern;
use crate::{base::At, model::RoomName, store::Grant};

/// A member of a role, or an owner of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Member {
    /// Every person, but no machine account. A person who has a role only through this member cannot approve with the
    /// role.
    Everyone,
    /// A person, given by any one of the person's ids. Ids are compared exactly.
    Person(String),
    /// The members of a group of the directory: `group:oncall`.
    Group(String),
    /// The current members of a room: `room:#ops:example.org`.
    Room(RoomName),
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Person(id) => f.write_str(id),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Room(name) => write!(f, "room:{name}"),
        }
    }
}

/// A role, from a `[role.NAME]` table of the configuration.
#[derive(Debug)]
pub(crate) struct Role {
    pub name: String,
    pub at: At,
    pub members: Vec<Member>,
    /// The commands that members may run, as patterns.
    pub commands: Vec<Pattern>,
    /// The apps that members may see and change, as patterns.
    pub apps: Vec<Pattern>,
    /// The environments that members may see and change, as patterns.
    pub environments: Vec<Pattern>,
    /// The rooms in which the role counts; `None` for all rooms.
    pub rooms: Option<Vec<RoomName>>,
    pub grant_in_chat: bool,
}

impl Role {
    /// Returns whether members of the role may run a command.
    pub(crate) fn runs(&self, command: &str) -> bool {
        self.commands.iter().any(|pattern| pattern.matches(command))
    }

    /// Returns whether the role covers an app and an environment. `None` stands for any app or any environment, and is
    /// always covered.
    pub(crate) fn covers(&self, app: Option<&str>, environment: Option<&str>) -> bool {
        let covers = |patterns: &[Pattern], value: Option<&str>| {
            value.is_none_or(|value| patterns.iter().any(|pattern| pattern.matches(value)))
        };
        covers(&self.apps, app) && covers(&self.environments, environment)
    }
}

/// A role of a person, from the configuration or granted in chat.
#[derive(Debug, Clone)]
pub(crate) struct HeldRole {
    pub role: Arc<Role>,
    /// The grant that gave the person the role by a chat command. The role holds only for the grant's app, environment
    /// and time. `None` if the role comes from the configuration.
    pub grant: Option<Arc<Grant>>,
    /// The environments of the bot through which the role was granted. The role counts only in these environments.
    /// `None` if the role comes from the configuration.
    pub reach: Option<Arc<[String]>>,
}

impl HeldRole {
    /// Returns whether the role, within the limits of its grant, covers an app and an environment. `None` stands for
    /// any app or any environment, and is always covered.
    pub(crate) fn covers(&self, app: Option<&str>, environment: Option<&str>) -> bool {
        let granted = |grant: &Arc<Grant>| {
            let within = |limit: &str, value: Option<&str>| value.is_none_or(|value| value == limit);
            within(&grant.app, app) && grant.environment.as_deref().is_none_or(|limit| within(limit, environment))
        };
        let reached = |reach: &Arc<[String]>| environment.is_none_or(|name| reach.iter().any(|known| known == name));
        self.role.covers(app, environment)
            && self.grant.as_ref().is_none_or(granted)
            && self.reach.as_ref().is_none_or(reached)
    }

    /// Returns the role as text for the journal and messages: `deployer`, or `deployer, granted by @alice:example.org
    /// in job 7f3ak`.
    pub(crate) fn rule(&self) -> String {
        match &self.grant {
            None => self.role.name.clone(),
            Some(grant) => format!("{}, granted by {} in job {}", self.role.name, grant.by.id, granting_job(grant)),
        }
    }

    /// Returns the source of the role: `plugins.toml line 17`, or `granted by @alice:example.org in job 7f3ak`.
    pub(crate) fn source(&self) -> String {
        match &self.grant {
            None => self.role.at.to_string(),
            Some(grant) => format!("granted by {} in job {}", grant.by.id, granting_job(grant)),
        }
    }
}

/// Returns the id of the job in which a role was granted.
pub(crate) fn granting_job(grant: &Grant) -> &str {
    grant.id.split_once('/').map_or(grant.id.as_str(), |(job, _)| job)
}

/// The rights of one person to run one command. The rights are checked again at each host call, for the app and
/// environment of the host call.
#[derive(Debug, Clone)]
pub(crate) enum Rights {
    /// The person is an admin and may run every command on every app and environment. Plugin grants, approvals and
    /// freezes still apply.
    Admin,
    /// Everybody may run the command.
    Open,
    /// The person's roles that allow the command. Empty if the person may not run the command.
    Roles(Vec<HeldRole>),
}

impl Rights {
    /// Returns the rule that allows the command on an app and an environment, as text: `admin`, `open to all`, or the
    /// role. Returns `None` if no rule allows the command.
    pub(crate) fn rule(&self, app: Option<&str>, environment: Option<&str>) -> Option<String> {
        match self {
            Self::Admin => Some("admin".to_owned()),
            Self::Open => Some("open to all".to_owned()),
            Self::Roles(_) => self.role_for(app, environment).map(HeldRole::rule),
        }
    }

    /// Returns the role that allows the command on an app and an environment. Returns `None` if no role allows the
    /// command, or if the right does not come from a role.
    pub(crate) fn role_for(&self, app: Option<&str>, environment: Option<&str>) -> Option<&HeldRole> {
        match self {
            Self::Admin | Self::Open => None,
            Self::Roles(roles) => roles.iter().find(|held| held.covers(app, environment)),
        }
    }
}
