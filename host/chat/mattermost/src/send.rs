//! Sends one message, and searches a channel for a message that was sent before.
//!
//! Invariant: an idempotency key always gives the same `pending_post_id`, by which the server deduplicates
//! posts for half a minute. After an attempt without a response, the channel is searched for the key before the message
//! is sent again. Retries with a delay are left to the outbox.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use wardroom::{
    adapter::{Body, Outgoing, SendError},
    base::{Backoff, Text},
};
use wardroom_account::mentioned_people;

use crate::{
    backfill::PostPager, client::NewPost, convert, emoji, error::MattermostError, markdown::markdown, session::Session,
};

/// Maximum number of pages that are searched for a sent message. A page has 200 posts. An older message is not found.
const SEARCH_PAGES: usize = 10;
/// Maximum length, in characters, of the excerpt in a message whose whole text is attached as a file.
const EXCERPT: usize = 4_000;
/// Maximum number of attempts to create or edit the post of a message that the server rejects in this form. Each
/// attempt has a shorter text, no file or no thread. After the last attempt the message is not sent.
const MAX_ATTEMPTS: usize = 8;
/// Maximum number of attempts to upload a file while the server fails. After the last attempt the message is sent
/// without the file, because a server whose file store fails can still accept messages.
const MAX_UPLOADS: u32 = 3;
/// The delay before the second attempt to upload a file.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The line that replaces a file.
const NO_FILE: &str = "(The attached file with the whole text is missing, because the server rejected it.)";

/// The state of earlier attempts to send messages. A retry uses the state so that it does not send a message or a file
/// twice.
#[derive(Debug, Default)]
pub(crate) struct SendAttempts {
    /// Idempotency keys of messages whose last attempt failed although the server may have created the post, for
    /// example because the response was lost.
    uncertain: HashSet<String>,
    /// The ids of uploaded files, by the idempotency key of their message.
    files: HashMap<String, String>,
}

