//! Roles: which people may run which commands on which apps in which environments.

use std::sync::Arc;

use super::pattern::Pattern;
use crate::{base::At, model::RoomName, store::Grant};

/// Who is in a role, or owns an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// All who are in the room. Can never approve.
    Everyone,
    /// One person, by the network's own id, compared exactly. All ids of that person count.
    Person(String),
    /// Those whom a directory counts among a group.
    Group(String),
    /// Those who are in a room now.
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

/// One `[role.NAME]`.
#[derive(Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub at: At,
    /// Who is in it.
    pub members: Vec<Member>,
    /// The commands that they may run.
    pub commands: Vec<Pattern>,
    /// The apps that they may touch and see.
    pub apps: Vec<Pattern>,
    /// The environments that they may touch and see.
    pub environments: Vec<Pattern>,
    /// The rooms in which it counts; `None` for every one.
    pub rooms: Option<Vec<RoomName>>,
    /// Whether people can be added to it in chat.
    pub grant_in_chat: bool,
}

impl Role {
    /// Whether it names a command.
    pub fn runs(&self, command: &str) -> bool {
        self.commands.iter().any(|pattern| pattern.matches(command))
    }

    /// Whether it covers an app and an environment. Each limits only what has it.
    pub fn covers(&self, app: Option<&str>, environment: Option<&str>) -> bool {
        let covers = |patterns: &[Pattern], value: Option<&str>| {
            value.is_none_or(|value| patterns.iter().any(|pattern| pattern.matches(value)))
        };
        covers(&self.apps, app) && covers(&self.environments, environment)
    }
}

/// A role that somebody has: by the file, or because somebody granted it in chat.
#[derive(Debug, Clone)]
pub struct Held {
    /// The role.
    pub role: Arc<Role>,
    /// What granted it in chat, which limits it; `None` where the file names them.
    pub grant: Option<Arc<Grant>>,
    /// The environments that may be touched through the identity by which it was granted: a grant that names none reaches no
    /// further. `None` where the file names them.
    pub reach: Option<Arc<[String]>>,
}

impl Held {
    /// Whether it covers an app and an environment. Each limits only what has it.
    pub fn covers(&self, app: Option<&str>, environment: Option<&str>) -> bool {
        let granted = |grant: &Arc<Grant>| {
            let within = |limit: &str, value: Option<&str>| value.is_none_or(|value| value == limit);
            within(&grant.app, app) && grant.environment.as_deref().is_none_or(|limit| within(limit, environment))
        };
        let reached = |reach: &Arc<[String]>| environment.is_none_or(|name| reach.iter().any(|known| known == name));
        self.role.covers(app, environment)
            && self.grant.as_ref().is_none_or(granted)
            && self.reach.as_ref().is_none_or(reached)
    }

    /// The rule, for journal and people: `deployer`, or `deployer, granted by @alice:example.org in job 7f3ak`.
    pub fn rule(&self) -> String {
        match &self.grant {
            None => self.role.name.clone(),
            Some(grant) => format!("{}, granted by {} in job {}", self.role.name, grant.by.id, granting_job(grant)),
        }
    }

    /// Where that can be looked up: the line of the file, or the job.
    pub fn place(&self) -> String {
        match &self.grant {
            None => self.role.at.to_string(),
            Some(grant) => format!("granted by {} in job {}", grant.by.id, granting_job(grant)),
        }
    }
}

/// The job that a grant was made in.
pub(crate) fn granting_job(grant: &Grant) -> &str {
    grant.id.split_once('/').map_or(grant.id.as_str(), |(job, _)| job)
}

/// What lets one person run one command: judged again, on its own app and environment, at each call.
#[derive(Debug, Clone)]
pub enum Rights {
    /// An admin has every command, app and environment; grants, approvals and freezes hold all the same.
    Admin,
    /// A command that the host itself answers, for all.
    Open,
    /// The roles that this person has and that name this command.
    Roles(Vec<Held>),
}

impl Rights {
    /// The rule that lets this person touch an app and an environment, if there is one.
    pub fn rule(&self, app: Option<&str>, environment: Option<&str>) -> Option<String> {
        match self {
            Self::Admin => Some("admin".to_owned()),
            Self::Open => Some("open to all".to_owned()),
            Self::Roles(_) => self.held(app, environment).map(Held::rule),
        }
    }

    /// The role that does, if it is one.
    pub fn held(&self, app: Option<&str>, environment: Option<&str>) -> Option<&Held> {
        match self {
            Self::Admin | Self::Open => None,
            Self::Roles(roles) => roles.iter().find(|held| held.covers(app, environment)),
        }
    }
}
