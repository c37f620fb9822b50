//! The configured apps and environments, and how each app is deployed. Plain data.

use std::collections::BTreeMap;

use super::{room::RoomName, value_pattern::ValuePattern};
use crate::base::{At, Located};

/// The configured apps and environments.
#[derive(Debug, Default)]
pub struct Catalog {
    pub(crate) apps: BTreeMap<String, App>,
    pub(crate) environments: Vec<Environment>,
}

impl Catalog {
    /// The apps, by name.
    pub fn apps(&self) -> impl Iterator<Item = &App> + Clone {
        self.apps.values()
    }

    /// One app.
    pub fn app(&self, name: &str) -> Option<&App> {
        self.apps.get(name)
    }

    /// The environments, in the order of the file.
    pub fn environments(&self) -> impl Iterator<Item = &str> + Clone {
        self.environments.iter().map(|environment| environment.name.as_str())
    }

    /// One environment.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.name == name)
    }

    /// The environment in which a version of an app must have succeeded before it comes to this one, and the rule that says
    /// so. One that the app is not deployed to is left out, and the one before that counts.
    pub fn before<'a>(&'a self, app: &str, environment: &str) -> Option<(&'a str, &'a At)> {
        let app = self.app(app)?;
        let rule = self.environment(environment)?.after.as_ref()?;
        let mut after = rule;
        // The reader refuses circles.
        while !app.deployments.iter().any(|deployment| deployment.environment == after.value) {
            after = self.environment(&after.value)?.after.as_ref()?;
        }
        Some((&after.value, &rule.at))
    }

    /// The deployment that a pipeline's name stands for.
    pub fn pipeline(&self, name: &str) -> Option<&Deployment> {
        let (app, environment) = name.split_once('/')?;
        self.apps.get(app)?.deployments.iter().find(|deployment| deployment.environment == environment)
    }
}

/// One `[environment.NAME]`.
#[derive(Debug)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub at: At,
    /// The environment in which a version must have succeeded before it comes here, and where that is said.
    pub after: Option<Located<String>>,
}

/// One `[app.NAME]`.
#[derive(Debug)]
pub struct App {
    /// The name that is typed.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Where it is talked about: approvals are asked for there.
    pub room: Option<RoomName>,
    /// Who may grant roles on it in chat, as it is written.
    pub owners: Vec<Located<String>>,
    /// What becomes of actions from a direct message.
    pub direct: Direct,
    /// Its deployments, in the order of the file.
    pub deployments: Vec<Deployment>,
}

/// One `[app.NAME.deploy.ENVIRONMENT]`.
#[derive(Debug)]
pub struct Deployment {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// Its name in rules and journal: `cms/staging`.
    pub pipeline: String,
    /// Its parameters, each with what it takes.
    pub parameters: BTreeMap<String, ValuePattern>,
    /// The backend that runs it.
    pub backend: BackendId,
    /// Where it stands.
    pub at: At,
}

/// Names one backend of the same configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendId(pub(crate) usize);

/// What becomes of an action on an app that is typed in a direct message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direct {
    /// It is done, and shown in the app's room where it has one.
    #[default]
    Show,
    /// It is refused.
    Refuse,
}
