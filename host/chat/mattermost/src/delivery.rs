//! Writes messages to the inbox: posts with the mark that moves with them, reactions, and withdrawals.
//!
//! Architecture Invariant: a channel's mark moves together with the messages that are stored, and never back.
//! Architecture Invariant: nothing is stored before its author was looked up. A post of an account that does not exist is skipped.
//! Not here: which channels are delivered, and which of their posts (`sync`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use wardroom::{
    adapter::Inbox,
    adapter::{Incoming, Position},
    base::Text,
};
use wardroom_account::InboxWriter;

use crate::{
    client::{ChannelKind, Post, Reaction},
    convert,
    session::Session,
    state_file::AccountState,
    users::UserKind,
};

/// How long a live message waits for the lookup of its author before its channel is read back instead.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// The author could not be looked up, so nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownAuthor;

/// Writes the messages of one account's channels to its inbox.
pub(crate) struct Delivery {
    session: Arc<Session>,
    inbox: InboxWriter,
    /// The marks that were read or written.
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

    /// The mark of a channel; `None` where the bot never was.
    pub(crate) async fn cursor(&mut self, channel: &str) -> Option<Position> {
        if let Some(known) = self.cursors.get(channel) {
            return Some(known.clone());
        }
        let cursor = self.inbox.cursor(channel).await;
        self.cursors.extend(cursor.clone().map(|cursor| (channel.to_owned(), cursor)));
        cursor
    }

    /// Moves a channel's mark to a time (milliseconds of the server's clock) without handling a post, unless it is newer already.
    pub(crate) async fn skip_until(&mut self, channel: &str, until: i64) {
        let at = convert::timestamp(until);
        if self.cursor(channel).await.is_none_or(|cursor| cursor.at < at) {
            self.receive(channel, Vec::new(), Some(Position { event: None, at })).await;
        }
    }

    /// Whether a post can be converted: its author is known, or it is no message.
    pub(crate) fn is_author_known(&self, post: &Post) -> bool {
        !self.session.converter.is_of_others(post) || self.session.users.kind(&post.user).is_some()
    }

    /// Whether a post is a person's message.
    pub(crate) fn is_from_person(&self, post: &Post, kind: ChannelKind) -> bool {
        let is_person = self.session.users.kind(&post.user) == Some(UserKind::Person);
        is_person && self.convert(post, false, kind).is_some_and(|message| !message.machine)
    }

    /// The message in a post, if it holds one. An author who is not known to be a person counts as a program.
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
                "skipped a message of an account that does not exist"
            );
            return None;
        }
        message.late = late;
        Some(message)
    }

    /// Stores posts, oldest first, and moves the mark to the newest. Each post has whether it was read back. Their authors are
    /// known.
    pub(crate) async fn deliver(&mut self, channel: &str, kind: ChannelKind, posts: &[(Post, bool)]) {
        let messages: Vec<Incoming> = posts.iter().filter_map(|(post, late)| self.convert(post, *late, kind)).collect();
        let newest = posts.iter().map(|(post, _)| post).max_by_key(|post| post.create_at);
        let cursor =
            newest.map(|post| Position { event: Some(post.id.clone()), at: convert::timestamp(post.create_at) });
        let current = self.cursor(channel).await;
        let cursor = cursor.filter(|cursor| current.is_none_or(|current| current.at < cursor.at));
        if !messages.is_empty() || cursor.is_some() {
            self.receive(channel, messages, cursor).await;
        }
    }

    /// Whether an account is a program; `None` where it does not exist.
    async fn is_program(&self, id: &str) -> Result<Option<bool>, UnknownAuthor> {
        self.look_up_authors(&[id]).await;
        match self.session.users.kind(id).ok_or(UnknownAuthor)? {
            UserKind::Person => Ok(Some(false)),
            UserKind::Bot => Ok(Some(true)),
            UserKind::Missing => {
                tracing::debug!(user = id, "skipped a reaction or deletion of an account that does not exist");
                Ok(None)
            }
        }
    }

    /// Stores a reaction. It is in the state file first, and is removed from it where the engine ignores the reaction.
    ///
    /// # Errors
    /// [`UnknownAuthor`].
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
        if self.receive(channel, vec![incoming], None).await == 0 && !is_known {
            state.remove_reaction(reaction);
        }
        Ok(())
    }

    /// Stores that a reaction was withdrawn. A reaction that is not in the state file had no effect.
    ///
    /// # Errors
    /// [`UnknownAuthor`].
    pub(crate) async fn deliver_reaction_removal(
        &mut self,
        channel: &str,
        state: &mut AccountState,
        reaction: &Reaction,
    ) -> Result<(), UnknownAuthor> {
        let is_same = |known: &Reaction| known.user == reaction.user && known.emoji == reaction.emoji;
        let Some(known) = state.reactions(&reaction.post).into_iter().find(is_same) else { return Ok(()) };
        self.deliver_withdrawal(channel, &convert::reaction_event_id(&known), &known.user).await?;
        state.remove_reaction(&known);
        state.save();
        Ok(())
    }

    /// Compares the present reactions of a message of the bot with the stored ones, and stores what changed.
    ///
    /// # Errors
    /// [`UnknownAuthor`].
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

    /// Stores that a message was deleted. Where the server does not tell by whom, a moderator can have deleted it, so its command
    /// goes on.
    ///
    /// # Errors
    /// [`UnknownAuthor`].
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
                "a message was deleted, and the server does not tell by whom; its command goes on"
            );
            return Ok(());
        };
        self.deliver_withdrawal(channel, post, by).await
    }

    /// Stores that a reaction or a message was withdrawn.
    async fn deliver_withdrawal(&mut self, channel: &str, event: &str, by: &str) -> Result<(), UnknownAuthor> {
        let Some(is_program) = self.is_program(by).await? else { return Ok(()) };
        let incoming = convert::withdrawal(event, self.session.users.person(by), is_program);
        self.receive(channel, vec![incoming], None).await;
        Ok(())
    }

    /// Looks up accounts, with a timeout. An account whose lookup fails stays unknown.
    pub(crate) async fn look_up_authors(&self, ids: &[&str]) {
        let lookup = self.session.users.look_up(&self.session.client, ids.iter().copied());
        match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an author cannot be looked up; the channel is read back"),
            Err(_) => tracing::debug!("the lookup of an author timed out; the channel is read back"),
        }
    }

    /// Sends the refusal of a direct message, once per channel. Returns whether it is stored.
    pub(crate) async fn send_refusal(&self, channel: &str, (key, text): (&str, Text)) -> bool {
        let said = self.inbox.inbox().say_once(channel, key, text, None).await;
        if let Err(error) = &said {
            tracing::error!(room = channel, %error, "the refusal of a direct message cannot be stored; it is sent with the next message");
        }
        said.is_ok()
    }

    /// Removes the cached mark of a channel that the bot left.
    pub(crate) fn forget(&mut self, channel: &str) {
        self.cursors.remove(channel);
    }

    async fn receive(&mut self, channel: &str, messages: Vec<Incoming>, cursor: Option<Position>) -> usize {
        let new = self.inbox.receive(channel, messages, cursor.clone()).await;
        self.cursors.extend(cursor.map(|cursor| (channel.to_owned(), cursor)));
        new
    }
}
