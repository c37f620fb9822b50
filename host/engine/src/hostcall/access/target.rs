//! What was typed about somebody's rights, and what the file lets be done with it.
//!
//! Invariant: everything here is read from the parsed command and the configuration; a guest has no say in it.

use std::{sync::Arc, time::Duration};

use crate::{
    command::ParameterType,
    hostcall::{clock::instant as clock_instant, host_call::problem, invocation::Invocation},
    job::Reason,
    model::{Attribute, Attributes, Person, handle as handle_of},
    plugin::bindings::{access::Granted, types},
    policy::{Access, Role},
};

/// What was typed.
pub(crate) struct GrantRequest {
    /// The identity through which it was asked.
    pub(crate) bot: String,
    pub(crate) person: Option<String>,
    pub(crate) app: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) span: Option<Duration>,
}

impl GrantRequest {
    pub(crate) fn of(invocation: &Invocation) -> Self {
        let command = invocation.request().command();
        let typed = |attribute| command.typed(attribute).next().map(str::to_owned);
        let span = command.arguments().find_map(|(parameter, value)| match value {
            crate::command::Value::Integer(span) if parameter.kind == ParameterType::Duration => {
                u64::try_from(*span).ok().map(Duration::from_millis)
            }
            _ => None,
        });
        Self {
            bot: invocation.bot().to_owned(),
            person: typed(Attribute::Person),
            app: typed(Attribute::App),
            environment: typed(Attribute::Environment),
            role: typed(Attribute::Role),
            span,
        }
    }

    /// What rules see: all that was typed, and the role that is meant where none was.
    pub(crate) fn attributes(&self, access: &Access) -> Attributes {
        let role = self.role.clone().or_else(|| self.pick(access).ok().map(|role| role.name.clone()));
        let values = [
            (Attribute::Person, self.person.clone()),
            (Attribute::App, self.app.clone()),
            (Attribute::Environment, self.environment.clone()),
            (Attribute::Role, role),
        ];
        values.into_iter().filter_map(|(attribute, value)| Some((attribute, vec![value?]))).collect()
    }

    /// Person and app, without which nothing can be given or taken.
    pub(crate) fn target(&self) -> Result<(&str, &str), types::Error> {
        match (&self.person, &self.app) {
            (Some(person), Some(app)) => Ok((person, app)),
            _ => Err(problem("invalid", "no person and app were typed")),
        }
    }

    /// The role that is meant: the one that was typed, or the only one that people can be added to there.
    pub(crate) fn pick<'a>(&self, access: &'a Access) -> Result<&'a Arc<Role>, types::Error> {
        let app = self.app.as_deref();
        let fits = |role: &&Arc<Role>| {
            role.grant_in_chat
                && self.role.as_ref().is_none_or(|name| *name == role.name)
                && role.covers(app, self.environment.as_deref())
                && (self.environment.is_some() || !environments(access, &self.bot, role).is_empty())
        };
        let place = match (&self.app, &self.environment) {
            (Some(app), Some(environment)) => format!("{app} in {environment}"),
            (app, _) => app.clone().unwrap_or_default(),
        };
        let roles: Vec<&Arc<Role>> = access.roles.iter().filter(fits).collect();
        match (roles.as_slice(), &self.role) {
            ([role], _) => Ok(role),
            ([], Some(name)) => Err(problem("refused", format!("role {name} does not cover {place}"))),
            ([], None) => Err(problem(
                "refused",
                format!(
                    "no role that people can be added to in chat covers {place}; the operator marks one with `grant_in_chat = true`"
                ),
            )),
            (several, _) => {
                let names: Vec<String> = several.iter().map(|role| format!("`{}`", role.name)).collect();
                Err(problem("invalid", format!("which role? {place} has {}: put it behind", names.join(", "))))
            }
        }
    }
}

/// The environments that a role covers and an identity may touch, in the identity's order.
pub(crate) fn environments(access: &Access, bot: &str, role: &Role) -> Vec<String> {
    let all = access.bots.environments(bot).iter().filter(|name| role.covers(None, Some(name)));
    all.cloned().collect()
}

/// Why nothing is given or taken: nobody was typed, or it is not this person's to give.
pub(crate) fn objections(invocation: &Invocation) -> Vec<Reason> {
    let access = &invocation.context().access;
    let (asker, asked) = (invocation.request().asker(), GrantRequest::of(invocation));
    if asked.target().is_err() {
        let line = invocation.request().command().line();
        let text = format!("`{line}` was typed, and no person and app; nothing else can be granted or taken back");
        return vec![Reason { kind: "typed".to_owned(), text, add: None }];
    }
    let owns = |app: &String| access.owns(asker, app);
    if access.is_admin(asker.id) {
        return Vec::new();
    }
    if asked.app.as_ref().is_some_and(owns) {
        return beyond_reach(invocation, &asked);
    }
    let app = asked.app.unwrap_or_default();
    let owners = access.owners.get(&app).map(Vec::as_slice).unwrap_or_default();
    let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
    let owners = if owners.is_empty() { "it has none".to_owned() } else { owners.join(", ") };
    let text = format!(
        "rights on `{app}` are given and taken back by admins and by its owners ({owners}), and {} is neither: {}",
        asker.id,
        access.help()
    );
    let add = Some(format!("[app.{app}]\nowners = [\"{}\"]", asker.id));
    vec![Reason { kind: "owner".to_owned(), text, add }]
}

/// The environments that are meant where none was typed, and that the asker's own right to this command does not cover.
fn beyond_reach(invocation: &Invocation, asked: &GrantRequest) -> Vec<Reason> {
    let access = &invocation.context().access;
    let (None, Ok(role)) = (&asked.environment, asked.pick(access)) else { return Vec::new() };
    let (command, rights) = (&invocation.request().command().spec().name, invocation.rights());
    let beyond = environments(access, invocation.bot(), role).into_iter();
    let beyond = beyond.filter(|name| rights.rule(asked.app.as_deref(), Some(name)).is_none());
    let reason = |name: String| {
        let text = access.missing(command, asked.app.as_deref(), Some(&name));
        Reason { kind: "role".to_owned(), text: format!("{text}; name an environment that you may"), add: None }
    };
    beyond.map(reason).collect()
}

/// A grant as guests see it. `role` is absent where the file has it no more.
pub(crate) fn shown(invocation: &Invocation, role: Option<&Role>, grant: &crate::store::Grant, added: bool) -> Granted {
    let context = invocation.context();
    let title = context.catalog.app(&grant.app).map_or_else(|| grant.app.clone(), |app| app.title.clone());
    let environments = match &grant.environment {
        Some(environment) => vec![environment.clone()],
        None => role.map(|role| environments(&context.access, &grant.bot, role)).unwrap_or_default(),
    };
    Granted {
        person: person(&grant.person.id),
        role: grant.role.clone(),
        app: grant.app.clone(),
        title,
        environments,
        commands: role.iter().flat_map(|role| &role.commands).map(|command| command.as_str().to_owned()).collect(),
        until: grant.until.and_then(clock_instant),
        by: person(&grant.by.id),
        job: crate::policy::granting_job(grant).to_owned(),
        added,
    }
}

/// Somebody by the part of their id that people know: what they call themselves now says nothing about rights.
fn person(id: &str) -> types::Person {
    types::Person { id: id.to_owned(), name: handle_of(id).to_owned() }
}

/// The same for the store.
pub(crate) fn kept(id: &str) -> Person {
    Person { id: id.to_owned(), name: handle_of(id).to_owned() }
}
