//! The host calls `access.grant`, `access.revoke` and `access.list`.

use std::sync::Arc;

use super::target::{GrantRequest, environments, kept, objections, shown};
use crate::{
    base::{Text, moment},
    hostcall::{
        clock::later as clock_later,
        host_call::{HostCall, InDoubt, Recovered, problem},
        invocation::Invocation,
    },
    job::Reason,
    model::{Attribute, Attributes},
    plugin::bindings::{access::Granted as Shown, types},
    policy::HeldRole,
    store::Write,
};

/// `access.grant`
pub(crate) struct Grant;

impl HostCall for Grant {
    type Params = ();
    type Answer = Shown;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (): &()) -> Attributes {
        GrantRequest::of(invocation).attributes(&invocation.context().access)
    }

    fn objections(&self, invocation: &Invocation, (): &()) -> Vec<Reason> {
        objections(invocation)
    }

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<Shown, types::Error> {
        let name = format!("{}/{}", invocation.job_id(), invocation.intent());
        let (answer, grant) = granted(invocation, &name)?;
        if answer.added {
            // Delete expired grants, and those that the new one replaces.
            for old in superseded(invocation, &grant) {
                invocation.also_write(Write::Revoke(old));
            }
            tell(invocation, &name, &format!("added {}", words(&answer)));
            invocation.also_write(Write::Grant(grant));
        }
        Ok(answer)
    }

    fn dry_run(&self, invocation: &mut Invocation, (): &(), name: &str) -> Option<Result<Shown, types::Error>> {
        Some(granted(invocation, name).map(|(answer, _)| answer))
    }

    async fn recover(&self, _: &InDoubt<'_>) -> Recovered<Self::Answer> {
        // The effect is a write in the transaction of its result. Without a result it did not happen.
        Recovered::Not
    }
}

/// The grant that the command asks for, with `name` as its id, and the answer for the guest. Changes nothing.
fn granted(invocation: &Invocation, name: &str) -> Result<(Shown, crate::store::Grant), types::Error> {
    let (context, asked) = (invocation.context(), GrantRequest::of(invocation));
    let access = &context.access;
    let (person, app) = asked.target()?;
    if access.is_admin(person) {
        return Err(problem("refused", format!("{person} is an admin, who may do everything already")));
    }
    let role = asked.pick(access)?;
    let until = match asked.span {
        Some(span) if span.is_zero() => return Err(problem("invalid", "that is over at once")),
        Some(span) => Some(clock_later(access.now(), u64::try_from(span.as_millis()).unwrap_or(u64::MAX))?),
        None => None,
    };
    let grant = crate::store::Grant {
        id: name.to_owned(),
        person: kept(person),
        role: role.name.clone(),
        app: app.to_owned(),
        environment: asked.environment.clone(),
        by: kept(&invocation.request().caller().id),
        bot: invocation.request().message().bot.clone(),
        at: context.clock.now(),
        until,
    };
    let already = already(invocation, &grant);
    let added = already.is_none();
    let known = already.and_then(|held| held.grant);
    Ok((shown(invocation, Some(role.as_ref()), known.as_deref().unwrap_or(&grant), added), grant))
}

/// A role that the person already holds, that covers the grant's app and environments and lasts at least as long.
fn already(invocation: &Invocation, grant: &crate::store::Grant) -> Option<HeldRole> {
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
            && held.grant.as_ref().is_none_or(|known| lasts(known.until))
            && places.iter().all(|place| held.covers(Some(&grant.app), Some(place)))
    };
    let mut all = access.roles_of(&grant.person.id, false).into_iter();
    all.find(gives)
}

/// The ids of the person's grants that expired, or that a new grant includes and outlasts.
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

/// `access.revoke`
pub(crate) struct Revoke;

impl HostCall for Revoke {
    type Params = ();
    type Answer = Vec<Shown>;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (): &()) -> Attributes {
        let (access, asked) = (&invocation.context().access, GrantRequest::of(invocation));
        let mut attributes = asked.attributes(access);
        // If no role was typed, the attributes contain all roles that would be revoked.
        let granted = asked.person.as_ref().map(|person| access.all_grants_of(person)).unwrap_or_default();
        let of_app = granted.iter().filter(|grant| asked.app.as_ref() == Some(&grant.app));
        let mut roles: Vec<String> = of_app.map(|grant| grant.role.clone()).collect();
        roles.sort();
        roles.dedup();
        if asked.role.is_none() && !roles.is_empty() {
            attributes.insert(Attribute::Role, roles);
        }
        attributes
    }

    fn objections(&self, invocation: &Invocation, (): &()) -> Vec<Reason> {
        objections(invocation)
    }

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<Vec<Shown>, types::Error> {
        let name = format!("{}/{}", invocation.job_id(), invocation.intent());
        let (answer, writes) = taken(invocation, &name)?;
        let all: Vec<String> = answer.iter().map(words).collect();
        tell(invocation, &name, &format!("took back {}", all.join("; ")));
        for write in writes {
            invocation.also_write(write);
        }
        Ok(answer)
    }

    fn dry_run(&self, invocation: &mut Invocation, (): &(), name: &str) -> Option<Result<Vec<Shown>, types::Error>> {
        Some(taken(invocation, name).map(|(answer, _)| answer))
    }

    async fn recover(&self, _: &InDoubt<'_>) -> Recovered<Self::Answer> {
        // The effect is a write in the transaction of its result. Without a result it did not happen.
        Recovered::Not
    }
}

