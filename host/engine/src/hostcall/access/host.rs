//! The host calls `access.grant`, `access.revoke` and `access.list`.

use std::sync::Arc;

use super::target::{
    GrantRequest, Removal, environments, granted_environments, guest_grant, objections, removals, removed_environments,
    stored_person,
};
use crate::{
    base::{Text, utc_text},
    hostcall::{
        clock::later as clock_later,
        host_call::{HostCall, InDoubt, Recovered, problem},
        invocation::Invocation,
    },
    job::Reason,
    model::{Attribute, Attributes},
    plugin::bindings::{access::Granted as GuestGrant, types},
    policy::HeldRole,
    store::Write,
};

/// The host call `access.grant`, which grants a person a role on an app.
pub(crate) struct Grant;

impl HostCall for Grant {
    type Params = ();
    type Answer = GuestGrant;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (): &()) -> Attributes {
        GrantRequest::of(invocation).attributes(&invocation.context().access)
    }

    fn objections(&self, invocation: &Invocation, (): &()) -> Vec<Reason> {
        objections(invocation, granted_environments)
    }

    async fn validate(&self, invocation: &Invocation, (): &()) -> Result<(), types::Error> {
        new_grant(invocation, "").map(drop)
    }

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<GuestGrant, types::Error> {
        let name = format!("{}/{}", invocation.job_id(), invocation.intent);
        let (answer, grant) = new_grant(invocation, &name)?;
        if answer.added {
            // Delete expired grants and the grants that the new one replaces.
            let superseded = superseded(invocation, &grant);
            invocation.writes.extend(superseded.into_iter().map(Write::Revoke));
            announce(invocation, &name, &format!("granted {}", describe(&answer, "to")));
            invocation.writes.push(Write::Grant(grant));
        }
        Ok(answer)
    }

    fn dry_run(&self, invocation: &mut Invocation, (): &(), name: &str) -> Option<Result<GuestGrant, types::Error>> {
        Some(new_grant(invocation, name).map(|(answer, _)| answer))
    }

    async fn recover(&self, _: &InDoubt<'_>) -> Recovered<Self::Answer> {
        // The transaction that stores the result also makes the change. Without a result, nothing was changed.
        Recovered::NotHappened
    }
}

/// Returns the grant that the command requests, first in the type that plugins receive, then in the type that the store
/// uses. `name` is the id of the new grant. If the person already has the role, the first value has `added = false`.
/// Stores nothing.
fn new_grant(invocation: &Invocation, name: &str) -> Result<(GuestGrant, crate::store::Grant), types::Error> {
    let (context, request) = (invocation.context(), GrantRequest::of(invocation));
    let access = &context.access;
    let (person, app) = request.target()?;
    if access.is_admin(person) {
        return Err(problem("refused", format!("{person} is an admin and already has every role")));
    }
    let role = request.pick(access)?;
    let until = match request.milliseconds {
        Some(0) => return Err(problem("invalid", "the duration of a grant must be longer than zero")),
        Some(milliseconds) => Some(clock_later(access.now(), milliseconds)?),
        None => None,
    };
    let grant = crate::store::Grant {
        id: name.to_owned(),
        person: stored_person(person),
        role: role.name.clone(),
        app: app.to_owned(),
        environment: request.environment.clone(),
        by: stored_person(&invocation.request().caller().id),
        bot: invocation.request().message().bot.clone(),
        at: context.clock.now(),
        until,
    };
    let covering = covering_role(invocation, &grant);
    let added = covering.is_none();
    let known = covering.and_then(|held| held.grant);
    Ok((guest_grant(invocation, Some(role.as_ref()), known.as_deref().unwrap_or(&grant), added), grant))
}

/// Returns a role that the person already has and that makes the new grant superfluous, if there is one. Such a role
/// has the same name, covers the grant's app and environments, and lasts at least as long as the grant.
fn covering_role(invocation: &Invocation, grant: &crate::store::Grant) -> Option<HeldRole> {
    let access = &invocation.context().access;
    let places = match &grant.environment {
        Some(environment) => vec![environment.clone()],
        None => access.role(&grant.role).map(|role| environments(access, &grant.bot, role)).unwrap_or_default(),
    };
    let lasts = |until: Option<jiff::Timestamp>| match (until, grant.until) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(known), Some(wanted)) => known >= wanted,
    };
    let gives = |held: &HeldRole| {
        held.role.name == grant.role
            && held.grant.as_ref().is_none_or(|known| known.bot == grant.bot && lasts(known.until))
            && places.iter().all(|place| held.covers(Some(&grant.app), Some(place)))
    };
    let mut all = access.roles_of(&grant.person.id, false).into_iter();
    all.find(gives)
}

