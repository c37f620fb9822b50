//! What comes over the WebSocket: one frame, read.
//!
//! Invariant: a frame or event that nobody knows is none. What is needed of an event and missing makes it none too.

use serde_json::Value;

use crate::api::{Post, Reaction};

/// A frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    /// The server begins with a new connection: whatever was sent on an earlier one is missing.
    Hello {
        /// By which it can be taken up again; `None` on servers that cannot do that.
        connection: Option<String>,
        /// The server's version, for the log.
        version: String,
        seq: i64,
    },
    /// Something happened; `None` where it is no business of ours.
    Event { seq: Option<i64>, event: Option<Event> },
    /// An answer to one of our actions.
    Answer {
        /// Which.
        to: i64,
        /// What the server's own name for the failure is, where it is one.
        failure: Option<String>,
    },
    /// Nothing that we know.
    Unknown,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A new post.
    Posted {
        post: Box<Post>,
        /// Its author's name.
        sender: String,
    },
    /// A post was removed.
    Deleted {
        post: Box<Post>,
        /// Who did it, where the server says so.
        by: Option<String>,
    },
    /// An emoji was put on a post.
    Reacted { channel: String, reaction: Reaction },
    /// One was taken away.
    Unreacted { channel: String, reaction: Reaction },
    /// We came into a channel or team, or a channel has another name now.
    Moved,
    /// Somebody else came into a channel or left one.
    Membership { user: String },
    /// We are out of a channel, or it is put away.
    Left { channel: String },
}

impl Frame {
    /// Reads one; `me` is our own id.
    pub(crate) fn read(text: &str, me: &str) -> Self {
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return Self::Unknown };
        let seq = frame["seq"].as_i64();
        match frame["event"].as_str() {
            Some("hello") => Self::Hello {
                connection: word(&frame["data"]["connection_id"]),
                version: word(&frame["data"]["server_version"]).unwrap_or_default(),
                seq: seq.unwrap_or_default(),
            },
            Some(name) => Self::Event { seq, event: Event::read(name, &frame["data"], &frame["broadcast"], me) },
            None if frame["status"].is_string() => Self::Answer {
                to: frame["seq_reply"].as_i64().unwrap_or_default(),
                failure: (frame["status"] != "OK")
                    .then(|| word(&frame["error"]["id"]).unwrap_or_else(|| "no reason given".to_owned())),
            },
            None => Self::Unknown,
        }
    }
}

impl Event {
    fn read(name: &str, data: &Value, broadcast: &Value, me: &str) -> Option<Self> {
        let channel = || word(&broadcast["channel_id"]).or_else(|| word(&data["channel_id"]));
        let user = || word(&data["user_id"]).or_else(|| word(&broadcast["user_id"]));
        let about_us = || user().is_none_or(|user| user == me);
        match name {
            "posted" => {
                let mut post = Post::read(&inner(&data["post"]))?;
                if post.channel.is_empty() {
                    post.channel = channel()?;
                }
                Some(Self::Posted { post: Box::new(post), sender: word(&data["sender_name"]).unwrap_or_default() })
            }
            "post_deleted" => {
                let mut post = Post::read(&inner(&data["post"]))?;
                if post.channel.is_empty() {
                    post.channel = channel()?;
                }
                let by = word(&data["delete_by"]).or_else(|| post.property("deleteBy").map(str::to_owned));
                Some(Self::Deleted { post: Box::new(post), by })
            }
            "reaction_added" | "reaction_removed" => {
                let reaction = inner(&data["reaction"]);
                let channel = channel().or_else(|| word(&reaction["channel_id"]))?;
                let reaction = Reaction::read(&reaction)?;
                Some(match name {
                    "reaction_added" => Self::Reacted { channel, reaction },
                    _ => Self::Unreacted { channel, reaction },
                })
            }
            "user_added" | "added_to_team" | "update_team" if about_us() => Some(Self::Moved),
            "direct_added" | "group_added" | "channel_updated" | "channel_restored" | "channel_converted" => {
                Some(Self::Moved)
            }
            // Everybody who stays in the channel is told of who leaves: `user_id` names them in one or the other place.
            "user_removed" if user().is_some_and(|user| user == me) => Some(Self::Left { channel: channel()? }),
            "user_added" | "user_removed" => Some(Self::Membership { user: user()? }),
            "leave_team" if about_us() => Some(Self::Moved),
            "channel_deleted" => Some(Self::Left { channel: channel()? }),
            _ => None,
        }
    }
}

