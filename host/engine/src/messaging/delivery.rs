//! Sends one message: one attempt, and what its result means.
//!
//! Not here: the order of the messages and their retries (`outbox.rs`), and a message that is never accepted
//! (`undeliverable.rs`).

use std::time::{Duration, Instant};

use super::{
    accounts::Account,
    lane::Queued,
    outbox::{Outbox, longest},
};
use crate::{
    adapter::{Body, Outgoing, SendError},
    base::{Backoff, Text},
    metrics::{RequestOutcome, outbound, rate_limited},
    store::{OutboxKind, PendingRow, is_trigger_event},
};

/// The result of an attempt to send a message.
pub(super) enum Sent {
    /// The network accepted the message, which has this event id.
    Event(String),
    /// An earlier process has sent the message, which has this event id.
    Found(String),
    /// The message is not sent, because the network refused it or because it is not needed.
    Dropped,
}

/// The reason why a message is not sent now. It is sent again.
pub(super) enum Unsent {
    /// A temporary error. The value is the delay that the network requires.
    Later(Option<Duration>),
    /// The bot may not send to the room now. The value is the network's reason.
    Blocked(String),
}

impl Outbox {
    /// Tries once to send the message of a row, and records what is known afterwards: whether an earlier process may
    /// have sent the message, and the number of temporary errors. Does not send a reaction if the network has no
    /// reactions or if no message started the command, and no card of a job whose closing message was sent.
    pub(super) async fn deliver(&self, account: &Account, queued: &mut Queued) -> Result<Sent, Unsent> {
        self.deliver_row(account, &queued.row, &mut queued.left_over, &mut queued.failures).await
    }

    async fn deliver_row(
        &self,
        account: &Account,
        row: &PendingRow,
        left_over: &mut bool,
        failures: &mut u32,
    ) -> Result<Sent, Unsent> {
        let chat = &account.chat;
        let text = || row.row.text.clone().with_prefix(&account.prefix).clamped(longest(&**chat));
        let outgoing = |key: String, body| Outgoing { key, room: row.row.room.clone(), body };
        let message = match (&row.row.purpose, &row.event) {
            (OutboxKind::Reaction { event, emoji }, _) => {
                // A triggered command has no message that could have a reaction.
                if !chat.features().reactions || is_trigger_event(event) {
                    return Ok(Sent::Dropped);
                }
                outgoing(row.row.key.clone(), Body::React { event: event.clone(), emoji: emoji.clone() })
            }
            (OutboxKind::Card { .. } | OutboxKind::Closing, Some(event)) => {
                outgoing(format!("{}/{}", row.row.key, row.version), Body::Edit { event: event.clone(), text: text() })
            }
            (OutboxKind::Card { .. } | OutboxKind::Closing | OutboxKind::Message, _) => {
                outgoing(row.row.key.clone(), Body::Say { text: text(), thread: row.row.thread.clone() })
            }
        };
        if !matches!(message.body, Body::Say { .. }) {
            *left_over = false;
        }
        if *left_over && let Some(event) = self.find(account, &message).await? {
            return Ok(Sent::Found(event));
        }
        let is_new_card = matches!(row.row.purpose, OutboxKind::Card { .. }) && row.event.is_none();
        if is_new_card && chat.features().edits && self.was_closed(&row.row.key).await? {
            return Ok(Sent::Dropped);
        }
        let sent = match self.attempt_or_give_up(account, &message, failures).await {
            // The room may not have been searched, so it is searched again when the bot may send to it.
            Err(blocked @ Unsent::Blocked(_)) => return Err(blocked),
            sent => {
                *left_over = false;
                sent?
            }
        };
        match (sent, &row.event, &row.row.purpose) {
            // The network rejects the edit of the card.
            (Sent::Dropped, Some(_), OutboxKind::Closing) => {
                self.close_without_edit(account, row, text(), failures).await
            }
            (Sent::Dropped, Some(event), OutboxKind::Card { .. }) => Ok(Sent::Event(event.clone())),
            (sent, ..) => Ok(sent),
        }
    }

    /// Sends a closing message as a new message, because the network rejects the edit of the card, for example after its
    /// time limit for edits.
    async fn close_without_edit(
        &self,
        account: &Account,
        row: &PendingRow,
        text: Text,
        failures: &mut u32,
    ) -> Result<Sent, Unsent> {
        let body = Body::Say { text, thread: row.row.thread.clone() };
        // The closing message has the key of the card, whose place it takes.
        let key = format!("{}/{}", row.row.key, row.version);
        let message = Outgoing { key, room: row.row.room.clone(), body };
        // An earlier process may have done the same.
        Ok(match self.find_or_attempt(account, &message, true, failures).await? {
            Sent::Found(event) => Sent::Event(event),
            sent => sent,
        })
    }

