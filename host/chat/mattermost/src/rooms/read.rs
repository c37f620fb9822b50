//! One channel that is read back to its mark: what stands there is asked beside, then handed over or left.
//!
//! Architecture Invariant: who wrote there is known before anything is handed over. Where that cannot be told, or whether their
//! direct messages are handled cannot, the channel stays behind, with what was posted there meanwhile.
//! Not here: which channels are read, and when (`asked`), and the pages of one (`backfill`).

use std::{sync::Arc, time::Instant};

use wardroom::message::Inbox;

use super::{Rooms, asked::Done, newest};
use crate::{
    account::Account,
    api::{Channel, Kind, Post},
    backfill::{self, Found, SLACK},
    convert, direct,
    kept::Stay,
    places::Standing,
    trouble::Trouble,
};

/// A channel, read back.
pub(super) struct ReadBack {
    found: Found,
    /// The channel's mark: what is newer was never looked at.
    seen: i64,
    /// Whether who writes to us alone is in a room of ours, where that was looked up.
    member: Option<(String, bool)>,
}

/// What is to be read.
struct Wanted {
    channel: String,
    /// Nothing of this millisecond or before is handled.
    since: i64,
    /// Messages of ours whose reactions we know.
    reacted: Vec<String>,
    /// Who wrote what came meanwhile.
    came: Vec<String>,
    /// Who writes to us alone, and the rooms to look for them, where it is not known whether they are heard.
    door: Option<(String, Vec<String>)>,
}

impl Wanted {
    async fn read(self, account: &Account, inbox: &Inbox) -> Result<ReadBack, Trouble> {
        let Self { channel, since, reacted, came, door } = self;
        let mark = inbox.mark(&channel).await;
        let mark = mark.map_err(|error| Trouble::later(format!("the channel's mark cannot be read: {error}")))?;
        let seen = mark.as_ref().map_or(i64::MIN, |mark| mark.at.as_millisecond());
        // What was handled already is known by its id; a moment that no post has is exact.
        let slack = if mark.is_some_and(|mark| mark.event.is_some()) { SLACK } else { 0 };
        let bound = seen.saturating_sub(slack).max(since);
        let found = backfill::since(&account.api, account.me(), &channel, bound, &reacted).await?;
        let wrote = found.posts.iter().map(|post| post.user.as_str());
        let removed = found.removed.iter().filter_map(|post| post.property("deleteBy"));
        let reacted = found.reactions.values().flatten().map(|reaction| reaction.user.as_str());
        let people = wrote.chain(removed).chain(reacted).chain(came.iter().map(String::as_str));
        let asked = account.users.ask(&account.api, people.filter(|person| *person != account.me())).await;
        asked.map_err(|trouble| trouble.about("who wrote there cannot be asked"))?;
        let member = match door {
            Some((person, rooms)) if !came.is_empty() || says_something(&found, account.me()) => {
                let member = direct::is_in_any(&account.api, &rooms, &person).await?;
                Some((person, member))
            }
            _ => None,
        };
        Ok(ReadBack { found, seen, member })
    }
}

/// Whether somebody else said anything in what was found.
fn says_something(found: &Found, me: &str) -> bool {
    found.posts.iter().any(|post| post.user != me) || !found.removed.is_empty() || !found.reactions.is_empty()
}

