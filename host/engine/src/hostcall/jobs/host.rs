//! The host calls `jobs.list` and `jobs.cancel`.

use crate::{
    hostcall::{
        clock::instant as clock_instant,
        host_call::{HostCall, InDoubt, Recovered, problem, unavailable},
        invocation::Invocation,
    },
    job::{ShownIn, cancel_before_start},
    model::{Attribute, Attributes},
    plugin::bindings::{
        jobs::{Left, Which},
        types,
    },
    policy::Rights,
    store::{JobOutcome, JobPhase, JobQuery, JobRow},
};

/// The maximum number of jobs that `jobs.list` returns.
const MAX_LISTED: usize = 1_000;
/// The maximum number of scheduled jobs that `jobs.list` reads from the store. The answer leaves out further jobs.
const MAX_READ: u32 = 20_000;

/// Returns the scheduled jobs of the plugin, at most `limit`. With `caller`, returns only the jobs of this person.
///
/// # Errors
/// `unavailable` if the store is unavailable.
pub(super) async fn scheduled_jobs(
    invocation: &Invocation,
    caller: Option<String>,
    limit: u32,
) -> Result<Vec<JobRow>, types::Error> {
    let query = JobQuery {
        open: Some(true),
        phases: Some(vec![JobPhase::Scheduled]),
        plugin: Some(invocation.plugin().to_owned()),
        caller,
        limit: Some(limit),
        ..JobQuery::default()
    };
    invocation.context().store.jobs(&query).await.map_err(unavailable)
}

/// The host call `jobs.list`, which lists the plugin's scheduled jobs. Leaves out jobs that the person who typed the
/// command may not see.
pub(crate) struct List;

impl HostCall for List {
    type Params = ();
    type Answer = Vec<Left>;
    type Error = types::Error;

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<Vec<Left>, types::Error> {
        let mut jobs = scheduled_jobs(invocation, None, MAX_READ).await?;
        jobs.retain(|job| may_see(invocation, job));
        jobs.sort_by_key(|job| job.status.wake);
        jobs.truncate(MAX_LISTED);
        Ok(jobs.into_iter().filter_map(scheduled).collect())
    }
}

fn scheduled(job: JobRow) -> Option<Left> {
    Some(Left { id: job.id, line: job.line, at: clock_instant(job.status.wake?)? })
}

fn may_see(invocation: &Invocation, job: &JobRow) -> bool {
    let own = invocation.context().access.same_person(&job.caller.id, &invocation.request().caller().id);
    own || match (&job.app, &job.environment) {
        (Some(app), Some(environment)) => invocation.may_see(app, environment),
        // A job without an app and environment is visible only to its caller and to admins.
        _ => matches!(*invocation.rights(), Rights::Admin),
    }
}

/// The host call `jobs.cancel`, which cancels a scheduled job of the plugin.
pub(crate) struct Cancel;

impl HostCall for Cancel {
    type Params = (Which,);
    type Answer = ();
    type Error = types::Error;

    async fn attributes(&self, invocation: &Invocation, (which,): &(Which,)) -> Attributes {
        let mut attributes = Attributes::new();
        // A job of another plugin, and a job that the caller may not see, have no attributes here, so that the refusal
        // does not disclose them. `perform` reports a job that cannot be read.
        let own = |job: &JobRow| job.plugin == invocation.plugin() && may_see(invocation, job);
        if let Some(job) = invocation.context().store.job(&which.id).await.ok().flatten().filter(own) {
            attributes.extend(job.app.map(|app| (Attribute::App, vec![app])));
            attributes.extend(job.environment.map(|name| (Attribute::Environment, vec![name])));
        }
        attributes
    }

    async fn perform(&self, invocation: &mut Invocation, (which,): &(Which,)) -> Result<(), types::Error> {
        let context = invocation.context().clone();
        let plugin = invocation.plugin().to_owned();
        let is_scheduled = |job: &JobRow| job.end.is_none() && job.status.phase == JobPhase::Scheduled;
        // A job that the caller may not see is not found, as in `jobs.list`.
        let own = |job: &JobRow| job.plugin == plugin && is_scheduled(job) && may_see(invocation, job);
        let not_found = || {
            let id = crate::base::clean(&which.id);
            let message =
                format!("the plugin `{plugin}` has not scheduled the job `{id}`, or the job has already started");
            problem::<types::Error>("not-found", message)
        };
        context.store.job(&which.id).await.map_err(unavailable)?.filter(own).ok_or_else(not_found)?;
        // The claim blocks other tasks from starting the job. Read the job again, because it may have started before
        // the claim.
        let claim = context.claims.claim(&which.id).ok_or_else(not_found)?;
        let job = context.store.job(&which.id).await.map_err(unavailable)?.filter(own).ok_or_else(not_found)?;
        let head = context.store.journal_head(&job.id).await.map_err(unavailable)?;
        let by = invocation.request().caller().clone();
        let shown = ShownIn::read(&*context.store, &job.id).await;
        let mut writes =
            cancel_before_start(&job, head.map_or(0, |(next, _)| next), &by, shown.as_ref(), context.clock.now());
        writes.extend(context.outbox.outcome_reaction(&job, JobOutcome::Cancelled));
        writes.extend(context.notices.closing(&context.outbox, &context.catalog, &job, &writes));
        invocation.writes.extend(writes);
        invocation.claims.push(claim);
        Ok(())
    }

    /// Always predicts a success. Does not check whether the job exists, because the scheduled jobs may change before
    /// the command runs.
    fn dry_run(&self, _: &mut Invocation, _: &(Which,), _: &str) -> Option<Result<(), types::Error>> {
        Some(Ok(()))
    }

    async fn recover(&self, _: &InDoubt<'_>) -> Recovered<Self::Answer> {
        // The transaction that stores the result also makes the change. Without a result, nothing was changed.
        Recovered::NotHappened
    }
}