    /// Tries once to send a message, which failed `failures` times before. If `search` is true, first searches the room
    /// for it, because an earlier process may have sent it.
    pub(super) async fn find_or_attempt(
        &self,
        account: &Account,
        message: &Outgoing,
        search: bool,
        failures: &mut u32,
    ) -> Result<Sent, Unsent> {
        if search && let Some(event) = self.find(account, message).await? {
            return Ok(Sent::Found(event));
        }
        self.attempt_or_give_up(account, message, failures).await
    }

    /// Returns whether the closing message of a card's job was sent.
    async fn was_closed(&self, card: &str) -> Result<bool, Unsent> {
        let Some(job) = card.strip_suffix("/card") else { return Ok(false) };
        let sent = self.store.event_of_key(&format!("{job}/closing")).await;
        Ok(sent.map_err(|_| Unsent::Later(None))?.is_some())
    }

    /// Searches the room of a message for a message with the same idempotency key, which an earlier process sent.
    pub(super) async fn find(&self, account: &Account, message: &Outgoing) -> Result<Option<String>, Unsent> {
        let began = Instant::now();
        let found = account.chat.find(&message.room, &message.key).await;
        outbound(account.chat.network(), "find", request_outcome(&found), began);
        match found {
            Ok(found) => {
                if found.is_some() {
                    self.waiting.sent(account.chat.network(), &message.key);
                }
                Ok(found)
            }
            // The room cannot be searched, so the message is sent.
            Err(SendError::Never { .. }) => Ok(None),
            Err(SendError::Forbidden { reason }) => Err(Unsent::Blocked(reason)),
            Err(SendError::Later { after, reason }) => Err(postponed(account, message, after, &reason)),
        }
    }

    /// Tries once to send a message.
    pub(super) async fn attempt(&self, account: &Account, message: &Outgoing) -> Result<Sent, Unsent> {
        let (chat, began) = (&account.chat, Instant::now());
        let _in_flight = account.pace.begin();
        // The only way to a room, so no text gets there with a secret.
        let tried = chat.send(&message.redacted()).await;
        let method = match &message.body {
            Body::Say { .. } => "say",
            Body::Edit { .. } => "edit",
            Body::React { .. } => "react",
        };
        outbound(chat.network(), method, request_outcome(&tried), began);
        match tried {
            Ok(event) => {
                account.pace.accepted();
                self.waiting.sent(chat.network(), &message.key);
                Ok(Sent::Event(event))
            }
            Err(SendError::Never { reason }) => {
                tracing::error!(
                    network = chat.network(),
                    room = message.room,
                    key = message.key,
                    reason,
                    "a message was dropped, because the chat network rejected the message"
                );
                Ok(Sent::Dropped)
            }
            Err(SendError::Forbidden { reason }) => Err(Unsent::Blocked(reason)),
            Err(SendError::Later { after, reason }) => Err(postponed(account, message, after, &reason)),
        }
    }
}

/// Records that the network did not accept a message for now. `after` is the delay that the network requires.
fn postponed(account: &Account, message: &Outgoing, after: Option<Duration>, reason: &str) -> Unsent {
    let after = after.map(|after| after.min(Backoff::MAX_REQUESTED));
    if let Some(pause) = after {
        rate_limited(account.chat.network(), pause);
        account.pace.limited(pause);
    }
    tracing::info!(
        network = account.chat.network(),
        room = message.room,
        key = message.key,
        reason,
        pause = ?after,
        "cannot send a message; retrying, after the delay in the field `pause` if the network requires one"
    );
    Unsent::Later(after)
}

/// Returns whether a row is a status card on a network with edits.
pub(super) fn is_edited(account: &Account, row: &PendingRow) -> bool {
    row.row.purpose.is_card() && account.chat.features().edits
}

fn request_outcome<T>(tried: &Result<T, SendError>) -> RequestOutcome {
    match tried {
        Ok(_) => RequestOutcome::Done,
        Err(SendError::Never { .. } | SendError::Forbidden { .. }) => RequestOutcome::Refused,
        Err(SendError::Later { after: Some(_), .. }) => RequestOutcome::Limited,
        Err(SendError::Later { after: None, .. }) => RequestOutcome::Unavailable,
    }
}
