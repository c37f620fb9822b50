//! The host call `pipelines.wait`: its arguments, its answers, and the data that the store contains while the job
//! waits. No other host call waits.
//!
//! Not here: waiting for pipeline runs and timers while no guest runs, which is in `runner/wait.rs`.

use std::collections::BTreeMap;

use crate::{
    adapter::{Backends, RunEnd},
    base::{Text, spoken_duration, utc_text},
    hostcall::{
        clock::instant as clock_instant,
        host_call::{HostCall, Parking, problem},
        invocation::{Invocation, Timer, Timers},
    },
    job::{PipelineRun, thread_message},
    model::{Attribute, Attributes, Outcome, RunKey},
    plugin::bindings::types::Entry,
    store::{JobPhase, JobRow, JobStatus, OutboxRow, Release, Write},
};

pub(crate) use crate::plugin::bindings::pipelines::{Ready, WaitError, Waitable};

/// The `kind` of an item in the arguments of `pipelines.wait` that names a pipeline run.
pub(crate) const RUN: &str = "run";
/// The `kind` of an item in the arguments of `pipelines.wait` that names a timer.
pub(crate) const TIMER: &str = "timer";
/// The maximum number of pipeline runs and timers for which one call can wait.
const MAX_ITEMS: usize = 64;
/// The maximum number of bytes that the host reads from the end of a failed pipeline run's output.
const TAIL_BYTES: usize = 4_000;
/// The maximum number of lines that the host posts from the end of a failed pipeline run's output.
const TAIL_LINES: usize = 20;
/// The timeout of the request to a backend for a failed pipeline run's output.
const OUTPUT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The host call `pipelines.wait`, which waits for the first of several pipeline runs and timers.
pub(crate) struct Wait;

impl HostCall for Wait {
    type Params = (Vec<Waitable>,);
    type Answer = Ready;
    type Error = WaitError;

    async fn attributes(&self, invocation: &Invocation, (items,): &(Vec<Waitable>,)) -> Attributes {
        let mut attributes = Attributes::new();
        for item in items {
            if let Some(Item::Run(Some(run))) = find(invocation, item) {
                attributes.entry(Attribute::Pipeline).or_default().push(run.pipeline);
                attributes.entry(Attribute::App).or_default().push(run.app);
                attributes.entry(Attribute::Environment).or_default().push(run.environment);
            }
        }
        attributes
    }

    async fn perform(&self, invocation: &mut Invocation, (items,): &(Vec<Waitable>,)) -> Result<Ready, WaitError> {
        let parking = parking(invocation, items)?;
        invocation.park(parking);
        // The guest never receives this error, because the gate ends the guest after it has stored the wait.
        Err(problem("parked", "the job waits"))
    }

    /// Predicts that the first pipeline run among the items succeeds. If the call waits only for timers, predicts that
    /// the earliest timer is due.
    fn dry_run(
        &self,
        invocation: &mut Invocation,
        (items,): &(Vec<Waitable>,),
        _: &str,
    ) -> Option<Result<Ready, WaitError>> {
        if let Err(error) = parking(invocation, items) {
            return Some(Err(error));
        }
        let now = invocation.context().clock.now();
        let mut timers = Vec::new();
        for item in items {
            match find(invocation, item) {
                Some(Item::Run(Some(run))) => {
                    let end = RunEnd {
                        outcome: Outcome::Succeeded,
                        message: String::new(),
                        started: now,
                        ended: now,
                        details: BTreeMap::new(),
                    };
                    plan_wait(invocation, format!("the end of {}", run.key.as_str()));
                    return Some(run_answer(&run.key, end));
                }
                // The pipeline is no longer configured, so the answer cannot be predicted.
                Some(Item::Run(None)) => return None,
                Some(Item::Timer(timer)) => timers.push((item.id.as_str(), timer)),
                None => {}
            }
        }
        let (id, timer) = timers.into_iter().min_by_key(|(_, timer)| timer.at)?;
        let time = timer.at.duration_since(timer.set).unsigned_abs();
        plan_wait(invocation, spoken_duration(time));
        Some(timer_answer(id, timer))
    }
}

/// Adds a wait to the plan of a dry run. `what` is what the job waits for.
fn plan_wait(invocation: &mut Invocation, what: String) {
    if let Some(dry_run) = invocation.dry_run_state() {
        dry_run.waits.push(what);
    }
}

/// An item for which `pipelines.wait` waits.
enum Item {
    /// A pipeline run. `None` if its pipeline is no longer configured.
    Run(Option<PipelineRun>),
    Timer(Timer),
}

/// Returns this job's pipeline run or timer with the kind and the id in `item`. Returns `None` if the job has none.
fn find(invocation: &Invocation, item: &Waitable) -> Option<Item> {
    let replay = invocation.replay_state()?;
    match item.kind.as_str() {
        RUN => replay.runs.get(&RunKey::parse(&item.id)?).cloned().map(Item::Run),
        TIMER => replay.timers.get(&item.id).copied().map(Item::Timer),
        _ => None,
    }
}