impl Session {
    /// Sends a message and returns the post's id.
    ///
    /// # Errors
    /// [`SendError::Later`] if a retry can succeed, [`SendError::Forbidden`] if the bot may not post in the channel
    /// now, [`SendError::Never`] otherwise.
    pub(crate) async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        let key = message.key.as_str();
        match &message.body {
            Body::Say { text, thread } => self.send_message(&message.room, key, text, thread.as_deref()).await,
            Body::Edit { event, text } => {
                self.edit(event, key, text).await?;
                Ok(event.clone())
            }
            Body::React { event, emoji } => {
                let unknown = || SendError::Never { reason: format!("Mattermost has no name for the emoji `{emoji}`") };
                let name = emoji::name_of(emoji).ok_or_else(unknown)?;
                self.client.add_reaction(self.me(), event, name).await?;
                Ok(format!("reaction:{event}:{}:{name}", self.me()))
            }
        }
    }

    /// Searches the newest posts of a channel for the bot's message with this idempotency key. Returns the post's id;
    /// `None` if the message is not found.
    ///
    /// # Errors
    /// [`SendError::Later`] if a retry can succeed, [`SendError::Never`] otherwise.
    pub(crate) async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        Ok(self.search(&self.resolve_channel(room)?, key).await?)
    }

    async fn search(&self, channel: &str, key: &str) -> Result<Option<String>, MattermostError> {
        let mut pager = PostPager::default();
        for _ in 0..SEARCH_PAGES {
            let Some(posts) = pager.next(&self.client, channel).await? else { break };
            if let Some(post) = posts.iter().find(|post| convert::carries_key(post, self.me(), key)) {
                return Ok(Some(post.id.clone()));
            }
        }
        Ok(None)
    }

    async fn send_message(
        &self,
        room: &str,
        key: &str,
        text: &Text,
        thread: Option<&str>,
    ) -> Result<String, SendError> {
        let channel = self.resolve_channel(room)?;
        let is_uncertain = self.attempts.lock().uncertain.contains(key);
        let found = if is_uncertain { self.search(&channel, key).await? } else { None };
        let sent = match found {
            Some(post) => Ok(post),
            None => self.post(&channel, key, text, thread).await,
        };
        let mut attempts = self.attempts.lock();
        match &sent {
            Err(MattermostError::Unavailable { .. } | MattermostError::TokenRejected { .. }) => {
                attempts.uncertain.insert(key.to_owned());
            }
            // The message and its file are sent when the bot may post again.
            Err(MattermostError::Forbidden { .. }) => drop(attempts.uncertain.remove(key)),
            _ => {
                attempts.uncertain.remove(key);
                attempts.files.remove(key);
            }
        }
        Ok(sent?)
    }

    /// Creates the post of a message. If the server rejects the text as too long, sends a shorter text. If the server
    /// rejects the thread, sends the message to the channel, outside of a thread.
    async fn post(
        &self,
        channel: &str,
        key: &str,
        text: &Text,
        thread: Option<&str>,
    ) -> Result<String, MattermostError> {
        self.look_up_mentioned(text).await;
        let (props, pending_id) = (convert::props(key), self.pending_post_id(key));
        let mut root = thread.filter(|root| !root.is_empty());
        let mut with_file = true;
        for _ in 0..MAX_ATTEMPTS {
            let (message, file) = match with_file {
                true => self.with_file(channel, key, text).await?,
                false => (self.truncated_without_file(text), None),
            };
            let new = NewPost {
                channel,
                message: &message,
                root,
                props: &props,
                pending_id: &pending_id,
                file: file.as_deref(),
            };
            match self.client.create_post(&new).await {
                Err(error @ MattermostError::ThreadRejected { .. }) if root.is_some() => {
                    tracing::info!(room = channel, key, %error, "cannot send a message to a thread, because the thread's first message does not exist; sending to the channel instead");
                    root = None;
                }
                // A post with a file needs a permission of its own.
                Err(error @ MattermostError::Forbidden { .. }) if file.is_some() => {
                    tracing::info!(room = channel, key, %error, "the server rejected a message with a file; sending a truncated message without the file");
                    with_file = false;
                }
                Err(error @ MattermostError::TooLong { .. }) => {
                    let max_length = self.reduce_max_length();
                    tracing::info!(room = channel, key, max_length, %error, "the server rejected a message as too long; sending a shorter message");
                }
                sent => return sent,
            }
        }
        Err(MattermostError::rejected("the server rejects even a shortened message as too long"))
    }

    /// Converts a text to one message. If the text is too long, uploads the whole text as a file, and returns an
    /// excerpt and the file's id. If the server rejects the file or fails several times, returns a truncated message
    /// without a file.
    async fn with_file(
        &self,
        channel: &str,
        key: &str,
        text: &Text,
    ) -> Result<(String, Option<String>), MattermostError> {
        let whole = self.markdown(text);
        if whole.chars().count() <= self.max_length() {
            return Ok((whole, None));
        }
        let uploaded = self.attempts.lock().files.get(key).cloned();
        let mut limit = EXCERPT.min(self.max_length());
        let (message, plain) = loop {
            let (excerpt, plain) = text.clone().excerpt(limit);
            let message = self.markdown(&excerpt);
            match plain {
                Some(plain) if message.chars().count() <= self.max_length() => break (message, plain),
                _ if limit < 100 => return Ok((self.truncate_to_fit(text), None)),
                _ => limit = limit * 3 / 4,
            }
        };
        let file = match uploaded {
            Some(file) => file,
            None => match self.upload(channel, plain).await {
                Ok(file) => file,
                Err(MattermostError::Rejected { reason, .. }) => {
                    tracing::warn!(
                        room = channel,
                        key,
                        error = reason,
                        "the server rejected the file with the full text of a long message; sending a truncated message without the file"
                    );
                    return Ok((self.truncated_without_file(text), None));
                }
                Err(error) => return Err(error),
            },
        };
        self.attempts.lock().files.insert(key.to_owned(), file.clone());
        Ok((message, Some(file)))
    }

    /// Uploads a text as a file. Repeats the upload a few times while the server fails.
    ///
    /// # Errors
    /// [`MattermostError::Rejected`] if the server does not accept the file or still fails; another error if the
    /// message must wait, too, for example for a rate limit.
    async fn upload(&self, channel: &str, text: String) -> Result<String, MattermostError> {
        let mut backoff = Backoff::new(FIRST_WAIT, FIRST_WAIT * 8);
        loop {
            match self.client.upload(channel, "output.txt", text.clone()).await {
                Err(MattermostError::Unavailable { retry_after: None, reason, .. }) => {
                    if backoff.retries() + 1 >= MAX_UPLOADS {
                        return Err(MattermostError::rejected(reason));
                    }
                    backoff.wait(None).await;
                }
                uploaded => return uploaded,
            }
        }
    }

    /// Replaces the text of the bot's post. If the server rejects the text as too long, sends a shorter text.
    async fn edit(&self, post: &str, key: &str, text: &Text) -> Result<(), MattermostError> {
        self.look_up_mentioned(text).await;
        for _ in 0..MAX_ATTEMPTS {
            match self.client.edit_post(post, &self.truncate_to_fit(text), &convert::props(key)).await {
                Err(error @ MattermostError::TooLong { .. }) => {
                    let max_length = self.reduce_max_length();
                    tracing::info!(event_id = post, key, max_length, %error, "the server rejected an edit as too long; sending a shorter text");
                }
                edited => return edited,
            }
        }
        Err(MattermostError::rejected("the server rejects even a shortened text as too long"))
    }

    /// Converts a text to a message that is truncated to the maximum length, and says that its file is missing.
    fn truncated_without_file(&self, text: &Text) -> String {
        let note = self.markdown(&Text::lines(NO_FILE));
        let length = self.max_length().saturating_sub(note.chars().count() + 1);
        format!("{}\n{note}", self.truncate_to(text, length))
    }

    fn markdown(&self, text: &Text) -> String {
        markdown(text, |id| self.users.name(id))
    }

    /// Converts a text to a message, truncated to the maximum length.
    fn truncate_to_fit(&self, text: &Text) -> String {
        self.truncate_to(text, self.max_length())
    }

    /// Converts a text to a message, truncated to `length` characters.
    fn truncate_to(&self, text: &Text, length: usize) -> String {
        // `clamped` counts bytes, and a character has at most four bytes. Escaping can make the text longer again.
        let mut limit = length * 4;
        loop {
            let message = self.markdown(&text.clone().clamped(limit));
            if message.chars().count() <= length || limit < 100 {
                return message;
            }
            limit = limit * 3 / 4;
        }
    }

    /// Looks up the names of the people that a text mentions.
    async fn look_up_mentioned(&self, text: &Text) {
        let ids: Vec<&str> = mentioned_people(text).filter(|id| crate::config::is_id(id)).collect();
        if let Err(error) = self.users.look_up(&self.client, ids).await {
            tracing::debug!(%error, "cannot look up the people whom a message mentions; the message shows ids instead of names");
        }
    }

    /// Returns the `pending_post_id` for an idempotency key. The id contains a hash of the key, because a key can have
    /// any length.
    fn pending_post_id(&self, key: &str) -> String {
        format!("{}:{}", self.me(), &hex::encode(Sha256::digest(key))[..40])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wardroom_fake_mattermost::Server;

    use super::*;
    use crate::session::tests::session_of;

    #[tokio::test]
    async fn a_search_finds_posts_of_one_millisecond_on_both_sides_of_a_pages_end() {
        let server = Server::start().await.expect("a server");
        let (bot, token) = server.bot("ops-bot");
        let channel = server.channel("eng", "ops");
        server.put(&channel, &bot);
        // The boundary between two pages of 200 posts lies among these twenty posts.
        for number in 0..20 {
            let fields = json!({ "props": convert::props(&format!("k{number}")), "create_at": 1_000 });
            server.post_with(&channel, &bot, &fields);
        }
        for number in 0..190 {
            server.post_with(&channel, &bot, &json!({ "message": "x", "create_at": 2_000 + number }));
        }
        let session = session_of(&server, &token).await;
        for number in 0..20 {
            let found = session.search(&channel, &format!("k{number}")).await.expect("an answer");
            assert!(found.is_some(), "k{number} would be sent again");
        }
        assert_eq!(session.search(&channel, "k20").await.expect("an answer"), None);
    }
}
