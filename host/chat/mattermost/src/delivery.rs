//! Stores received posts, reactions and deletions in the engine's inbox, and moves the channel's cursor: the position
//! up to which the channel's posts are handled.
//!
//! Invariant: a channel's cursor moves in the same transaction in which the messages are stored, and never
//! moves back.
//! Invariant: an event is stored only after its author was looked up. A post of an account that does not exist
//! is skipped.
//! Not here: the choice of the channels and posts that are delivered (`sync`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use wardroom::{
    Timestamp,
    adapter::{Inbox, Incoming, Position},
    base::Text,
};
use wardroom_account::{InboxWriter, timestamp};

use crate::{
    client::{ChannelKind, Post, Reaction},
    convert, emoji,
    session::Session,
    state_file::AccountState,
    users::UserKind,
};

/// Timeout of the lookup of an event's author. After the timeout, the event is not handled at once: a later backfill of
/// its channel finds it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// The error for an event whose author could not be looked up. The event was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownAuthor;

/// Stores the messages of one account's channels in the engine's inbox.
pub(crate) struct Delivery {
    session: Arc<Session>,
    inbox: InboxWriter,
    /// The cursors that were already read from the store, by channel id.
    cursors: HashMap<String, Position>,
}

impl Delivery {
    pub(crate) fn new(session: Arc<Session>, inbox: Arc<dyn Inbox>) -> Self {
        Self { session, inbox: InboxWriter::new(inbox), cursors: HashMap::new() }
    }

    pub(crate) fn inbox(&self) -> Arc<dyn Inbox> {
        self.inbox.inbox().clone()
    }

    pub(crate) fn is_admin(&self, person: &str) -> bool {
        self.inbox.inbox().is_admin(person)
    }

    /// Returns a channel's cursor, the position up to which the channel's posts are handled; `None` if the bot never
    /// handled the channel.
    pub(crate) async fn cursor(&mut self, channel: &str) -> Option<Position> {
        if let Some(known) = self.cursors.get(channel) {
            return Some(known.clone());
        }
        let cursor = self.inbox.cursor(channel).await;
        self.cursors.extend(cursor.clone().map(|cursor| (channel.to_owned(), cursor)));
        cursor
    }

    /// Skips a channel's posts up to the time `until`, in milliseconds since the Unix epoch (server clock): moves the
    /// channel's cursor to that time. A cursor that is already at or after that time does not change.
    pub(crate) async fn skip_until(&mut self, channel: &str, until: i64) {
        let at = timestamp(until);
        if self.cursor(channel).await.is_none_or(|cursor| cursor.at < at) {
            self.receive(channel, Vec::new(), Some(Position { event: None, at })).await;
        }
    }

    /// Returns whether the author of a post was looked up. Also returns `true` for the bot's own posts and for other
    /// posts that are not converted to messages, because their author need not be looked up.
    pub(crate) fn is_author_known(&self, post: &Post) -> bool {
        !self.session.converter.is_of_others(post) || self.session.users.kind(&post.user).is_some()
    }

    /// Returns whether a post is a message that a person wrote; `false` for a message of a program.
    pub(crate) fn is_from_person(&self, post: &Post, kind: ChannelKind) -> bool {
        let is_person = self.session.users.kind(&post.user) == Some(UserKind::Person);
        is_person && self.convert(post, false, kind).is_some_and(|message| !message.machine)
    }

    /// Converts a post to a message; `None` if the engine does not handle the post or its author's account does not
    /// exist. The message is marked as a program's message if its author is not known to be a person.
    fn convert(&self, post: &Post, late: bool, kind: ChannelKind) -> Option<Incoming> {
        let users = &self.session.users;
        let author = users.kind(&post.user);
        let is_program = author != Some(UserKind::Person);
        let is_direct = kind == ChannelKind::Direct;
        let mut message = self.session.converter.message(post, users.person(&post.user), is_program, is_direct)?;
        if author == Some(UserKind::Missing) {
            tracing::debug!(
                event_id = post.id,
                user = post.user,
                "skipped a message, because its author's account does not exist on the server"
            );
            return None;
        }
        message.late = late;
        Some(message)
    }