/// JSON that came as a text, as servers send it, or as it is.
fn inner(value: &Value) -> Value {
    match value.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_default(),
        None => value.clone(),
    }
}

fn word(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: Value, broadcast: Value) -> Option<Event> {
        match Frame::read(&json!({ "event": name, "data": data, "broadcast": broadcast, "seq": 3 }).to_string(), "me") {
            Frame::Event { seq: Some(3), event } => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_post_within_a_text_is_read() {
        let post = json!({ "id": "p", "user_id": "bob", "message": "hi" }).to_string();
        let data = json!({ "post": post, "channel_type": "D", "sender_name": "@bob", "mentions": 7 });
        let Some(Event::Posted { post, sender }) = event("posted", data, json!({ "channel_id": "c" })) else {
            panic!("no post")
        };
        assert_eq!((post.id.as_str(), post.channel.as_str(), sender.as_str()), ("p", "c", "@bob"));
        assert_eq!(event("posted", json!({ "post": "{" }), json!({})), None);
        assert_eq!(event("posted", json!({}), json!(null)), None);
    }

    #[test]
    fn what_others_do_in_a_channel_moves_nobody() {
        let bob = Some(Event::Membership { user: "bob".into() });
        assert_eq!(event("user_added", json!({ "user_id": "bob" }), json!({ "channel_id": "c" })), bob);
        assert_eq!(event("user_added", json!({ "user_id": "me" }), json!({ "channel_id": "c" })), Some(Event::Moved));
        let left = |data, broadcast| event("user_removed", data, broadcast);
        assert_eq!(left(json!({ "user_id": "bob" }), json!({ "channel_id": "c" })), bob);
        let us = Some(Event::Left { channel: "c".into() });
        assert_eq!(left(json!({ "channel_id": "c", "remover_id": "bob" }), json!({ "user_id": "me" })), us);
        assert_eq!(left(json!({ "user_id": "me" }), json!({ "channel_id": "c" })), us);
    }

    #[test]
    fn frames_of_every_kind() {
        let hello = r#"{"event":"hello","data":{"server_version":"9.1","connection_id":"x"},"seq":0}"#;
        assert_eq!(
            Frame::read(hello, "me"),
            Frame::Hello { connection: Some("x".into()), version: "9.1".into(), seq: 0 }
        );
        let old = r#"{"event":"hello","data":{"server_version":"5.30"},"broadcast":{},"seq":0}"#;
        assert!(matches!(Frame::read(old, "me"), Frame::Hello { connection: None, .. }));
        let pong = r#"{"status":"OK","seq_reply":2,"data":{"text":"pong"}}"#;
        assert_eq!(Frame::read(pong, "me"), Frame::Answer { to: 2, failure: None });
        let no = r#"{"status":"FAIL","seq_reply":2,"error":{"id":"api.x.not_authenticated"}}"#;
        assert_eq!(Frame::read(no, "me"), Frame::Answer { to: 2, failure: Some("api.x.not_authenticated".into()) });
        for nothing in ["", "[]", "{", "{}", "7", r#"{"seq":1}"#] {
            assert_eq!(Frame::read(nothing, "me"), Frame::Unknown, "{nothing}");
        }
        assert_eq!(event("brand_new_thing", json!([1]), json!("x")), None);
    }
}
