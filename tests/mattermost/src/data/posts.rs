//! The posts of a server: creation, edits, removal, reactions, files, and the pending ids of clients.
//!
//! Not here: accounts and channels, and the recipients of events (`data`).

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{ServerData, new_id};
use crate::post::{Post, Reaction, ServerVersion, reaction_json};

/// The state of a client's pending id: its post is being created or was created recently.
#[derive(Debug)]
pub(super) enum Pending {
    UnderWay,
    Made(String, Instant),
}

/// The lifetime of a pending id.
const PENDING: Duration = Duration::from_secs(30);

/// The result of looking up a pending id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The pending id is new and was stored.
    New,
    /// Another request with the same pending id is in progress.
    UnderWay,
    /// The id of the post that was created with the pending id.
    Made(String),
}

impl ServerData {
    /// The API's answer to a request for posts, by their ids.
    pub(crate) fn post(&self, id: &str) -> Option<&Post> {
        self.posts.get(id)
    }

    /// Returns the posts of a channel, including removed posts and earlier texts.
    pub(crate) fn all_of(&self, channel: &str) -> Vec<&Post> {
        self.posts.values().filter(|post| post.channel == channel).collect()
    }

    pub(crate) fn posts_of(&self, channel: &str) -> Vec<Post> {
        let mut posts: Vec<Post> =
            self.all_of(channel).into_iter().filter(|post| post.delete_at == 0).cloned().collect();
        posts.sort_by(|one, other| (one.create_at, &one.id).cmp(&(other.create_at, &other.id)));
        posts
    }

    /// Creates a post with these fields in addition to the usual ones: `message`, `root_id`, `type`, `props`,
    /// `file_ids`, `create_at`, `pending_post_id`.
    pub(crate) fn post_with(&mut self, channel: &str, user: &str, fields: &Value) -> String {
        let now = self.now();
        let at = fields["create_at"].as_i64().unwrap_or(now);
        let word = |key: &str| fields[key].as_str().unwrap_or_default().to_owned();
        let mut props = fields["props"].as_object().cloned().unwrap_or_default();
        if self.users.get(user).is_some_and(|user| user.bot) {
            props.insert("from_bot".into(), "true".into());
        }
        let files = fields["file_ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let post = Post {
            id: new_id(),
            user: user.to_owned(),
            channel: channel.to_owned(),
            root: word("root_id"),
            message: word("message"),
            props,
            files: files.map(str::to_owned).collect(),
            reactions: Vec::new(),
            edits: 0,
            create_at: at,
            update_at: at,
            edit_at: 0,
            delete_at: 0,
            kind: word("type"),
            original: String::new(),
        };
        let id = post.id.clone();
        if let Some(root) = self.posts.get_mut(&post.root) {
            root.update_at = now;
        }
        let sender_name = self.sender_name(&post);
        let (letter, name, team) = self.channels.get(channel).map_or(("", String::new(), String::new()), |channel| {
            (channel.letter, channel.name.clone(), self.teams.get(&channel.team).cloned().unwrap_or_default())
        });
        let mut data = json!({
            "post": post.json(self.version, &word("pending_post_id")).to_string(), "channel_type": letter,
            "channel_name": name, "channel_display_name": name, "sender_name": sender_name, "team_id": team,
        });
        if self.version == ServerVersion::Current {
            data["set_online"] = true.into();
        }
        self.posts.insert(id.clone(), post);
        self.emit("posted", data, channel, None);
        id
    }

    /// Returns the name that an event gives the author of a post. The properties are the author's own choice: every user
    /// can set them.
    fn sender_name(&self, post: &Post) -> String {
        if post.kind.starts_with("system_") {
            return "System".to_owned();
        }
        let is_webhook = post.props.get("from_webhook").is_some_and(|value| value == "true");
        let chosen = post.props.get("override_username").and_then(Value::as_str);
        match chosen.filter(|_| is_webhook && self.allows_username_override) {
            Some(name) => name.to_owned(),
            None => self.users.get(&post.user).map(|user| format!("@{}", user.name)).unwrap_or_default(),
        }
    }

