//! Jobs whose guest is gone while they were open: what each was, how its runs stand, and their end when it comes.
//!
//! Not here yet: replay. What the plugin would have done next is not done, and that is said.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    Activity, JobRun, entry,
    follow::{follow, persist, said},
};
use crate::{
    capability::Shared,
    port::{
        RunKey, StoreError,
        store::{Entry, EntryKind, InboxKey, JobEnd, JobOutcome, JobRow, Purpose, Write},
    },
    reply::{Text, emoji},
};

fn open() -> crate::port::store::JobQuery {
    crate::port::store::JobQuery { open: Some(true), ..Default::default() }
}

/// The call whose intents name runs.
const TRIGGER: &str = "pipelines.trigger";

/// Reports every job that an earlier process left open, and follows its runs to their end.
///
/// # Errors
/// The store cannot be read.
pub(crate) async fn recover(shared: &Arc<Shared>, activity: &Activity) -> Result<(), StoreError> {
    for row in shared.store.jobs(&open()).await? {
        let entries = shared.store.entries(&row.id).await?.into_iter().map(|sealed| sealed.entry).collect();
        tracing::warn!(job = row.id, line = row.line, "a job was open when the host stopped");
        let (shared, at_work) = (shared.clone(), activity.begin());
        tokio::spawn(async move {
            let work = finish(&shared, row, entries, "was open when the host stopped");
            shared.stop.run_until_cancelled(work).await;
            drop(at_work);
        });
    }
    Ok(())
}

/// Ends the job of a message whose handling broke; false where it has none.
///
/// # Errors
/// The store cannot be read.
pub(crate) async fn abandon(shared: &Arc<Shared>, message: &InboxKey) -> Result<bool, StoreError> {
    let Some(row) = shared.store.jobs(&open()).await?.into_iter().find(|row| row.inbox == *message) else {
        return Ok(false);
    };
    let entries = shared.store.entries(&row.id).await?.into_iter().map(|sealed| sealed.entry).collect();
    finish(shared, row, entries, "broke off by a mistake of the host, which is in its log").await;
    Ok(true)
}

/// Follows the runs of an open job, reports them and closes it.
async fn finish(shared: &Arc<Shared>, row: JobRow, entries: Vec<Entry>, what: &str) {
    let title = format!("`{}` (job {}, asked by {}) {what}.", row.line, row.id, row.caller.name);
    let intents = entries.iter().filter(|entry| entry.kind == EntryKind::Intent && entry.call == TRIGGER);
    let (known, unknown): (Vec<_>, Vec<_>) =
        intents.map(|intent| run_of(shared, &row, intent)).partition(Option::is_some);
    let mut lines = vec![title.clone()];
    if known.is_empty() && unknown.is_empty() {
        lines.push("It had started no run.".to_owned());
    }
    if !unknown.is_empty() {
        let line = "It started a run of a pipeline that is no longer configured: how that stands is not known.";
        lines.push(line.to_owned());
    }
    let runs: Vec<JobRun> = known.into_iter().flatten().collect();
    let followed = join_all(runs.iter().map(|run| follow(shared, &row, run, &title))).await;
    lines.extend(followed.into_iter().map(|followed| followed.line));
    lines.push("What the plugin would have done next was not done.".to_owned());
    close(shared, &row, &entries, Text::lines(lines.join("\n"))).await;
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

async fn close(shared: &Shared, row: &JobRow, entries: &[Entry], text: Text) {
    let outcome = JobOutcome::Unknown;
    let now = shared.clock.now();
    let number = entries.iter().map(|entry| entry.number).max().unwrap_or(0) + 1;
    let end = JobEnd { outcome, at: now, summary: text.plain() };
    let body = serde_json::json!({ "outcome": outcome.as_str(), "said": end.summary });
    let words = format!("[{}] {}: {}, it broke off", row.id, row.line, outcome.as_str());
    let mut card = said(row, "card", Text::lines(words));
    card.purpose = Purpose::Card { rest: true };
    let mut reaction = said(row, "reaction", Text::default());
    reaction.thread = None;
    reaction.purpose = Purpose::Reaction { event: row.inbox.event.clone(), emoji: emoji(outcome).to_owned() };
    let mut writes =
        vec![Write::Enter(entry(row, number, EntryKind::End, body, now)), Write::Close { job: row.id.clone(), end }];
    writes.extend([card, said(row, "closing", text), reaction].map(Write::Say));
    persist(&*shared.store, writes).await;
    shared.outbox.wake();
}
