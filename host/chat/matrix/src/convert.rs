//! Converts Matrix events to the engine's messages. Pure functions: no network, no store.
//!
//! Invariant: only new text, reactions and redactions of other accounts are converted. A message that a
//! program sent is marked as a program's message. The bot's own events, edits, redacted events, quoted text and code
//! blocks are left out.
//! Not here: the conversion of the engine's text to events (`content`).

use matrix_sdk::ruma::{
    UserId,
    events::{
        AnySyncMessageLikeEvent, AnySyncTimelineEvent, SyncMessageLikeEvent,
        relation::Annotation,
        room::{
            message::{MessageFormat, MessageType, Relation},
            redaction::SyncRoomRedactionEvent,
        },
    },
};
use serde_json::Value;
use wardroom::{adapter::Incoming, model::Person, store::Reaction};
use wardroom_account::{strip_leading_name, strip_quotes_and_code, timestamp};

use crate::room_event::{RawEvent, RoomEvent};

/// The content field that holds a message's idempotency key. Clients do not show it.
pub(crate) const KEY_FIELD: &str = "com.wardroom.key";

/// Converts the events of one room.
pub(crate) struct Converter<'a> {
    /// The id of the bot's account.
    pub(crate) me: &'a UserId,
    /// The bot's name in `plugins.toml`. The engine recognizes `@NAME` at the start of a message.
    pub(crate) bot: &'a str,
    /// The account's display name in this room. When a person mentions the bot, the person's client writes the display
    /// name into the text.
    pub(crate) display_name: Option<&'a str>,
    /// Whether the room's only members are the bot and one person.
    pub(crate) direct: bool,
}

impl Converter<'_> {
    /// Converts an event to a message; `None` if the engine does not handle the event. The sender's id is used as the
    /// sender's name; the caller replaces the name.
    pub(crate) fn message(&self, event: &RoomEvent) -> Option<Incoming> {
        let was_encrypted = event.encryption_info.is_some();
        let content = event.raw.get_field::<Value>("content").ok().flatten();
        // An edit's relation is not encrypted, so the homeserver can remove it. Its new text is encrypted.
        let is_edit = content.is_some_and(|content| content.get("m.new_content").is_some());
        let Ok(AnySyncTimelineEvent::MessageLike(event)) = event.raw.deserialize() else { return None };
        if event.sender() == self.me {
            return None;
        }
        let incoming = |reaction: Option<Reaction>, thread: Option<String>, text: String| {
            let sender = Person::named_by_id(event.sender().as_str());
            let at = timestamp(event.origin_server_ts().get().into());
            let mut message = Incoming::new(event.event_id().to_string(), sender, text, at);
            message.reaction = reaction;
            message.thread = thread;
            message.direct = self.direct;
            message
        };
        let event = match &event {
            AnySyncMessageLikeEvent::RoomMessage(SyncMessageLikeEvent::Original(event)) => event,
            AnySyncMessageLikeEvent::Reaction(SyncMessageLikeEvent::Original(event)) => {
                let Annotation { event_id, key, .. } = &event.content.relates_to;
                let given = Reaction::Given { on: event_id.to_string(), emoji: key.clone() };
                return Some(incoming(Some(given), None, String::new()));
            }
            // An encrypted redaction is ignored, because the homeserver cannot check its sender's permission.
            AnySyncMessageLikeEvent::RoomRedaction(SyncRoomRedactionEvent::Original(event)) if !was_encrypted => {
                // In older room versions the id is outside the content.
                let given = event.content.redacts.as_ref().or(event.redacts.as_ref())?;
                return Some(incoming(Some(Reaction::Withdrawn { given: given.to_string() }), None, String::new()));
            }
            _ => return None,
        };
        if is_edit {
            return None;
        }
        let (body, formatted, machine) = match &event.content.msgtype {
            MessageType::Text(text) => (&text.body, &text.formatted, false),
            // Only programs send notices.
            MessageType::Notice(text) => (&text.body, &text.formatted, true),
            _ => return None,
        };
        let (thread, reply_to) = match &event.content.relates_to {
            Some(Relation::Replacement(_)) => return None,
            Some(Relation::Thread(thread)) => (Some(thread.event_id.to_string()), None),
            Some(Relation::Reply(reply)) => (None, Some(reply.in_reply_to.event_id.to_string())),
            _ => (None, None),
        };
        let html = formatted.as_ref().filter(|formatted| formatted.format == MessageFormat::Html);
        if html.is_some_and(|html| is_code_block(&html.body)) {
            return None;
        }
        let mentioned = event.content.mentions.as_ref().is_some_and(|mentions| mentions.user_ids.contains(self.me));
        let text = strip_quotes_and_code(body);
        let text = mentions::with_ids(&text, html.map(|html| html.body.as_str()));
        let text = self.normalize_address(&text, mentioned);
        (!text.is_empty()).then(|| {
            let mut message = incoming(None, thread, text);
            message.machine = machine;
            message.reply_to = reply_to;
            message
        })
    }

    /// Replaces the account's id at the start of a text with `@` and the bot's name. `mentioned` is true if the message
    /// mentions the account. In this case, replaces the account's display name at the start, too.
    fn normalize_address(&self, text: &str, mentioned: bool) -> String {
        let display_name = self.display_name.filter(|_| mentioned);
        let rest = [Some(self.me.as_str()), display_name].into_iter().flatten().find_map(|name| {
            strip_leading_name(text, name).or_else(|| strip_leading_name(text.strip_prefix('@')?, name))
        });
        match rest {
            Some(rest) => format!("@{} {rest}", self.bot),
            None => text.to_owned(),
        }
    }
}

/// Returns whether the HTML of a message is a single code block.
fn is_code_block(html: &str) -> bool {
    let html = html.split_once("</mx-reply>").map_or(html, |(_, rest)| rest).trim();
    html.starts_with("<pre") && html.ends_with("</pre>")
}

/// Returns whether an event is the bot's join. A change of the display name or avatar has the same event type, but is
/// not a join.
pub(crate) fn is_own_join(event: &RoomEvent, me: &UserId) -> bool {
    if !event.is_unencrypted("m.room.member") {
        return false;
    }
    let Ok(event) = event.raw.deserialize_as_unchecked::<Value>() else { return false };
    event["state_key"] == me.as_str()
        && event["content"]["membership"] == "join"
        && event["unsigned"]["prev_content"]["membership"] != "join"
}

/// Returns whether the bot sent an event with this idempotency key.
pub(crate) fn carries_key(raw: &RawEvent, me: &UserId, key: &str) -> bool {
    let Ok(event) = raw.deserialize_as_unchecked::<Value>() else { return false };
    event["sender"] == me.as_str() && event["content"][KEY_FIELD] == key
}

mod mentions;
#[cfg(test)]
mod tests;
