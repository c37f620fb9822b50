//! A job's status card: one message in the room, edited in place, at most every two seconds.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use super::said;
use crate::{
    port::store::{JobOutcome, JobRow, OutboxRow, Purpose, Store, Write},
    reply::{Outbox, Text, clean},
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
}

/// The card of one job at work.
pub struct JobCard {
    row: Arc<JobRow>,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl JobCard {
    /// Begins to show a job.
    pub(crate) fn begin(row: Arc<JobRow>, store: Arc<dyn Store>, outbox: Arc<Outbox>) -> Self {
        let (state, mut seen) = watch::channel(State::default());
        let shown = row.clone();
        let task = tokio::spawn(async move {
            while seen.changed().await.is_ok() {
                let text = at_work(&shown, &seen.borrow_and_update());
                // A card that could not be kept is shown by the next change; the closing line does not depend on it.
                if store.commit(vec![Write::Say(card_row(&shown, text, false))]).await.is_ok() {
                    outbox.wake();
                }
                tokio::time::sleep(PACE).await;
            }
        });
        Self { row, state, task }
    }

    /// The guest's own word for what it does.
    pub(crate) fn stage(&self, stage: String) {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.stage, stage.clone()) != stage);
    }

    /// The run that is waited for, and where people can look at it.
    pub(crate) fn run(&self, run: String) {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.run, run.clone()) != run);
    }

    /// The newest line of its output.
    pub(crate) fn line(&self, line: &str) {
        let mut line = clean(line);
        line.truncate(line.floor_char_boundary(LONGEST_LINE));
        self.state.send_if_modified(|state| std::mem::replace(&mut state.line, line.clone()) != line);
    }

    /// Ends the showing; gives the card's last row, to be kept in the transaction that closes the job.
    pub(crate) async fn end(self, outcome: JobOutcome, took: &str) -> OutboxRow {
        // An older text must not come after the last.
        self.task.abort();
        let _ = self.task.await;
        let row = &self.row;
        let text = Text::lines(format!("[{}] {}: {}, {took}", row.id, row.line, outcome.as_str()));
        card_row(row, text, true)
    }
}

/// The first text of a card, kept in the transaction that opens the job.
pub(crate) fn first(row: &JobRow) -> OutboxRow {
    card_row(row, at_work(row, &State::default()), false)
}

fn at_work(row: &JobRow, state: &State) -> Text {
    let mut text = format!("[{}] {}: at work", row.id, row.line);
    for part in [&state.stage, &state.run] {
        if !part.is_empty() {
            text.push_str(", ");
            text.push_str(part);
        }
    }
    let mut text = Text::lines(text);
    if !state.line.is_empty() {
        text.push_code(&state.line);
    }
    text
}

fn card_row(row: &JobRow, text: Text, rest: bool) -> OutboxRow {
    OutboxRow { purpose: Purpose::Card { rest }, ..said(row, "card", text) }
}
