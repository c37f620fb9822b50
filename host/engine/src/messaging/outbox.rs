//! Works off the rows of the outbox: each room in order but for the sign that a command was taken up, no room waiting for
//! another, nothing sent twice that the network can tell.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::accounts::Account;
use crate::{
    adapter::{Body, Chat, Outgoing, SendError},
    base::{Activity, AtWork, Backoff, MAX_REQUESTED_DELAY},
    metrics::{FirstAnswers, RequestOutcome, outbound, rate_limited},
    store::{OutboxKind, PendingRow, Store, Write, is_announced},
};

/// The first wait after a network said "later" without saying when.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// More than this is never sent as one message, in bytes of plain text.
pub(crate) const LONGEST_MESSAGE: usize = 20_000;
/// The same where what does not fit in a message becomes a file.
const LONGEST_FILE: usize = 1 << 20;

/// What a plugin says at once is cut here, in bytes: more than a message holds, so that it can be a file.
pub(crate) const LONGEST_SAID: usize = 64 << 10;

/// How many commands of a room can be told at a time that they were taken up.
const LANES_BESIDE: u64 = 4;
/// The emoji on a command that was taken up.
pub(crate) const TAKEN_UP: &str = "👀";

/// Sends what is in the outbox.
pub struct Outbox {
    store: Arc<dyn Store>,
    // In the order of the file.
    pub(crate) accounts: Vec<Account>,
    // The names of all identities of the configuration; some may not run here.
    pub(crate) identities: Vec<String>,
    // The network of rooms that are named without one.
    pub(crate) network: String,
    // The accounts of identities that do not run here.
    pub(crate) absent: Vec<Arc<dyn Chat>>,
    activity: Activity,
    /// The commands that nothing was said to yet.
    pub(crate) waiting: FirstAnswers,
    wake: mpsc::UnboundedSender<AtWork>,
    woken: Mutex<Option<mpsc::UnboundedReceiver<AtWork>>>,
}

/// An identity, a network and a room of it, and which of those beside its usual one.
type LaneName = (String, String, String, Option<u64>);
type Lane = mpsc::UnboundedSender<(PendingRow, bool, AtWork)>;
/// A row's key and which of its texts.
type TextName = (String, u64);

/// What was handed to the rooms' workers. A list of rows that was read before one of them was marked as
/// sent must not have it sent again.
#[derive(Debug, Default)]
struct Flight {
    queued: HashSet<TextName>,
    done: HashSet<TextName>,
}

impl Outbox {
    /// An outbox over some accounts of some identities. Nothing is sent before [`Outbox::run`].
    pub(crate) fn new(
        store: Arc<dyn Store>,
        accounts: Vec<Account>,
        identities: Vec<String>,
        network: String,
        absent: Vec<Arc<dyn Chat>>,
        activity: Activity,
    ) -> Self {
        let (wake, woken) = mpsc::unbounded_channel();
        let waiting = FirstAnswers::default();
        Self { store, accounts, identities, network, absent, activity, waiting, wake, woken: Mutex::new(Some(woken)) }
    }

    /// Something new is in the outbox.
    pub fn wake(&self) {
        // Nobody listens only while the host stops; the rows are on disk.
        let _ = self.wake.send(self.activity.begin());
    }

