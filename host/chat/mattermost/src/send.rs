//! Sending one message, and looking back for one.
//!
//! Architecture Invariant: a key makes one `pending_post_id` for ever, by which the server knows a second try for half a minute.
//! Where it may have forgotten (its answer was lost, it was started anew), the channel is looked through for the key before
//! anything is sent again. Nothing is retried here that takes time: the outbox decides.

use std::{
    collections::{HashMap, HashSet},
    sync::{MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};
use wardroom::{
    port::{Body, Outgoing, SendError},
    reply::{Block, Text},
};

use crate::{account::Account, api::NewPost, backfill::Walk, convert, emoji, trouble::Trouble, words::markdown};

/// How far a look back goes, in pages of two hundred posts.
const PAGES: usize = 10;
/// So many characters of what is sent as a file stand in the message.
const EXCERPT: usize = 4_000;
/// How often a text is cut anew where the server takes less than it said.
const CUTS: usize = 6;

/// What earlier tries left.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    /// Keys that may have been sent: nobody told.
    uncertain: HashSet<String>,
    /// The files that were uploaded for keys.
    files: HashMap<String, String>,
}

impl Account {
    /// Sends a message and gives the post's id.
    ///
    /// # Errors
    /// [`SendError`].
    pub(crate) async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        let key = message.key.as_str();
        match &message.body {
            Body::Say { text, thread } => self.say(&message.room, key, text, thread.as_deref()).await,
            Body::Edit { event, text } => {
                self.learn_called(text).await;
                let words = self.fitting(text);
                self.api.patch(event, &words, &convert::props(key)).await?;
                Ok(event.clone())
            }
            Body::React { event, emoji } => {
                let none = || SendError::Never { reason: format!("Mattermost has no name for the emoji {emoji}") };
                let name = emoji::name_of(emoji).ok_or_else(none)?;
                self.api.react(self.me(), event, name).await?;
                Ok(format!("reaction:{event}:{}:{name}", self.me()))
            }
        }
    }

    /// Looks back in a channel for a message of ours that carries this key.
    ///
    /// # Errors
    /// [`SendError`].
    pub(crate) async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        Ok(self.look(&self.target(room)?, key).await?)
    }

    async fn look(&self, channel: &str, key: &str) -> Result<Option<String>, Trouble> {
        let mut walk = Walk::default();
        for _ in 0..PAGES {
            let Some(posts) = walk.next(&self.api, channel).await? else { break };
            if let Some(post) = posts.iter().find(|post| convert::carries_key(post, self.me(), key)) {
                return Ok(Some(post.id.clone()));
            }
        }
        Ok(None)
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn say(&self, room: &str, key: &str, text: &Text, thread: Option<&str>) -> Result<String, SendError> {
        let channel = self.target(room)?;
        let uncertain = self.tries().uncertain.contains(key);
        let found = if uncertain { self.look(&channel, key).await? } else { None };
        let sent = match found {
            Some(post) => Ok(post),
            None => self.post(&channel, key, text, thread).await,
        };
        let mut tries = self.tries();
        match &sent {
            Err(Trouble::Later { .. } | Trouble::LoggedOut { .. }) => {
                tries.uncertain.insert(key.to_owned());
            }
            _ => {
                tries.uncertain.remove(key);
                tries.files.remove(key);
            }
        }
        Ok(sent?)
    }

    async fn post(&self, channel: &str, key: &str, text: &Text, thread: Option<&str>) -> Result<String, Trouble> {
        self.learn_called(text).await;
        let (props, pending) = (convert::props(key), self.pending(key));
        let mut root = thread.filter(|root| !root.is_empty());
        for _ in 0..CUTS {
            let (message, file) = self.with_file(channel, key, text).await?;
            let new =
                NewPost { channel, message: &message, root, props: &props, pending: &pending, file: file.as_deref() };
            match self.api.post(&new).await {
                Err(trouble) if root.is_some() && is_about_root(&trouble) => {
                    // Whoever waits for this still has to read it.
                    tracing::info!(key, "the thread of a message is gone, so it goes into the channel: {trouble}");
                    root = None;
                }
                Err(trouble) if is_too_long(&trouble) => {
                    let most = self.shorten();
                    tracing::info!(key, most, "the server takes no message of this length: {trouble}");
                }
                sent => return sent,
            }
        }
        Err(Trouble::refused("the server takes no message of any length"))
    }

    /// A text as one message, and the file that has the whole where the message does not.
    async fn with_file(&self, channel: &str, key: &str, text: &Text) -> Result<(String, Option<String>), Trouble> {
        let whole = self.words(text);
        if whole.chars().count() <= self.longest() {
            return Ok((whole, None));
        }
        let known = self.tries().files.get(key).cloned();
        let mut most = EXCERPT.min(self.longest());
        let (message, plain) = loop {
            let (excerpt, plain) = text.clone().excerpt(most);
            let words = self.words(&excerpt);
            match plain {
                Some(plain) if words.chars().count() <= self.longest() => break (words, plain),
                _ if most < 100 => return Ok((self.fitting(text), None)),
                _ => most = most * 3 / 4,
            }
        };
        let file = match known {
            Some(file) => file,
            None => match self.api.upload(channel, "output.txt", plain).await {
                Ok(file) => file,
                Err(Trouble::Refused { reason, .. }) => {
                    tracing::warn!(key, "the server takes no files, so a message is cut: {reason}");
                    return Ok((self.fitting(text), None));
                }
                Err(trouble) => return Err(trouble),
            },
        };
        self.tries().files.insert(key.to_owned(), file.clone());
        Ok((message, Some(file)))
    }

    fn words(&self, text: &Text) -> String {
        markdown(text, |id| self.users.name(id))
    }

    /// As much of a text as one message can hold.
    fn fitting(&self, text: &Text) -> String {
        // A character may be four bytes, and each may need a backslash.
        let mut most = self.longest() * 4;
        loop {
            let words = self.words(&text.clone().clamped(most));
            if words.chars().count() <= self.longest() || most < 100 {
                return words;
            }
            most = most * 3 / 4;
        }
    }

    /// Learns the names of those whom a text calls.
    async fn learn_called(&self, text: &Text) {
        let called = text.blocks().iter().filter_map(|block| match block {
            Block::People(ids) => Some(ids.iter().map(String::as_str)),
            Block::Line(_) | Block::Code(_) => None,
        });
        let ids: Vec<&str> = called.flatten().filter(|id| crate::config::is_id(id)).collect();
        if let Err(trouble) = self.users.ask(&self.api, ids).await {
            tracing::debug!("whom a message calls cannot be asked: {trouble}");
        }
    }

    /// A key's name for the server. Hashed, because keys are of any length.
    fn pending(&self, key: &str) -> String {
        format!("{}:{}", self.me(), &hex::encode(Sha256::digest(key))[..40])
    }
}

