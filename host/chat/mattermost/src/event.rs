//! Parses the frames that the server sends over the WebSocket. A frame is an event of the server, or the response to a
//! request that the bot sent over the WebSocket. Mattermost calls such a request an action.
//!
//! Invariant: an unknown frame or event is ignored, and so is an event without a required field.
//! Invariant: the number of an event is read whatever the event holds, so that an event that cannot be parsed does not
//! count as missing.

use crate::client::{
    Post, Reaction,
    json::{Object, text},
};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    /// The server's greeting on a new connection. The server does not send the events that occurred after the previous
    /// connection was lost and before this one was opened.
    Hello {
        /// The id with which the connection can be resumed; `None` if the server cannot resume connections.
        connection: Option<String>,
        version: String,
        seq: i64,
    },
    /// A numbered event of the server. `event` is `None` if the bot does not handle the event.
    Event {
        seq: Option<i64>,
        event: Option<Event>,
    },
    /// The response to a request that the bot sent over the WebSocket, for example a ping.
    Answer {
        /// The number of the request to which the server responds.
        to: i64,
        /// The server's error id if the request failed.
        failure: Option<String>,
    },
    Unknown,
}

/// An event that the bot handles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A new post. The event also has a name of the post's author, which is not read: it can be `System`, or a name
    /// that a webhook chose.
    Posted {
        post: Box<Post>,
    },
    Deleted {
        post: Box<Post>,
        /// The person who deleted the post, if the server reports that.
        by: Option<String>,
    },
    ReactionAdded {
        channel: String,
        reaction: Reaction,
    },
    ReactionRemoved {
        channel: String,
        reaction: Reaction,
    },
    /// The list of the bot's channels may be out of date, for example because the bot joined a channel, a channel was
    /// renamed, or the bot's permissions in a channel have changed.
    ChannelsChanged,
    /// Another account joined or left a channel.
    MemberChanged {
        user: String,
    },
    /// The bot left a channel, or the channel was archived.
    ChannelLeft {
        channel: String,
    },
}

impl Frame {
    /// Parses a frame. `me` is the id of the bot's account.
    pub(crate) fn read(json: &str, me: &str) -> Self {
        let frame = Object::read(json);
        let (data, seq) = (frame.object("data"), frame.integer("seq"));
        if let Some(name) = text(frame.json("event")) {
            return match &*name {
                "hello" => Self::Hello {
                    connection: data.non_empty("connection_id"),
                    version: data.text("server_version"),
                    seq: seq.unwrap_or_default(),
                },
                name => Self::Event { seq, event: Event::read(name, &data, &frame.object("broadcast"), me) },
            };
        }
        match text(frame.json("status")) {
            Some(status) => Self::Answer {
                to: frame.number("seq_reply"),
                failure: (status != "OK")
                    .then(|| frame.object("error").non_empty("id").unwrap_or_else(|| "no reason given".to_owned())),
            },
            None => Self::Unknown,
        }
    }
}

