//! A user of the server and the actions of the user's client.

use std::sync::Arc;

use serde_json::json;

use crate::{Post, Shared};

/// A user of the server.
#[derive(Debug, Clone)]
pub struct Person {
    shared: Arc<Shared>,
    id: String,
}

impl Person {
    pub(crate) fn new(shared: Arc<Shared>, id: String) -> Self {
        Self { shared, id }
    }

    /// Returns the user's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Posts in a channel. Returns the post's id.
    pub fn post(&self, channel: &str, message: &str) -> String {
        self.shared.change(|data| data.post_with(channel, &self.id, &json!({ "message": message })))
    }

    /// Replies in the thread of a post. Returns the reply's id.
    pub fn reply(&self, root: &str, message: &str) -> String {
        self.shared.change(|data| {
            let channel = data.post(root).map(|post| post.channel.clone()).unwrap_or_default();
            data.post_with(&channel, &self.id, &json!({ "message": message, "root_id": root }))
        })
    }

    /// Edits a post of this user.
    pub fn edit(&self, post: &str, message: &str) {
        self.shared.change(|data| data.edit(post, Some(message), None));
    }

    /// Removes a post.
    pub fn delete(&self, post: &str) {
        self.shared.change(|data| data.delete(post, Some(&self.id)));
    }

    /// Reacts to a post with an emoji's name.
    pub fn react(&self, post: &str, emoji: &str) {
        self.shared.change(|data| data.react(&self.id, post, emoji));
    }

    /// Removes a reaction.
    pub fn unreact(&self, post: &str, emoji: &str) {
        self.shared.change(|data| data.unreact(&self.id, post, emoji));
    }

    /// Adds another user to a channel.
    pub fn add(&self, channel: &str, whom: &Self) {
        self.shared.change(|data| data.add(channel, &self.id, &whom.id));
    }

    /// Changes the username.
    pub fn rename(&self, name: &str) {
        self.shared.change(|data| data.rename_user(&self.id, name));
    }

    /// Changes the nickname.
    pub fn set_nickname(&self, nickname: &str) {
        self.shared.change(|data| data.nickname(&self.id, nickname));
    }

    /// Deactivates the account.
    pub fn leave(&self) {
        self.shared.change(|data| data.deactivate(&self.id));
    }

    /// Removes the account, as if it had never existed.
    pub fn vanish(&self) {
        self.shared.change(|data| data.remove_user(&self.id));
    }

    /// Returns the user's posts in a channel, oldest first.
    pub fn posts(&self, channel: &str) -> Vec<Post> {
        self.shared.data().posts_of(channel).into_iter().filter(|post| post.user == self.id).collect()
    }

    /// Returns the user's posts in a thread, oldest first.
    pub fn replies(&self, root: &str) -> Vec<Post> {
        let channel = self.shared.data().post(root).map(|post| post.channel.clone()).unwrap_or_default();
        self.posts(&channel).into_iter().filter(|post| post.root == root).collect()
    }
}
