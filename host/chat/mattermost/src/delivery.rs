//! The way to the inbox: posts with the mark that moves with them, and what people say by reactions.
//!
//! Architecture Invariant: a channel's mark moves with what was handed over, and never back.
//! Architecture Invariant: nothing is handed over before it is known who said it; whoever the server knows not, says nothing.
//! Not here: which channels, and which of their posts.

use std::{collections::HashMap, sync::Arc, time::Duration};

use wardroom::{
    message::{Inbox, Incoming, Position},
    reply::Text,
};
use wardroom_account::Backoff;

use crate::{
    account::Account,
    api::{Kind, Post, Reaction},
    convert,
    kept::Kept,
    users::Who,
};

/// How long a live message waits to be told who somebody is before its channel is read back instead.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who said something is not told yet, so it was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Untold;

/// The way from one account's channels to its inbox.
pub(crate) struct Delivery {
    account: Arc<Account>,
    inbox: Arc<Inbox>,
    /// How far each channel was read, as far as that was asked.
    marks: HashMap<String, Position>,
}

impl Delivery {
    /// Begins.
    pub(crate) fn new(account: Arc<Account>, inbox: Arc<Inbox>) -> Self {
        Self { account, inbox, marks: HashMap::new() }
    }

    /// Where it leads.
    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Whether somebody may bring us into channels.
    pub(crate) fn is_admin(&self, person: &str) -> bool {
        self.inbox.is_admin(person)
    }

    /// How far a channel was read, asked until the inbox says it; `None` where we never were.
    pub(crate) async fn mark(&mut self, channel: &str) -> Option<Position> {
        let mut backoff = Backoff::default();
        loop {
            if let Some(known) = self.marks.get(channel) {
                return Some(known.clone());
            }
            match self.inbox.mark(channel).await {
                Ok(mark) => {
                    self.marks.extend(mark.clone().map(|mark| (channel.to_owned(), mark)));
                    return mark;
                }
                Err(error) => {
                    tracing::error!(channel, "the channel's mark cannot be read, trying again: {error}");
                    backoff.pause(None).await;
                }
            }
        }
    }

    /// Nothing of a channel up to a moment is handled, whatever was handled before.
    pub(crate) async fn enter(&mut self, channel: &str, since: i64) {
        let at = convert::timestamp(since);
        if self.mark(channel).await.is_none_or(|mark| mark.at < at) {
            self.receive(channel, Vec::new(), Some(Position { event: None, at })).await;
        }
    }

    /// Whether all that must be known of who wrote a post is known.
    pub(crate) fn knows(&self, post: &Post) -> bool {
        !self.account.reader.is_of_others(post) || self.account.users.who(&post.user).is_some()
    }

    /// Whether a post is a person's message to us.
    pub(crate) fn is_a_persons(&self, post: &Post, kind: Kind) -> bool {
        let person = self.account.users.who(&post.user) == Some(Who::Person);
        person && self.message(post, false, kind).is_some_and(|message| !message.machine)
    }

    /// The message in a post, if it holds one for the engine. Who is not told to be a person counts as a machine.
    fn message(&self, post: &Post, late: bool, kind: Kind) -> Option<Incoming> {
        let users = &self.account.users;
        let who = users.who(&post.user);
        let sender = users.person(&post.user);
        let message = self.account.reader.message(post, sender, who != Some(Who::Person), kind == Kind::Direct)?;
        if who == Some(Who::Nobody) {
            tracing::debug!(post = post.id, user = post.user, "left a message: the server knows no such account");
            return None;
        }
        Some(Incoming { late, ..message })
    }

    /// Brings posts, oldest first, each with whether it was read back, and moves the mark to the newest. Who wrote them is
    /// known.
    pub(crate) async fn bring(&mut self, channel: &str, kind: Kind, posts: &[(Post, bool)]) {
        let messages: Vec<Incoming> = posts.iter().filter_map(|(post, late)| self.message(post, *late, kind)).collect();
        let newest = posts.iter().map(|(post, _)| post).max_by_key(|post| post.create_at);
        let mark = newest.map(|post| Position { event: Some(post.id.clone()), at: convert::timestamp(post.create_at) });
        let current = self.mark(channel).await;
        let mark = mark.filter(|mark| current.is_none_or(|current| current.at < mark.at));
        if !messages.is_empty() || mark.is_some() {
            self.receive(channel, messages, mark).await;
        }
    }

    /// Whether a program says something; `None` where nobody does. Where that cannot be told, it waits.
    async fn is_machine(&self, id: &str) -> Result<Option<bool>, Untold> {
        self.meet(&[id]).await;
        match self.account.users.who(id).ok_or(Untold)? {
            Who::Person => Ok(Some(false)),
            Who::Bot => Ok(Some(true)),
            Who::Nobody => {
                tracing::debug!(user = id, "left what somebody did: the server knows no such account");
                Ok(None)
            }
        }
    }

