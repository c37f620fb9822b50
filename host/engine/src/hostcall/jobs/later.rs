//! The host call `jobs.later`, which schedules an action of the plugin as a new job.
//!
//! Invariant: a plugin can schedule nothing that reaches further than the command that the person typed. A scheduled
//! command cannot leave out an app, environment, version, person or role of that command if it has such a parameter,
//! because a missing value can mean every value. Without `beyond`, it has no other argument and is no other command. No
//! rule applies to it alone.

use std::sync::Arc;

use super::host::scheduled_jobs;
use crate::{
    base::utc_text,
    command::{Command, CommandKind, Parameter, ParameterType, Spec, Vocabulary, arguments_of_words},
    hostcall::{
        clock::{instant as clock_instant, later as clock_later},
        direct_message::shown_in,
        host_call::{HostCall, InDoubt, Recovered, problem},
        invocation::{Invocation, Plugin},
        opening::new_job,
    },
    job::{Reason, first_card},
    model::{Attribute, Attributes},
    plugin::bindings::{
        jobs::{LaterRequest, Left},
        types,
    },
    store::{JobPhase, JobStatus, Write},
};

/// The maximum number of scheduled jobs of one plugin and one person. `jobs.later` refuses further jobs.
const MAX_OPEN: u32 = 100;
/// The minimum delay with which a scheduled job can schedule a further job. The host refuses a shorter delay.
const MIN_REPEAT: std::time::Duration = std::time::Duration::from_secs(30);

/// The attributes of a scheduled command that the host compares with the command that schedules it.
const TARGET: [Attribute; 3] = [Attribute::App, Attribute::Environment, Attribute::Version];

/// The host call `jobs.later`, which schedules an action of the plugin as a new job.
pub(crate) struct Later;