    /// Stores a channel's posts as messages, and moves the channel's cursor to the newest post. `posts` is sorted
    /// oldest first. Each post has a flag: `true` if only a backfill found the post, `false` if the post arrived live.
    /// The caller must have looked up the authors.
    pub(crate) async fn deliver(&mut self, channel: &str, kind: ChannelKind, posts: &[(Post, bool)]) {
        let messages: Vec<Incoming> = posts.iter().filter_map(|(post, late)| self.convert(post, *late, kind)).collect();
        let newest = posts.iter().map(|(post, _)| post).max_by_key(|post| post.create_at);
        let cursor = newest.map(|post| Position { event: Some(post.id.clone()), at: timestamp(post.create_at) });
        let current = self.cursor(channel).await;
        let cursor = cursor.filter(|cursor| current.is_none_or(|current| current.at < cursor.at));
        if !messages.is_empty() || cursor.is_some() {
            self.receive(channel, messages, cursor).await;
        }
    }

    /// Returns whether an account is a program; `None` if the account does not exist.
    async fn is_program(&self, id: &str) -> Result<Option<bool>, UnknownAuthor> {
        self.look_up_authors(&[id]).await;
        match self.session.users.kind(id).ok_or(UnknownAuthor)? {
            UserKind::Person => Ok(Some(false)),
            UserKind::Bot => Ok(Some(true)),
            UserKind::Missing => {
                tracing::debug!(
                    user = id,
                    "skipped a reaction or deletion, because its author's account does not exist on the server"
                );
                Ok(None)
            }
        }
    }

    /// Stores a reaction: first in the state file, then in the inbox. If the inbox does not store the reaction, removes
    /// it from the state file again, unless the file already contained it, or the reaction is a vote that a backfill
    /// found on a message of the bot: the inbox may hold that one already. `late` is true if a backfill found the
    /// reaction.
    ///
    /// # Errors
    /// [`UnknownAuthor`] if the account that reacted cannot be looked up. Nothing was stored.
    pub(crate) async fn deliver_reaction(
        &mut self,
        channel: &str,
        state: &mut AccountState,
        reaction: &Reaction,
        late: bool,
    ) -> Result<(), UnknownAuthor> {
        if reaction.user == self.session.me() {
            return Ok(());
        }
        let Some(is_program) = self.is_program(&reaction.user).await? else { return Ok(()) };
        let is_known = state.reactions(&reaction.post).contains(reaction);
        state.add_reaction(channel, reaction);
        state.save();
        let sender = self.session.users.person(&reaction.user);
        let incoming = convert::reaction_given(reaction, sender, is_program, late);
        let is_new = self.receive(channel, vec![incoming], None).await > 0;
        let may_be_stored = late && emoji::is_vote(&reaction.emoji);
        if !is_new && !is_known && !may_be_stored {
            state.remove_reaction(reaction);
        }
        Ok(())
    }

    /// Stores that a reaction was removed. If the reaction is not in the state file, for example because the file was
    /// lost, the removal of a vote is stored without the time of the reaction, and any other removal is ignored.
    ///
    /// # Errors
    /// [`UnknownAuthor`] if the reaction's author cannot be looked up. Nothing was stored.
    pub(crate) async fn deliver_reaction_removal(
        &mut self,
        channel: &str,
        state: &mut AccountState,
        reaction: &Reaction,
    ) -> Result<(), UnknownAuthor> {
        let is_same = |known: &Reaction| known.user == reaction.user && known.emoji == reaction.emoji;
        let Some(known) = state.reactions(&reaction.post).into_iter().find(is_same) else {
            return self.deliver_removal_without_time(channel, reaction).await;
        };
        self.deliver_withdrawal(channel, &convert::reaction_event_id(&known), &known.user).await?;
        state.remove_reaction(&known);
        state.save();
        Ok(())
    }

