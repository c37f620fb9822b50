//! Roles: which people may run which commands on which apps in which environments.

use std::sync::Arc;

use super::Pattern;
use crate::config::At;

/// Who is in a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// All who are in the room. Can never approve.
    Everyone,
    /// One person, by the network's own id, compared exactly.
    Person(String),
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
}

impl Role {
    /// Whether a person is in it.
    pub fn has(&self, person: &str) -> bool {
        self.members.iter().any(|member| match member {
            Member::Everyone => true,
            Member::Person(id) => id == person,
        })
    }

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

/// What lets one person run one command: judged again, on its own app and environment, at each call.
#[derive(Debug, Clone)]
pub enum Rights {
    /// An admin has every command, app and environment; grants, approvals and freezes hold all the same.
    Admin,
    /// A command that the host itself answers, for all.
    Open,
    /// The roles that this person has and that name this command.
    Roles(Arc<[Arc<Role>]>),
}

impl Rights {
    /// The rule that lets this person touch an app and an environment, if there is one.
    pub fn rule(&self, app: Option<&str>, environment: Option<&str>) -> Option<&str> {
        match self {
            Self::Admin => Some("admin"),
            Self::Open => Some("open to all"),
            Self::Roles(roles) => {
                roles.iter().find(|role| role.covers(app, environment)).map(|role| role.name.as_str())
            }
        }
    }
}
