//! Somebody with a client.

use std::sync::Arc;

use serde_json::json;

use crate::{Post, Shared};

/// Somebody with a client, who types.
#[derive(Debug, Clone)]
pub struct Person {
    shared: Arc<Shared>,
    id: String,
}

impl Person {
    pub(crate) fn new(shared: Arc<Shared>, id: String) -> Self {
        Self { shared, id }
    }

    /// Their id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes into a channel; gives the post's id.
    pub fn post(&self, channel: &str, message: &str) -> String {
        self.shared.change(|world| world.post_with(channel, &self.id, &json!({ "message": message })))
    }

    /// Writes into the thread of a post; gives the new post's id.
    pub fn reply(&self, root: &str, message: &str) -> String {
        self.shared.change(|world| {
            let channel = world.post(root).map(|post| post.channel.clone()).unwrap_or_default();
            world.post_with(&channel, &self.id, &json!({ "message": message, "root_id": root }))
        })
    }

    /// Gives a post of theirs new words.
    pub fn edit(&self, post: &str, message: &str) {
        self.shared.change(|world| world.edit(post, Some(message), None));
    }

    /// Removes a post.
    pub fn delete(&self, post: &str) {
        self.shared.change(|world| world.delete(post, Some(&self.id)));
    }

    /// Puts an emoji on a post, by its name.
    pub fn react(&self, post: &str, emoji: &str) {
        self.shared.change(|world| world.react(&self.id, post, emoji));
    }

    /// Takes an emoji away again.
    pub fn unreact(&self, post: &str, emoji: &str) {
        self.shared.change(|world| world.unreact(&self.id, post, emoji));
    }

    /// Brings somebody into a channel.
    pub fn add(&self, channel: &str, whom: &Self) {
        self.shared.change(|world| world.add(channel, &self.id, &whom.id));
    }

    /// Is called otherwise from now on.
    pub fn rename(&self, name: &str) {
        self.shared.change(|world| world.rename_user(&self.id, name));
    }

    /// Has no account any more.
    pub fn leave(&self) {
        self.shared.change(|world| world.deactivate(&self.id));
    }

    /// Has no account any more, and never had one as far as the server tells.
    pub fn vanish(&self) {
        self.shared.change(|world| world.remove_user(&self.id));
    }

    /// What they wrote in a channel, oldest first.
    pub fn posts(&self, channel: &str) -> Vec<Post> {
        self.shared.world().posts_of(channel).into_iter().filter(|post| post.user == self.id).collect()
    }

    /// What they wrote in the thread of a post, oldest first.
    pub fn replies(&self, root: &str) -> Vec<Post> {
        let channel = self.shared.world().post(root).map(|post| post.channel.clone()).unwrap_or_default();
        self.posts(&channel).into_iter().filter(|post| post.root == root).collect()
    }
}
