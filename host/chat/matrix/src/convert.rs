//! From events to what the engine reads, and from its words to events. Pure: no network, no store.
//!
//! Architecture Invariant: of a room only somebody's own new words and reactions come through, a machine's marked as such. Our
//! own events, edits, redacted events, quoted text and code blocks stop here.
//! Architecture Invariant: words go out escaped; nothing in them becomes markup or a mention.

use matrix_sdk::ruma::{
    EventId, OwnedEventId, OwnedUserId, UserId,
    events::{
        AnySyncMessageLikeEvent, AnySyncTimelineEvent, Mentions, SyncMessageLikeEvent,
        relation::{Annotation, Thread},
        room::{
            message::{MessageFormat, MessageType, Relation, ReplacementMetadata, RoomMessageEventContent},
            redaction::SyncRoomRedactionEvent,
        },
    },
    serde::Raw,
};
use serde_json::{Value, json};
use wardroom::{
    Timestamp,
    message::{Incoming, Person},
    port::store::Reaction,
    reply::{Block, Text},
};

use crate::sealed::Event;

/// The hidden field that carries a message's key.
pub(crate) const KEY_FIELD: &str = "com.wardroom.key";

/// A content of at most this many bytes leaves room for encryption, which adds a third, and for what the server adds, to stay
/// below the limit of 64 KiB.
const LARGEST_CONTENT: usize = 45 * 1024;

/// A text of more bytes than this is no message to read in a room.
const LARGEST_TEXT: usize = 20_000;

/// What a file with a text is called.
pub(crate) const FILE_NAME: &str = "output.txt";

/// An event of a room's timeline, as it came.
pub(crate) type RawEvent = Raw<AnySyncTimelineEvent>;

/// What must be known of a room and of ourselves to read its events.
pub(crate) struct Reader<'a> {
    /// Our own id.
    pub(crate) me: &'a UserId,
    /// The bot's name in `plugins.toml`, by which the engine knows that it is addressed.
    pub(crate) bot: &'a str,
    /// What we are called in this room; a client writes it where somebody picks us from a list.
    pub(crate) called: Option<&'a str>,
    /// Whether there is nobody but us and one person.
    pub(crate) direct: bool,
}

impl Reader<'_> {
    /// The message in an event, if it holds one for the engine. The sender's name is their id until the
    /// caller knows better.
    pub(crate) fn message(&self, event: &Event) -> Option<Incoming> {
        let encrypted = event.opened.is_some();
        let Ok(AnySyncTimelineEvent::MessageLike(event)) = event.raw.deserialize() else { return None };
        if event.sender() == self.me {
            return None;
        }
        let bare = |reaction: Option<Reaction>, thread: Option<String>, text: String| Incoming {
            event: event.event_id().to_string(),
            thread,
            sender: Person::named_by_id(event.sender().as_str()),
            text,
            reaction,
            at: timestamp(event.origin_server_ts().get().into()),
            direct: self.direct,
            late: false,
            machine: false,
            once: None,
            unproven: None,
        };
        let event = match &event {
            AnySyncMessageLikeEvent::RoomMessage(SyncMessageLikeEvent::Original(event)) => event,
            AnySyncMessageLikeEvent::Reaction(SyncMessageLikeEvent::Original(event)) => {
                let Annotation { event_id, key, .. } = &event.content.relates_to;
                let given = Reaction::Given { on: event_id.to_string(), emoji: key.clone() };
                return Some(bare(Some(given), None, String::new()));
            }
            // Of one that came encrypted, the homeserver could not tell whether its sender may take that back.
            AnySyncMessageLikeEvent::RoomRedaction(SyncRoomRedactionEvent::Original(event)) if !encrypted => {
                // Older rooms have it beside the content.
                let given = event.content.redacts.as_ref().or(event.redacts.as_ref())?;
                return Some(bare(Some(Reaction::Withdrawn { given: given.to_string() }), None, String::new()));
            }
            _ => return None,
        };
        let (body, formatted, machine) = match &event.content.msgtype {
            MessageType::Text(words) => (&words.body, &words.formatted, false),
            // The network's own mark of what no person wrote.
            MessageType::Notice(words) => (&words.body, &words.formatted, true),
            _ => return None,
        };
        let thread = match &event.content.relates_to {
            Some(Relation::Replacement(_)) => return None,
            Some(Relation::Thread(thread)) => Some(thread.event_id.to_string()),
            _ => None,
        };
        let html = formatted.as_ref().filter(|formatted| formatted.format == MessageFormat::Html);
        if html.is_some_and(|html| is_code_block(&html.body)) {
            return None;
        }
        let mentioned = event.content.mentions.as_ref().is_some_and(|mentions| mentions.user_ids.contains(self.me));
        let text = self.address(&own_words(body), mentioned);
        (!text.is_empty()).then(|| Incoming { machine, ..bare(None, thread, text) })
    }

    /// Writes an address that a client made of a picked name, or our full id, as `@name`.
    fn address(&self, text: &str, mentioned: bool) -> String {
        let called = self.called.filter(|_| mentioned);
        let rest = [Some(self.me.as_str()), called].into_iter().flatten().find_map(|name| {
            let rest = strip_word(text, name).or_else(|| strip_word(text.strip_prefix('@')?, name))?;
            Some(rest.strip_prefix([':', ',']).unwrap_or(rest).trim_start())
        });
        match rest {
            Some(rest) => format!("@{} {rest}", self.bot),
            None => text.to_owned(),
        }
    }
}