impl HostCall for Later {
    type Params = (LaterRequest,);
    type Answer = Left;
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (request,): &(LaterRequest,)) -> Attributes {
        // `validate` reports arguments that cannot be parsed.
        let Ok(command) = command(invocation, request) else { return Attributes::new() };
        TARGET
            .into_iter()
            .filter_map(|attribute| Some((attribute, vec![command.typed(attribute).next()?.to_owned()])))
            .collect()
    }

    fn parameters(&self, invocation: &Invocation, (request,): &(LaterRequest,)) -> Vec<(String, String)> {
        match command(invocation, request) {
            Ok(command) => {
                let is_target = |parameter: &Parameter| {
                    !parameter.source && parameter.kind.attribute().is_some_and(|attribute| TARGET.contains(&attribute))
                };
                let others = command.arguments().filter(|(parameter, _)| !is_target(parameter));
                let mut parameters: Vec<_> =
                    others.map(|(parameter, value)| (parameter.name.clone(), value.to_string())).collect();
                let typed = invocation.request().command();
                parameters.extend(left_out(typed, &command).map(|name| (name.to_owned(), format!("without {name}"))));
                let name = &command.spec().name;
                if *name != typed.spec().name {
                    parameters.push(("command".to_owned(), name.clone()));
                }
                parameters
            }
            // Arguments that cannot be parsed all count as parameters, which a rule must allow.
            Err(_) => {
                request.arguments.iter().map(|argument| (argument.name.clone(), argument.value.clone())).collect()
            }
        }
    }

    fn objections(&self, invocation: &Invocation, (request,): &(LaterRequest,)) -> Vec<Reason> {
        let access = &invocation.context().access;
        // `validate` reports a command that is not an action of this plugin.
        let Ok(command) = command(invocation, request) else { return Vec::new() };
        let mut reasons = Vec::new();
        // The scheduled command runs as if a person had typed it. Therefore the person needs the same rights, also for
        // the environments from which the command only reads.
        if let Err(refused) = access.check(&command, invocation.request().message()) {
            reasons.push(Reason { kind: "role".to_owned(), text: refused.message, add: None });
        }
        // The plugin must not add a person or a role that is not in the current command, and no grant can allow this.
        let typed = invocation.request().command();
        for attribute in [Attribute::Person, Attribute::Role] {
            for value in command.named(attribute).filter(|value| !typed.named(attribute).any(|typed| typed == *value)) {
                let text = format!("the command `{}` does not contain {} `{value}`", typed.line(), attribute.as_str());
                reasons.push(Reason { kind: "typed".to_owned(), text, add: None });
            }
        }
        // The plugin must not leave out a target either, because a missing target can mean every target.
        for attribute in [TARGET.as_slice(), &[Attribute::Person, Attribute::Role]].concat() {
            let is_target = |known: &Parameter| !known.source && known.kind.attribute() == Some(attribute);
            if command.spec().parameters.iter().any(is_target)
                && command.typed(attribute).next().is_none()
                && let Some(value) = typed.typed(attribute).next()
            {
                let text = format!(
                    "the scheduled command `{}` leaves out {} `{value}` of the command `{}`",
                    command.line(),
                    attribute.as_str(),
                    typed.line()
                );
                reasons.push(Reason { kind: "typed".to_owned(), text, add: None });
            }
        }
        // A rule for the scheduled command alone must not apply to what the person typed.
        let (scheduled, now) = (command.spec().name.as_str(), typed.spec().name.as_str());
        if let Some(rule) = invocation.loaded().grants.only_for(scheduled, now) {
            let text = format!(
                "the rule {} applies to the command `{scheduled}` and not to `{now}`, so `{now}` cannot schedule \
                 `{scheduled}`; to allow this, an operator can add \"{now}\" to `command` there",
                rule.at
            );
            reasons.push(Reason { kind: "grant".to_owned(), text, add: None });
        }
        reasons
    }

    async fn validate(&self, invocation: &Invocation, (request,): &(LaterRequest,)) -> Result<(), types::Error> {
        command(invocation, request)?;
        start_time(clock_later(invocation.context().monotonic.now(), request.milliseconds)?)?;
        check_limits(invocation, request).await
    }

    async fn perform(&self, invocation: &mut Invocation, (request,): &(LaterRequest,)) -> Result<Left, types::Error> {
        // 1. The command and its start time.
        let command = command(invocation, request)?;
        let context = invocation.context().clone();
        let begins = clock_later(context.monotonic.now(), request.milliseconds)?;
        let about = format!("begins at {}", utc_text(begins));
        let status = JobStatus { phase: JobPhase::Scheduled, about, since: context.clock.now(), wake: Some(begins) };
        let request = context.access.resume(command, invocation.request().message().clone());
        let Some(parent) = invocation.job().cloned() else {
            return Err(problem(
                "invalid",
                "only an action can schedule a command, and the running command is a query",
            ));
        };
        // 2. The new job starts with the current file of the plugin. It gets the settings and limits of this job, even
        //    if the plugin's configuration has changed, but only if the file is the same.
        let plugin = current(invocation)?.clone();
        let given = match plugin.digest == invocation.loaded().digest {
            true => (invocation.settings().to_vec(), *invocation.meter.limits()),
            false => (plugin.settings.to_vec(), plugin.limits),
        };
        let shown = shown_in(&context, &request).await;
        let parent = Some(parent.row());
        let (row, entry) = new_job(&context, &plugin, given, &request, parent, shown.clone(), status);
        let scheduled = Left { id: row.id.clone(), line: row.line.clone(), at: start_time(begins)? };
        // 3. The job's row, first entry, status card and announcement are stored together with the result of this call.
        invocation.writes.push(Write::Send(first_card(&row)));
        invocation.writes.extend(shown.map(|shown| shown.opened(&row)));
        invocation.writes.extend([Write::Open(row), Write::Append(entry)]);
        Ok(scheduled)
    }

    fn dry_run(
        &self,
        invocation: &mut Invocation,
        (request,): &(LaterRequest,),
        name: &str,
    ) -> Option<Result<Left, types::Error>> {
        let scheduled = || {
            let command = command(invocation, request)?;
            let begins = clock_later(invocation.context().monotonic.now(), request.milliseconds)?;
            let line = crate::base::clean(command.line());
            Ok(Left { id: name.to_owned(), line, at: start_time(begins)? })
        };
        Some(scheduled())
    }

    async fn recover(&self, _: &InDoubt<'_>) -> Recovered<Self::Answer> {
        // The transaction that stores the result also makes the change. Without a result, nothing was changed.
        Recovered::NotHappened
    }
}

