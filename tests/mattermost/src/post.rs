//! Posts and reactions, as the server stores them and as the API returns them.

use serde_json::{Map, Value, json};

/// The version whose behaviour a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerVersion {
    /// A current version.
    Current,
    /// 5.30: connections cannot be resumed, posts have no metadata, and many fields are missing.
    Old,
}

/// A reaction to a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// The user's id.
    pub user: String,
    /// The emoji's name.
    pub emoji: String,
    pub(crate) at: i64,
}

/// A stored post.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// The post's id.
    pub id: String,
    /// The id of the author.
    pub user: String,
    /// The channel's id.
    pub channel: String,
    /// The id of the first post of its thread; empty if the post is not a reply.
    pub root: String,
    /// The text in Markdown.
    pub message: String,
    /// The field `props` of the API.
    pub props: Map<String, Value>,
    /// The ids of the attached files.
    pub files: Vec<String>,
    /// The reactions to the post.
    pub reactions: Vec<Reaction>,
    /// The number of edits.
    pub edits: u32,
    /// The creation time, in milliseconds.
    pub create_at: i64,
    pub(crate) update_at: i64,
    pub(crate) edit_at: i64,
    pub(crate) delete_at: i64,
    pub(crate) kind: String,
    pub(crate) original: String,
}

impl Post {
    pub(crate) fn json(&self, version: ServerVersion, pending: &str) -> Value {
        let mut json = json!({
            "id": self.id, "create_at": self.create_at, "update_at": self.update_at, "edit_at": self.edit_at,
            "delete_at": self.delete_at, "is_pinned": false, "user_id": self.user, "channel_id": self.channel,
            "root_id": self.root, "message": self.message, "type": self.kind, "props": self.props, "hashtags": "",
            "pending_post_id": pending,
        });
        if !self.files.is_empty() {
            json["file_ids"] = json!(self.files);
        }
        if !self.reactions.is_empty() {
            json["has_reactions"] = true.into();
        }
        match version {
            ServerVersion::Old => json["parent_id"] = self.root.clone().into(),
            ServerVersion::Current => {
                json["original_id"] = self.original.clone().into();
                json["reply_count"] = 0.into();
                json["participants"] = Value::Null;
                json["metadata"] = json!({});
                if !self.reactions.is_empty() {
                    json["metadata"]["reactions"] = self.reactions_json();
                }
            }
        }
        json
    }

    pub(crate) fn reactions_json(&self) -> Value {
        let of = |reaction: &Reaction| reaction_json(&self.id, reaction);
        self.reactions.iter().map(of).collect()
    }
}

/// Returns a reaction in the form of the API.
pub(crate) fn reaction_json(post: &str, reaction: &Reaction) -> Value {
    json!({ "user_id": reaction.user, "post_id": post, "emoji_name": reaction.emoji, "create_at": reaction.at })
}