/// What follows a name at the beginning of a text, where the name ends there.
fn strip_word<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(name.len()).filter(|_| !name.is_empty())?;
    let ends = rest.is_empty() || rest.starts_with([':', ',']) || rest.starts_with(char::is_whitespace);
    (ends && head.to_lowercase() == name.to_lowercase()).then_some(rest)
}

/// A body without quoted lines (a reply repeats what it answers in them) and without fenced code.
fn own_words(body: &str) -> String {
    let mut fenced = false;
    let lines: Vec<&str> = body
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            // A fence that opens and closes in one line ("```x```") fences nothing below it.
            let alone = fence && line.trim_start().trim_start_matches('`').contains("```");
            let keep = !fenced && !fence && !line.starts_with('>');
            fenced ^= fence && (fenced || !alone);
            keep
        })
        .collect();
    lines.join("\n").trim().to_owned()
}

/// Whether a formatted body is one block of code and nothing else.
fn is_code_block(html: &str) -> bool {
    let html = match html.split_once("</mx-reply>") {
        Some((_, rest)) => rest,
        None => html,
    };
    let html = html.trim();
    html.starts_with("<pre") && html.ends_with("</pre>")
}

/// An event's id and the time its sender's server gave it.
pub(crate) fn id_and_time(raw: &RawEvent) -> Option<(OwnedEventId, Timestamp)> {
    let event = raw.get_field::<OwnedEventId>("event_id").ok()??;
    let millis = raw.get_field::<i64>("origin_server_ts").ok().flatten().unwrap_or(0);
    Some((event, timestamp(millis)))
}

/// Whether this is the moment at which we came into the room. A changed name or picture is a membership
/// event too, and is not.
pub(crate) fn is_own_arrival(event: &Event, me: &UserId) -> bool {
    if !event.is_clear("m.room.member") {
        return false;
    }
    let Ok(event) = event.raw.deserialize_as_unchecked::<Value>() else { return false };
    event["state_key"] == me.as_str()
        && event["content"]["membership"] == "join"
        && event["unsigned"]["prev_content"]["membership"] != "join"
}

/// Whether this is an event of ours that carries this key.
pub(crate) fn carries_key(raw: &RawEvent, me: &UserId, key: &str) -> bool {
    let Ok(event) = raw.deserialize_as_unchecked::<Value>() else { return false };
    event["sender"] == me.as_str() && event["content"][KEY_FIELD] == key
}

/// A time out of milliseconds; what is no time is the beginning of all times.
fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The content of a new message.
pub(crate) fn say(text: &Text, thread: Option<&EventId>, key: &str) -> Value {
    fitting(text, |text| {
        let mut content = notice(text);
        content.relates_to = thread.map(|root| Relation::Thread(Thread::plain(root.to_owned(), root.to_owned())));
        with_key(&content, key)
    })
}

/// Whether a text fits in one message as it is.
pub(crate) fn fits(text: &Text) -> bool {
    text.plain().len() <= LARGEST_TEXT && with_key(&notice(text), "").to_string().len() + 1_024 <= LARGEST_CONTENT
}