/// Returns the parameters of a scheduled command without a value that have a value in the command that schedules it:
/// parameters of the same name, and parameters of the type duration. Leaves out the targets ([`TARGET`]).
fn left_out<'s>(typed: &'s Command, scheduled: &'s Command) -> impl Iterator<Item = &'s str> {
    let is_duration = |parameter: &Parameter| parameter.kind == ParameterType::Duration;
    let is_left_out = move |parameter: &&Parameter| {
        let is_same =
            |other: &Parameter| other.name == parameter.name || (is_duration(other) && is_duration(parameter));
        (parameter.source || parameter.kind.attribute().is_none())
            && !scheduled.arguments().any(|(given, _)| given.name == parameter.name)
            && typed.arguments().any(|(other, _)| is_same(other))
    };
    scheduled.spec().parameters.iter().filter(is_left_out).map(|parameter| parameter.name.as_str())
}

/// Checks the limits on scheduled jobs. Without limits their number could grow forever, because a scheduled job can
/// schedule further jobs.
///
/// # Errors
/// `limit` if a scheduled job schedules a job with a delay of less than [`MIN_REPEAT`], or if the person already
/// has [`MAX_OPEN`] scheduled jobs of this plugin; `unavailable` if the store is unavailable.
async fn check_limits(invocation: &Invocation, request: &LaterRequest) -> Result<(), types::Error> {
    let is_scheduled = invocation.job().is_some_and(|job| job.row().parent.is_some());
    if is_scheduled && u128::from(request.milliseconds) < MIN_REPEAT.as_millis() {
        let least = MIN_REPEAT.as_secs();
        let message = format!("a scheduled job can schedule a command only with a delay of {least} s or more");
        return Err(problem("limit", message));
    }
    let caller = invocation.request().caller().id.clone();
    if scheduled_jobs(invocation, Some(caller), MAX_OPEN).await?.len() >= MAX_OPEN as usize {
        let message = format!("one person can have at most {MAX_OPEN} scheduled commands of one plugin");
        return Err(problem("limit", message));
    }
    Ok(())
}

/// Converts the start time of a scheduled job to the type that plugins receive.
///
/// # Errors
/// `invalid` for a time before 1970.
fn start_time(begins: jiff::Timestamp) -> Result<types::Instant, types::Error> {
    clock_instant(begins)
        .ok_or_else(|| problem("invalid", "the job's start time is before 1970; check the host's clock"))
}

/// Returns the plugin with its current file. The file can be newer than the file with which this job started.
///
/// # Errors
/// `unavailable` if the plugin is not loaded.
fn current(invocation: &Invocation) -> Result<&Arc<Plugin>, types::Error> {
    let name = invocation.plugin();
    let not_loaded = || problem("unavailable", format!("the plugin `{name}` is not loaded, so it can schedule no job"));
    invocation.context().plugins.get(name).ok_or_else(not_loaded)
}

/// Returns the command that a plugin schedules, parsed as if a person had typed the command.
///
/// # Errors
/// `invalid` if the command is not valid; `unavailable` if the plugin is not loaded.
fn command(invocation: &Invocation, request: &LaterRequest) -> Result<Command, types::Error> {
    let own = &current(invocation)?.description.commands;
    // A command that belongs to another plugin is not in the table of commands.
    let is_own = |spec: &Arc<Spec>| {
        let known = invocation.context().plugins.table().get(&spec.name);
        known.is_some_and(|known| Arc::ptr_eq(known, spec))
    };
    let action =
        own.iter().find(|spec| spec.name == request.command && spec.kind == CommandKind::Action && is_own(spec));
    let Some(spec) = action else {
        let (command, plugin) = (crate::base::clean(&request.command), invocation.plugin());
        return Err(problem("invalid", format!("`{command}` is not an action of the plugin `{plugin}`")));
    };
    // Only the command's own parameters are allowed. The host's flags, such as `--override`, are reserved for people.
    if let Some(unknown) =
        request.arguments.iter().find(|given| spec.parameters.iter().all(|known| known.name != given.name))
    {
        let name = crate::base::clean(&unknown.name);
        return Err(problem("invalid", format!("`{}` has no parameter `{name}`", spec.name)));
    }
    let words: Vec<String> =
        request.arguments.iter().map(|argument| format!("--{}={}", argument.name, argument.value)).collect();
    let context = invocation.context();
    let vocabulary = Vocabulary::of(&context.catalog, &*context.access, invocation.request().asker());
    arguments_of_words(spec, &words, &vocabulary).map_err(|misparse| problem("invalid", misparse.to_string()))
}
