//! Sends the rows of the outbox. Invariant: messages of a room are sent in order, except the reaction that acknowledges
//! a command; rooms do not wait for each other; and nothing is sent twice if the network can find a message by its key.

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
    base::{Activity, ActivityGuard, Backoff, MAX_REQUESTED_DELAY},
    metrics::{FirstAnswers, RequestOutcome, outbound, rate_limited},
    store::{OutboxKind, PendingRow, Store, Write, is_announced},
};

/// The first pause after a temporary error without a retry time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest pause between retries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The maximum length of a message, in bytes of plain text.
pub(crate) const LONGEST_MESSAGE: usize = 20_000;
/// The maximum length on networks where a long text becomes a file, in bytes of plain text.
const LONGEST_FILE: usize = 1 << 20;

/// The maximum length of a plugin's text, in bytes. It is larger than a message, so that a long text can become a file.
pub(crate) const LONGEST_PLUGIN_TEXT: usize = 64 << 10;

/// The number of extra lanes per room for acknowledgements.
const ACKNOWLEDGEMENT_LANES: u64 = 4;
/// The reaction that acknowledges a command.
pub(crate) const ACKNOWLEDGED: &str = "👀";

/// The outgoing messages of a host.
pub(crate) struct Outbox {
    store: Arc<dyn Store>,
    // In the order of the configuration.
    pub(crate) accounts: Vec<Account>,
    // The names of all bots in the configuration, including those that do not run here.
    pub(crate) identities: Vec<String>,
    // The default network of rooms without one.
    pub(crate) network: String,
    // The accounts of bots that do not run here.
    pub(crate) absent: Vec<Arc<dyn Chat>>,
    activity: Activity,
    /// The commands that have no answer yet.
    pub(crate) waiting: FirstAnswers,
    wake: mpsc::UnboundedSender<ActivityGuard>,
    woken: Mutex<Option<mpsc::UnboundedReceiver<ActivityGuard>>>,
}

/// Bot, network, room, and the number of the acknowledgement lane, if it is one.
type LaneName = (String, String, String, Option<u64>);
type Lane = mpsc::UnboundedSender<(PendingRow, bool, ActivityGuard)>;
/// A row's key and version.
type TextName = (String, u64);

/// The rows that were given to lanes. A row is not queued again when a list was read before the row was marked as sent.
#[derive(Debug, Default)]
struct InFlight {
    queued: HashSet<TextName>,
    done: HashSet<TextName>,
}

impl Outbox {
    /// Creates an outbox for the accounts of some bots. Nothing is sent before [`Outbox::run`].
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

    /// Signals that the outbox has new rows. Called after their commit.
    pub(crate) fn wake(&self) {
        // The receiver is closed only during shutdown; the rows are stored.
        let _ = self.wake.send(self.activity.begin());
    }

