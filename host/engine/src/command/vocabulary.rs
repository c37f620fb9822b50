//! The apps and environments that one person knows of: what the parser takes, and what its hints may name.

use std::sync::Arc;

use crate::{model::{App, Catalog, Deployment}, policy::{Access, Asker, Role}};

/// What a person knows of.
#[derive(Clone, Copy)]
pub struct Vocabulary<'a> {
    catalog: &'a Catalog,
    // `None` sees everything: the operator's own tools.
    person: Option<(&'a Access, Asker<'a>)>,
    roles: &'a [Arc<Role>],
}

impl<'a> Vocabulary<'a> {
    /// Everything there is.
    pub fn all(catalog: &'a Catalog) -> Self {
        Self { catalog, person: None, roles: &[] }
    }

    /// Everything there is, with the roles that people can be added to.
    pub fn all_with_roles(catalog: &'a Catalog, access: &'a Access) -> Self {
        Self { catalog, person: None, roles: &access.roles }
    }

    /// What the roles of a person name.
    pub fn of(catalog: &'a Catalog, access: &'a Access, person: impl Into<Asker<'a>>) -> Self {
        Self { catalog, person: Some((access, person.into())), roles: &access.roles }
    }

    fn sees(&self, app: Option<&str>, environment: Option<&str>) -> bool {
        self.person.is_none_or(|(access, person)| access.sees(person, app, environment))
    }

    /// The apps that the person may see, by name. One that they may not is to them as if it were not there.
    pub(crate) fn apps(self) -> impl Iterator<Item = &'a App> + Clone {
        self.catalog.apps().filter(move |app| self.sees(Some(&app.name), None))
    }

    /// One of them.
    pub(crate) fn app(&self, name: &str) -> Option<&'a App> {
        self.apps().find(|app| app.name == name)
    }

    /// All environments: their names are no secret, and who may not touch one is told which right is missing.
    pub(crate) fn environments(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.catalog.environments()
    }

    /// The roles that people can be added to in chat. Their names are no secret.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.roles.iter().filter(|role| role.grant_in_chat).map(|role| role.name.as_str())
    }

    /// The environments that a hint may name.
    pub(crate) fn seen_environments(self) -> impl Iterator<Item = &'a str> + Clone {
        self.catalog.environments().filter(move |environment| self.sees(None, Some(environment)))
    }

    /// Those deployments of an app that the person may see.
    pub(crate) fn deployments(self, app: &'a App) -> impl Iterator<Item = &'a Deployment> {
        let seen = move |deployment: &&Deployment| self.sees(Some(&app.name), Some(&deployment.environment));
        app.deployments.iter().filter(seen)
    }
}
