//! The contract's side of `pipelines.wait`, the one waiting call.

use std::sync::atomic::Ordering;

use futures_util::{FutureExt as _, future::select_all};

use crate::{
    access::Attribute,
    capability::{Attributes, HostCall, Invocation, call::problem, clock_instant},
    job::{Job, JobRun, said},
    plugin::bindings::{
        pipelines::{Ready, WaitError, Waitable},
        types::Entry,
    },
    port::{
        Outcome, PipelineError, RunEnd,
        store::{JobRow, OutboxRow, Release, Write},
    },
    reply::Text,
};

/// The only kind of waitable there is yet.
const RUN: &str = "run";
/// More things than this cannot be waited for at once.
const MOST_ITEMS: usize = 64;
/// How much of a failed run's output the room sees, in bytes and lines.
const TAIL_BYTES: usize = 4_000;
const TAIL_LINES: usize = 20;

/// `pipelines.wait`
pub(crate) struct Wait;

impl HostCall for Wait {
    type Params = (Vec<Waitable>,);
    type Answer = Ready;
    type Error = WaitError;

    fn attributes(invocation: &Invocation, (items,): &(Vec<Waitable>,)) -> Attributes {
        let mut attributes = Attributes::new();
        for run in items.iter().filter_map(|item| known(invocation, item)) {
            attributes.entry(Attribute::Pipeline).or_default().push(run.pipeline);
            attributes.entry(Attribute::App).or_default().push(run.app);
            attributes.entry(Attribute::Environment).or_default().push(run.environment);
        }
        attributes
    }

    async fn perform(invocation: &mut Invocation, (items,): &(Vec<Waitable>,)) -> Result<Ready, WaitError> {
        if items.is_empty() || items.len() > MOST_ITEMS {
            return Err(problem(
                "invalid",
                format!("1 to {MOST_ITEMS} things can be waited for, and not {}", items.len()),
            ));
        }
        if let Some(item) = items.iter().find(|item| item.kind != RUN) {
            return Err(problem(
                "invalid",
                format!("`{}` cannot be waited for, only `{RUN}`", crate::reply::clean(&item.kind)),
            ));
        }
        let Some(job) = invocation.job().cloned() else { return Err(problem("invalid", "only a job waits")) };
        let mut runs = Vec::with_capacity(items.len());
        for item in items {
            // Whether another job has such a run is nobody's business here.
            runs.push(
                known(invocation, item).ok_or_else(|| problem::<WaitError>("not-found", "this job has no such run"))?,
            );
        }
        invocation.waiting.store(true, Ordering::Release);
        let ended = first(&job, &runs).await;
        invocation.waiting.store(false, Ordering::Release);
        let (run, end) = match ended {
            Ok(ended) => ended,
            Err(PipelineError::Refused { message }) => return Err(problem("not-found", message)),
            Err(PipelineError::Unavailable { message }) => return Err(problem("unavailable", message)),
        };
        invocation.saw_end(run.key.clone());
        for write in ending(job.row(), &run, &end).await {
            invocation.also_write(write);
        }
        ready(&run, end).ok_or_else(|| problem("invalid", "the run's times stand before 1970"))
    }
}

fn known(invocation: &Invocation, item: &Waitable) -> Option<JobRun> {
    invocation.job()?.run(&item.id).filter(|_| item.kind == RUN)
}

/// The first of these runs to end.
async fn first(job: &Job, runs: &[JobRun]) -> Result<(JobRun, RunEnd), PipelineError> {
    let waits = runs.iter().map(|run| {
        async move {
            let mut show = |line: &str| job.card().line(line);
            let end = run.system.ended(&run.key, &run.pipeline, &mut show).await?;
            Ok::<_, PipelineError>((run.clone(), end))
        }
        .boxed()
    });
    select_all(waits).await.0
}

/// What must be on disk together with a run's end: the release, and for a failed run the tail of its output.
pub(crate) async fn ending(job: &JobRow, run: &JobRun, end: &RunEnd) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(version) = &run.version {
        writes.push(Write::Release(Release {
            run: run.key.clone(),
            app: run.app.clone(),
            environment: run.environment.clone(),
            version: version.clone(),
            person: job.caller.clone(),
            job: job.id.clone(),
            started: end.started,
            ended: end.ended,
            outcome: end.outcome,
            recorded: false,
        }));
    }
    if end.outcome != Outcome::Succeeded {
        let tail = run.system.output(&run.key, &run.pipeline, TAIL_BYTES).await.unwrap_or_default();
        let lines: Vec<&str> = tail.lines().collect();
        let lines = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        if !lines.is_empty() {
            let mut text = Text::lines(format!("The end of what {} said:", run.pipeline));
            text.push_code(lines.join("\n"));
            writes.push(Write::Say(OutboxRow { key: format!("{}/output", run.key), ..said(job, "output", text) }));
        }
    }
    writes
}

fn ready(run: &JobRun, end: RunEnd) -> Option<Ready> {
    Some(Ready {
        kind: RUN.to_owned(),
        id: run.key.as_str().to_owned(),
        outcome: end.outcome.as_str().to_owned(),
        message: crate::reply::clean(&end.message),
        started: clock_instant(end.started)?,
        ended: clock_instant(end.ended)?,
        details: end.details.into_iter().map(|(name, value)| Entry { name, value }).collect(),
    })
}
