//! The host call `pipelines.wait`, the only call that waits: its arguments and its answers.
//!
//! Not here: the waiting itself. The job does that while no guest runs (`job::wait`).

use std::collections::BTreeMap;

use crate::{
    adapter::{Backends, RunEnd},
    base::{Text, moment},
    hostcall::{
        clock::instant as clock_instant,
        host_call::{HostCall, Parking, problem},
        invocation::{Invocation, Timer},
    },
    job::{PipelineRun, thread_message},
    model::{Attribute, Attributes, Outcome, RunKey},
    plugin::bindings::types::Entry,
    store::{JobPhase, JobRow, JobStatus, OutboxRow, Release, Write},
};

pub(crate) use crate::plugin::bindings::pipelines::{Ready, WaitError, Waitable};

/// The kind of a waitable that is a pipeline run.
pub(crate) const RUN: &str = "run";
/// The kind of a waitable that is a timer.
pub(crate) const TIMER: &str = "timer";
/// The most waitables of one call.
const MOST_ITEMS: usize = 64;
/// The most bytes of a failed run's output that are read for the room.
const TAIL_BYTES: usize = 4_000;
/// The most lines of it that are posted.
const TAIL_LINES: usize = 20;
/// The timeout for reading a failed run's output.
const OUTPUT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// `pipelines.wait`
pub(crate) struct Wait;

/// The timers of a waiting call by id. The call's entry stores them in addition to its arguments, which contain only
/// the ids.
pub(crate) type Timers = BTreeMap<String, Timer>;

impl HostCall for Wait {
    type Params = (Vec<Waitable>,);
    type Answer = Ready;
    type Error = WaitError;

    async fn attributes(&self, invocation: &Invocation, (items,): &(Vec<Waitable>,)) -> Attributes {
        let mut attributes = Attributes::new();
        for item in items {
            if let Some(Item::Run(Some(run))) = known(invocation, item) {
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
        // No guest receives this error: the gate ends the guest once the wait is on disk.
        Err(problem("parked", "it waits"))
    }

    /// In a dry run the first pipeline run succeeds at once. Without a run, the earliest timer is reached.
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
            match known(invocation, item) {
                Some(Item::Run(Some(run))) => {
                    let details = BTreeMap::new();
                    let end = RunEnd {
                        outcome: Outcome::Succeeded,
                        message: String::new(),
                        started: now,
                        ended: now,
                        details,
                    };
                    return Some(ready(&run.key, end));
                }
                // The pipeline is no longer configured, so no answer can be assumed.
                Some(Item::Run(None)) => return None,
                Some(Item::Timer(timer)) => timers.push((item.id.as_str(), timer)),
                None => {}
            }
        }
        let (id, timer) = timers.into_iter().min_by_key(|(_, timer)| timer.at)?;
        Some(reached(id, timer))
    }
}

/// One waitable of a call.
enum Item {
    /// A pipeline run. `None` if its pipeline is no longer configured.
    Run(Option<PipelineRun>),
    Timer(Timer),
}

fn known(invocation: &Invocation, item: &Waitable) -> Option<Item> {
    let replay = invocation.replay_state()?;
    match item.kind.as_str() {
        RUN => replay.runs.get(&RunKey::parse(&item.id)?).cloned().map(Item::Run),
        TIMER => replay.timers.get(&item.id).copied().map(Item::Timer),
        _ => None,
    }
}

/// The wait entry and the job's status for these waitables.
///
/// # Errors
/// `invalid` for a wrong number or kind of waitables, `not-found` for one that is not this job's.
fn parking(invocation: &Invocation, items: &[Waitable]) -> Result<Parking, WaitError> {
    if items.is_empty() || items.len() > MOST_ITEMS {
        return Err(problem("invalid", format!("1 to {MOST_ITEMS} things can be waited for, and not {}", items.len())));
    }
    if let Some(item) = items.iter().find(|item| item.kind != RUN && item.kind != TIMER) {
        let kind = crate::base::clean(&item.kind);
        return Err(problem("invalid", format!("`{kind}` cannot be waited for, only `{RUN}` and `{TIMER}`")));
    }
    let (mut runs, mut timers) = (Vec::new(), Timers::new());
    for item in items {
        match known(invocation, item) {
            Some(Item::Run(run)) => runs.push(run.map_or_else(|| item.id.clone(), |run| run.pipeline)),
            Some(Item::Timer(timer)) => {
                timers.insert(item.id.clone(), timer);
            }
            // The message does not reveal whether another job has it.
            None => return Err(problem("not-found", format!("this job has no such {}", item.kind))),
        }
    }
    let wake = timers.values().map(|timer| timer.at).min();
    let now = invocation.context().clock.now();
    let status = match wake {
        Some(at) if runs.is_empty() => until(at, now),
        _ => {
            JobStatus { phase: JobPhase::Run, about: format!("waits for {}", runs.join(", ")), since: now, wake: None }
        }
    };
    Ok(Parking { body: serde_json::Map::from_iter([("timers".to_owned(), serde_json::json!(timers))]), status })
}

/// The status of a job that waits until a point in time.
pub(crate) fn until(at: jiff::Timestamp, now: jiff::Timestamp) -> JobStatus {
    JobStatus { phase: JobPhase::Time, about: format!("waits until {}", moment(at)), since: now, wake: Some(at) }
}

/// The writes that belong into one transaction with a run's end: the release, and for a failed run the end of its
/// output.
pub(crate) async fn ending(backends: &Backends, job: &JobRow, run: &PipelineRun, end: &RunEnd) -> Vec<Write> {
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
        // A failed or slow read of the output must not delay the end of the run, so it is left out.
        let tail =
            tokio::time::timeout(OUTPUT_TIMEOUT, backends.get(run.backend).output(&run.key, &run.pipeline, TAIL_BYTES))
                .await;
        let tail = tail.map(Result::unwrap_or_default).unwrap_or_default();
        let lines: Vec<&str> = tail.lines().collect();
        let lines = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        if !lines.is_empty() {
            let mut text = Text::lines(format!("The end of what {} said:", run.pipeline));
            text.push_code(lines.join("\n"));
            writes.push(Write::Send(OutboxRow {
                key: format!("{}/output", run.key),
                ..thread_message(job, "output", text)
            }));
        }
    }
    writes
}

/// The result of the call `wait` for a run that has ended.
pub(crate) fn ready(key: &RunKey, end: RunEnd) -> Result<Ready, WaitError> {
    let (Some(started), Some(ended)) = (clock_instant(end.started), clock_instant(end.ended)) else {
        return Err(problem("invalid", "the run's times stand before 1970"));
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

/// The answer of a wait when a timer was reached.
pub(crate) fn reached(id: &str, timer: Timer) -> Result<Ready, WaitError> {
    let (Some(started), Some(ended)) = (clock_instant(timer.set), clock_instant(timer.at)) else {
        return Err(problem("invalid", "the timer stands before 1970"));
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
