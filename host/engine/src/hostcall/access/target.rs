//! A request to grant, revoke or list roles, as the host reads it from the command that the person typed, and the
//! checks on the request.
//!
//! Invariant: all values of a request come from the parsed command and the configuration, never from the plugin.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    command::{ParameterType, Value},
    hostcall::{clock::instant as clock_instant, host_call::problem, invocation::Invocation},
    job::Reason,
    model::{Attribute, Attributes, Person, local_part},
    plugin::bindings::{access::Granted, types},
    policy::{Access, Role},
    store::Grant,
};

/// The arguments of a command that grants, revokes or lists roles. A field is `None` if the command has no such
/// argument.
pub(crate) struct GrantRequest {
    /// The bot that received the command.
    pub(crate) bot: String,
    pub(crate) person: Option<String>,
    pub(crate) app: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) role: Option<String>,
    /// The duration of the grant in milliseconds.
    pub(crate) milliseconds: Option<u64>,
}

impl GrantRequest {
    pub(crate) fn of(invocation: &Invocation) -> Self {
        let command = invocation.request().command();
        let typed = |attribute| command.typed(attribute).next().map(str::to_owned);
        let milliseconds = command.arguments().find_map(|(parameter, value)| match value {
            Value::Integer(span) if parameter.kind == ParameterType::Duration => u64::try_from(*span).ok(),
            _ => None,
        });
        Self {
            bot: invocation.bot().to_owned(),
            person: typed(Attribute::Person),
            app: typed(Attribute::App),
            environment: typed(Attribute::Environment),
            role: typed(Attribute::Role),
            milliseconds,
        }
    }

    /// Returns the attributes of the host call that the rules check: the person, app, environment and role in the
    /// command. If the command has no role, the role is the result of [`Self::pick`].
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

    /// Returns the person's id and the app's name from the arguments of the command.
    ///
    /// # Errors
    /// `invalid` if the command does not have both arguments.
    pub(crate) fn target(&self) -> Result<(&str, &str), types::Error> {
        match (&self.person, &self.app) {
            (Some(person), Some(app)) => Ok((person, app)),
            _ => Err(problem("invalid", "the command does not name both a person and an app")),
        }
    }

    /// Returns the role to grant. If the command has a role, returns this role. If it has none, returns the only role
    /// that fits. In both cases, the role must have `grant_in_chat` and cover the app and environment in the command.
    ///
    /// # Errors
    /// `refused` if no role fits, or if the role in the command does not fit; `invalid` if several roles fit and the
    /// command has no role.
    pub(crate) fn pick<'a>(&self, access: &'a Access) -> Result<&'a Arc<Role>, types::Error> {
        let app = self.app.as_deref();
        let fits = |role: &&Arc<Role>| {
            role.grant_in_chat
                && self.role.as_ref().is_none_or(|name| *name == role.name)
                && role.covers(app, self.environment.as_deref())
                && (self.environment.is_some() || !environments(access, &self.bot, role).is_empty())
        };
        let target = match (&self.app, &self.environment) {
            (Some(app), Some(environment)) => format!("`{app}` in `{environment}`"),
            (app, _) => format!("`{}`", app.as_deref().unwrap_or_default()),
        };
        let roles: Vec<&Arc<Role>> = access.roles.iter().filter(fits).collect();
        match (roles.as_slice(), &self.role) {
            ([role], _) => Ok(role),
            ([], Some(name)) => Err(problem("refused", format!("the role `{name}` does not cover {target}"))),
            ([], None) => Err(problem(
                "refused",
                format!(
                    "no role with `grant_in_chat = true` covers {target}; ask the operator to set this key on a role"
                ),
            )),
            (several, _) => {
                let names: Vec<String> = several.iter().map(|role| format!("`{}`", role.name)).collect();
                let names = names.join(", ");
                let message = format!("several roles cover {target}: {names}. Add one of them to the command");
                Err(problem("invalid", message))
            }
        }
    }
}

/// Returns those environments of a bot that a role covers, in the order of the bot's configuration.
pub(crate) fn environments(access: &Access, bot: &str, role: &Role) -> Vec<String> {
    let all = access.bots.environments(bot).iter().filter(|name| role.covers(None, Some(name)));
    all.cloned().collect()
}

/// A grant that a revocation removes.
pub(crate) struct Removal {
    pub(crate) grant: Arc<Grant>,
    /// The only environment for which the grant is removed; `None` for the whole grant.
    pub(crate) only: Option<String>,
}

impl Removal {
    /// Returns the environments in which the person loses the role. If the configuration no longer contains the role,
    /// these are all environments of the grant's bot.
    fn environments(&self, access: &Access) -> Vec<String> {
        match (self.only.as_ref().or(self.grant.environment.as_ref()), access.role(&self.grant.role)) {
            (Some(environment), _) => vec![environment.clone()],
            (None, Some(role)) => environments(access, &self.grant.bot, role),
            (None, None) => access.bots.environments(&self.grant.bot).to_vec(),
        }
    }
}

