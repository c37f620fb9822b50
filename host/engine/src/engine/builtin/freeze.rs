//! The commands `freeze` and `unfreeze`.
//!
//! Invariant: everybody may list the freezes. Changing a freeze requires an admin, or a role for the command and the
//! environment. The stored freezes and their copy in memory, which host calls check, change together under one
//! exclusive lock.

use super::jobs::text;
use crate::{
    base::{Text, one_line},
    command::{Builtin, Target},
    engine::{
        host::Host,
        verdict::{Refusal, Verdict},
    },
    policy::{Authorized, FrozenBy, freeze_places},
    store::{Freeze, StoreError, Write},
};

/// The maximum length of the reason of a freeze, in bytes. A longer reason is truncated.
const MAX_REASON: usize = 300;
/// The maximum number of running jobs that one answer to `freeze` lists.
const MAX_NAMED: usize = 10;

impl Host {
    /// Runs `freeze [ENVIRONMENT] [until MOMENT | for SPAN] [reason WORDS]`.
    pub(crate) async fn freeze(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message) = (authorized.caller(), authorized.message());
        let freezes = &self.context.freezes;
        let now = self.context.monotonic.now();
        // 1. Without an environment, list the freezes.
        let Some(environment) = authorized.command().environment() else {
            return Ok(self.answered(message, Text::lines(freezes.listing(now))));
        };
        // 2. Check the right, and parse the end and the reason.
        self.may_freeze(authorized, "freeze", environment)?;
        let typed = crate::base::parse_end(text(authorized, "how").unwrap_or_default(), now, freezes.zone());
        let typed = typed.map_err(|error| {
            let line = format!("freeze {environment} until 14:00 reason database upgrade");
            Refusal::Malformed(format!("{error} Try: {line}"))
        })?;
        let mut reason = one_line(&typed.reason);
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        let freeze = Freeze {
            environment: environment.to_owned(),
            until: typed.until,
            reason,
            by: person.clone(),
            at: self.context.clock.now(),
        };
        // 3. Take the exclusive lock: no job begins an effect until the freeze is stored and applied.
        let _exclusive = freezes.exclusive().await;
        // 4. Shortening a freeze requires the right to run `unfreeze`, also for the person who set it: the freeze can
        //    have replaced a freeze of another person, which would then end too.
        let sooner = |before: &Freeze| match (before.until, freeze.until) {
            (None, Some(_)) => true,
            (Some(before), Some(until)) => until < before,
            (_, None) => false,
        };
        if freezes.by_command(environment, now).is_some_and(|before| sooner(&before)) {
            self.may_freeze(authorized, "unfreeze", environment)?;
        }
        // 5. Store the freeze and the answer in one transaction, then apply the freeze to the checks of host calls.
        let answer = self.freeze_answer(&freeze, freezes.by_command(environment, now).as_ref()).await;
        let writes = std::iter::once(Write::Freeze(freeze.clone())).chain(self.extra_writes(message, &answer));
        self.context.store.commit(writes.collect()).await.map_err(write_failed)?;
        freezes.apply_freeze(freeze);
        Ok(Verdict::CarriedOut(answer))
    }

    /// Runs `unfreeze ENVIRONMENT`.
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
                lines => format!(
                    "{}. `unfreeze` cannot lift a freeze of the configuration; change `[[freeze]]` in \
                     `plugins.toml`.",
                    lines.join("; ")
                ),
            }));
        }
        let answer = match others.as_slice() {
            [] => format!("{environment} is no longer frozen."),
            lines => {
                format!(
                    "The freeze of {environment} that was set with `freeze` is lifted. Freezes still in effect: {}",
                    lines.join("; ")
                )
            }
        };
        let writes =
            std::iter::once(Write::Unfreeze(environment.to_owned())).chain(self.extra_writes(message, &answer));
        self.context.store.commit(writes.collect()).await.map_err(write_failed)?;
        freezes.apply_unfreeze(environment);
        Ok(Verdict::CarriedOut(answer))
    }

    /// Checks that the sender may run a command on an environment, and on each app that is deployed in the environment.
    /// `name` is the command: `freeze` or `unfreeze`.
    fn may_freeze(&self, authorized: &Authorized, name: &str, environment: &str) -> Result<(), Refusal> {
        let access = &self.context.access;
        // Both commands need the kind of right that `unfreeze` needs.
        let rights = access.rights(authorized.asker(), name, Target::Host(Builtin::Unfreeze));
        let places = freeze_places(&self.context.catalog, environment);
        match places.into_iter().find(|(app, environment)| rights.rule(*app, *environment).is_none()) {
            None => Ok(()),
            Some((app, environment)) => Err(Refusal::Denied(access.missing(name, app, environment))),
        }
    }

    /// Returns the answer to `freeze`: the new freeze, the replaced freeze, and the running jobs that finish what they have started.
    async fn freeze_answer(&self, freeze: &Freeze, before: Option<&Freeze>) -> String {
        let freezes = &self.context.freezes;
        let environment = &freeze.environment;
        let mut lines = vec![format!("{}.", freezes.line(&freeze.into()))];
        lines.extend(before.map(|before| format!("The earlier freeze is replaced: {}.", freezes.line(&before.into()))));
        let acting = self.context.locks.holders_in(environment);
        let mut named = Vec::new();
        for (id, line) in &acting {
            // Count a job without naming it if the person may not see it.
            let job = self.context.store.job(id).await.ok().flatten();
            if named.len() < MAX_NAMED && job.is_some_and(|job| self.may_see(&freeze.by, &job)) {
                named.push(format!("Job {id} is already running and finishes what it has started: {line}"));
            }
        }
        let more = acting.len().saturating_sub(named.len());
        lines.extend(named);
        if more > 0 {
            lines.push(format!("Further running jobs that finish what they have started: {more}"));
        }
        lines.push(format!("To lift the freeze: unfreeze {environment}"));
        lines.join("\n")
    }
}

fn write_failed(error: StoreError) -> Refusal {
    Refusal::Unable(format!("The freezes were not changed: {error}. Try again."))
}
