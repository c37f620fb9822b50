//! A job's status card: one message in the room, edited in place, at most every two seconds.
//!
//! Invariant: its key is made of the job's id, so a host that was restarted goes on in the same message.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle};

use super::said::said;
use crate::{
    base::{Text, clean},
    store::{JobOutcome, JobPhase, JobRow, JobStatus, OutboxKind, OutboxRow, Store, Write},
};

/// The least time between two texts of a card: networks limit edits.
const PACE: Duration = Duration::from_secs(2);
/// A line of a run's output is cut here on the card, in bytes.
const LONGEST_LINE: usize = 120;

/// What a card shows of a job at work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    stage: String,
    run: String,
    line: String,
    /// Where it rests, if it does.
    rests: Option<String>,
}

/// The card of one job at work.
pub struct JobCard {
    row: Arc<JobRow>,
    state: watch::Sender<State>,
    task: Mutex<Option<JoinHandle<()>>>,
    // The text that was written last. Held while one is written, so that no older one follows.
    shown: Arc<tokio::sync::Mutex<Option<Text>>>,
}

impl JobCard {
    /// Begins to show a job. `stored` is called after each new text is in the outbox.
    pub(crate) fn begin(row: Arc<JobRow>, store: Arc<dyn Store>, stored: impl Fn() + Send + 'static) -> Self {
        let (state, mut seen) = watch::channel(State::default());
        let of = row.clone();
        // Written together with where the job rests: what a restart finds there is not said again.
        let about = rests(&row.stand).then(|| row.stand.about.clone());
        let text = about.map(|about| at_work(&row, &State { rests: Some(about), ..State::default() }));
        let shown = Arc::new(tokio::sync::Mutex::new(text));
        let known = shown.clone();
        let task = tokio::spawn(async move {
            while seen.changed().await.is_ok() {
                {
                    let mut shown = known.lock().await;
                    let state = seen.borrow_and_update().clone();
                    let text = at_work(&of, &state);
                    if shown.as_ref() != Some(&text) {
                        // A card that could not be kept is shown by the next change; the closing line does not depend on it.
                        let row = card_row(&of, text.clone(), state.rests.is_some());
                        if store.commit(vec![Write::Say(row)]).await.is_ok() {
                            stored();
                        }
                        *shown = Some(text);
                    }
                }
                tokio::time::sleep(PACE).await;
            }
        });
        Self { row, state, task: Mutex::new(Some(task)), shown }
    }

    /// The guest's own word for what it does.
    pub(crate) fn stage(&self, stage: String) {
        self.change(|state| state.stage = stage);
    }

    /// The run that is waited for, and where people can look at it.
    pub(crate) fn run(&self, run: String) {
        self.change(|state| state.run = run);
    }

    /// The newest line of its output.
    pub(crate) fn line(&self, line: &str) {
        let mut line = clean(line);
        line.truncate(line.floor_char_boundary(LONGEST_LINE));
        self.change(|state| state.line = line);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    /// What it does, in words; `None` where nobody said.
    pub(crate) fn shown(&self) -> Option<String> {
        let state = self.state.borrow();
        let words = doing(&state);
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// It comes to rest, or is taken up again: the card's row, to be kept in the same transaction.
    pub(crate) async fn rests(&self, stand: &JobStatus) -> Option<OutboxRow> {
        let about = rests(stand).then(|| stand.about.clone());
        let mut shown = self.shown.lock().await;
        let mut text = None;
        // What the writes that follow keep is not told to the task: it would write it again.
        self.state.send_if_modified(|state| {
            state.rests.clone_from(&about);
            state.line.clear();
            text = about.is_some().then(|| at_work(&self.row, state));
            false
        });
        let text = text?;
        if shown.as_ref() == Some(&text) {
            return None;
        }
        *shown = Some(text.clone());
        Some(card_row(&self.row, text, true))
    }

    /// What was made to be shown last was not kept: it is made again.
    pub(crate) async fn not_shown(&self) {
        *self.shown.lock().await = None;
    }

    /// Ends the showing; gives the card's last row, to be kept in the transaction that closes the job.
    pub(crate) async fn end(&self, outcome: JobOutcome, took: &str) -> OutboxRow {
        // An older text must not come after the last.
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
        last(&self.row, outcome, took)
    }
}

impl Drop for JobCard {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// The first text of a card, kept in the transaction that opens the job.
pub(crate) fn first(row: &JobRow) -> OutboxRow {
    let rests = (row.stand.phase != JobPhase::Working).then(|| row.stand.about.clone());
    let rest = rests.is_some();
    card_row(row, at_work(row, &State { rests, ..State::default() }), rest)
}

/// The last text of a card.
pub(crate) fn last(row: &JobRow, outcome: JobOutcome, took: &str) -> OutboxRow {
    card_row(row, Text::lines(format!("[{}] {}: {}, {took}", row.id, row.line, outcome.as_str())), true)
}

/// Whether a job that stands here does nothing by itself.
fn rests(stand: &JobStatus) -> bool {
    !matches!(stand.phase, JobPhase::Working | JobPhase::Run)
}

fn at_work(row: &JobRow, state: &State) -> Text {
    if let Some(about) = &state.rests {
        return Text::lines(format!("[{}] {}: {about}", row.id, row.line));
    }
    let mut text = format!("[{}] {}: at work", row.id, row.line);
    for part in doing(state) {
        text.push_str(", ");
        text.push_str(part);
    }
    let mut text = Text::lines(text);
    if !state.line.is_empty() {
        text.push_code(&state.line);
    }
    text
}

/// What it does, each thing once: a run that its plugin speaks of by name is not named again.
fn doing(state: &State) -> Vec<&str> {
    let run = Some(state.run.as_str()).filter(|run| !state.stage.contains(run));
    [Some(state.stage.as_str()), run].into_iter().flatten().filter(|part| !part.is_empty()).collect()
}

fn card_row(row: &JobRow, text: Text, rest: bool) -> OutboxRow {
    OutboxRow { purpose: OutboxKind::Card { rest }, ..said(row, "card", text) }
}

/// The emoji of an outcome.
pub(crate) fn emoji(outcome: JobOutcome) -> &'static str {
    match outcome {
        JobOutcome::Succeeded => "✅",
        JobOutcome::Warnings => "⚠️",
        JobOutcome::Failed => "❌",
        JobOutcome::Cancelled => "🚫",
        JobOutcome::Refused => "⛔",
        JobOutcome::NotApproved => "✋",
        JobOutcome::Unknown => "❔",
    }
}