    /// Replaces the text of a post, and its properties if `props` is given.
    pub(crate) fn edit(&mut self, id: &str, message: Option<&str>, props: Option<Map<String, Value>>) -> Option<Value> {
        let (now, version) = (self.now(), self.version);
        let post = self.posts.get_mut(id)?;
        let before = Post { id: new_id(), original: id.to_owned(), delete_at: now, update_at: now, ..post.clone() };
        if let Some(message) = message {
            post.message = message.to_owned();
        }
        if let Some(props) = props {
            let bot = post.props.get("from_bot").cloned();
            post.props = props;
            post.props.extend(bot.map(|bot| ("from_bot".to_owned(), bot)));
        }
        (post.edit_at, post.update_at) = (now, now);
        post.edits += 1;
        let (json, channel) = (post.json(version, ""), post.channel.clone());
        if version == ServerVersion::Current {
            self.posts.insert(before.id.clone(), before);
        }
        self.emit("post_edited", json!({ "post": json.to_string() }), &channel, None);
        Some(json)
    }

    /// Removes a post and its replies. Without `by` the event does not name a user.
    pub(crate) fn delete(&mut self, id: &str, by: Option<&str>) {
        let (now, version) = (self.now(), self.version);
        let ids: Vec<String> =
            self.posts.values().filter(|post| post.id == id || post.root == id).map(|post| post.id.clone()).collect();
        for id in ids {
            let Some(post) = self.posts.get_mut(&id) else { continue };
            (post.delete_at, post.update_at) = (now, now);
            post.props.extend(by.map(|by| ("deleteBy".to_owned(), by.into())));
            let (json, channel) = (post.json(version, ""), post.channel.clone());
            post.message.clear();
            let mut data = json!({ "post": json.to_string() });
            if let Some(by) = by.filter(|_| version == ServerVersion::Current) {
                data["delete_by"] = by.into();
            }
            self.emit("post_deleted", data, &channel, None);
        }
    }

    pub(crate) fn react(&mut self, user: &str, id: &str, emoji: &str) -> Option<Value> {
        let now = self.now();
        let post = self.posts.get_mut(id).filter(|post| post.delete_at == 0)?;
        let known = post.reactions.iter().position(|one| one.user == user && one.emoji == emoji);
        let at = known.unwrap_or_else(|| {
            post.reactions.push(Reaction { user: user.to_owned(), emoji: emoji.to_owned(), at: now });
            post.reactions.len() - 1
        });
        post.update_at = now;
        let (json, channel) = (reaction_json(id, &post.reactions[at]), post.channel.clone());
        if known.is_none() {
            self.emit("reaction_added", json!({ "reaction": json.to_string() }), &channel, None);
        }
        Some(json)
    }

    pub(crate) fn unreact(&mut self, user: &str, id: &str, emoji: &str) {
        let now = self.now();
        let Some(post) = self.posts.get_mut(id) else { return };
        let before = post.reactions.len();
        post.reactions.retain(|one| one.user != user || one.emoji != emoji);
        if post.reactions.len() == before {
            return;
        }
        post.update_at = now;
        let channel = post.channel.clone();
        // A real server's event does not contain the time of the reaction.
        let json = reaction_json(id, &Reaction { user: user.to_owned(), emoji: emoji.to_owned(), at: 0 });
        self.emit("reaction_removed", json!({ "reaction": json.to_string() }), &channel, None);
    }

    pub(crate) fn add_file(&mut self, text: String) -> String {
        let id = new_id();
        self.files.insert(id.clone(), text);
        id
    }

    pub(crate) fn file(&self, id: &str) -> Option<String> {
        self.files.get(id).cloned()
    }

    /// Looks up a pending id. Stores a new one.
    pub(crate) fn pend(&mut self, name: &str) -> Known {
        self.pending.retain(|_, pending| !matches!(pending, Pending::Made(_, at) if at.elapsed() > PENDING));
        match self.pending.get(name) {
            Some(Pending::UnderWay) => Known::UnderWay,
            Some(Pending::Made(post, _)) => Known::Made(post.clone()),
            None => {
                self.pending.insert(name.to_owned(), Pending::UnderWay);
                Known::New
            }
        }
    }

    /// Stores the post of a pending id.
    pub(crate) fn settle(&mut self, name: &str, post: Option<&str>) {
        match post {
            Some(post) => self.pending.insert(name.to_owned(), Pending::Made(post.to_owned(), Instant::now())),
            None => self.pending.remove(name),
        };
    }

    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }
}