/// Returns the data to store for a wait: the timers and the job's status.
///
/// # Errors
/// `invalid` for a wrong number of items or an unknown kind of item; `not-found` for an item that this job does not
/// have.
fn parking(invocation: &Invocation, items: &[Waitable]) -> Result<Parking, WaitError> {
    if items.is_empty() || items.len() > MAX_ITEMS {
        let message =
            format!("`pipelines.wait` waits for 1 to {MAX_ITEMS} runs and timers, but the call has {}", items.len());
        return Err(problem("invalid", message));
    }
    if let Some(item) = items.iter().find(|item| item.kind != RUN && item.kind != TIMER) {
        let kind = crate::base::clean(&item.kind);
        let message = format!("`pipelines.wait` cannot wait for the kind `{kind}`. Known kinds: `{RUN}`, `{TIMER}`");
        return Err(problem("invalid", message));
    }
    let (mut runs, mut timers) = (Vec::new(), Timers::new());
    for item in items {
        match find(invocation, item) {
            Some(Item::Run(run)) => runs.push(run.map_or_else(|| item.id.clone(), |run| run.pipeline)),
            Some(Item::Timer(timer)) => {
                timers.insert(item.id.clone(), timer);
            }
            // The message does not disclose whether another job has the item.
            None => {
                let id = crate::base::clean(&item.id);
                return Err(problem("not-found", format!("this job has no {} `{id}`", item.kind)));
            }
        }
    }
    let wake = timers.values().map(|timer| timer.at).min();
    let now = invocation.context().clock.now();
    let about = format!("waits for {}", runs.join(", "));
    let status = match wake {
        Some(at) if runs.is_empty() => waiting_until(at, now),
        _ => JobStatus { phase: JobPhase::Run, about, since: now, wake: None },
    };
    Ok(Parking { timers, status })
}

/// Returns the status of a job that waits until the time `at`.
pub(crate) fn waiting_until(at: jiff::Timestamp, now: jiff::Timestamp) -> JobStatus {
    JobStatus { phase: JobPhase::Time, about: format!("waits until {}", utc_text(at)), since: now, wake: Some(at) }
}

/// Returns the changes to store when a pipeline run has ended. If the run deployed a version, the changes record the
/// release. If the run did not succeed, the changes contain a message with the last lines of the run's output.
pub(crate) async fn run_end_writes(backends: &Backends, job: &JobRow, run: &PipelineRun, end: &RunEnd) -> Vec<Write> {
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
        // If the output cannot be read before the timeout, the message is omitted.
        let backend = backends.get(run.backend);
        let tail = tokio::time::timeout(OUTPUT_TIMEOUT, backend.output(&run.key, &run.pipeline, TAIL_BYTES)).await;
        let tail = tail.map(Result::unwrap_or_default).unwrap_or_default();
        let lines: Vec<&str> = tail.lines().collect();
        let lines = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        if !lines.is_empty() {
            let mut text = Text::lines(format!("The last lines of the output of the pipeline `{}`:", run.pipeline));
            text.push_code(lines.join("\n"));
            let key = format!("{}/output", run.key);
            writes.push(Write::Send(OutboxRow { key, ..thread_message(job, "output", text) }));
        }
    }
    writes
}

/// Returns the answer of `pipelines.wait` after a pipeline run ended.
pub(crate) fn run_answer(key: &RunKey, end: RunEnd) -> Result<Ready, WaitError> {
    let (Some(started), Some(ended)) = (clock_instant(end.started), clock_instant(end.ended)) else {
        return Err(problem(
            "invalid",
            "the pipeline run has a start or end time before 1970; check the clock of the pipeline system",
        ));
    };
    Ok(Ready {
        kind: RUN.to_owned(),
        id: key.as_str().to_owned(),
        outcome: end.outcome.as_str().to_owned(),
        message: crate::base::clean(&end.message),
        started,
        ended,
        details: end.details.into_iter().map(|(name, value)| Entry { name, value }).collect(),
    })
}

/// Returns the answer of `pipelines.wait` after a timer became due.
pub(crate) fn timer_answer(id: &str, timer: Timer) -> Result<Ready, WaitError> {
    let (Some(started), Some(ended)) = (clock_instant(timer.set), clock_instant(timer.at)) else {
        return Err(problem("invalid", "the timer has a start or end time before 1970; check the host's clock"));
    };
    Ok(Ready {
        kind: TIMER.to_owned(),
        id: id.to_owned(),
        outcome: "reached".to_owned(),
        message: String::new(),
        started,
        ended,
        details: Vec::new(),
    })
}
