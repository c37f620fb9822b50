//! The target of a grant or revocation: person, app, environment, role and duration, and the checks on them.
//!
//! Invariant: all values come from the parsed command and the configuration, and none from the guest.

use std::{sync::Arc, time::Duration};

use crate::{
    command::ParameterType,
    hostcall::{clock::instant as clock_instant, host_call::problem, invocation::Invocation},
    job::Reason,
    model::{Attribute, Attributes, Person, handle as handle_of},
    plugin::bindings::{access::Granted, types},
    policy::{Access, Role},
};

/// The typed arguments of a grant or revocation.
pub(crate) struct GrantRequest {
    /// The bot that received the command.
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

    /// The attributes that rules are matched against: the typed arguments. If no role was typed, the role that
    /// [`Self::pick`] returns.
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

    /// The person and the app. Every grant and revocation needs both.
    pub(crate) fn target(&self) -> Result<(&str, &str), types::Error> {
        match (&self.person, &self.app) {
            (Some(person), Some(app)) => Ok((person, app)),
            _ => Err(problem("invalid", "no person and app were typed")),
        }
    }

    /// The typed role, or the only role with `grant_in_chat` that covers the app and the environment.
    ///
    /// # Errors
    /// `refused` if no such role covers them, `invalid` if several do and none was typed.
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

/// The environments of a bot that a role covers, in the bot's order.
pub(crate) fn environments(access: &Access, bot: &str, role: &Role) -> Vec<String> {
    let all = access.bots.environments(bot).iter().filter(|name| role.covers(None, Some(name)));
    all.cloned().collect()
}

/// The reasons to refuse a grant or revocation: person or app is missing, or the caller is neither an admin nor an
/// owner of the app, or an owner's own rights do not cover every environment.
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

/// A reason for each environment that the caller's own rights to this command do not cover. Only if no environment was
/// typed, because the grant is then for all environments of the role.
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

/// A grant as guests receive it. `role` is `None` if the configuration no longer contains it.
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

/// A person whose name is the handle in the id. Display names are not used, because anyone can change their own.
fn person(id: &str) -> types::Person {
    types::Person { id: id.to_owned(), name: handle_of(id).to_owned() }
}

/// The same as [`person`], in the store's type.
pub(crate) fn kept(id: &str) -> Person {
    Person { id: id.to_owned(), name: handle_of(id).to_owned() }
}
