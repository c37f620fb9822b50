//! The apps and environments of the configuration, and the deployments of each app, as plain data.

use std::{borrow::Cow, collections::BTreeMap};

use super::{room::RoomName, value_pattern::ValuePattern};
use crate::base::{At, Located, Pattern};

#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) apps: BTreeMap<String, App>,
    pub(crate) environments: Vec<Environment>,
    /// In the order of the configuration. The first that has the path of a pipeline counts.
    pub(crate) open: Vec<OpenPipelines>,
}

impl Catalog {
    /// Returns the apps, sorted by name.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &App> + Clone {
        self.apps.values()
    }

    pub(crate) fn app(&self, name: &str) -> Option<&App> {
        self.apps.get(name)
    }

    /// Returns the names of the environments in the order of the configuration.
    pub(crate) fn environments(&self) -> impl Iterator<Item = &str> + Clone {
        self.environments.iter().map(|environment| environment.name.as_str())
    }

    pub(crate) fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.name == name)
    }

    /// Returns the environment to which a version of `app` must be deployed successfully before it is deployed to
    /// `environment`. The key `after` of `environment` names this environment. If the app has no deployment to the
    /// named environment, the function continues with the key `after` of the named environment.
    ///
    /// Also returns the line of the key `after` of `environment` in the configuration. Returns `None` if the version
    /// needs no earlier deployment.
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

    /// Returns the deployment whose pipeline has this name: `cms/staging`, `cms/staging/rollback`, or `ci:web/cms`
    /// for an opened pipeline.
    pub(crate) fn pipeline(&self, name: &str) -> Option<Cow<'_, Deployment>> {
        if let Some((system, path)) = name.split_once(':') {
            // The rules of an app cannot be evaded by another name of its pipeline.
            if self.owner_of(name).is_some() {
                return None;
            }
            let open = self.open_pipelines(system).find(|open| open.has(path))?;
            return Some(Cow::Owned(Deployment {
                app: open.app.clone(),
                environment: open.environment.clone(),
                pipeline: name.to_owned(),
                parameters: BTreeMap::new(),
                path: Some(name.to_owned()),
                is_open: true,
                backend: open.backend,
            }));
        }
        let app = self.apps.get(name.split('/').next()?)?;
        app.pipelines().find(|deployment| deployment.pipeline == name).map(Cow::Borrowed)
    }

    /// Returns the app's pipeline that is `SYSTEM:PATH`, if there is one.
    pub(crate) fn owner_of(&self, path: &str) -> Option<&Deployment> {
        self.apps().flat_map(App::pipelines).find(|deployment| deployment.path.as_deref() == Some(path))
    }

    /// Returns the opened pipelines of a system.
    pub(crate) fn open_pipelines<'a>(&'a self, system: &'a str) -> impl Iterator<Item = &'a OpenPipelines> {
        self.open.iter().filter(move |open| open.system == system)
    }
}

/// An `[environment.NAME]` table.
#[derive(Debug)]
pub(crate) struct Environment {
    pub name: String,
    /// The value of the key `after` with its position; `None` if the table does not have the key. The value is the
    /// environment to which a version must be deployed successfully before it is deployed to this environment.
    pub after: Option<Located<String>>,
}

/// An `[app.NAME]` table.
#[derive(Debug)]
pub(crate) struct App {
    pub name: String,
    /// The display name, for example `Content Management System`.
    pub title: String,
    /// The room in which the host requests approvals for this app; `None` if the configuration names no room.
    pub room: Option<RoomName>,
    /// The people who may grant roles on this app in chat, as written in the configuration.
    pub owners: Vec<Located<String>>,
    /// Whether people can run actions on this app by direct message.
    pub direct: DirectPolicy,
    /// The deployments in the order of the configuration.
    pub deployments: Vec<Deployment>,
    /// The rollback pipelines in the order of the configuration.
    pub rollbacks: Vec<Deployment>,
}

impl App {
    /// Returns the pipelines that deploy the app or roll it back.
    pub(crate) fn pipelines(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments.iter().chain(&self.rollbacks)
    }
}

/// A `[[pipelines.NAME.open]]` table: pipelines that people can name without an app that deploys with them.
#[derive(Debug)]
pub(crate) struct OpenPipelines {
    /// The `NAME` of the table.
    pub system: String,
    /// The paths of the pipelines in the system.
    pub paths: Vec<Pattern>,
    /// The app as which the pipelines count in all rules.
    pub app: String,
    /// The environment as which the pipelines count in all rules.
    pub environment: String,
    pub backend: BackendId,
}

impl OpenPipelines {
    /// Returns whether the pipeline with this path is opened.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| pattern.matches(path))
    }
}

/// An `[app.NAME.deploy.ENVIRONMENT]` or `[app.NAME.rollback.ENVIRONMENT]` table, or an opened pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub app: String,
    pub environment: String,
    /// The name of the pipeline in rules and journals, for example `cms/staging`.
    pub pipeline: String,
    /// The patterns for the values of the pipeline's parameters, by the name of the parameter.
    pub parameters: BTreeMap<String, ValuePattern>,
    /// The pipeline in its system, as `SYSTEM:PATH`; `None` for a local command.
    pub path: Option<String>,
    /// Whether the pipeline is opened, so that it takes each parameter that its system defines.
    pub is_open: bool,
    pub backend: BackendId,
}

/// The id of a pipeline backend: its index in the list of all backends of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackendId(pub(crate) usize);

/// Whether people can run actions on an app by direct message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectPolicy {
    /// People can run actions by direct message. The host announces the action in the app's room if the app has one.
    Show,
    Refuse,
}
