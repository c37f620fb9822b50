//! Posts and the emoji on them, as they are stored and as they are told.

use serde_json::{Map, Value, json};

/// How old a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Of today.
    Today,
    /// 5.30: no connection can be taken up, posts come without metadata, and many fields are not there.
    Old,
}

/// An emoji on a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// Whose.
    pub user: String,
    /// Its name.
    pub emoji: String,
    pub(crate) at: i64,
}

/// A post as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// Its id.
    pub id: String,
    /// Its author.
    pub user: String,
    /// Where it stands.
    pub channel: String,
    /// The post at the root of its thread; empty where it is one.
    pub root: String,
    /// Its words.
    pub message: String,
    /// What else there is to it.
    pub props: Map<String, Value>,
    /// The files with it.
    pub files: Vec<String>,
    /// The emoji on it.
    pub reactions: Vec<Reaction>,
    /// How often it was edited.
    pub edits: u32,
    /// When it was made, in milliseconds.
    pub create_at: i64,
    pub(crate) update_at: i64,
    pub(crate) edit_at: i64,
    pub(crate) delete_at: i64,
    pub(crate) kind: String,
    pub(crate) original: String,
}

impl Post {
    pub(crate) fn json(&self, age: Age, pending: &str) -> Value {
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
        match age {
            Age::Old => json["parent_id"] = self.root.clone().into(),
            Age::Today => {
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

/// A reaction as it is told.
pub(crate) fn reaction_json(post: &str, reaction: &Reaction) -> Value {
    json!({ "user_id": reaction.user, "post_id": post, "emoji_name": reaction.emoji, "create_at": reaction.at })
}
