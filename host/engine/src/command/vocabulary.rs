//! The apps and environments that a person may see: the parser accepts only them, and suggestions name only them.

use super::asker::Asker;
use crate::model::{App, Catalog, Deployment};

/// The visibility of the configuration for people.
pub(crate) trait Visibility: Sync {
    /// Whether a person has any right on an app and an environment.
    fn sees(&self, person: Asker<'_>, app: Option<&str>, environment: Option<&str>) -> bool;

    /// The roles that can be granted in chat. Their names are public.
    fn roles_given_in_chat(&self) -> Vec<&str>;
}

/// The part of the configuration that one person may see.
#[derive(Clone, Copy)]
pub(crate) struct Vocabulary<'a> {
    catalog: &'a Catalog,
    policy: Option<&'a dyn Visibility>,
    // `None` sees everything: for the operator's own tools.
    person: Option<Asker<'a>>,
}

impl<'a> Vocabulary<'a> {
    /// The whole configuration, without roles.
    #[cfg(test)]
    pub(crate) fn all(catalog: &'a Catalog) -> Self {
        Self { catalog, policy: None, person: None }
    }

    /// The whole configuration, with the roles that can be granted in chat.
    pub(crate) fn all_with_roles(catalog: &'a Catalog, policy: &'a dyn Visibility) -> Self {
        Self { catalog, policy: Some(policy), person: None }
    }

    /// The part that a person's rights cover.
    pub(crate) fn of(catalog: &'a Catalog, policy: &'a dyn Visibility, person: impl Into<Asker<'a>>) -> Self {
        Self { catalog, policy: Some(policy), person: Some(person.into()) }
    }

    fn sees(&self, app: Option<&str>, environment: Option<&str>) -> bool {
        let (Some(policy), Some(person)) = (self.policy, self.person) else { return true };
        policy.sees(person, app, environment)
    }

    /// The apps that the person may see. Other apps are treated as unknown.
    pub(crate) fn apps(self) -> impl Iterator<Item = &'a App> + Clone {
        self.catalog.apps().filter(move |app| self.sees(Some(&app.name), None))
    }

    /// The app with this name, if the person may see it.
    pub(crate) fn app(&self, name: &str) -> Option<&'a App> {
        self.apps().find(|app| app.name == name)
    }

    /// All environments. Their names are public, and a refusal tells which right is missing.
    pub(crate) fn environments(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.catalog.environments()
    }

    /// The roles that can be granted in chat. Their names are public.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.policy.map(|policy| policy.roles_given_in_chat()).unwrap_or_default().into_iter()
    }

    /// The environments that a suggestion may name.
    pub(crate) fn seen_environments(self) -> impl Iterator<Item = &'a str> + Clone {
        self.catalog.environments().filter(move |environment| self.sees(None, Some(environment)))
    }

    /// The deployments of an app that the person may see.
    pub(crate) fn deployments(self, app: &'a App) -> impl Iterator<Item = &'a Deployment> {
        let seen = move |deployment: &&Deployment| self.sees(Some(&app.name), Some(&deployment.environment));
        app.deployments.iter().filter(seen)
    }
}
