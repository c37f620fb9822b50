//! The output of the steps of a run: new lines for those who wait, and its last lines.
//!
//! The API has no offsets. Lines are therefore requested with their times from the time of the last line on, and lines
//! that were seen before are left out. A request has the precision of a second.
//!
//! Invariant: one read sends a limited number of requests, and reads a limited number of bytes.
//! Invariant: a line is passed on when it is complete, or when its step has ended.
//! Sources: the Kubernetes API (`PodLogOptions`), kubelet's `pkg/kubelet/kuberuntime/logs/logs.go` (`tail` applies to the
//! whole file, times have nine digits), `pkg/registry/core/pod/strategy.go` (`LogLocation`: times in whole seconds).

use std::collections::BTreeMap;

use wardroom::base::{TerminalLines, clean};
use wardroom_remote::{LogPart, RemoteError};

use crate::{
    call::{Call, TASK_RUNS},
    client::Client,
    error::Failure,
    log_lines::{MAX_LINES, Position, whole_seconds},
    responses::Meaning,
    types::{List, PIPELINE_RUN_LABEL, Step, TaskRun},
};

/// The maximum number of steps that one read requests.
const MAX_READS: usize = 4;
/// The maximum number of bytes of a step that one read requests.
const MAX_BYTES: usize = 256 << 10;
/// The maximum number of bytes of a tail.
const MAX_TAIL: usize = 1 << 20;
/// The maximum number of steps that a tail reads.
const MAX_TAIL_STEPS: usize = 8;

/// How far the output of a run was read.
#[derive(Debug, Default)]
pub(crate) struct LogCursor {
    /// The position in the output of each step, by its pod and its container.
    steps: BTreeMap<(String, String), Position>,
    /// The number of steps that were read, so that all steps get their turn.
    turn: usize,
}

/// A step whose output can be read.
struct Source<'t> {
    task: &'t TaskRun,
    step: &'t Step,
}

/// Returns the TaskRuns of a run, in the order in which they began.
pub(crate) async fn task_runs(client: &Client, namespace: &str, run: &str) -> Result<Vec<TaskRun>, Failure> {
    let what = format!("TaskRuns of `{run}` in the namespace `{namespace}`");
    let call = Call::list(&TASK_RUNS, namespace, format!("{PIPELINE_RUN_LABEL}={run}"), what);
    let mut tasks = client.json::<List<TaskRun>>(&call).await?.items;
    let key = |task: &TaskRun| (task.status.start_time.is_none(), task.status.start_time, task.metadata.name.clone());
    tasks.sort_by_key(key);
    Ok(tasks)
}

/// Reads the new output of a run.
///
/// # Errors
/// The output cannot be read now.
pub(crate) async fn read(
    client: &Client,
    namespace: &str,
    run: &str,
    cursor: &mut LogCursor,
) -> Result<LogPart, RemoteError> {
    let tasks = task_runs(client, namespace, run).await?;
    let mut part = LogPart::default();
    let mut reads = 0;
    let mut failure = None;
    let with_pod: Vec<&TaskRun> = tasks.iter().filter(|task| !task.status.pod_name.is_empty()).collect();
    for at in 0..with_pod.len() {
        let task = with_pod[(cursor.turn + at) % with_pod.len()];
        // The steps of a task run one after the other.
        while let Some(step) = cursor.next_step(task) {
            if reads == MAX_READS {
                cursor.turn = (cursor.turn + at) % with_pod.len();
                part.has_more = true;
                return Ok(part);
            }
            reads += 1;
            // The node of one task can be down while the others run.
            if let Err(error) = read_step(client, namespace, &Source { task, step }, cursor, &mut part.lines).await {
                failure.get_or_insert(error);
                break;
            }
            if !cursor.position(task, step).is_done {
                break;
            }
        }
    }
    if let Some(error) = failure.filter(|_| part.lines.is_empty()) {
        return Err(error);
    }
    part.has_more = tasks.is_empty() || tasks.iter().any(|task| !task.is_done() || cursor.next_step(task).is_some());
    Ok(part)
}

impl LogCursor {
    fn position(&self, task: &TaskRun, step: &Step) -> Position {
        let key = (task.status.pod_name.clone(), step.container.clone());
        self.steps.get(&key).copied().unwrap_or_default()
    }

    fn set(&mut self, task: &TaskRun, step: &Step, position: Position) {
        self.steps.insert((task.status.pod_name.clone(), step.container.clone()), position);
    }

    /// Returns the first step of a task whose output was not read to its end, if it has begun.
    fn next_step<'t>(&self, task: &'t TaskRun) -> Option<&'t Step> {
        let step = task.status.steps.iter().find(|step| !self.position(task, step).is_done)?;
        (step.running.is_some() || step.terminated.is_some()).then_some(step)
    }
}