    /// Sends for ever; what an earlier process left is sent first, after a look whether it was.
    pub(crate) async fn run(self: Arc<Self>) {
        let Some(mut woken) = self.woken.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let flight: Arc<Mutex<Flight>> = Arc::default();
        let mut lanes: HashMap<LaneName, Lane> = HashMap::new();
        let mut left_over = true;
        while let Some(at_work) = woken.recv().await {
            // What they tell of is in the list that is read now, and one token holds the count for all.
            while woken.try_recv().is_ok() {}
            // What was marked as sent up to here is no longer in the list that is read now.
            lock(&flight).done.clear();
            let rows = match self.store.outbox().await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read; trying again");
                    let again = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(FIRST_WAIT).await;
                        again.wake();
                    });
                    continue;
                }
            };
            for row in in_order(rows) {
                let Some(chat) = self.chat(&row.row.bot, &row.row.network) else { continue };
                // Without edits a card is shown once, when its job is at rest.
                if matches!(row.row.purpose, OutboxKind::Card { rest: false }) && !chat.abilities().edits {
                    continue;
                }
                let name = (row.row.key.clone(), row.version);
                let mut flying = lock(&flight);
                if flying.done.contains(&name) || !flying.queued.insert(name) {
                    continue;
                }
                drop(flying);
                let name = (row.row.bot.clone(), row.row.network.clone(), row.row.room.clone(), beside(&row));
                let lane = lanes.entry(name).or_insert_with(|| self.clone().lane(chat.clone(), flight.clone()));
                let _ = lane.send((row, left_over, at_work.clone()));
            }
            left_over = false;
        }
    }

    /// A worker for one lane of a room.
    fn lane(self: Arc<Self>, chat: Arc<dyn Chat>, flight: Arc<Mutex<Flight>>) -> Lane {
        let (lane, mut rows) = mpsc::unbounded_channel::<(PendingRow, bool, AtWork)>();
        tokio::spawn(async move {
            // The event of each card whose newer texts may be waiting here already.
            let mut cards: HashMap<String, String> = HashMap::new();
            while let Some((mut row, left_over, at_work)) = rows.recv().await {
                let name = (row.row.key.clone(), row.version);
                if row.event.is_none() {
                    row.event = cards.get(&row.row.key).cloned();
                }
                // A newer text of this card is waiting: it says all that this one would.
                let newer = matches!(row.row.purpose, OutboxKind::Card { .. })
                    && lock(&flight).queued.iter().any(|(key, version)| *key == name.0 && *version > name.1);
                if !newer {
                    let event = self.deliver(&chat, &row, left_over).await;
                    if let (OutboxKind::Card { rest }, Some(event)) = (&row.row.purpose, &event) {
                        if *rest {
                            cards.remove(&name.0);
                        } else {
                            cards.insert(name.0.clone(), row.event.clone().unwrap_or_else(|| event.clone()));
                        }
                    }
                    self.mark(Write::Sent { key: row.row.key.clone(), version: row.version, event }).await;
                }
                let mut flying = lock(&flight);
                flying.queued.remove(&name);
                flying.done.insert(name);
                drop(flying);
                drop(at_work);
            }
        });
        lane
    }

    /// Keeps that something was sent, for as long as that takes: until then it would be sent again.
    async fn mark(&self, sent: Write) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while let Err(error) = self.store.commit(vec![sent.clone()]).await {
            tracing::error!(%error, "a message was sent, and this cannot be kept; trying again");
            backoff.wait(None).await;
        }
    }

    /// Sends one row until it is sent or never can be.
    async fn deliver(&self, chat: &Arc<dyn Chat>, row: &PendingRow, left_over: bool) -> Option<String> {
        let text = || row.row.text.clone().clamped(longest(&**chat));
        let (key, body) = match (&row.row.purpose, &row.event) {
            (OutboxKind::Reaction { event, emoji }, _) => {
                // What nobody typed cannot be marked.
                if !chat.abilities().reactions || is_announced(event) {
                    return None;
                }
                (row.row.key.clone(), Body::React { event: event.clone(), emoji: emoji.clone() })
            }
            (OutboxKind::Card { .. }, Some(event)) => {
                (format!("{}/{}", row.row.key, row.version), Body::Edit { event: event.clone(), text: text() })
            }
            (OutboxKind::Card { .. } | OutboxKind::Message, _) => {
                (row.row.key.clone(), Body::Say { text: text(), thread: row.row.thread.clone() })
            }
        };
        let message = Outgoing { key, room: row.row.room.clone(), body };
        self.send(chat, &message, left_over && matches!(message.body, Body::Say { .. })).await
    }

    /// Sends one message, waiting out whatever passes. With `look`, looks first whether it is there already.
    pub(crate) async fn send(&self, chat: &Arc<dyn Chat>, message: &Outgoing, look: bool) -> Option<String> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut looked = !look;
        loop {
            let began = Instant::now();
            let tried =
                if looked { chat.send(message).await.map(Some) } else { chat.find(&message.room, &message.key).await };
            let method = match &message.body {
                _ if !looked => "find",
                Body::Say { .. } => "say",
                Body::Edit { .. } => "edit",
                Body::React { .. } => "react",
            };
            outbound(chat.network(), method, asked(&tried), began);
            match tried {
                Ok(Some(event)) => {
                    self.waiting.sent(chat.network(), &message.key);
                    return Some(event);
                }
                Ok(None) => looked = true,
                Err(SendError::Never { reason }) => {
                    tracing::error!(network = chat.network(), key = message.key, reason, "a message can never be sent");
                    return None;
                }
                Err(SendError::Later { after, reason }) => {
                    let delay = backoff.next_delay();
                    let pause = after.map_or(delay, |after| after.min(MAX_REQUESTED_DELAY));
                    if after.is_some() {
                        rate_limited(chat.network(), pause);
                    }
                    tracing::info!(network = chat.network(), key = message.key, reason, ?pause, "a message waits");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// What came of a question to a network.
fn asked<T>(tried: &Result<T, SendError>) -> RequestOutcome {
    match tried {
        Ok(_) => RequestOutcome::Done,
        Err(SendError::Never { .. }) => RequestOutcome::Refused,
        Err(SendError::Later { after: Some(_), .. }) => RequestOutcome::Limited,
        Err(SendError::Later { after: None, .. }) => RequestOutcome::Away,
    }
}

/// The lane beside a room's usual one, for the sign that a command was taken up: who typed it sees that at once, however much
/// the room is still to be told.
fn beside(row: &PendingRow) -> Option<u64> {
    let OutboxKind::Reaction { event, emoji } = &row.row.purpose else { return None };
    let mut hasher = DefaultHasher::new();
    event.hash(&mut hasher);
    (emoji == TAKEN_UP).then(|| hasher.finish() % LANES_BESIDE)
}

/// More than this is never handed to a network as one text, in bytes of plain text.
pub(crate) fn longest(chat: &dyn Chat) -> usize {
    if chat.abilities().files { LONGEST_FILE } else { LONGEST_MESSAGE }
}

/// A card that was not shown yet is shown where its job comes to rest, right before the closing line, and not where
/// the job began.
fn in_order(rows: Vec<PendingRow>) -> Vec<PendingRow> {
    let job = |row: &PendingRow, purpose: &str| row.row.key.strip_suffix(purpose).map(str::to_owned);
    let closings: HashMap<String, usize> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((job(row, "/closing")?, index))).collect();
    let place = |(index, row): (usize, PendingRow)| {
        let unseen = row.row.purpose == OutboxKind::Card { rest: true } && row.event.is_none();
        let closing = job(&row, "/card").filter(|_| unseen).and_then(|job| closings.get(&job));
        (closing.map_or(2 * index + 1, |closing| 2 * closing), row)
    };
    let mut placed: Vec<(usize, PendingRow)> = rows.into_iter().enumerate().map(place).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, row)| row).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Text, store::OutboxRow};

    #[test]
    fn a_card_that_nobody_saw_comes_right_before_its_closing_line() {
        let row = |key: &str, purpose: OutboxKind, event: Option<&str>| PendingRow {
            row: OutboxRow {
                key: key.into(),
                bot: "marvin".into(),
                network: "console".into(),
                room: "console".into(),
                thread: None,
                purpose,
                text: Text::default(),
            },
            event: event.map(str::to_owned),
            version: 1,
        };
        let rest = OutboxKind::Card { rest: true };
        let rows = vec![
            row("a/card", rest.clone(), None),
            row("b/card", rest.clone(), Some("seen")),
            row("c/card", OutboxKind::Card { rest: false }, None),
            row("a/output", OutboxKind::Message, None),
            row("d/card", rest, None),
            row("a/closing", OutboxKind::Message, None),
            row("b/closing", OutboxKind::Message, None),
        ];
        let keys: Vec<String> = in_order(rows).into_iter().map(|row| row.row.key).collect();
        assert_eq!(keys, ["b/card", "c/card", "a/output", "d/card", "a/card", "a/closing", "b/closing"]);
    }
}