impl Event {
    fn read(name: &str, data: &Object<'_>, broadcast: &Object<'_>, me: &str) -> Option<Self> {
        let channel = || broadcast.non_empty("channel_id").or_else(|| data.non_empty("channel_id"));
        let user = || data.non_empty("user_id").or_else(|| broadcast.non_empty("user_id"));
        let is_about_me = || user().is_none_or(|user| user == me);
        let post = || {
            let mut post = Post::read(&data.inner_json("post"))?;
            if post.channel.is_empty() {
                post.channel = channel()?;
            }
            Some(Box::new(post))
        };
        match name {
            "posted" => Some(Self::Posted { post: post()? }),
            "post_deleted" => {
                let post = post()?;
                let by = data.non_empty("delete_by").or_else(|| post.property("deleteBy").map(str::to_owned));
                Some(Self::Deleted { post, by })
            }
            "reaction_added" | "reaction_removed" => {
                let json = data.inner_json("reaction");
                let channel = channel().or_else(|| Object::read(&json).non_empty("channel_id"))?;
                let reaction = Reaction::read(&json)?;
                Some(match name {
                    "reaction_added" => Self::ReactionAdded { channel, reaction },
                    _ => Self::ReactionRemoved { channel, reaction },
                })
            }
            "user_added" | "added_to_team" | "update_team" if is_about_me() => Some(Self::ChannelsChanged),
            "direct_added" | "group_added" | "channel_updated" | "channel_restored" | "channel_converted" => {
                Some(Self::ChannelsChanged)
            }
            // The roles of the bot, or what they permit, have changed.
            "channel_scheme_updated"
            | "channel_member_updated"
            | "role_updated"
            | "memberrole_updated"
            | "user_role_updated" => Some(Self::ChannelsChanged),
            // The other members of a channel receive this event, too. `user_id` is the account that left. It is in
            // `data` or in `broadcast`.
            "user_removed" if user().is_some_and(|user| user == me) => Some(Self::ChannelLeft { channel: channel()? }),
            "user_added" | "user_removed" => Some(Self::MemberChanged { user: user()? }),
            "leave_team" if is_about_me() => Some(Self::ChannelsChanged),
            "channel_deleted" => Some(Self::ChannelLeft { channel: channel()? }),
            _ => None,
        }
    }

    /// Returns the approximate size of the event in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Posted { post } | Self::Deleted { post, .. } => post.size(),
            _ => size_of::<Self>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(name: &str, data: Value, broadcast: Value) -> Option<Event> {
        match Frame::read(&json!({ "event": name, "data": data, "broadcast": broadcast, "seq": 3 }).to_string(), "me") {
            Frame::Event { seq: Some(3), event } => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_post_within_a_text_is_parsed() {
        let post = json!({ "id": "p", "user_id": "bob", "message": "hi" }).to_string();
        let data = json!({ "post": post, "channel_type": "D", "sender_name": "@bob", "mentions": 7 });
        let Some(Event::Posted { post }) = event("posted", data, json!({ "channel_id": "c" })) else {
            panic!("no post")
        };
        assert_eq!((post.id.as_str(), post.channel.as_str(), post.user.as_str()), ("p", "c", "bob"));
        assert_eq!(event("posted", json!({ "post": "{" }), json!({})), None);
        assert_eq!(event("posted", json!({}), json!(null)), None);
    }

    #[test]
    fn a_deeply_nested_event_keeps_its_number() {
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        let frame = format!(r#"{{"event": "custom_tick", "data": {deep}, "broadcast": {deep}, "seq": 7}}"#);
        assert_eq!(Frame::read(&frame, "me"), Frame::Event { seq: Some(7), event: None });
        let post = format!(r#"{{"id": "p", "channel_id": "c", "props": {{"x": {deep}}}}}"#);
        let posted = event("posted", json!({ "post": post }), json!({}));
        assert!(matches!(posted, Some(Event::Posted { .. })), "{posted:?}");
    }

    #[test]
    fn joins_and_leaves_of_others_do_not_change_the_bots_channels() {
        let bob = Some(Event::MemberChanged { user: "bob".into() });
        assert_eq!(event("user_added", json!({ "user_id": "bob" }), json!({ "channel_id": "c" })), bob);
        assert_eq!(
            event("user_added", json!({ "user_id": "me" }), json!({ "channel_id": "c" })),
            Some(Event::ChannelsChanged)
        );
        let left = |data, broadcast| event("user_removed", data, broadcast);
        assert_eq!(left(json!({ "user_id": "bob" }), json!({ "channel_id": "c" })), bob);
        let own = Some(Event::ChannelLeft { channel: "c".into() });
        assert_eq!(left(json!({ "channel_id": "c", "remover_id": "bob" }), json!({ "user_id": "me" })), own);
        assert_eq!(left(json!({ "user_id": "me" }), json!({ "channel_id": "c" })), own);
    }

    #[test]
    fn frames_of_every_kind_are_parsed() {
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
