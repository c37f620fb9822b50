//! Handles live events: posts, reactions, deletions, and changes of the bot's channels.
//!
//! Invariant: while it is undecided whether the bot serves a channel, the channel's events are not skipped. Instead,
//! the channel is queued for a backfill.
//! Not here: the backfill of a channel (`channel_backfill`).

use wardroom_account::RoomMembership;

use super::{SyncLoop, now};
use crate::{
    client::{Channel, ChannelKind, Post},
    convert,
    delivery::UnknownAuthor,
    event::Event,
    socket::Signal,
};

impl SyncLoop<'_> {
    /// Handles a report of the WebSocket task: an event, a new connection or a lost connection.
    pub(super) async fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Connected => {
                self.is_connected = true;
                self.listing.require(now());
                let ids =
                    self.session.with_channels(|channels| channels.all().map(|one| one.id.clone()).collect::<Vec<_>>());
                for id in ids.unwrap_or_default() {
                    self.backfill.add_now(id);
                }
                // Joins and leaves of other people may have been missed.
                self.senders.invalidate_all();
            }
            Signal::Resumed => self.is_connected = true,
            Signal::Disconnected(reason) => {
                self.is_connected = false;
                self.link.down(reason);
            }
            Signal::Event(event, _share) => self.handle_event(event).await,
        }
    }

    pub(super) async fn handle_event(&mut self, event: Event) {
        match event {
            Event::Posted { post } => self.handle_post(*post).await,
            Event::Deleted { post, by } => {
                let is_this = |known: &Post| known.id == post.id;
                if self.backfill.withdraw(&post.channel, post.id.clone(), is_this) {
                    return;
                }
                let is_message_of_others = post.user != self.session.me() && post.kind.is_empty();
                if is_message_of_others && self.is_served(&post.channel) {
                    let delivered = self.delivery.deliver_deletion(&post.channel, &post.id, by.as_deref()).await;
                    self.queue_if_unknown(&post.channel, delivered);
                }
            }
            Event::ReactionAdded { channel, .. } if self.backfill.contains(&channel) => self.backfill.add(channel),
            Event::ReactionAdded { channel, reaction } => {
                if self.is_served(&channel) {
                    let delivered = self.delivery.deliver_reaction(&channel, &mut self.state, &reaction, false).await;
                    self.queue_if_unknown(&channel, delivered);
                }
            }
            Event::ReactionRemoved { channel, reaction } => {
                // The buffer holds no reactions; the backfill compares the reactions on each message.
                let is_queued = self.backfill.withdraw(&channel, reaction.key(), |_| false);
                // A stored reaction may count as an approval. Its removal does not wait for a backfill, and is handled
                // also if the bot no longer serves the channel.
                if self.state.has_reaction(&reaction) || (!is_queued && self.is_served(&channel)) {
                    let delivered = self.delivery.deliver_reaction_removal(&channel, &mut self.state, &reaction).await;
                    self.queue_if_unknown(&channel, delivered);
                }
            }
            Event::ChannelsChanged => self.listing.request(now()),
            Event::MemberChanged { user } => self.senders.invalidate(&user),
            Event::ChannelLeft { channel } => {
                self.session.change_channels(|channels| channels.remove(&channel));
                self.session.permissions.allow(&channel);
                // The list shows whether a configured channel is missing.
                self.listing.request(now());
                self.state.remove_channel(&channel);
                self.reported.remove(&channel);
                self.backfill.remove(&channel);
                self.delivery.remove_cursor(&channel);
            }
        }
    }

    pub(super) fn joined_channel(&self, id: &str) -> Option<Channel> {
        self.session.with_channels(|channels| channels.get(id).cloned()).flatten()
    }

    /// Returns whether the bot serves a channel. If that is undecided, returns `false` and queues the channel for a
    /// backfill, which finds the channel's events later.
    fn is_served(&mut self, id: &str) -> bool {
        // A channel that is not listed yet is backfilled after it is listed.
        let Some(channel) = self.joined_channel(id) else { return false };
        let membership = self.membership(&channel);
        if membership == RoomMembership::Undecided {
            self.backfill.add(id.to_owned());
        }
        membership == RoomMembership::Served
    }

    /// If `delivered` is an error, queues the channel for a backfill, because an event's author could not be looked up
    /// and the event was not stored.
    fn queue_if_unknown(&mut self, channel: &str, delivered: Result<(), UnknownAuthor>) {
        if delivered == Err(UnknownAuthor) {
            self.backfill.add(channel.to_owned());
        }
    }

    async fn handle_post(&mut self, post: Post) {
        // A post of an unknown or queued channel waits for the backfill.
        let is_join = convert::join(&post, self.session.me()).is_some();
        let Some(channel) = self.joined_channel(&post.channel) else {
            self.listing.request(now());
            return self.queue_post(post);
        };
        if is_join {
            self.backfill.add(channel.id.clone());
        }
        if self.backfill.contains(&channel.id) {
            return self.backfill.buffer(channel.id, [post]);
        }
        if self.listing.is_pending() {
            return self.queue_post(post);
        }
        match self.membership(&channel) {
            RoomMembership::Ignored if channel.kind != ChannelKind::Direct => self.ignore(&channel),
            RoomMembership::Undecided => self.queue_post(post),
            membership => {
                // The event does not contain whether the author is a bot, nor a name that can be trusted.
                self.delivery.look_up_authors(&[&post.user]).await;
                match membership {
                    _ if !self.delivery.is_author_known(&post) => self.queue_post(post),
                    RoomMembership::Served => {
                        self.delivery.deliver(&channel.id, channel.kind, &[(post, false)]).await;
                    }
                    _ => self.refuse_direct_messages(&channel, &[&post], i64::MIN).await,
                }
            }
        }
    }

    /// Queues the channel of a post for a backfill, and buffers the post until the backfill delivers it.
    fn queue_post(&mut self, post: Post) {
        self.backfill.add(post.channel.clone());
        self.backfill.buffer(post.channel.clone(), [post]);
    }
}