/// Reads the new output of one step.
async fn read_step(
    client: &Client,
    namespace: &str,
    source: &Source<'_>,
    cursor: &mut LogCursor,
    lines: &mut Vec<String>,
) -> Result<(), RemoteError> {
    let Source { task, step } = source;
    let mut position = cursor.position(task, step);
    let prefix = format!("{}/{}: ", clean(task.task()), clean(&step.name));
    let mut query = vec![
        ("container", step.container.clone()),
        ("timestamps", "true".to_owned()),
        ("tailLines", MAX_LINES.to_string()),
        ("limitBytes", MAX_BYTES.to_string()),
    ];
    if let Some((last, _)) = position.last {
        query.push(("sinceTime", whole_seconds(last)));
    }
    let body = match client.send(&log_call(namespace, source, query, MAX_BYTES)).await {
        Ok(answer) => answer.body,
        Err(failure) if is_waiting(&failure) => return Ok(()),
        Err(failure) if failure.error.is_missing() => {
            lines.push(format!("{prefix}[the pod was deleted, and with it the rest of the output]"));
            cursor.set(task, step, Position { is_done: true, ..position });
            return Ok(());
        }
        Err(failure) => return Err(failure.error),
    };
    let has_ended = step.terminated.is_some();
    let is_full = body.len() >= MAX_BYTES;
    let text = position.take_new(&body, has_ended && !is_full, is_full);
    if text.is_gap {
        lines.push(format!("{prefix}[... output was left out because there was too much]"));
    }
    let mut terminal = TerminalLines::default();
    let mut plain = Vec::new();
    for line in text.lines {
        terminal.push(line, &mut plain);
        terminal.finish(&mut plain);
        if line.is_empty() {
            plain.push(String::new());
        }
    }
    lines.extend(plain.into_iter().map(|line| format!("{prefix}{line}")));
    position.is_done = has_ended && !is_full;
    cursor.set(task, step, position);
    Ok(())
}

fn is_waiting(failure: &Failure) -> bool {
    failure.is(Meaning::Rejected)
        && (failure.message.contains("is waiting to start") || failure.message.contains("is not available"))
}

fn log_call<'s>(namespace: &'s str, source: &Source<'s>, query: Vec<(&'static str, String)>, max: usize) -> Call<'s> {
    let (task, step) = (clean(source.task.task()), clean(&source.step.name));
    let what = format!("output of the step `{step}` of the task `{task}`");
    Call::log(namespace, &source.task.status.pod_name, query, max, what)
}

/// Returns the last lines of the output of a run, at most `bytes` bytes.
///
/// # Errors
/// The output cannot be read now.
pub(crate) async fn tail(client: &Client, namespace: &str, run: &str, bytes: usize) -> Result<String, RemoteError> {
    let tasks = task_runs(client, namespace, run).await?;
    let has_begun = |step: &&Step| step.running.is_some() || step.terminated.is_some();
    let steps = tasks
        .iter()
        .filter(|task| !task.status.pod_name.is_empty())
        .flat_map(|task| task.status.steps.iter().filter(has_begun).map(move |step| Source { task, step }));
    let sources: Vec<Source<'_>> = steps.collect();
    let bytes = bytes.min(MAX_TAIL);
    let mut parts: Vec<String> = Vec::new();
    let (mut length, mut failure) = (0, None);
    for source in sources.iter().rev().take(MAX_TAIL_STEPS) {
        if length >= bytes {
            break;
        }
        let lines = (bytes - length).clamp(1, MAX_LINES);
        let query = vec![("container", source.step.container.clone()), ("tailLines", lines.to_string())];
        let body = match client.send(&log_call(namespace, source, query, MAX_TAIL * 4)).await {
            Ok(answer) => answer.body,
            Err(failure) if is_waiting(&failure) || failure.error.is_missing() => continue,
            Err(failed) => {
                failure.get_or_insert(failed.error);
                continue;
            }
        };
        let (mut terminal, mut plain) = (TerminalLines::default(), Vec::new());
        terminal.push(&body, &mut plain);
        terminal.finish(&mut plain);
        let prefix = format!("{}/{}: ", clean(source.task.task()), clean(&source.step.name));
        let text: String = plain.iter().map(|line| format!("{prefix}{line}\n")).collect();
        length += text.len();
        parts.push(text);
    }
    if let Some(error) = failure.filter(|_| parts.is_empty()) {
        return Err(error);
    }
    parts.reverse();
    let text = parts.concat();
    Ok(text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..].to_owned())
}
