//! A job's status card: one message in the room for a job that lasts or waits, which the host edits at most every five
//! seconds.
//!
//! Invariant: the card's outbox key is derived from the job's id, so a restarted host edits the same message.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};

use super::thread_message::thread_message;
use crate::{
    adapter::RunEvent,
    base::{Text, clean},
    store::{JobOutcome, JobPhase, JobRow, JobStatus, OutboxKind, OutboxRow, Store, Write},
};

/// The minimum interval between two edits of a card, because chat networks limit the rate of edits.
const EDIT_INTERVAL: Duration = Duration::from_secs(5);
/// The maximum length of a pipeline's output line on the card, in bytes.
const MAX_LINE_LENGTH: usize = 120;

/// The parts of a job's status card that change while the job runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    stage: String,
    run: String,
    /// The stages and gates of the pipeline run.
    progress: String,
    line: String,
    /// The status text while the job waits; `None` while the job runs.
    waiting: Option<String>,
}

/// The status card of one running job, and the task that writes it to the outbox.
pub(crate) struct JobCard {
    row: Arc<JobRow>,
    state: watch::Sender<State>,
    task: Mutex<Option<JoinHandle<()>>>,
    // The card text that was written last. Each write holds this lock, so an older text cannot overwrite a newer text.
    shown: Arc<tokio::sync::Mutex<Option<Text>>>,
}

impl JobCard {
    /// Starts the task that writes the card to the outbox. The task writes the card for the first time after the delay
    /// `first`, so that a short job has no card. It calls `stored` after each successful write.
    pub(crate) fn start(
        row: Arc<JobRow>,
        store: Arc<dyn Store>,
        first: Duration,
        stored: impl Fn() + Send + 'static,
    ) -> Self {
        let of = row.clone();
        // The transaction that stored a waiting status also stored the card's text, so the task does not write this
        // text again.
        let first_state =
            State { waiting: is_waiting(&row.status).then(|| row.status.about.clone()), ..State::default() };
        let text = first_state.waiting.is_some().then(|| card_text(&row, &first_state));
        let (state, mut seen) = watch::channel(first_state);
        let shown = Arc::new(tokio::sync::Mutex::new(text));
        let known = shown.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(first).await;
            loop {
                {
                    let mut shown = known.lock().await;
                    let state = seen.borrow_and_update().clone();
                    let text = card_text(&of, &state);
                    if shown.as_ref() != Some(&text) {
                        // A failed write is not retried: the next change writes the card again, and the closing message
                        // does not depend on the card.
                        let row = card_row(&of, text.clone(), state.waiting.is_some());
                        if store.commit(vec![Write::Send(row)]).await.is_ok() {
                            stored();
                        }
                        *shown = Some(text);
                    }
                }
                tokio::time::sleep(EDIT_INTERVAL).await;
                if seen.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { row, state, task: Mutex::new(Some(task)), shown }
    }

    /// Sets the stage that the plugin reported.
    pub(crate) fn stage(&self, stage: String) {
        self.change(|state| state.stage = stage);
    }

    /// Sets the text about the pipeline run that the job waits for: the run's name and link.
    pub(crate) fn run(&self, run: String) {
        self.change(|state| {
            state.run = run;
            state.progress.clear();
        });
    }

    /// Shows news about the pipeline run that the job waits for.
    pub(crate) fn event(&self, event: RunEvent<'_>) {
        match event {
            RunEvent::Line(line) => self.line(line),
            RunEvent::Progress(progress) => self.change(|state| state.progress = progress.summary()),
        }
    }

    /// Sets the newest output line of the pipeline run, truncated to [`MAX_LINE_LENGTH`] bytes.
    pub(crate) fn line(&self, line: &str) {
        let mut line = clean(line);
        line.truncate(line.floor_char_boundary(MAX_LINE_LENGTH));
        self.change(|state| state.line = line);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    /// Returns the stage and the text about the pipeline run, for the job's status line; `None` if neither is set.
    pub(crate) fn shown(&self) -> Option<String> {
        let state = self.state.borrow();
        let parts = progress(&state);
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Updates the card for a new status of the job. Returns the card's outbox row, which the caller commits together
    /// with the status. Returns `None` while the plugin or a pipeline runs, and if the card's text did not change.
    pub(crate) async fn waiting_row(&self, status: &JobStatus) -> Option<OutboxRow> {
        let about = is_waiting(status).then(|| status.about.clone());
        let mut shown = self.shown.lock().await;
        let mut text = None;
        // The caller's transaction writes the text. `false` prevents a second write by the task.
        self.state.send_if_modified(|state| {
            state.waiting.clone_from(&about);
            state.line.clear();
            text = about.is_some().then(|| card_text(&self.row, state));
            false
        });
        let text = text?;
        if shown.as_ref() == Some(&text) {
            return None;
        }
        *shown = Some(text.clone());
        Some(card_row(&self.row, text, true))
    }

    /// Clears the cached copy of the card's text. The caller calls this function if the transaction with the card's row
    /// failed. A retry then writes the text again.
    pub(crate) async fn discard_last(&self) {
        *self.shown.lock().await = None;
    }

    /// Stops the task that writes the card, so that the task cannot replace the card's final text by an older text.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for JobCard {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Returns the first outbox row of the card of a job that waits, for the transaction that opens the job.
pub(crate) fn first_card(row: &JobRow) -> OutboxRow {
    let waiting = (row.status.phase != JobPhase::Running).then(|| row.status.about.clone());
    let rest = waiting.is_some();
    card_row(row, card_text(row, &State { waiting, ..State::default() }), rest)
}

/// Returns the last outbox row of a job's card, for the transaction that closes the job.
pub(crate) fn last_card(row: &JobRow, outcome: JobOutcome, took: &str) -> OutboxRow {
    card_row(row, Text::lines(format!("[{}] {}: {}, {took}", row.id, row.line, outcome.as_str())), true)
}

/// Returns the outbox row of a closing message that takes the place of the job's card.
pub(crate) fn closing_card(row: &JobRow, text: Text) -> OutboxRow {
    OutboxRow { purpose: OutboxKind::Closing, ..thread_message(row, "card", text) }
}

fn is_waiting(status: &JobStatus) -> bool {
    !matches!(status.phase, JobPhase::Running | JobPhase::Run)
}

fn card_text(row: &JobRow, state: &State) -> Text {
    if let Some(about) = &state.waiting {
        return Text::lines(format!("[{}] {}: {about}", row.id, row.line));
    }
    let mut text = format!("[{}] {}: running", row.id, row.line);
    for part in progress(state) {
        text.push_str(", ");
        text.push_str(part);
    }
    let mut text = Text::lines(text);
    if !state.line.is_empty() {
        text.push_code(&state.line);
    }
    text
}

/// Returns the stage, the text about the pipeline run and the run's progress. If the stage already contains the text about
/// the pipeline run, leaves out that text.
fn progress(state: &State) -> Vec<&str> {
    let run = Some(state.run.as_str()).filter(|run| !state.stage.contains(run));
    [Some(state.stage.as_str()), run, Some(state.progress.as_str())]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect()
}

fn card_row(row: &JobRow, text: Text, rest: bool) -> OutboxRow {
    OutboxRow { purpose: OutboxKind::Card { rest }, ..thread_message(row, "card", text) }
}

/// Returns the emoji that the host adds as a reaction to the command's message when the job ends.
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