/// The grants that the command revokes, as the guest receives them, and the writes for it. Changes nothing.
fn taken(invocation: &Invocation, name: &str) -> Result<(Vec<Shown>, Vec<Write>), types::Error> {
    // 1. Admins have their rights from the configuration.
    let (access, asked) = (&invocation.context().access, GrantRequest::of(invocation));
    let (person, app) = asked.target()?;
    if access.is_admin(person) {
        let why =
            format!("{person} is an admin by the configuration ([people] admins), and no command takes that away");
        return Err(problem("refused", why));
    }
    let (mut answer, mut writes) = (Vec::new(), Vec::new());
    for grant in access.all_grants_of(person) {
        // 2. Does the grant match the app, the role and the environment? `narrowed`: only one of its environments is
        //    revoked.
        let fits = grant.app == app && asked.role.as_ref().is_none_or(|role| *role == grant.role);
        let narrowed = match (&asked.environment, &grant.environment) {
            (Some(asked), Some(known)) if asked != known => continue,
            (Some(asked), None) => Some(asked),
            _ => None,
        };
        let Some(role) = access.role(&grant.role).filter(|_| fits) else {
            // 3. The configuration no longer contains the role. Revoke the grant anyway: it would be valid again if the
            //    role returned.
            if fits {
                writes.push(Write::Revoke(grant.id.clone()));
                answer.push(shown(invocation, None, &grant, false));
            }
            continue;
        };
        if narrowed.is_some_and(|environment| !role.covers(None, Some(environment))) {
            continue;
        }
        // 4. Revoke the grant.
        writes.push(Write::Revoke(grant.id.clone()));
        match narrowed {
            None => answer.push(shown(invocation, Some(role.as_ref()), &grant, false)),
            // The grant was for all environments. Each of the others gets a grant of its own with the same terms.
            Some(environment) => {
                let one = crate::store::Grant { environment: Some(environment.clone()), ..(*grant).clone() };
                answer.push(shown(invocation, Some(role.as_ref()), &one, false));
                for (place, left) in environments(access, &grant.bot, role).into_iter().enumerate() {
                    if left != *environment {
                        let id = format!("{}.{name}.{place}", grant.id);
                        writes.push(Write::Grant(crate::store::Grant {
                            id,
                            environment: Some(left),
                            ..(*grant).clone()
                        }));
                    }
                }
            }
        }
    }
    if answer.is_empty() {
        return Err(problem("not-found", nothing(invocation, person, app)));
    }
    Ok((answer, writes))
}

/// The message that there is nothing to revoke, with the roles that the person has by the configuration.
fn nothing(invocation: &Invocation, person: &str, app: &str) -> String {
    let held = invocation.context().access.roles_of(person, false).into_iter();
    let by_file: Vec<String> = held
        .filter(|held| held.grant.is_none() && held.role.covers(Some(app), None))
        .map(|held| format!("role {} ({})", held.role.name, held.role.at))
        .collect();
    let all_the_same = match by_file.is_empty() {
        true => String::new(),
        false => format!("; by the file they have {}, which only the file changes", by_file.join(" and ")),
    };
    format!("nothing of that was granted to {person} in chat{all_the_same}")
}

/// `access.list`
pub(crate) struct List;

impl HostCall for List {
    type Params = ();
    type Answer = Vec<Shown>;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (): &()) -> Attributes {
        let mut attributes = GrantRequest::of(invocation).attributes(&invocation.context().access);
        attributes.retain(|attribute, _| matches!(attribute, Attribute::Person | Attribute::App));
        attributes
    }

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<Vec<Shown>, types::Error> {
        let (access, asked) = (&invocation.context().access, GrantRequest::of(invocation));
        let asker = invocation.request().asker();
        let mut answer = Vec::new();
        for held in access.grants() {
            let Some(grant) = &held.grant else { continue };
            let own = access.same_person(&grant.person.id, asker.id);
            let sees = own
                || access.owns(asker, &grant.app)
                || access.sees(asker, Some(&grant.app), grant.environment.as_deref());
            let wanted = asked.app.as_ref().is_none_or(|app| *app == grant.app)
                && asked.person.as_ref().is_none_or(|person| access.same_person(person, &grant.person.id));
            if sees && wanted {
                answer.push(shown(invocation, Some(&held.role), grant, false));
            }
        }
        Ok(answer)
    }
}

/// Adds the announcement of a change of rights to the transaction that makes the change.
fn tell(invocation: &mut Invocation, name: &str, what: &str) {
    let context = invocation.context().clone();
    let by = &invocation.request().caller().id;
    let summary = format!("Rights: {by} {what} (job {})", invocation.job_id());
    if let Some(job) = invocation.job() {
        let writes = context.notices.rights(&context.outbox, &context.catalog, job.row(), name, &summary);
        writes.into_iter().for_each(|write| invocation.also_write(write));
    }
    let Some(room) = &context.access.tell else { return };
    let bot = &invocation.request().message().bot;
    let Some(destination) = context.outbox.destination(bot, room) else {
        tracing::error!(%room, "a change of rights is not announced: the bot has no account on the room's network");
        return;
    };
    invocation.also_write(Write::Send(destination.say(format!("{name}/rights"), Text::lines(summary))));
}

/// A grant as text: `@bob:example.org, role deployer on cms in staging, production, until 2026-11-21 14:00 UTC`.
fn words(grant: &Shown) -> String {
    let until = grant.until.and_then(|until| i64::try_from(until.unix_ms).ok());
    let until = until.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let until = until.map_or_else(String::new, |until| format!(", until {}", moment(until)));
    format!("{}, role {} on {} in {}{until}", grant.person.id, grant.role, grant.app, grant.environments.join(", "))
}