/// Returns the ids of the person's grants that are deleted when the grant `new` is stored: expired grants, and grants
/// that `new` replaces. `new` replaces a grant of the same bot, role and app whose environments it covers and that does
/// not last longer.
fn superseded(invocation: &Invocation, new: &crate::store::Grant) -> Vec<String> {
    let access = &invocation.context().access;
    let now = access.now();
    let same = |old: &Arc<crate::store::Grant>| {
        let place = new.environment.is_none() || old.environment == new.environment;
        let longer = new.until.is_none() || old.until.is_some_and(|old| new.until.is_some_and(|new| old <= new));
        old.role == new.role && old.app == new.app && old.bot == new.bot && place && longer
    };
    let over = |old: &Arc<crate::store::Grant>| old.until.is_some_and(|until| until <= now);
    let old = access.all_grants_of(&new.person.id).into_iter().filter(|old| same(old) || over(old));
    old.map(|old| old.id.clone()).collect()
}

/// The host call `access.revoke`, which revokes roles that were granted in chat.
pub(crate) struct Revoke;

impl HostCall for Revoke {
    type Params = ();
    type Answer = Vec<GuestGrant>;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (): &()) -> Attributes {
        let (access, request) = (&invocation.context().access, GrantRequest::of(invocation));
        let mut attributes = request.attributes(access);
        // If the command has no role, the attributes contain all roles that it would revoke.
        let granted = request.person.as_ref().map(|person| access.all_grants_of(person)).unwrap_or_default();
        let of_app = granted.iter().filter(|grant| request.app.as_ref() == Some(&grant.app));
        let mut roles: Vec<String> = of_app.map(|grant| grant.role.clone()).collect();
        roles.sort();
        roles.dedup();
        if request.role.is_none() && !roles.is_empty() {
            attributes.insert(Attribute::Role, roles);
        }
        attributes
    }

    fn objections(&self, invocation: &Invocation, (): &()) -> Vec<Reason> {
        objections(invocation, removed_environments)
    }

    async fn validate(&self, invocation: &Invocation, (): &()) -> Result<(), types::Error> {
        revocation(invocation, "").map(drop)
    }

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<Vec<GuestGrant>, types::Error> {
        let name = format!("{}/{}", invocation.job_id(), invocation.intent);
        let (answer, writes) = revocation(invocation, &name)?;
        let all: Vec<String> = answer.iter().map(|grant| describe(grant, "from")).collect();
        announce(invocation, &name, &format!("revoked {}", all.join("; ")));
        invocation.writes.extend(writes);
        Ok(answer)
    }

    fn dry_run(
        &self,
        invocation: &mut Invocation,
        (): &(),
        name: &str,
    ) -> Option<Result<Vec<GuestGrant>, types::Error>> {
        Some(revocation(invocation, name).map(|(answer, _)| answer))
    }

    async fn recover(&self, _: &InDoubt<'_>) -> Recovered<Self::Answer> {
        // The transaction that stores the result also makes the change. Without a result, nothing was changed.
        Recovered::NotHappened
    }
}

/// Returns the grants that the command revokes, in the type that plugins receive, and the changes to store. If only one
/// environment of a grant is revoked, the changes also add grants for the other environments. `name` makes the ids of
/// the added grants unique. Stores nothing.
fn revocation(invocation: &Invocation, name: &str) -> Result<(Vec<GuestGrant>, Vec<Write>), types::Error> {
    // 1. The configuration makes a person an admin, so a command cannot revoke an admin's rights.
    let (access, request) = (&invocation.context().access, GrantRequest::of(invocation));
    let (person, app) = request.target()?;
    if access.is_admin(person) {
        let why = format!(
            "{person} is an admin in the configuration (`admins` in `[people]`), which a command cannot revoke"
        );
        return Err(problem("refused", why));
    }
    let (mut answer, mut writes) = (Vec::new(), Vec::new());
    for Removal { grant, only } in removals(access, &request) {
        // 2. Revoke the whole grant.
        writes.push(Write::Revoke(grant.id.clone()));
        let role = access.role(&grant.role).map(|role| &**role);
        let Some((environment, role)) = only.zip(role) else {
            answer.push(guest_grant(invocation, role, &grant, false));
            continue;
        };
        // 3. If the grant is revoked for one environment only, store one grant with the same terms for each remaining
        //    environment.
        let with = |environment| crate::store::Grant { environment: Some(environment), ..(*grant).clone() };
        answer.push(guest_grant(invocation, Some(role), &with(environment.clone()), false));
        for (place, left) in environments(access, &grant.bot, role).into_iter().enumerate() {
            if left != environment {
                let id = format!("{}.{name}.{place}", grant.id);
                writes.push(Write::Grant(crate::store::Grant { id, ..with(left) }));
            }
        }
    }
    if answer.is_empty() {
        return Err(problem("not-found", nothing_to_revoke(invocation, person, app)));
    }
    Ok((answer, writes))
}