    /// Stores that a vote of which the state file holds nothing was removed. The server's event lacks the time.
    async fn deliver_removal_without_time(&mut self, channel: &str, reaction: &Reaction) -> Result<(), UnknownAuthor> {
        if reaction.user == self.session.me() || !emoji::is_vote(&reaction.emoji) {
            return Ok(());
        }
        let Some(is_program) = self.is_program(&reaction.user).await? else { return Ok(()) };
        let sender = self.session.users.person(&reaction.user);
        let incoming = convert::withdrawal_without_time(reaction, sender, is_program, Timestamp::now());
        self.receive(channel, vec![incoming], None).await;
        Ok(())
    }

    /// Compares the current reactions on a message of the bot (`present`) with those in the state file. Stores the
    /// removals first, and then all current reactions. The inbox ignores reactions that it already holds.
    ///
    /// # Errors
    /// [`UnknownAuthor`] if the author of a reaction cannot be looked up. This change and the later ones were not
    /// stored.
    pub(crate) async fn deliver_changed_reactions(
        &mut self,
        channel: &str,
        state: &mut AccountState,
        post: &str,
        present: &[Reaction],
    ) -> Result<(), UnknownAuthor> {
        for withdrawn in state.reactions(post).iter().filter(|known| !present.contains(known)) {
            self.deliver_reaction_removal(channel, state, withdrawn).await?;
        }
        for reaction in present {
            self.deliver_reaction(channel, state, reaction, true).await?;
        }
        Ok(())
    }

    /// Stores that a message was deleted. If the server does not report who deleted it, the deletion is ignored,
    /// because a moderator may have deleted the message.
    ///
    /// # Errors
    /// [`UnknownAuthor`] if the account that deleted the message cannot be looked up. Nothing was stored.
    pub(crate) async fn deliver_deletion(
        &mut self,
        channel: &str,
        post: &str,
        by: Option<&str>,
    ) -> Result<(), UnknownAuthor> {
        let Some(by) = by else {
            tracing::info!(
                room = channel,
                event_id = post,
                "ignored the deletion of a message, because the server does not report who deleted it; if the message started a command, the command continues"
            );
            return Ok(());
        };
        self.deliver_withdrawal(channel, post, by).await
    }

    /// Stores that the reaction or the message with the event id `event` was removed by the account `by`.
    async fn deliver_withdrawal(&mut self, channel: &str, event: &str, by: &str) -> Result<(), UnknownAuthor> {
        let Some(is_program) = self.is_program(by).await? else { return Ok(()) };
        let incoming = convert::withdrawal(event, self.session.users.person(by), is_program);
        self.receive(channel, vec![incoming], None).await;
        Ok(())
    }

    /// Looks up the accounts with these ids, for at most [`LOOKUP_TIMEOUT`]. If the lookup fails, the accounts stay
    /// unknown.
    pub(crate) async fn look_up_authors(&self, ids: &[&str]) {
        let lookup = self.session.users.look_up(&self.session.client, ids.iter().copied());
        match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot look up the author of an event; retrying with a backfill of the channel")
            }
            Err(_) => {
                tracing::debug!("the lookup of an event's author timed out; retrying with a backfill of the channel")
            }
        }
    }

    /// Stores the refusal of a direct message in the outbox, once per channel and `key`. Returns `true` if the outbox
    /// holds the refusal. A failed write is logged.
    pub(crate) async fn send_refusal(&self, channel: &str, (key, text): (&str, Text)) -> bool {
        let stored = self.inbox.inbox().say_once(channel, key, text, None).await;
        if let Err(error) = &stored {
            tracing::error!(room = channel, %error, "cannot store the refusal of a direct message; the sender gets no reply; retrying at the sender's next direct message");
        }
        stored.is_ok()
    }

    /// Removes the cached cursor of a channel that the bot left.
    pub(crate) fn remove_cursor(&mut self, channel: &str) {
        self.cursors.remove(channel);
    }

    async fn receive(&mut self, channel: &str, messages: Vec<Incoming>, cursor: Option<Position>) -> usize {
        let new = self.inbox.receive(channel, messages, cursor.clone()).await;
        self.cursors.extend(cursor.map(|cursor| (channel.to_owned(), cursor)));
        new
    }
}