/// Whether the message at the root of a thread is why a post is refused: removed, or never there.
fn is_about_root(trouble: &Trouble) -> bool {
    let about = ["root_id", "parent_id", "can_not_post_to_deleted_root", "root_post"];
    trouble.refusal().is_some_and(|id| about.iter().any(|part| id.contains(part)))
}

fn is_too_long(trouble: &Trouble) -> bool {
    trouble.refusal().is_some_and(|id| id.contains("message_length"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use wardroom::port::{Secret, SecretRef};
    use wardroom_fake_mattermost::Server;

    use super::*;
    use crate::{api::Api, config::Config, direct::Direct};

    #[tokio::test]
    async fn a_look_back_finds_what_stands_on_both_sides_of_a_pages_end_in_one_millisecond() {
        let server = Server::start().await.expect("a server");
        let (bot, token) = server.bot("ops-bot");
        let channel = server.channel("eng", "ops");
        server.put(&channel, &bot);
        // The page of two hundred ends within the twenty.
        for number in 0..20 {
            let fields = json!({ "props": convert::props(&format!("k{number}")), "create_at": 1_000 });
            server.post_with(&channel, &bot, &fields);
        }
        for number in 0..190 {
            server.post_with(&channel, &bot, &json!({ "message": "x", "create_at": 2_000 + number }));
        }
        let config = Config {
            bot: "marvin".into(),
            url: server.url().parse().expect("a URL"),
            token: SecretRef::Env("T".into()),
            rooms: Vec::new(),
            direct: Direct::default(),
            ca: None,
            folder: "unused".into(),
            beat: Duration::from_secs(30),
        };
        let api = Api::new(&config, Secret::new(&token)).expect("a client");
        let me = api.me().await.expect("an account");
        let account = Account::new(&config, api, me, tokio::sync::mpsc::unbounded_channel().0);
        for number in 0..20 {
            let found = account.look(&channel, &format!("k{number}")).await.expect("an answer");
            assert!(found.is_some(), "k{number} would be sent again");
        }
        assert_eq!(account.look(&channel, "k20").await.expect("an answer"), None);
    }

    #[test]
    fn only_what_names_the_root_or_the_length_is_about_it() {
        let refused = |id: &str| Trouble::Refused { missing: false, id: id.into(), reason: String::new() };
        assert!(is_about_root(&refused("api.post.create_post.root_id.app_error")));
        assert!(is_about_root(&refused("api.post.create_post.channel_root_id.app_error")));
        assert!(!is_about_root(&refused("api.post.create_post.can_not_post_to_deleted.error")), "the channel is");
        assert!(is_too_long(&refused("model.post.is_valid.message_length.app_error")));
        assert!(!is_too_long(&Trouble::later("x")));
    }
}