/// The content of a file's message. `source` says where it lies.
pub(crate) fn file(source: Value, size: usize, thread: Option<&EventId>, key: &str) -> Value {
    let mut content = json!({
        "msgtype": "m.file",
        "body": FILE_NAME,
        "filename": FILE_NAME,
        "info": { "mimetype": "text/plain", "size": size },
        "m.mentions": {},
        KEY_FIELD: key,
    });
    if let Some(root) = thread {
        content["m.relates_to"] = json!({
            "rel_type": "m.thread", "event_id": root, "is_falling_back": true, "m.in_reply_to": { "event_id": root },
        });
    }
    if let (Value::Object(content), Value::Object(source)) = (&mut content, source) {
        content.extend(source);
    }
    content
}

/// The content of an edit of one of our messages.
pub(crate) fn edit(event: &EventId, text: &Text, key: &str) -> Value {
    fitting(text, |text| {
        let content = notice(text);
        // Who was called by the first text is not called again by each change of it.
        let called = content.mentions.clone();
        let content = content.make_replacement(ReplacementMetadata::new(event.to_owned(), called));
        with_key(&content, key)
    })
}

/// The content of a reaction.
pub(crate) fn react(event: &EventId, emoji: &str, key: &str) -> Value {
    json!({
        "m.relates_to": { "rel_type": "m.annotation", "event_id": event, "key": emoji },
        KEY_FIELD: key,
    })
}

fn notice(text: &Text) -> RoomMessageEventContent {
    let called = called(text);
    // A notice notifies nobody, also not those whom it calls.
    let mut content = match called.is_empty() {
        true => RoomMessageEventContent::notice_html(text.plain(), html(text)),
        false => RoomMessageEventContent::text_html(text.plain(), html(text)),
    };
    // Said even where it is empty: without it, older servers look for names in the words and ping people.
    content.mentions = Some(Mentions::with_user_ids(called));
    content
}

fn with_key(content: &RoomMessageEventContent, key: &str) -> Value {
    // Text and ids always serialize; an empty object would be refused by the server and logged.
    let mut value = serde_json::to_value(content).unwrap_or_else(|_| json!({}));
    value[KEY_FIELD] = key.into();
    value
}

/// Makes an event of as much of a text as one can hold.
fn fitting(text: &Text, make: impl Fn(&Text) -> Value) -> Value {
    let mut most = 30_000;
    loop {
        let content = make(&text.clone().clamped(most));
        if content.to_string().len() <= LARGEST_CONTENT || most < 1_000 {
            return content;
        }
        most /= 2;
    }
}

/// Those of the people whom a text calls who are on this network.
fn called(text: &Text) -> Vec<OwnedUserId> {
    let ids = text.blocks().iter().filter_map(|block| match block {
        Block::People(ids) => Some(ids),
        Block::Line(_) | Block::Code(_) => None,
    });
    ids.flatten().filter_map(|id| UserId::parse(id.as_str()).ok()).collect()
}

/// A text in the HTML that Matrix knows.
fn html(text: &Text) -> String {
    let mut html = String::new();
    let mut after_line = false;
    for block in text.blocks() {
        match block {
            Block::Line(line) => {
                if after_line {
                    html.push_str("<br>");
                }
                let words = line.trim_start_matches(' ');
                html.push_str(&"&nbsp;".repeat(line.len() - words.len()));
                escape(words, &mut html);
                after_line = true;
            }
            Block::People(ids) => {
                if after_line {
                    html.push_str("<br>");
                }
                for (place, id) in ids.iter().enumerate() {
                    html.push_str(if place > 0 { " " } else { "" });
                    match UserId::parse(id.as_str()) {
                        Ok(user) => {
                            html.push_str("<a href=\"");
                            escape(&user.matrix_to_uri().to_string(), &mut html);
                            html.push_str("\">");
                            escape(id, &mut html);
                            html.push_str("</a>");
                        }
                        Err(_) => escape(id, &mut html),
                    }
                }
                after_line = true;
            }
            Block::Code(code) => {
                html.push_str("<pre><code>");
                escape(code, &mut html);
                html.push_str("</code></pre>");
                after_line = false;
            }
        }
    }
    html
}

fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(letter),
        }
    }
}

#[cfg(test)]
mod tests;