    /// Brings a reaction. It is kept first where it may be for us, and forgotten where it was not.
    ///
    /// # Errors
    /// [`Untold`]: bring it again.
    pub(crate) async fn given(
        &mut self,
        channel: &str,
        kept: &mut Kept,
        reaction: &Reaction,
        late: bool,
    ) -> Result<(), Untold> {
        if reaction.user == self.account.me() {
            return Ok(());
        }
        let Some(machine) = self.is_machine(&reaction.user).await? else { return Ok(()) };
        let known = kept.reactions(&reaction.post).contains(reaction);
        kept.give(channel, reaction);
        kept.save();
        let sender = self.account.users.person(&reaction.user);
        let incoming = convert::given(reaction, sender, machine, late);
        if self.receive(channel, vec![incoming], None).await == 0 && !known {
            kept.take(reaction);
        }
        Ok(())
    }

    /// Brings that a reaction is gone. One that said nothing to us is not known here, and neither is its end.
    ///
    /// # Errors
    /// [`Untold`]: bring it again.
    pub(crate) async fn taken(&mut self, channel: &str, kept: &mut Kept, reaction: &Reaction) -> Result<(), Untold> {
        let same = |known: &Reaction| known.user == reaction.user && known.emoji == reaction.emoji;
        let Some(known) = kept.reactions(&reaction.post).into_iter().find(same) else { return Ok(()) };
        self.withdrawn(channel, &convert::reaction_event(&known), &known.user).await?;
        kept.take(&known);
        kept.save();
        Ok(())
    }

    /// Brings all that changed on a message of ours.
    ///
    /// # Errors
    /// [`Untold`]: bring it again.
    pub(crate) async fn compare(
        &mut self,
        channel: &str,
        kept: &mut Kept,
        post: &str,
        now: &[Reaction],
    ) -> Result<(), Untold> {
        for gone in kept.reactions(post).iter().filter(|known| !now.contains(known)) {
            self.taken(channel, kept, gone).await?;
        }
        for reaction in now {
            self.given(channel, kept, reaction, true).await?;
        }
        Ok(())
    }

    /// Brings that a message was removed. Where the server does not say by whom, it may have been somebody who tidied up:
    /// that takes nothing back.
    ///
    /// # Errors
    /// [`Untold`]: bring it again.
    pub(crate) async fn removed(&mut self, channel: &str, post: &str, by: Option<&str>) -> Result<(), Untold> {
        let Some(by) = by else {
            tracing::info!(channel, post, "a message was removed, and the server does not say by whom: it counts on");
            return Ok(());
        };
        self.withdrawn(channel, post, by).await
    }

    /// Brings that somebody took an event back: a reaction, or a whole message.
    async fn withdrawn(&mut self, channel: &str, event: &str, by: &str) -> Result<(), Untold> {
        let Some(machine) = self.is_machine(by).await? else { return Ok(()) };
        let incoming = convert::withdrawn(event, self.account.users.person(by), machine);
        self.receive(channel, vec![incoming], None).await;
        Ok(())
    }

    /// Asks who people are, for a while.
    pub(crate) async fn meet(&self, ids: &[&str]) {
        let asking = self.account.users.ask(&self.account.api, ids.iter().copied());
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => tracing::debug!("who somebody is cannot be asked: {trouble}"),
            Err(_) => tracing::debug!("who somebody is was not told in time"),
        }
    }

    /// Tells whoever writes to us alone, and is not heard, why: once in a channel. Gives whether that is kept to be said.
    pub(crate) async fn refuse(&self, channel: &str, (key, words): (&str, Text)) -> bool {
        let said = self.inbox.say_once(channel, key, words, None).await;
        if let Err(error) = &said {
            tracing::error!(channel, "whose direct message is not handled is not told yet: {error}");
        }
        said.is_ok()
    }

    /// Forgets a channel that we are out of.
    pub(crate) fn left(&mut self, channel: &str) {
        self.marks.remove(channel);
    }

    /// Hands over until the inbox has it: going on without would lose it. Gives how many were new.
    async fn receive(&mut self, channel: &str, messages: Vec<Incoming>, mark: Option<Position>) -> usize {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.receive(channel, messages.clone(), mark.clone()).await {
                Ok(new) => {
                    self.marks.extend(mark.map(|mark| (channel.to_owned(), mark)));
                    return new;
                }
                Err(error) => {
                    tracing::error!(channel, "the inbox does not take the channel's messages, trying again: {error}");
                    backoff.pause(None).await;
                }
            }
        }
    }
}