impl Rooms<'_> {
    /// Reads a channel back to its mark, beside.
    pub(super) fn read(&mut self, channel: Channel, mut stay: Stay) {
        if stay.foreign {
            // What stands there now was written while it was none of ours.
            stay = Stay { foreign: false, since: stay.since.max(newest(&channel)), ..stay };
            self.kept.set_stay(&channel.id, stay.clone());
        }
        let wanted = Wanted {
            channel: channel.id.clone(),
            since: stay.since,
            reacted: self.kept.reacted(&channel.id),
            came: self.behind.authors(&channel.id),
            door: self.door(&channel),
        };
        self.behind.begin(&channel.id);
        let (account, inbox): (Arc<Account>, Arc<Inbox>) = (self.account.clone(), self.delivery.inbox());
        self.tasks.spawn(async move {
            let read = wanted.read(&account, &inbox).await;
            Done::Read(channel, read)
        });
    }

    /// Who is to be looked for in which rooms before a channel is judged.
    fn door(&self, channel: &Channel) -> Option<(String, Vec<String>)> {
        if channel.kind != Kind::Direct || self.standing(channel) != Standing::Unknown {
            return None;
        }
        let person = self.doors.other(channel)?.to_owned();
        let rooms = self.account.with_channels(|channels| {
            let named = self.config.rooms.iter().filter_map(|room| channels.named(room));
            named.map(|room| room.id.clone()).collect()
        });
        Some((person, rooms?))
    }

    /// Brings what was found in a channel, and what was posted there meanwhile.
    pub(super) async fn found(&mut self, channel: Channel, read: ReadBack) {
        let ReadBack { found, seen, member } = read;
        let id = channel.id.as_str();
        if let Some((person, member)) = member {
            self.doors.learn(&person, member, Instant::now());
        }
        let came = self.behind.came(id);
        let is_told = found.posts.iter().chain(came).all(|post| self.delivery.knows(post));
        let is_silent = came.is_empty() && !says_something(&found, self.account.me());
        let mut standing = self.standing(&channel);
        if !is_told || (!is_silent && standing == Standing::Unknown) {
            // Something came while it was read: who said it is asked with the next try.
            return self.behind.go_on(id);
        }
        let is_gone = |what: &str| self.behind.is_gone(id, what);
        let posts = found.posts.into_iter().filter(|post| !is_gone(&post.id));
        let mut posts: Vec<(Post, bool)> = posts.map(|post| (post, true)).collect();
        let mut reactions = found.reactions;
        for now in reactions.values_mut() {
            now.retain(|reaction| !is_gone(&reaction.name()));
        }
        let came = self.behind.read(id);
        for post in came {
            match posts.iter_mut().find(|(known, _)| known.id == post.id) {
                // It came as it was sent, whatever else was read.
                Some((_, late)) => *late = false,
                None => posts.push((post, false)),
            }
        }
        posts.sort_by(|(one, _), (other, _)| (one.create_at, &one.id).cmp(&(other.create_at, &other.id)));
        let me = self.account.me();
        let came = posts.iter().rev().find_map(|(post, _)| Some((convert::arrival(post, me)?, post.create_at)));
        if let Some((by, at)) = came {
            let by = by.map(str::to_owned);
            self.kept.set_stay(id, Stay { by, looked: true, since: at - 1, foreign: false });
            // What was written while we were out of the channel was not written to us.
            posts.retain(|(post, _)| post.create_at >= at);
            standing = self.standing(&channel);
        }
        if standing == Standing::Foreign && channel.kind == Kind::Direct {
            let posts: Vec<&Post> = posts.iter().map(|(post, _)| post).collect();
            return self.turn_away(&channel, &posts, seen).await;
        }
        if standing == Standing::Foreign {
            return self.ignore(&channel);
        }
        // On disk before the mark moves: nothing from before this moment is handled after a crash.
        self.kept.save();
        if let Some(stay) = self.kept.stay(id) {
            self.delivery.enter(id, stay.since).await;
        }
        self.delivery.bring(id, channel.kind, &posts).await;
        let mut told = Ok(());
        for post in &found.removed {
            told = told.and(self.delivery.removed(id, &post.id, post.property("deleteBy")).await);
        }
        for (post, now) in &reactions {
            told = told.and(self.delivery.compare(id, &mut self.kept, post, now).await);
        }
        if told.is_err() {
            self.behind.add(id);
        }
    }

    /// Hears nothing of what somebody wrote to us alone who may not, and tells them once if any of it is newer than what was
    /// looked at before. Who wrote it is known.
    pub(super) async fn turn_away(&mut self, channel: &Channel, posts: &[&Post], seen: i64) {
        let theirs = || posts.iter().filter(|post| post.user != self.account.me());
        let newest = theirs().map(|post| post.create_at).max();
        let is_news = |post: &Post| post.create_at > seen && self.delivery.is_a_persons(post, channel.kind);
        let is_a_persons = theirs().any(|post| is_news(post));
        if let Some((newest, stay)) = newest.zip(self.kept.stay(&channel.id).cloned()) {
            // Not handled either when its author may write to us later.
            self.kept.set_stay(&channel.id, Stay { since: stay.since.max(newest), ..stay });
            self.delivery.enter(&channel.id, newest).await;
        }
        if is_a_persons && !self.doors.has_told(&channel.id) {
            tracing::info!(
                channel = channel.id,
                "a direct message is not handled: whoever wrote it may not write to the bot alone"
            );
            if self.delivery.refuse(&channel.id, self.config.direct.refusal()).await {
                self.doors.told(&channel.id);
            }
        }
    }

    /// Handles nothing of a channel that is not ours, and says so once.
    pub(super) fn ignore(&mut self, channel: &Channel) {
        self.told.foreign(self.config, channel);
        self.behind.remove(&channel.id);
        if let Some(stay) = self.kept.stay(&channel.id).cloned()
            && !stay.foreign
        {
            self.kept.set_stay(&channel.id, Stay { foreign: true, ..stay });
        }
    }
}