/// Returns the grants that a revocation removes: those that match the person, the app, the role and the environment in
/// the command.
pub(crate) fn removals(access: &Access, request: &GrantRequest) -> Vec<Removal> {
    let Ok((person, app)) = request.target() else { return Vec::new() };
    let mut removals = Vec::new();
    for grant in access.all_grants_of(person) {
        if grant.app != app || request.role.as_ref().is_some_and(|role| *role != grant.role) {
            continue;
        }
        let only = match (&request.environment, &grant.environment, access.role(&grant.role)) {
            (Some(typed), Some(granted), _) if typed != granted => continue,
            // The grant is for all environments of the role.
            (Some(typed), None, Some(role)) if !role.covers(None, Some(typed)) => continue,
            (Some(typed), None, Some(_)) => Some(typed.clone()),
            // If the configuration no longer contains the role, the whole grant is removed, because the grant would be
            // valid again if the operator added the role again.
            _ => None,
        };
        removals.push(Removal { grant, only });
    }
    removals
}

/// Returns the environments in which a revocation removes a role. Leaves out expired grants, which give no role.
pub(crate) fn removed_environments(access: &Access, request: &GrantRequest) -> Vec<String> {
    let now = access.now();
    let removals = removals(access, request).into_iter();
    let valid = removals.filter(|removal| removal.grant.until.is_none_or(|until| until > now));
    let all: BTreeSet<String> = valid.flat_map(|removal| removal.environments(access)).collect();
    all.into_iter().collect()
}

/// Returns the environments in which a grant without an environment gives a role: every environment that the role
/// covers. If the command names an environment, returns none, because the role check of the host call has already
/// checked that environment.
pub(crate) fn granted_environments(access: &Access, request: &GrantRequest) -> Vec<String> {
    match (&request.environment, request.pick(access)) {
        (None, Ok(role)) => environments(access, &request.bot, role),
        _ => Vec::new(),
    }
}

/// Returns the reasons to refuse a grant or a revocation. Refuses if the command does not name a person and an app, or
/// if it has a source or several parameters for a duration.
/// Refuses if the caller is neither an admin nor an owner of the app. Also refuses an owner whose own rights do not
/// cover every environment of the change, which `changed` returns.
pub(crate) fn objections(
    invocation: &Invocation,
    changed: impl Fn(&Access, &GrantRequest) -> Vec<String>,
) -> Vec<Reason> {
    let access = &invocation.context().access;
    let (asker, request) = (invocation.request().asker(), GrantRequest::of(invocation));
    if request.target().is_err() {
        let line = invocation.request().command().line();
        let text = format!(
            "the command `{line}` does not name both a person and an app; \
             a plugin can grant or revoke a role only for the person and the app in the command"
        );
        return vec![Reason { kind: "typed".to_owned(), text, add: None }];
    }
    let parameters = &invocation.request().command().spec().parameters;
    let durations = parameters.iter().filter(|parameter| parameter.kind == ParameterType::Duration).count();
    if durations > 1 || parameters.iter().any(|parameter| parameter.source) {
        let text = "the command has several parameters of type duration or a source, so the grant is ambiguous";
        return vec![Reason { kind: "typed".to_owned(), text: text.to_owned(), add: None }];
    }
    if access.is_admin(asker.id) {
        return Vec::new();
    }
    if request.app.as_ref().is_some_and(|app| access.owns(asker, app)) {
        return uncovered_environments(invocation, &request, changed(access, &request));
    }
    let app = request.app.unwrap_or_default();
    let owners = access.owners.get(&app).map(Vec::as_slice).unwrap_or_default();
    let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
    let owners = if owners.is_empty() { "none are configured".to_owned() } else { owners.join(", ") };
    let text = format!(
        "only admins and the owners of `{app}` ({owners}) may grant or revoke roles on it, and {} is neither: {}",
        asker.id,
        access.help()
    );
    let add = Some(format!("[app.{app}]\nowners = [\"{}\"]", asker.id));
    vec![Reason { kind: "owner".to_owned(), text, add }]
}

/// Returns a reason to refuse for each of the environments `changed` in which the caller may not run this command.
fn uncovered_environments(invocation: &Invocation, request: &GrantRequest, changed: Vec<String>) -> Vec<Reason> {
    let access = &invocation.context().access;
    let (command, rights) = (&invocation.request().command().spec().name, invocation.rights());
    let beyond = changed.into_iter().filter(|name| rights.rule(request.app.as_deref(), Some(name)).is_none());
    let reason = |name: String| {
        let missing = access.missing(command, request.app.as_deref(), Some(&name));
        let text = format!("{missing}; or name an environment that your role covers");
        Reason { kind: "role".to_owned(), text, add: None }
    };
    beyond.map(reason).collect()
}

/// Converts a grant to the type that plugins receive. `role` is `None` if the configuration no longer contains the
/// grant's role. `added` is true if the current host call stores the grant.
pub(crate) fn guest_grant(invocation: &Invocation, role: Option<&Role>, grant: &Grant, added: bool) -> Granted {
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

/// Converts a person's id to the type that plugins receive. The name is the handle in the id: `bob` for
/// `@bob:example.org`. The display name is not used, because people can change their display names.
fn person(id: &str) -> types::Person {
    types::Person { id: id.to_owned(), name: local_part(id).to_owned() }
}

/// Converts a person's id to the type that the store uses. As in [`person`], the name is the handle in the id.
pub(crate) fn stored_person(id: &str) -> Person {
    Person { id: id.to_owned(), name: local_part(id).to_owned() }
}
