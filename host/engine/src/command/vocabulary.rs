//! The apps, environments and roles that the parser accepts from a person, and the names that suggestions may contain.

use super::asker::Asker;
use crate::model::{App, Catalog, Deployment};

/// Decides which parts of the configuration a person may see.
pub(crate) trait Visibility: Sync {
    /// Returns whether a person has at least one right on an app and an environment. `None` stands for any app or any
    /// environment.
    fn sees(&self, person: Asker<'_>, app: Option<&str>, environment: Option<&str>) -> bool;

    /// Returns the names of the roles that can be granted in chat. Everybody may see these names.
    fn roles_given_in_chat(&self) -> Vec<&str>;
}

/// The apps, environments and roles of the configuration, limited to those that one person may see.
#[derive(Clone, Copy)]
pub(crate) struct Vocabulary<'a> {
    catalog: &'a Catalog,
    policy: Option<&'a dyn Visibility>,
    // `None` for the operator's command-line tools, which may see the whole configuration.
    person: Option<Asker<'a>>,
}

impl<'a> Vocabulary<'a> {
    /// Creates a vocabulary of the whole configuration, without roles.
    #[cfg(test)]
    pub(crate) fn all(catalog: &'a Catalog) -> Self {
        Self { catalog, policy: None, person: None }
    }

    /// Creates a vocabulary of the whole configuration, including the roles that can be granted in chat.
    pub(crate) fn all_with_roles(catalog: &'a Catalog, policy: &'a dyn Visibility) -> Self {
        Self { catalog, policy: Some(policy), person: None }
    }

    /// Creates a vocabulary that has only the apps and deployments that the person may see.
    pub(crate) fn of(catalog: &'a Catalog, policy: &'a dyn Visibility, person: impl Into<Asker<'a>>) -> Self {
        Self { catalog, policy: Some(policy), person: Some(person.into()) }
    }

    pub(super) fn sees(&self, app: Option<&str>, environment: Option<&str>) -> bool {
        let (Some(policy), Some(person)) = (self.policy, self.person) else { return true };
        policy.sees(person, app, environment)
    }

    /// Returns the apps that the person may see. The parser treats other apps as unknown.
    pub(crate) fn apps(self) -> impl Iterator<Item = &'a App> + Clone {
        self.catalog.apps().filter(move |app| self.sees(Some(&app.name), None))
    }

    /// Returns the app with this name, if the person may see the app.
    pub(crate) fn app(&self, name: &str) -> Option<&'a App> {
        self.apps().find(|app| app.name == name)
    }

    /// Returns the names of all environments, which everybody may see. A person can type an environment without having
    /// a right on the environment. The check after parsing then refuses the command, with a message that names the
    /// missing right.
    pub(crate) fn environments(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.catalog.environments()
    }

    /// Returns the names of the roles that can be granted in chat.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.policy.map(|policy| policy.roles_given_in_chat()).unwrap_or_default().into_iter()
    }

    /// Returns the environments on which the person has a right, for suggestions.
    pub(crate) fn seen_environments(self) -> impl Iterator<Item = &'a str> + Clone {
        self.catalog.environments().filter(move |environment| self.sees(None, Some(environment)))
    }

    /// Returns those deployments of `app` that the sender of the command may see.
    pub(crate) fn deployments(self, app: &'a App) -> impl Iterator<Item = &'a Deployment> {
        let seen = move |deployment: &&Deployment| self.sees(Some(&app.name), Some(&deployment.environment));
        app.deployments.iter().filter(seen)
    }
}
