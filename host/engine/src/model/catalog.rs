//! The apps and environments of the configuration, and the deployments of each app. Plain data.

use std::collections::BTreeMap;

use super::{room::RoomName, value_pattern::ValuePattern};
use crate::base::{At, Located};

/// The apps and environments of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) apps: BTreeMap<String, App>,
    pub(crate) environments: Vec<Environment>,
}

impl Catalog {
    /// The apps, by name.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &App> + Clone {
        self.apps.values()
    }

    /// The app with this name.
    pub(crate) fn app(&self, name: &str) -> Option<&App> {
        self.apps.get(name)
    }

    /// The environments, in the order of the configuration.
    pub(crate) fn environments(&self) -> impl Iterator<Item = &str> + Clone {
        self.environments.iter().map(|environment| environment.name.as_str())
    }

    /// The environment with this name.
    pub(crate) fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.name == name)
    }

    /// The environment in which a version of an app must have succeeded before it may be deployed to this one, with the
    /// position of the rule. Environments to which the app is not deployed are skipped.
    pub(crate) fn required_before<'a>(&'a self, app: &str, environment: &str) -> Option<(&'a str, &'a At)> {
        let app = self.app(app)?;
        let rule = self.environment(environment)?.after.as_ref()?;
        let mut after = rule;
        // The configuration rejects cycles.
        while !app.deployments.iter().any(|deployment| deployment.environment == after.value) {
            after = self.environment(&after.value)?.after.as_ref()?;
        }
        Some((&after.value, &rule.at))
    }

    /// The deployment with this pipeline name, `app/environment`.
    pub(crate) fn pipeline(&self, name: &str) -> Option<&Deployment> {
        let (app, environment) = name.split_once('/')?;
        self.apps.get(app)?.deployments.iter().find(|deployment| deployment.environment == environment)
    }
}

/// An `[environment.NAME]` table.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The name in commands and rules.
    pub name: String,
    /// The environment in which a version must have succeeded before (`after`), with the position of the key.
    pub after: Option<Located<String>>,
}

/// An `[app.NAME]` table.
#[derive(Debug)]
pub(crate) struct App {
    /// The name in commands.
    pub name: String,
    /// The display name.
    pub title: String,
    /// The room of the app. Approvals are requested there.
    pub room: Option<RoomName>,
    /// The people who may grant roles on it in chat, as written in the configuration.
    pub owners: Vec<Located<String>>,
    /// The handling of actions from a direct message.
    pub direct: DirectPolicy,
    /// The deployments, in the order of the configuration.
    pub deployments: Vec<Deployment>,
}

/// An `[app.NAME.deploy.ENVIRONMENT]` table.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// The app's name.
    pub app: String,
    /// The environment's name.
    pub environment: String,
    /// The name of the pipeline in rules and journals: `cms/staging`.
    pub pipeline: String,
    /// The parameters, each with its pattern.
    pub parameters: BTreeMap<String, ValuePattern>,
    /// The backend that runs the pipeline.
    pub backend: BackendId,
}

/// The index of a backend in the same configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackendId(pub(crate) usize);

/// The handling of an action on an app that is typed in a direct message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DirectPolicy {
    /// The action runs, and is shown in the app's room if there is one.
    #[default]
    Show,
    /// The action is refused.
    Refuse,
}
