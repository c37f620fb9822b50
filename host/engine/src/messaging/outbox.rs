//! Sends the outgoing messages, which are rows of the outbox in the store.
//!
//! Invariant: the messages for which people wait are sent in order, per room. Status cards come after them, and a card is
//! not sent after the closing message of its job. Rooms do not wait for each other, unless the network limits the
//! account. A message is not sent twice if the network can find messages by their idempotency keys.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use self::{blocked::BlockedRooms, order::in_order};
use super::{
    accounts::Account,
    delivery::{Sent, Unsent, is_edited},
    lane::{Lane, Queued},
    pace::{OptionalMessage, Urgency},
    undeliverable::MAX_FAILURES,
};
use crate::{
    adapter::{Body, Chat, Outgoing, SendPermissions},
    base::{Activity, ActivityGuard, Backoff},
    metrics::FirstAnswers,
    store::{InboxRow, OutboxKind, PendingRow, Store, Write, is_trigger_event},
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

/// The reaction that the bot adds to a command as its acknowledgement.
const ACKNOWLEDGED: &str = "👀";

/// The outgoing messages of a host, and the accounts that send them.
pub(crate) struct Outbox {
    pub(super) store: Arc<dyn Store>,
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
    /// The rooms whose messages wait for a permission.
    blocked: BlockedRooms,
    wake: mpsc::UnboundedSender<ActivityGuard>,
    woken: Mutex<Option<mpsc::UnboundedReceiver<ActivityGuard>>>,
}

/// The bot, network and room whose messages a lane sends.
type LaneName = (String, String, String);
/// The idempotency key and the version of an outbox row.
type RowVersion = (String, u64);

/// The rows that the outbox must not add to a lane again: the rows in a lane, and the rows that were sent since the
/// last read of the outbox. A read can still return these rows as unsent.
#[derive(Debug, Default)]
struct InFlight {
    queued: HashSet<RowVersion>,
    done: HashSet<RowVersion>,
    /// The keys of rows that an earlier process may have sent, and that wait for a permission. Before such a row is
    /// sent, the room is searched for its message.
    unsearched: HashSet<String>,
}

impl InFlight {
    fn end(&mut self, name: RowVersion) {
        self.queued.remove(&name);
        self.done.insert(name);
    }
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
        let (waiting, blocked) = (FirstAnswers::default(), BlockedRooms::default());
        let woken = Mutex::new(Some(woken));
        Self { store, accounts, identities, network, absent, activity, waiting, blocked, wake, woken }
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
        let mut lanes: HashMap<LaneName, Arc<Lane>> = HashMap::new();
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
            // Collect the rows of each room, without the rows that were added to a lane before.
            let mut added: Vec<(LaneName, Vec<Queued>)> = Vec::new();
            let mut locked = in_flight.lock();
            for row in in_order(rows) {
                let Some(account) = self.account(&row.row.bot, &row.row.network) else { continue };
                // On a network without edits, the status card of a job is sent once, when the job waits or has ended.
                if matches!(row.row.purpose, OutboxKind::Card { rest: false }) && !account.chat.features().edits {
                    continue;
                }
                let version = (row.row.key.clone(), row.version);
                if self.blocked.contains(&row.row) {
                    self.blocked.put_back(&mut locked, version, left_over);
                    continue;
                }
                if locked.done.contains(&version) || !locked.queued.insert(version) {
                    continue;
                }
                let left_over = locked.unsearched.remove(&row.row.key) || left_over;
                let name = (row.row.bot.clone(), row.row.network.clone(), row.row.room.clone());
                let queued = Queued { row, left_over, failures: 0, _guard: guard.clone() };
                match added.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, rows)) => rows.push(queued),
                    None => added.push((name, vec![queued])),
                }
            }
            drop(locked);
            for (name, rows) in added {
                let Some(account) = self.account(&name.0, &name.1) else { continue };
                let lane = lanes.entry(name).or_insert_with(|| {
                    let lane = Arc::new(Lane::new(!account.chat.features().edits));
                    tokio::spawn(self.clone().run_lane(account.clone(), lane.clone(), in_flight.clone()));
                    lane
                });
                for version in lane.extend(rows) {
                    in_flight.lock().end(version);
                }
            }
            left_over = false;
        }
    }

    /// Sends the rows of a lane, one after the other.
    async fn run_lane(self: Arc<Self>, account: Account, lane: Arc<Lane>, in_flight: Arc<Mutex<InFlight>>) {
        // The event ids of sent cards. Newer versions of these cards may already be in the lane without an event id.
        let mut cards: HashMap<String, String> = HashMap::new();
        let mut backoff = Backoff::new(FIRST_WAIT, MAX_WAIT);
        // After a message that was given up, the next one is given up after its first error, until one is accepted.
        let mut gave_up = false;
        let put_back = |queued: Queued| {
            let key = queued.row.row.key.clone();
            if let Some(older) = lane.put_back(queued) {
                in_flight.lock().end((key, older));
            }
        };
        loop {
            let (mut queued, permit) = lane.next(&account.pace).await;
            if gave_up {
                queued.failures = queued.failures.max(MAX_FAILURES - 1);
            }
            if queued.row.event.is_none() {
                queued.row.event = cards.get(&queued.row.row.key).cloned();
            }
            // Watch before the attempt, so that a permission that returns during the attempt is not missed.
            let restored = account.chat.send_permissions().map(SendPermissions::restored);
            let result = self.deliver(&account, &mut queued).await;
            drop(permit);
            let row = &mut queued.row;
            let name = (row.row.key.clone(), row.version);
            let event = match result {
                Ok(Sent::Event(event)) => Some(event),
                Ok(Sent::Dropped) => None,
                // The earlier process may have sent an older text of the card, so replace the text.
                Ok(Sent::Found(event)) if row.version > 1 && is_edited(&account, row) => {
                    row.event = Some(event);
                    put_back(queued);
                    continue;
                }
                Ok(Sent::Found(event)) => Some(event),
                Err(Unsent::Later(after)) => {
                    let urgency = queued.urgency();
                    gave_up = false;
                    put_back(queued);
                    if after.is_none() {
                        tokio::select! {
                            () = backoff.wait(None) => {}
                            () = lane.more_urgent_than(urgency) => {}
                        }
                    }
                    continue;
                }
                Err(Unsent::Blocked(reason)) => {
                    // Until all rows are put back, `run` adds none of them again, so that their order stays.
                    let mut locked = in_flight.lock();
                    self.block(restored, &row.row, &reason);
                    for Queued { row, left_over, .. } in std::iter::once(queued).chain(lane.drain()) {
                        self.blocked.put_back(&mut locked, (row.row.key, row.version), left_over);
                    }
                    continue;
                }
            };
            self.blocked.remove(&row.row);
            backoff.reset();
            gave_up = queued.failures >= MAX_FAILURES;
            let row = &queued.row;
            match (&row.row.purpose, &event) {
                (OutboxKind::Card { rest: false }, Some(event)) => {
                    cards.insert(name.0.clone(), row.event.clone().unwrap_or_else(|| event.clone()));
                }
                _ => drop(cards.remove(&name.0)),
            }
            if row.row.purpose != (OutboxKind::Card { rest: false })
                && let Some((job, "card" | "closing")) = name.0.split_once('/')
            {
                account.pace.release(job);
            }
            // Mark the row as sent before the next row is sent.
            self.mark_sent(row, event).await;
            in_flight.lock().end(name);
        }
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

    /// Sends one message, and retries without limit after temporary errors. If `search` is true, first searches the
    /// room for a message with the same idempotency key. Returns false if the bot may not send to the room now; the
    /// caller then stores the message or leaves it out.
    pub(crate) async fn send(&self, account: &Account, message: &Outgoing, search: bool) -> bool {
        let (mut backoff, mut failures) = (Backoff::new(FIRST_WAIT, MAX_WAIT), 0);
        loop {
            let permit = account.pace.permit(Urgency::Needed).await;
            let tried = self.find_or_attempt(account, message, search, &mut failures).await;
            drop(permit);
            match tried {
                Ok(_) => return true,
                Err(Unsent::Later(None)) => backoff.wait(None).await,
                // The next permit waits for the delay.
                Err(Unsent::Later(Some(_))) => {}
                Err(Unsent::Blocked(reason)) => {
                    tracing::warn!(
                        network = account.chat.network(),
                        room = message.room,
                        key = message.key,
                        reason,
                        "cannot send a message, because the bot may not send to the room; hint: give the bot the permission to send to the room"
                    );
                    return false;
                }
            }
        }
    }

    /// Records that a command created a job. A message of the job counts as the answer to the command, and the job's
    /// closing message is reserved in the limit of the account.
    pub(crate) fn opened(&self, message: &InboxRow, job: &str) {
        self.waiting.link_job(&message.key, job);
        if let Some(account) = self.account(&message.bot, &message.key.network) {
            account.pace.reserve(job);
        }
    }

    /// Adds the reaction that acknowledges a command. Sends it at once, without a row of the outbox, because it says
    /// only that the command was received. If the limit of the account has no room for it, shows that the bot is typing
    /// instead.
    pub(crate) fn acknowledge(self: &Arc<Self>, message: &InboxRow) {
        let key = &message.key;
        let Some(account) = self.account(&message.bot, &key.network).filter(|account| account.acknowledges()) else {
            return;
        };
        if is_trigger_event(&key.event) {
            return;
        }
        let body = Body::React { event: key.event.clone(), emoji: ACKNOWLEDGED.to_owned() };
        let key = format!("{}/{}/{ACKNOWLEDGED}", key.room, key.event);
        let message = Outgoing { key, room: message.key.room.clone(), body };
        let (outbox, account, guard) = (self.clone(), account.clone(), self.activity.begin());
        tokio::spawn(async move {
            let is_shown = account.pace.has_room(OptionalMessage::Acknowledgement)
                && outbox.attempt(&account, &message).await.is_ok();
            if !is_shown {
                account.chat.typing(&message.room).await;
            }
            drop(guard);
        });
    }
}

/// Returns the maximum length of a message on a network, in bytes of plain text.
pub(crate) fn longest(chat: &dyn Chat) -> usize {
    if chat.features().files { MAX_FILE_LENGTH } else { MAX_MESSAGE_LENGTH }
}

mod blocked;
mod order;
#[cfg(test)]
mod restart_tests;
