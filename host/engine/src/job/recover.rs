//! Jobs that were open when the host died: what each was, how its runs stand, and their end when it comes.
//!
//! Not here yet: replay. What the plugin would have done next is not done, and that is said.

use std::{sync::Arc, time::Duration};

use super::{Activity, AtWork, JobRun};
use crate::{
    capability::{Shared, ending},
    engine::{emoji, entry},
    port::{
        PipelineError, RunEnd, RunKey, RunState, StoreError,
        store::{Entry, EntryKind, JobEnd, JobOutcome, JobRow, OutboxRow, Purpose, Write},
    },
    reply::{Text, took},
};

/// The call whose intents name runs.
const TRIGGER: &str = "pipelines.trigger";
/// The longest wait between two questions to a system that is away.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Reports every job that an earlier process left open, and follows its runs to their end.
///
/// # Errors
/// The store cannot be read.
pub(crate) async fn recover(shared: &Arc<Shared>, activity: &Activity) -> Result<(), StoreError> {
    for row in shared.store.open_jobs().await? {
        let entries = shared.store.entries(&row.id).await?;
        tracing::warn!(job = row.id, line = row.line, "a job was open when the host stopped");
        let (shared, at_work) = (shared.clone(), activity.begin());
        tokio::spawn(async move { follow(shared, row, entries, at_work).await });
    }
    Ok(())
}

async fn follow(shared: Arc<Shared>, row: JobRow, entries: Vec<Entry>, _at_work: AtWork) {
    let mut lines =
        vec![format!("`{}` (job {}, asked by {}) was open when the host stopped.", row.line, row.id, row.caller.name)];
    let mut writes = Vec::new();
    let intents: Vec<&Entry> =
        entries.iter().filter(|entry| entry.kind == EntryKind::Intent && entry.call == TRIGGER).collect();
    if intents.is_empty() {
        lines.push("It had started no run.".to_owned());
    }
    for intent in intents {
        let Some(run) = run_of(&shared, &row, intent) else {
            lines.push(
                "A run that it started belongs to a pipeline that is no longer configured: how it stands is not known."
                    .to_owned(),
            );
            continue;
        };
        let (state, waited) = state(&shared, &row, &run).await;
        match state {
            RunState::Absent => lines.push(format!("Its run of {} was never started.", run.pipeline)),
            RunState::Unknowable(reason) => {
                lines.push(format!("Whether its run of {} was started cannot be known: {reason}.", run.pipeline))
            }
            RunState::Ended(end) => {
                lines.push(ended(&run, &end));
                writes.extend(ending(&row, &run, &end).await);
            }
            RunState::Running => {
                if !waited {
                    say_running(&shared, &row, &run).await;
                }
                let mut quiet = |_: &str| {};
                match run.system.ended(&run.key, &run.pipeline, &mut quiet).await {
                    Ok(end) => {
                        lines.push(ended(&run, &end));
                        writes.extend(ending(&row, &run, &end).await);
                    }
                    Err(error) => lines.push(format!("How its run of {} stands is not known: {error}.", run.pipeline)),
                }
            }
        }
    }
    lines.push("What the plugin would have done next was not done.".to_owned());
    close(&shared, &row, &entries, Text::lines(lines.join("\n")), writes).await;
}

/// The run that an intent would have started.
fn run_of(shared: &Shared, row: &JobRow, intent: &Entry) -> Option<JobRun> {
    let one = |name: &str| intent.attributes.get(name).and_then(|values| values.first()).cloned();
    let pipeline = one("pipeline")?;
    let deployment = shared.catalog.pipeline(&pipeline)?;
    Some(JobRun {
        key: RunKey::new(&row.id, intent.number),
        pipeline,
        app: deployment.app.clone(),
        environment: deployment.environment.clone(),
        version: one("version"),
        started: intent.at,
        system: deployment.system.clone(),
    })
}

/// How a run stands, asked for as long as its system is away. Also says whether the room was told of the wait.
async fn state(shared: &Shared, row: &JobRow, run: &JobRun) -> (RunState, bool) {
    let mut wait = Duration::from_secs(1);
    let mut told = false;
    loop {
        match run.system.state(&run.key, &run.pipeline).await {
            Ok(state) => return (state, told),
            Err(PipelineError::Refused { message }) => return (RunState::Unknowable(message), told),
            Err(PipelineError::Unavailable { message }) => {
                if !std::mem::replace(&mut told, true) {
                    let text = format!(
                        "`{}` (job {}) was open when the host stopped. How its run stands is not known yet: {message}",
                        row.line, row.id
                    );
                    say(shared, row, "restart", Text::lines(text)).await;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

async fn say_running(shared: &Shared, row: &JobRow, run: &JobRun) {
    let text = format!(
        "The host was restarted during `{}` (job {}, asked by {}). Its run of {} goes on; its end is told here.",
        row.line, row.id, row.caller.name, run.pipeline
    );
    say(shared, row, "restart", Text::lines(text)).await;
}

fn ended(run: &JobRun, end: &RunEnd) -> String {
    let why = if end.message.is_empty() { String::new() } else { format!(" ({})", end.message) };
    let took = took(end.started, end.ended);
    match end.outcome {
        crate::port::Outcome::Unknown => {
            format!("Its run of {} ended, and nobody knows how far it came{why}.", run.pipeline)
        }
        outcome => format!("Its run of {} {} after {took}{why}.", run.pipeline, outcome.as_str()),
    }
}

async fn say(shared: &Shared, row: &JobRow, purpose: &str, text: Text) {
    match shared.store.commit(vec![Write::Say(said(row, purpose, text))]).await {
        Ok(_) => shared.outbox.wake(),
        // The closing line says it all again.
        Err(error) => tracing::error!(job = row.id, %error, "a report could not be kept"),
    }
}

fn said(row: &JobRow, purpose: &str, text: Text) -> OutboxRow {
    OutboxRow {
        key: format!("{}/{purpose}", row.id),
        network: row.inbox.network.clone(),
        room: row.inbox.room.clone(),
        thread: row.thread.clone(),
        purpose: Purpose::Message,
        text,
    }
}

async fn close(shared: &Shared, row: &JobRow, entries: &[Entry], text: Text, mut writes: Vec<Write>) {
    let outcome = JobOutcome::Unknown;
    let now = shared.clock.now();
    let number = entries.iter().map(|entry| entry.number).max().unwrap_or(0) + 1;
    let end = JobEnd { outcome, at: now, summary: text.plain() };
    let body = serde_json::json!({ "outcome": outcome.as_str(), "said": end.summary });
    writes.push(Write::Enter(entry(row, number, EntryKind::End, body, now)));
    writes.push(Write::Close { job: row.id.clone(), end });
    let mut card = said(
        row,
        "card",
        Text::lines(format!("[{}] {}: {}, the host was restarted", row.id, row.line, outcome.as_str())),
    );
    card.purpose = Purpose::Card { rest: true };
    let mut reaction = said(row, "reaction", Text::default());
    reaction.thread = None;
    reaction.purpose = Purpose::Reaction { event: row.inbox.event.clone(), emoji: emoji(outcome).to_owned() };
    writes.extend([card, said(row, "closing", text), reaction].map(Write::Say));
    let mut wait = Duration::from_millis(200);
    while let Err(error) = shared.store.commit(writes.clone()).await {
        tracing::error!(job = row.id, %error, "a job's end cannot be kept; trying again");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(10));
    }
    shared.outbox.wake();
}
