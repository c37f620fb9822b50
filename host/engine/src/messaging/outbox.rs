//! Sends the outgoing messages, which are rows of the outbox in the store.
//!
//! Invariant: the messages to one room are sent in order. Only the reaction that acknowledges a command can be sent
//! earlier. Rooms do not wait for each other. A message is not sent twice if the network can find messages by their
//! idempotency keys.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::accounts::Account;
use crate::{
    adapter::{Body, Chat, Outgoing, SendError},
    base::{Activity, ActivityGuard, Backoff},
    metrics::{FirstAnswers, RequestOutcome, outbound, rate_limited},
    store::{OutboxKind, PendingRow, Store, Write, is_trigger_event},
};

/// The delay before the first retry of a failed message, if the network does not request another delay.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The maximum delay between two retries, if the network does not request another delay.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The maximum length of a message on a network that does not send long texts as files, in bytes of plain text. A
/// longer text is truncated.
pub(crate) const MAX_MESSAGE_LENGTH: usize = 20_000;
/// The maximum length of a message on a network that sends long texts as files, in bytes of plain text. A longer text
/// is truncated.
const MAX_FILE_LENGTH: usize = 1 << 20;

/// The maximum length of a plugin's text on any network, in bytes. Greater than [`MAX_MESSAGE_LENGTH`], because some
/// networks send long texts as files.
pub(crate) const MAX_PLUGIN_TEXT_LENGTH: usize = 64 << 10;

/// The number of separate send queues per room for the reactions that acknowledge commands.
const ACKNOWLEDGEMENT_LANES: u64 = 4;
/// The reaction that the bot adds to a command as its acknowledgement.
pub(crate) const ACKNOWLEDGED: &str = "👀";

/// The outgoing messages of a host, and the accounts that send them.
pub(crate) struct Outbox {
    store: Arc<dyn Store>,
    // The accounts of this host's bots, in the order of the configuration.
    pub(crate) accounts: Vec<Account>,
    // The names of all bots in the configuration, including the bots of other hosts.
    pub(crate) identities: Vec<String>,
    // The default network, for configured rooms without a network.
    pub(crate) network: String,
    // The accounts of bots that run on another host.
    pub(crate) absent: Vec<Arc<dyn Chat>>,
    activity: Activity,
    /// The commands that have not been answered, for the metric of the time to a command's first answer.
    pub(crate) waiting: FirstAnswers,
    wake: mpsc::UnboundedSender<ActivityGuard>,
    woken: Mutex<Option<mpsc::UnboundedReceiver<ActivityGuard>>>,
}

/// The bot, network and room whose messages a lane (a send queue) sends. The lanes for acknowledgements also have a
/// number.
type LaneName = (String, String, String, Option<u64>);
/// A queue of outbox rows. One task sends the messages of these rows in order. The `bool` is true if an earlier process
/// may already have sent the message of the row.
type Lane = mpsc::UnboundedSender<(PendingRow, bool, ActivityGuard)>;
/// The idempotency key and the version of an outbox row.
type RowVersion = (String, u64);

/// The rows that the outbox must not add to a lane again: the rows in a lane, and the rows that were sent since the
/// last read of the outbox. A read can still return these rows as unsent.
#[derive(Debug, Default)]
struct InFlight {
    queued: HashSet<RowVersion>,
    done: HashSet<RowVersion>,
}

impl Outbox {
    /// Creates an outbox that sends through `accounts`. `identities` are the names of all configured bots, `network` is
    /// the default network, and `absent` are the accounts of the bots that other hosts run. Nothing is sent before
    /// [`Outbox::run`] is called.
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

    /// Signals that the outbox has new rows. Call it after the rows are committed to the store.
    pub(crate) fn wake(&self) {
        // The receiver is closed only during shutdown. The next start sends the stored rows.
        let _ = self.wake.send(self.activity.begin());
    }

