//! What the socket tells, as it happens: posts, reactions, what was removed, and where we come and go.
//!
//! Architecture Invariant: what cannot be judged yet is not left. Its channel is behind from then on, and is read back.
//! Not here: what is read back (`read`).

use super::Rooms;
use crate::{
    api::{Channel, Kind, Post},
    convert,
    delivery::Untold,
    event::Event,
    places::Standing,
    socket::Signal,
};

impl Rooms<'_> {
    /// Takes what the socket tells.
    pub(super) async fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Began => {
                self.connected = true;
                self.listing.want();
                let ids =
                    self.account.with_channels(|channels| channels.all().map(|one| one.id.clone()).collect::<Vec<_>>());
                for id in ids.unwrap_or_default() {
                    self.behind.add_now(&id);
                }
                // Who came into a room or left one was not told meanwhile.
                self.doors.forget_all();
            }
            Signal::Resumed => self.connected = true,
            Signal::Lost(reason) => {
                self.connected = false;
                self.link.down(reason);
            }
            Signal::Event(event) => self.happened(event).await,
        }
    }

    async fn happened(&mut self, event: Event) {
        match event {
            Event::Posted { post, sender } => self.posted(*post, &sender).await,
            Event::Deleted { post, by } => {
                if self.behind.take_back(&post.channel, post.id.clone()) {
                    return;
                }
                if post.user != self.account.me() && post.kind.is_empty() && self.hears(&post.channel) {
                    let told = self.delivery.removed(&post.channel, &post.id, by.as_deref()).await;
                    self.or_read_back(&post.channel, told);
                }
            }
            Event::Reacted { channel, .. } if self.behind.contains(&channel) => self.behind.add(&channel),
            Event::Reacted { channel, reaction } => {
                if self.hears(&channel) {
                    let told = self.delivery.given(&channel, &mut self.kept, &reaction, false).await;
                    self.or_read_back(&channel, told);
                }
            }
            Event::Unreacted { channel, reaction } => {
                if self.behind.take_back(&channel, reaction.name()) {
                    return;
                }
                if self.hears(&channel) {
                    let told = self.delivery.taken(&channel, &mut self.kept, &reaction).await;
                    self.or_read_back(&channel, told);
                }
            }
            Event::Moved => self.listing.want(),
            Event::Membership { user } => self.doors.forget(&user),
            Event::Left { channel } => {
                self.account.change_channels(|channels| channels.remove(&channel));
                self.kept.left(&channel);
                self.told.left(&channel);
                self.behind.remove(&channel);
                self.delivery.left(&channel);
            }
        }
    }

    fn channel(&self, id: &str) -> Option<Channel> {
        self.account.with_channels(|channels| channels.get(id).cloned()).flatten()
    }

    /// Whether a channel is known to be ours. What is said in one that is not known yet is read back when it is.
    fn hears(&mut self, id: &str) -> bool {
        // One that is not listed yet is read back when it is.
        let Some(channel) = self.channel(id) else { return false };
        let standing = self.standing(&channel);
        if standing == Standing::Unknown {
            self.behind.add(id);
        }
        standing == Standing::Ours
    }

    /// What was not handed over, because who said it is not told, is read back.
    fn or_read_back(&mut self, channel: &str, told: Result<(), Untold>) {
        if told == Err(Untold) {
            self.behind.add(channel);
        }
    }

    async fn posted(&mut self, post: Post, sender: &str) {
        if !post.user.is_empty() && post.user != self.account.me() {
            self.account.users.learn_name(&post.user, sender);
        }
        let came = convert::arrival(&post, self.account.me()).is_some();
        let Some(channel) = self.channel(&post.channel) else {
            self.listing.want();
            return self.wait(post);
        };
        if came {
            self.behind.add(&channel.id);
        }
        if self.behind.contains(&channel.id) {
            return self.behind.push(post);
        }
        if self.listing.is_open() {
            return self.wait(post);
        }
        match self.standing(&channel) {
            Standing::Foreign if channel.kind != Kind::Direct => self.ignore(&channel),
            Standing::Unknown => self.wait(post),
            standing => {
                // A live message tells its author's name; whether that is a bot is asked once.
                self.delivery.meet(&[&post.user]).await;
                match standing {
                    _ if !self.delivery.knows(&post) => self.wait(post),
                    Standing::Ours => self.delivery.bring(&channel.id, channel.kind, &[(post, false)]).await,
                    _ => self.turn_away(&channel, &[&post], i64::MIN).await,
                }
            }
        }
    }

    /// Keeps a post until its channel was read back.
    fn wait(&mut self, post: Post) {
        self.behind.add(&post.channel);
        self.behind.push(post);
    }
}