/// Returns the error message for a revocation that matches no grant. The message lists the roles that the configuration
/// gives the person, because a command cannot revoke these roles.
fn nothing_to_revoke(invocation: &Invocation, person: &str, app: &str) -> String {
    let held = invocation.context().access.roles_of(person, false).into_iter();
    let configured: Vec<String> = held
        .filter(|held| held.grant.is_none() && held.role.covers(Some(app), None))
        .map(|held| format!("role {} ({})", held.role.name, held.role.at))
        .collect();
    let hint = match configured.is_empty() {
        true => String::new(),
        false => format!("; the configuration gives them {}, which a command cannot revoke", configured.join(" and ")),
    };
    format!("no role that was granted to {person} in chat matches the command{hint}")
}

/// The host call `access.list`, which lists the grants that the caller may see.
pub(crate) struct List;

impl HostCall for List {
    type Params = ();
    type Answer = Vec<GuestGrant>;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (): &()) -> Attributes {
        let mut attributes = GrantRequest::of(invocation).attributes(&invocation.context().access);
        attributes.retain(|attribute, _| matches!(attribute, Attribute::Person | Attribute::App));
        attributes
    }

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<Vec<GuestGrant>, types::Error> {
        let (access, request) = (&invocation.context().access, GrantRequest::of(invocation));
        let asker = invocation.request().asker();
        let mut answer = Vec::new();
        for held in access.grants() {
            let Some(grant) = &held.grant else { continue };
            let own = access.same_person(&grant.person.id, asker.id);
            let sees = own
                || access.owns(asker, &grant.app)
                || access.sees(asker, Some(&grant.app), grant.environment.as_deref());
            let wanted = request.app.as_ref().is_none_or(|app| *app == grant.app)
                && request.person.as_ref().is_none_or(|person| access.same_person(person, &grant.person.id));
            if sees && wanted {
                answer.push(guest_grant(invocation, Some(&held.role), grant, false));
            }
        }
        Ok(answer)
    }
}

/// Adds messages that report granted or revoked roles. The host stores the messages in the same transaction as the
/// grant or the revocation. `name` makes the messages' idempotency keys unique; `what` describes the change in one
/// line.
fn announce(invocation: &mut Invocation, name: &str, what: &str) {
    let context = invocation.context().clone();
    let by = &invocation.request().caller().id;
    let summary = format!("Rights: {by} {what} (job {})", invocation.job_id());
    if let Some(job) = invocation.job() {
        let writes = context.notices.rights(&context.outbox, &context.catalog, job.row(), name, &summary);
        invocation.writes.extend(writes);
    }
    let Some(room) = &context.access.tell else { return };
    let bot = &invocation.request().message().bot;
    let Some(destination) = context.outbox.destination(bot, room) else {
        tracing::error!(
            bot,
            %room,
            "a change of roles was not announced, because no bot has an account on the network of the room in `tell`; \
             hint: add an account or change `tell` in `[people]`"
        );
        return;
    };
    invocation.writes.push(Write::Send(destination.say(format!("{name}/rights"), Text::lines(summary))));
}

/// Describes a grant: `role deployer on cms in staging, production to @bob:example.org, until 2026-11-21 14:00 UTC`.
/// `preposition` is the word before the person: `to` for a grant, `from` for a revocation.
fn describe(grant: &GuestGrant, preposition: &str) -> String {
    let until = grant.until.and_then(|until| i64::try_from(until.unix_ms).ok());
    let until = until.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let until = until.map_or_else(String::new, |until| format!(", until {}", utc_text(until)));
    let environments = match grant.environments.is_empty() {
        true => String::new(),
        false => format!(" in {}", grant.environments.join(", ")),
    };
    format!("role {} on {}{environments} {preposition} {}{until}", grant.role, grant.app, grant.person.id)
}
