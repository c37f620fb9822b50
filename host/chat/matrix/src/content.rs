//! Converts the engine's texts to the content of Matrix events. Pure functions: no network, no store.
//!
//! Invariant: text is escaped, so that no part of it becomes markup or a mention. Only [`Block::People`]
//! mentions people.

use matrix_sdk::ruma::{
    EventId, OwnedUserId, UserId,
    events::{
        Mentions,
        relation::Thread,
        room::message::{Relation, RoomMessageEventContent},
    },
};
use serde_json::{Value, json};
use wardroom::base::{Block, Text};
use wardroom_account::mentioned_people;

use crate::convert::KEY_FIELD;

/// Maximum size of an event's content, in bytes. A server accepts events of up to 64 KiB. The value leaves space for
/// the encryption, which makes the content a third larger, and for the fields that the server adds.
const MAX_CONTENT: usize = 45 * 1024;
/// Maximum size of a text that is sent as a message, in bytes. A longer text is sent as a file.
const MAX_TEXT: usize = 20_000;
/// Space for the fields of a message or of an edit besides the text: the relation, the key and the fallback of an edit.
const RESERVED: usize = 1_024;
/// Maximum length of the first line in the fallback of an edit, in bytes.
const MAX_FALLBACK: usize = 100;
/// The name of the file that holds a text that is too long for a message.
pub(crate) const FILE_NAME: &str = "output.txt";

/// Returns the content of a new message. A text that is too long is truncated. `thread` is the root event of the thread
/// to which the message is sent, if any; `key` is the message's idempotency key.
pub(crate) fn message(text: &Text, thread: Option<&EventId>, key: &str) -> Value {
    truncate_to_fit(text, |text| {
        let mut content = text_content(text);
        content.relates_to = thread.map(|root| Relation::Thread(Thread::plain(root.to_owned(), root.to_owned())));
        with_key(&content, key)
    })
}

/// Returns whether a text fits in one message or edit without truncation.
pub(crate) fn fits(text: &Text) -> bool {
    text.plain().len() <= MAX_TEXT && with_key(&text_content(text), "").to_string().len() + RESERVED <= MAX_CONTENT
}

/// Returns the content of a file message. `source` holds the fields that refer to the uploaded file; `size` is the size
/// of the file in bytes. `thread` is the root event of the message's thread; `key` is the message's idempotency key.
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

/// Returns the content of a notice to one person, whom the message mentions. `thread` is the root event of the
/// message's thread, if any; `key` is the message's idempotency key.
pub(crate) fn device_notice(text: &str, person: &UserId, thread: Option<&EventId>, key: &str) -> Value {
    let mut content = RoomMessageEventContent::text_plain(format!("{person}: {text}"));
    content.mentions = Some(Mentions::with_user_ids([person.to_owned()]));
    content.relates_to = thread.map(|root| Relation::Thread(Thread::plain(root.to_owned(), root.to_owned())));
    with_key(&content, key)
}

/// Returns the content of an edit that replaces the text of the bot's message `event`. A text that is too long is
/// truncated, as in a new message. A text for which [`fits`] returns `true` is never truncated, because the content
/// holds it once: clients that do not support edits receive only its first line.
pub(crate) fn edit(event: &EventId, text: &Text, key: &str) -> Value {
    truncate_to_fit(text, |text| {
        let content = text_content(text);
        json!({
            "msgtype": content.msgtype(),
            "body": edit_fallback(text),
            // People whom the first version mentioned are not notified again.
            "m.mentions": {},
            "m.new_content": to_json(&content),
            "m.relates_to": { "rel_type": "m.replace", "event_id": event },
            KEY_FIELD: key,
        })
    })
}

/// Returns the text that clients without support for edits show for an edit.
fn edit_fallback(text: &Text) -> String {
    let plain = text.plain();
    let first = plain.lines().next().unwrap_or_default();
    match first.floor_char_boundary(MAX_FALLBACK) {
        end if end < first.len() => format!("* edited: {}...", &first[..end]),
        _ => format!("* edited: {first}"),
    }
}

pub(crate) fn reaction(event: &EventId, emoji: &str, key: &str) -> Value {
    json!({
        "m.relates_to": { "rel_type": "m.annotation", "event_id": event, "key": emoji },
        KEY_FIELD: key,
    })
}

fn text_content(text: &Text) -> RoomMessageEventContent {
    // Ids of other networks are left out.
    let mentioned: Vec<OwnedUserId> = mentioned_people(text).filter_map(|id| UserId::parse(id).ok()).collect();
    // A notice notifies nobody, not even the people that it mentions.
    let mut content = match mentioned.is_empty() {
        true => RoomMessageEventContent::notice_html(text.plain(), html(text)),
        false => RoomMessageEventContent::text_html(text.plain(), html(text)),
    };
    // An empty list is sent, too. Without a list, older servers search the text for names and notify these people.
    content.mentions = Some(Mentions::with_user_ids(mentioned));
    content
}

fn with_key(content: &RoomMessageEventContent, key: &str) -> Value {
    let mut value = to_json(content);
    value[KEY_FIELD] = key.into();
    value
}

fn to_json(content: &RoomMessageEventContent) -> Value {
    // The serialization of text and ids does not fail. The server would reject the empty object.
    serde_json::to_value(content).unwrap_or_else(|_| json!({}))
}

/// Returns the content that `make` creates from a text. The text is truncated until the content fits in one event.
fn truncate_to_fit(text: &Text, make: impl Fn(&Text) -> Value) -> Value {
    let mut limit = 30_000;
    loop {
        let content = make(&text.clone().clamped(limit));
        if content.to_string().len() <= MAX_CONTENT || limit < 1_000 {
            return content;
        }
        limit /= 2;
    }
}

/// Converts a text to the HTML that Matrix clients show.
fn html(text: &Text) -> String {
    let mut html = String::new();
    let mut after_line = false;
    for block in text.blocks() {
        match block {
            Block::Line(line) => {
                if after_line {
                    html.push_str("<br>");
                }
                escape_line(line, &mut html);
                after_line = true;
            }
            Block::People(ids) => {
                if after_line {
                    html.push_str("<br>");
                }
                for (index, id) in ids.iter().enumerate() {
                    html.push_str(if index > 0 { " " } else { "" });
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
            Block::Quote(quote) => {
                html.push_str("<blockquote>");
                for (index, line) in quote.lines().enumerate() {
                    html.push_str(if index > 0 { "<br>" } else { "" });
                    escape_line(line, &mut html);
                }
                html.push_str("</blockquote>");
                after_line = false;
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

/// Escapes a line. Keeps its indentation.
fn escape_line(line: &str, html: &mut String) {
    let unindented = line.trim_start_matches(' ');
    html.push_str(&"&nbsp;".repeat(line.len() - unindented.len()));
    escape(unindented, html);
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
