//! Works off the rows of the outbox: each room in order, no room waiting for another, nothing sent twice
//! that the network can tell.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    job::{Activity, AtWork},
    port::{
        Body, Chat, Outgoing, SendError, Store,
        store::{PendingRow, Purpose, Write},
    },
};

/// The first wait after a network said "later" without saying when.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// More than this is never sent as one message, in bytes of plain text.
pub(crate) const LONGEST_MESSAGE: usize = 20_000;

/// Sends what is in the outbox.
pub struct Outbox {
    store: Arc<dyn Store>,
    chats: BTreeMap<&'static str, Arc<dyn Chat>>,
    activity: Activity,
    wake: mpsc::UnboundedSender<AtWork>,
    woken: Mutex<Option<mpsc::UnboundedReceiver<AtWork>>>,
}

type RoomName = (String, String);
type Lane = mpsc::UnboundedSender<(PendingRow, bool, AtWork)>;

impl Outbox {
    /// An outbox over some networks. Nothing is sent before [`Outbox::run`].
    pub(crate) fn new(store: Arc<dyn Store>, chats: &[Arc<dyn Chat>], activity: Activity) -> Self {
        let (wake, woken) = mpsc::unbounded_channel();
        let chats = chats.iter().map(|chat| (chat.network(), chat.clone())).collect();
        Self { store, chats, activity, wake, woken: Mutex::new(Some(woken)) }
    }

    /// Something new is in the outbox.
    pub fn wake(&self) {
        // Nobody listens only while the host stops; the rows are on disk.
        let _ = self.wake.send(self.activity.begin());
    }

    /// The network of a name.
    pub(crate) fn chat(&self, network: &str) -> Option<&Arc<dyn Chat>> {
        self.chats.get(network)
    }

    /// Sends for ever; what an earlier process left is sent first, after a look whether it was.
    pub(crate) async fn run(self: Arc<Self>) {
        let Some(mut woken) = self.woken.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let queued: Arc<Mutex<HashSet<(String, u64)>>> = Arc::default();
        let mut lanes: HashMap<RoomName, Lane> = HashMap::new();
        let mut left_over = true;
        self.wake();
        while let Some(at_work) = woken.recv().await {
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
            for row in rows {
                let Some(chat) = self.chats.get(row.row.network.as_str()) else { continue };
                // Without edits a card is shown once, when its job is at rest.
                if matches!(row.row.purpose, Purpose::Card { rest: false }) && !chat.abilities().edits {
                    continue;
                }
                if !lock(&queued).insert((row.row.key.clone(), row.version)) {
                    continue;
                }
                let room = (row.row.network.clone(), row.row.room.clone());
                let lane = lanes.entry(room).or_insert_with(|| self.clone().lane(chat.clone(), queued.clone()));
                let _ = lane.send((row, left_over, at_work.clone()));
            }
            left_over = false;
        }
    }

    /// One room's worker.
    fn lane(self: Arc<Self>, chat: Arc<dyn Chat>, queued: Arc<Mutex<HashSet<(String, u64)>>>) -> Lane {
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
                let newer = matches!(row.row.purpose, Purpose::Card { .. })
                    && lock(&queued).iter().any(|(key, version)| *key == name.0 && *version > name.1);
                if !newer {
                    let event = self.deliver(&chat, &row, left_over).await;
                    if let (Purpose::Card { rest }, Some(event)) = (&row.row.purpose, &event) {
                        if *rest {
                            cards.remove(&name.0);
                        } else {
                            cards.insert(name.0.clone(), row.event.clone().unwrap_or_else(|| event.clone()));
                        }
                    }
                    let sent = Write::Sent { key: row.row.key.clone(), version: row.version, event };
                    if let Err(error) = self.store.commit(vec![sent]).await {
                        tracing::error!(%error, key = row.row.key, "sent, and this could not be kept; the next start looks back");
                    }
                }
                lock(&queued).remove(&name);
                drop(at_work);
            }
        });
        lane
    }

    /// Sends one row until it is sent or never can be.
    async fn deliver(&self, chat: &Arc<dyn Chat>, row: &PendingRow, left_over: bool) -> Option<String> {
        let text = || row.row.text.clone().clamped(LONGEST_MESSAGE);
        let (key, body) = match (&row.row.purpose, &row.event) {
            (Purpose::Reaction { event, emoji }, _) => {
                if !chat.abilities().reactions {
                    return None;
                }
                (row.row.key.clone(), Body::React { event: event.clone(), emoji: emoji.clone() })
            }
            (Purpose::Card { .. }, Some(event)) => {
                (format!("{}/{}", row.row.key, row.version), Body::Edit { event: event.clone(), text: text() })
            }
            (Purpose::Card { .. } | Purpose::Message, _) => {
                (row.row.key.clone(), Body::Say { text: text(), thread: row.row.thread.clone() })
            }
        };
        let message = Outgoing { key, room: row.row.room.clone(), body };
        self.send(chat, &message, left_over && matches!(message.body, Body::Say { .. })).await
    }

    /// Sends one message, waiting out whatever passes. With `look`, looks first whether it is there already.
    pub(crate) async fn send(&self, chat: &Arc<dyn Chat>, message: &Outgoing, look: bool) -> Option<String> {
        let mut wait = FIRST_WAIT;
        let mut looked = !look;
        loop {
            let tried = if looked {
                chat.send(message).await.map(Some)
            } else {
                chat.find(&message.room, &message.key).await
            };
            match tried {
                Ok(Some(event)) => return Some(event),
                Ok(None) => looked = true,
                Err(SendError::Never { reason }) => {
                    tracing::error!(network = chat.network(), key = message.key, reason, "a message can never be sent");
                    return None;
                }
                Err(SendError::Later { after, reason }) => {
                    let pause = after.unwrap_or(wait).min(Duration::from_secs(600));
                    tracing::info!(network = chat.network(), key = message.key, reason, ?pause, "a message waits");
                    tokio::time::sleep(pause).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