    /// Sends rows until the process ends. For rows of an earlier process it first checks whether they were sent.
    pub(crate) async fn run(self: Arc<Self>) {
        let Some(mut woken) = self.woken.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let in_flight: Arc<Mutex<InFlight>> = Arc::default();
        let mut lanes: HashMap<LaneName, Lane> = HashMap::new();
        let mut left_over = true;
        while let Some(guard) = woken.recv().await {
            // One read of the outbox covers all queued signals.
            while woken.try_recv().is_ok() {}
            // Rows that were marked as sent before this point are not in the list that is read next.
            lock(&in_flight).done.clear();
            let rows = match self.store.outbox().await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read from the store; retrying");
                    let again = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(FIRST_WAIT).await;
                        again.wake();
                    });
                    continue;
                }
            };
            // Give each row to the lane of its room, unless it was given before.
            for row in in_order(rows) {
                let Some(chat) = self.chat(&row.row.bot, &row.row.network) else { continue };
                // On a network without edits a card is sent once, when its job waits or has ended.
                if matches!(row.row.purpose, OutboxKind::Card { rest: false }) && !chat.features().edits {
                    continue;
                }
                let name = (row.row.key.clone(), row.version);
                let mut locked = lock(&in_flight);
                if locked.done.contains(&name) || !locked.queued.insert(name) {
                    continue;
                }
                drop(locked);
                let name =
                    (row.row.bot.clone(), row.row.network.clone(), row.row.room.clone(), acknowledgement_lane(&row));
                let lane = lanes.entry(name).or_insert_with(|| self.clone().lane(chat.clone(), in_flight.clone()));
                let _ = lane.send((row, left_over, guard.clone()));
            }
            left_over = false;
        }
    }

    /// Starts the worker of one lane.
    fn lane(self: Arc<Self>, chat: Arc<dyn Chat>, in_flight: Arc<Mutex<InFlight>>) -> Lane {
        let (lane, mut rows) = mpsc::unbounded_channel::<(PendingRow, bool, ActivityGuard)>();
        tokio::spawn(async move {
            // The event ids of cards whose newer versions may already be queued here.
            let mut cards: HashMap<String, String> = HashMap::new();
            while let Some((mut row, left_over, guard)) = rows.recv().await {
                let name = (row.row.key.clone(), row.version);
                if row.event.is_none() {
                    row.event = cards.get(&row.row.key).cloned();
                }
                // A newer version of the card is queued and replaces this one.
                let newer = matches!(row.row.purpose, OutboxKind::Card { .. })
                    && lock(&in_flight).queued.iter().any(|(key, version)| *key == name.0 && *version > name.1);
                if !newer {
                    let event = self.deliver(&chat, &row, left_over).await;
                    if let (OutboxKind::Card { rest }, Some(event)) = (&row.row.purpose, &event) {
                        if *rest {
                            cards.remove(&name.0);
                        } else {
                            cards.insert(name.0.clone(), row.event.clone().unwrap_or_else(|| event.clone()));
                        }
                    }
                    // Store that the row was sent before the next one is sent.
                    self.mark_sent(Write::Sent { key: row.row.key.clone(), version: row.version, event }).await;
                }
                let mut locked = lock(&in_flight);
                locked.queued.remove(&name);
                locked.done.insert(name);
                drop(locked);
                drop(guard);
            }
        });
        lane
    }

    /// Stores that a row was sent, and retries until that succeeds. A restart before that would send the row again.
    async fn mark_sent(&self, sent: Write) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while let Err(error) = self.store.commit(vec![sent.clone()]).await {
            tracing::error!(%error, "a sent message cannot be marked as sent in the store; retrying");
            backoff.wait(None).await;
        }
    }

    /// Sends one row; returns its event id, or `None` if it can never be sent.
    async fn deliver(&self, chat: &Arc<dyn Chat>, row: &PendingRow, left_over: bool) -> Option<String> {
        let text = || row.row.text.clone().clamped(longest(&**chat));
        let (key, body) = match (&row.row.purpose, &row.event) {
            (OutboxKind::Reaction { event, emoji }, _) => {
                // A command that nobody typed has no event that could have a reaction.
                if !chat.features().reactions || is_announced(event) {
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

    /// Sends one message, and retries temporary errors without limit. With `look`, first searches for a message with
    /// the same key. Returns the event id, or `None` after a permanent error.
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
                    tracing::error!(
                        network = chat.network(),
                        key = message.key,
                        reason,
                        "a message cannot be sent and is dropped: the network refuses it"
                    );
                    return None;
                }
                Err(SendError::Later { after, reason }) => {
                    let delay = backoff.next_delay();
                    let pause = after.map_or(delay, |after| after.min(MAX_REQUESTED_DELAY));
                    if after.is_some() {
                        rate_limited(chat.network(), pause);
                    }
                    tracing::info!(
                        network = chat.network(),
                        key = message.key,
                        reason,
                        ?pause,
                        "a message cannot be sent now; retrying after the pause"
                    );
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

fn asked<T>(tried: &Result<T, SendError>) -> RequestOutcome {
    match tried {
        Ok(_) => RequestOutcome::Done,
        Err(SendError::Never { .. }) => RequestOutcome::Refused,
        Err(SendError::Later { after: Some(_), .. }) => RequestOutcome::Limited,
        Err(SendError::Later { after: None, .. }) => RequestOutcome::Unavailable,
    }
}

/// The extra lane for a reaction that acknowledges a command. The person who typed the command sees it at once, even if
/// many messages of the room are still queued.
fn acknowledgement_lane(row: &PendingRow) -> Option<u64> {
    let OutboxKind::Reaction { event, emoji } = &row.row.purpose else { return None };
    let mut hasher = DefaultHasher::new();
    event.hash(&mut hasher);
    (emoji == ACKNOWLEDGED).then(|| hasher.finish() % ACKNOWLEDGEMENT_LANES)
}

/// The maximum length of a text on a network, in bytes of plain text.
pub(crate) fn longest(chat: &dyn Chat) -> usize {
    if chat.features().files { LONGEST_FILE } else { LONGEST_MESSAGE }
}

/// Orders rows for sending. A card that was never sent goes directly before the closing message of its job, because its
/// old position would show it too early.
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
    fn an_unsent_card_is_ordered_before_its_closing_message() {
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
