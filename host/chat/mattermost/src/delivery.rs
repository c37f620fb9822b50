//! The way to the inbox: posts with the mark that moves with them, and what people say by reactions.
//!
//! Architecture Invariant: a channel's mark moves with what was handed over, and never back.
//! Not here: which channels, and which of their posts.

use std::{collections::HashMap, sync::Arc, time::Duration};

use wardroom::message::{Inbox, Incoming, Position};

use crate::{
    account::Account,
    api::{Kind, Post, Reaction},
    backoff::Backoff,
    convert,
    kept::Kept,
};

/// How long it is asked who somebody is before they go by their id.
const PATIENCE: Duration = Duration::from_secs(3);

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

    /// Brings posts, oldest first, each with whether it was read back, and moves the mark to the newest.
    pub(crate) async fn bring(&mut self, channel: &str, kind: Kind, posts: &[(Post, bool)]) {
        let direct = kind == Kind::Direct;
        let users = &self.account.users;
        let message = |(post, late): &(Post, bool)| {
            let sender = users.person(&post.user);
            let message = self.account.reader.message(post, sender, users.is_bot(&post.user), direct)?;
            Some(Incoming { late: *late, ..message })
        };
        let messages: Vec<Incoming> = posts.iter().filter_map(message).collect();
        let newest = posts.iter().map(|(post, _)| post).max_by_key(|post| post.create_at);
        let mark = newest.map(|post| Position { event: Some(post.id.clone()), at: convert::timestamp(post.create_at) });
        let current = self.mark(channel).await;
        let mark = mark.filter(|mark| current.is_none_or(|current| current.at < mark.at));
        if !messages.is_empty() || mark.is_some() {
            self.receive(channel, messages, mark).await;
        }
    }

    /// Brings a reaction. It is kept first where it may be for us, and forgotten where it was not.
    pub(crate) async fn given(&mut self, channel: &str, kept: &mut Kept, reaction: &Reaction, late: bool) {
        let (users, me) = (&self.account.users, self.account.me());
        if reaction.user == me {
            return;
        }
        self.meet(&[reaction.user.as_str()]).await;
        let known = kept.reactions(&reaction.post).contains(reaction);
        kept.give(channel, reaction);
        kept.save();
        let sender = users.person(&reaction.user);
        let incoming = convert::given(reaction, sender, users.is_bot(&reaction.user), late);
        if self.receive(channel, vec![incoming], None).await == 0 && !known {
            kept.take(reaction);
        }
    }

    /// Brings that a reaction is gone. One that said nothing to us is not known here, and neither is its end.
    pub(crate) async fn taken(&mut self, channel: &str, kept: &mut Kept, reaction: &Reaction) {
        let same = |known: &Reaction| known.user == reaction.user && known.emoji == reaction.emoji;
        let Some(known) = kept.reactions(&reaction.post).into_iter().find(same) else { return };
        self.withdrawn(channel, &convert::reaction_event(&known), &known.user).await;
        kept.take(&known);
        kept.save();
    }

    /// Brings all that changed on a message of ours.
    pub(crate) async fn compare(&mut self, channel: &str, kept: &mut Kept, post: &str, now: &[Reaction]) {
        for gone in kept.reactions(post).iter().filter(|known| !now.contains(known)) {
            self.taken(channel, kept, gone).await;
        }
        for reaction in now {
            self.given(channel, kept, reaction, true).await;
        }
    }

    /// Brings that somebody took an event back: a reaction, or a whole message.
    pub(crate) async fn withdrawn(&mut self, channel: &str, event: &str, by: &str) {
        self.meet(&[by]).await;
        let users = &self.account.users;
        let incoming = convert::withdrawn(event, users.person(by), users.is_bot(by));
        self.receive(channel, vec![incoming], None).await;
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
