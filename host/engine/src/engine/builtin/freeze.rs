//! The host's own commands `freeze` and `unfreeze`.
//!
//! Invariant: everybody may see what is frozen; it is changed by admins, and by those whose role names the command and that
//! environment. What is written and what calls are judged by change together.

use super::jobs::{carried_out, text};
use crate::{
    base::{Text, clean},
    command::Target,
    engine::{
        host::Host,
        verdict::{Refusal, Verdict},
    },
    model::App,
    policy::{Authorized, FrozenBy},
    store::{Freeze, StoreError, Write},
};

/// A reason is cut here, in bytes.
const LONGEST_REASON: usize = 300;
/// How many jobs that go on are named.
const MOST_NAMED: usize = 10;

impl Host {
    /// `freeze [ENVIRONMENT] [until MOMENT | for SPAN] [reason WORDS]`
    pub(crate) async fn freeze(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message) = (authorized.caller(), authorized.message());
        let freezes = &self.context.freezes;
        let now = self.context.monotonic.now();
        let Some(environment) = authorized.command().environment() else {
            return Ok(self.said(message, Text::lines(freezes.listing(now))));
        };
        self.may_freeze(authorized, "freeze", environment)?;
        let typed = crate::base::parse_end(text(authorized, "how").unwrap_or_default(), now, freezes.zone());
        let typed = typed.map_err(|error| {
            let line = format!("freeze {environment} until 14:00 reason the database moves");
            Refusal::Malformed(format!("{error} Try: {line}"))
        })?;
        let mut reason = clean(&typed.reason);
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        let freeze = Freeze {
            environment: environment.to_owned(),
            until: typed.until,
            reason,
            by: person.clone(),
            at: self.context.clock.now(),
        };
        // From here on no job begins to act until the freeze holds.
        let _exclusive = freezes.exclusive().await;
        // Whoever ends another's freeze sooner lifts it.
        let sooner = |before: &Freeze| match (before.until, freeze.until) {
            (None, Some(_)) => true,
            (Some(before), Some(until)) => until < before,
            (_, None) => false,
        };
        let others = |before: &Freeze| !self.context.access.same_person(&before.by.id, &person.id);
        if freezes.by_command(environment, now).is_some_and(|before| sooner(&before) && others(&before)) {
            self.may_freeze(authorized, "unfreeze", environment)?;
        }
        let told = self.frozen(&freeze, freezes.by_command(environment, now).as_ref()).await;
        let writes = std::iter::once(Write::Freeze(freeze.clone())).chain(self.extra_writes(message, &told));
        self.context.store.commit(writes.collect()).await.map_err(|error| unkept(&error))?;
        freezes.apply_freeze(freeze);
        carried_out(Ok(told))
    }

    /// `unfreeze ENVIRONMENT`
    pub(crate) async fn unfreeze(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let message = authorized.message();
        let environment = authorized.command().environment().unwrap_or_default();
        self.may_freeze(authorized, "unfreeze", environment)?;
        let freezes = &self.context.freezes;
        let now = self.context.monotonic.now();
        let _exclusive = freezes.exclusive().await;
        let others = freezes.of(environment, now).into_iter().filter(|frozen| matches!(frozen.by, FrozenBy::Window(_)));
        let others: Vec<String> = others.map(|frozen| freezes.line(&frozen)).collect();
        if freezes.by_command(environment, now).is_none() {
            return Err(Refusal::Malformed(match others.as_slice() {
                [] => format!("{environment} is not frozen."),
                lines => format!("{}. That is lifted in the file alone.", lines.join("; ")),
            }));
        }
        let told = match others.as_slice() {
            [] => format!("{environment} is no longer frozen."),
            lines => {
                format!("The freeze of {environment} that was said here is lifted. Still: {}", lines.join("; "))
            }
        };
        let writes = std::iter::once(Write::Unfreeze(environment.to_owned())).chain(self.extra_writes(message, &told));
        self.context.store.commit(writes.collect()).await.map_err(|error| unkept(&error))?;
        freezes.apply_unfreeze(environment);
        carried_out(Ok(told))
    }

    /// A change takes the right that a command of a plugin would, on every app that is deployed there: whoever may only look is
    /// refused here.
    fn may_freeze(&self, authorized: &Authorized, name: &str, environment: &str) -> Result<(), Refusal> {
        let access = &self.context.access;
        let rights = access.rights(authorized.asker(), name, Target::Plugin(name.into()));
        let deployed = |app: &&App| app.deployments.iter().any(|deployment| deployment.environment == environment);
        let apps = self.context.catalog.apps().filter(deployed).map(|app| Some(app.name.as_str()));
        match std::iter::once(None).chain(apps).find(|app| rights.rule(*app, Some(environment)).is_none()) {
            None => Ok(()),
            Some(app) => Err(Refusal::Denied(access.missing(name, app, Some(environment)))),
        }
    }

    /// What an environment's freeze means, for the room.
    async fn frozen(&self, freeze: &Freeze, before: Option<&Freeze>) -> String {
        let freezes = &self.context.freezes;
        let environment = &freeze.environment;
        let mut lines = vec![format!("{}.", freezes.line(&freeze.into()))];
        lines.extend(before.map(|before| format!("Before: {}.", freezes.line(&before.into()))));
        let acting = self.context.locks.holders_in(environment);
        let mut named = Vec::new();
        for (id, line) in &acting {
            // A job that somebody may not see is one of those that go on, and no more.
            let job = self.context.store.job(id).await.ok().flatten();
            if named.len() < MOST_NAMED && job.is_some_and(|job| self.may_see(&freeze.by, &job)) {
                named.push(format!("{id} goes on to its end: {line}"));
            }
        }
        let more = acting.len().saturating_sub(named.len());
        lines.extend(named);
        if more > 0 {
            lines.push(format!("and {more} more go on to their end"));
        }
        lines.push(format!("Lift it: unfreeze {environment}"));
        lines.join("\n")
    }
}

fn unkept(error: &StoreError) -> Refusal {
    Refusal::Unable(format!("nothing was changed: {error}"))
}