    /// Sends the rows of the outbox until the process ends. An earlier process may have sent rows that the first read
    /// returns. Before the outbox sends such a row, the outbox searches the room for the row's message.
    pub(crate) async fn run(self: Arc<Self>) {
        let Some(mut woken) = self.woken.lock().take() else { return };
        let in_flight: Arc<Mutex<InFlight>> = Arc::default();
        let mut lanes: HashMap<LaneName, Lane> = HashMap::new();
        let mut left_over = true;
        while let Some(guard) = woken.recv().await {
            // One read of the outbox covers all queued signals.
            while woken.try_recv().is_ok() {}
            // The next read does not return the rows that were marked as sent before.
            in_flight.lock().done.clear();
            let rows = match self.store.outbox().await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "cannot read the outbox from the store; retrying");
                    let again = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(FIRST_WAIT).await;
                        again.wake();
                    });
                    continue;
                }
            };
            // Add each row to the lane of its room, unless the row was added before.
            for row in in_order(rows) {
                let Some(chat) = self.chat(&row.row.bot, &row.row.network) else { continue };
                // On a network without edits, the status card of a job is sent once, when the job waits or has ended.
                if matches!(row.row.purpose, OutboxKind::Card { rest: false }) && !chat.features().edits {
                    continue;
                }
                let name = (row.row.key.clone(), row.version);
                let mut locked = in_flight.lock();
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

    /// Starts a lane: a task that sends the rows of its queue in order. Returns the sender of the queue.
    fn lane(self: Arc<Self>, chat: Arc<dyn Chat>, in_flight: Arc<Mutex<InFlight>>) -> Lane {
        let (lane, mut rows) = mpsc::unbounded_channel::<(PendingRow, bool, ActivityGuard)>();
        tokio::spawn(async move {
            // The event ids of sent cards. Newer versions of these cards may already be in the lane without an event
            // id.
            let mut cards: HashMap<String, String> = HashMap::new();
            // The keys of cards of which an earlier process may have sent a version that was skipped below.
            let mut skipped: HashSet<String> = HashSet::new();
            while let Some((mut row, left_over, guard)) = rows.recv().await {
                let name = (row.row.key.clone(), row.version);
                if row.event.is_none() {
                    row.event = cards.get(&row.row.key).cloned();
                }
                // Skip this version of a card if a newer version is queued.
                let newer = matches!(row.row.purpose, OutboxKind::Card { .. })
                    && in_flight.lock().queued.iter().any(|(key, version)| *key == name.0 && *version > name.1);
                if newer && left_over {
                    skipped.insert(name.0.clone());
                }
                if !newer {
                    let left_over = skipped.remove(&name.0) || left_over;
                    let event = self.deliver(&chat, &row, left_over).await;
                    if let (OutboxKind::Card { rest }, Some(event)) = (&row.row.purpose, &event) {
                        if *rest {
                            cards.remove(&name.0);
                        } else {
                            cards.insert(name.0.clone(), row.event.clone().unwrap_or_else(|| event.clone()));
                        }
                    }
                    // Mark the row as sent before the next row is sent.
                    self.mark_sent(&row, event).await;
                }
                let mut locked = in_flight.lock();
                locked.queued.remove(&name);
                locked.done.insert(name);
                drop(locked);
                drop(guard);
            }
        });
        lane
    }

    /// Marks a row as sent in the store, with the event id of its message. Retries without limit, because a restarted
    /// host would send an unmarked row again.
    async fn mark_sent(&self, row: &PendingRow, event: Option<String>) {
        let sent = Write::Sent { key: row.row.key.clone(), version: row.version, event };
        let mut backoff = Backoff::new(FIRST_WAIT, MAX_WAIT);
        while let Err(error) = self.store.commit(vec![sent.clone()]).await {
            tracing::error!(
                room = row.row.room,
                key = row.row.key,
                %error,
                "cannot record in the database that a message was sent; retrying"
            );
            backoff.wait(None).await;
        }
    }

    /// Sends the message of one row. Returns the event id of the message, or `None` if the network refused the message.
    /// Skips a reaction, and returns `None`, if the network has no reactions or if no message started the command.
    /// `left_over` is true if an earlier process may have sent the message.
    async fn deliver(&self, chat: &Arc<dyn Chat>, row: &PendingRow, left_over: bool) -> Option<String> {
        let text = || row.row.text.clone().clamped(longest(&**chat));
        let outgoing = |key: String, body| Outgoing { key, room: row.row.room.clone(), body };
        let edit = |event: &String| {
            outgoing(format!("{}/{}", row.row.key, row.version), Body::Edit { event: event.clone(), text: text() })
        };
        let message = match (&row.row.purpose, &row.event) {
            (OutboxKind::Reaction { event, emoji }, _) => {
                // A triggered command has no message that could have a reaction.
                if !chat.features().reactions || is_trigger_event(event) {
                    return None;
                }
                outgoing(row.row.key.clone(), Body::React { event: event.clone(), emoji: emoji.clone() })
            }
            (OutboxKind::Card { .. }, Some(event)) => edit(event),
            (OutboxKind::Card { .. } | OutboxKind::Message, _) => {
                outgoing(row.row.key.clone(), Body::Say { text: text(), thread: row.row.thread.clone() })
            }
        };
        let search = left_over && matches!(message.body, Body::Say { .. });
        let (event, found) = self.find_or_send(chat, &message, search).await?;
        // The earlier process may have sent an older text of the card, so replace the text.
        if found && row.version > 1 && matches!(row.row.purpose, OutboxKind::Card { .. }) && chat.features().edits {
            self.send(chat, &edit(&event), false).await;
        }
        Some(event)
    }

    /// Sends one message, and retries without limit after temporary errors. If `search` is true, first searches the
    /// room for a message with the same idempotency key. Returns the event id of the message, or `None` after a
    /// permanent error.
    pub(crate) async fn send(&self, chat: &Arc<dyn Chat>, message: &Outgoing, search: bool) -> Option<String> {
        self.find_or_send(chat, message, search).await.map(|(event, _)| event)
    }

    /// Same as [`Self::send`], but also returns whether the search found the message. Then an earlier process sent it.
    async fn find_or_send(&self, chat: &Arc<dyn Chat>, message: &Outgoing, search: bool) -> Option<(String, bool)> {
        let mut backoff = Backoff::new(FIRST_WAIT, MAX_WAIT);
        let mut searched = !search;
        loop {
            let began = Instant::now();
            let tried = if searched {
                chat.send(message).await.map(Some)
            } else {
                chat.find(&message.room, &message.key).await
            };
            let method = match &message.body {
                _ if !searched => "find",
                Body::Say { .. } => "say",
                Body::Edit { .. } => "edit",
                Body::React { .. } => "react",
            };
            outbound(chat.network(), method, request_outcome(&tried), began);
            match tried {
                Ok(Some(event)) => {
                    self.waiting.sent(chat.network(), &message.key);
                    return Some((event, !searched));
                }
                Ok(None) => searched = true,
                Err(SendError::Never { reason }) => {
                    tracing::error!(
                        network = chat.network(),
                        room = message.room,
                        key = message.key,
                        reason,
                        "a message was dropped, because the chat network rejected the message"
                    );
                    return None;
                }
                Err(SendError::Later { after, reason }) => {
                    let delay = backoff.next_delay();
                    let pause = after.map_or(delay, |after| after.min(Backoff::MAX_REQUESTED));
                    if after.is_some() {
                        rate_limited(chat.network(), pause);
                    }
                    tracing::info!(
                        network = chat.network(),
                        room = message.room,
                        key = message.key,
                        reason,
                        ?pause,
                        "cannot send a message; retrying after the delay in the field `pause`"
                    );
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

fn request_outcome<T>(tried: &Result<T, SendError>) -> RequestOutcome {
    match tried {
        Ok(_) => RequestOutcome::Done,
        Err(SendError::Never { .. }) => RequestOutcome::Refused,
        Err(SendError::Later { after: Some(_), .. }) => RequestOutcome::Limited,
        Err(SendError::Later { after: None, .. }) => RequestOutcome::Unavailable,
    }
}

/// If the row is a reaction that acknowledges a command, returns the number of the send queue for the reaction. Such a
/// reaction does not wait for the room's other messages. Returns `None` for any other row.
fn acknowledgement_lane(row: &PendingRow) -> Option<u64> {
    let OutboxKind::Reaction { event, emoji } = &row.row.purpose else { return None };
    let mut hasher = DefaultHasher::new();
    event.hash(&mut hasher);
    (emoji == ACKNOWLEDGED).then(|| hasher.finish() % ACKNOWLEDGEMENT_LANES)
}

/// Returns the maximum length of a message on a network, in bytes of plain text.
pub(crate) fn longest(chat: &dyn Chat) -> usize {
    if chat.features().files { MAX_FILE_LENGTH } else { MAX_MESSAGE_LENGTH }
}

/// Sorts rows for sending. Keeps the given order, with one exception: if a job has ended and its status card was never
/// sent, moves the card directly before the job's closing message. The card shows the job's end, so the job's other
/// messages must come first.
fn in_order(rows: Vec<PendingRow>) -> Vec<PendingRow> {
    let job = |row: &PendingRow, purpose: &str| row.row.key.strip_suffix(purpose).map(str::to_owned);
    let closings: HashMap<String, usize> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((job(row, "/closing")?, index))).collect();
    let with_position = |(index, row): (usize, PendingRow)| {
        let unsent = row.row.purpose == OutboxKind::Card { rest: true } && row.event.is_none();
        let closing = job(&row, "/card").filter(|_| unsent).and_then(|job| closings.get(&job));
        (closing.map_or(2 * index + 1, |closing| 2 * closing), row)
    };
    let mut ordered: Vec<(usize, PendingRow)> = rows.into_iter().enumerate().map(with_position).collect();
    ordered.sort_by_key(|(position, _)| *position);
    ordered.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod restart_tests;

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
