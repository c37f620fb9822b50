//! What happens in the channels, for as long as the account is logged in: what the socket brings, and what has to be read
//! besides.
//!
//! Architecture Invariant: where anything may be missing (at each start, and with each connection that is a new one), a channel
//! is read back to its mark before anything newer moves that mark.
//! Architecture Invariant: nothing here waits for the server but for who somebody is, and that for moments. Whatever else is
//! asked is asked beside, a few at a time, so that one channel's trouble is no other's.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};
use wardroom::{Timestamp, message::Inbox, port::Link};

use crate::{
    account::Account,
    api::{Channel, Kind, Post},
    backfill::{self, Arrival, Found, SLACK},
    backoff::{Backoff, LONGEST_ASKED},
    behind::Behind,
    config::Config,
    convert,
    delivery::Delivery,
    event::Event,
    kept::{Kept, Stay},
    places::{Channels, Standing, Told, standing},
    socket::Signal,
    trouble::Trouble,
};

/// So many channels are read at a time.
const READERS: usize = 4;
/// How often channels of the configuration are looked for that we are not in.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// What came of something that was asked beside.
enum Done {
    /// The channels that we are in.
    Listed(Result<Vec<Channel>, Trouble>),
    /// Who brought us into a channel.
    Arrived(Channel, Result<Option<Arrival>, Trouble>),
    /// A channel, read back.
    Read(Channel, Result<Found, Trouble>),
}

/// The list of our channels: whether it is wanted, and when.
#[derive(Debug, Default)]
struct Listing {
    /// Whether it may be out of date.
    wanted: bool,
    running: bool,
    /// Not before this.
    due: Option<Instant>,
    backoff: Backoff,
    told: bool,
}

/// One account's view of its channels.
pub(crate) struct Rooms<'a> {
    config: &'a Config,
    account: Arc<Account>,
    link: &'a Link,
    kept: Kept,
    told: Told,
    behind: Behind,
    listing: Listing,
    /// Whether a connection stands.
    connected: bool,
    delivery: Delivery,
    tasks: JoinSet<Done>,
}

impl<'a> Rooms<'a> {
    /// Begins; no request yet.
    pub(crate) fn new(config: &'a Config, account: Arc<Account>, inbox: Arc<Inbox>, link: &'a Link) -> Self {
        Self {
            config,
            link,
            kept: Kept::load(&config.folder, account.me()),
            told: Told::default(),
            behind: Behind::default(),
            listing: Listing::default(),
            connected: false,
            delivery: Delivery::new(account.clone(), inbox),
            account,
            tasks: JoinSet::new(),
        }
    }

    /// Where the account was never before: looks where it is, before anything is told. What stands there now is from before our
    /// time, and whatever is posted from here on is not.
    pub(crate) async fn meet(&mut self) -> Result<(), Trouble> {
        let mut backoff = Backoff::default();
        while self.kept.is_fresh() {
            match self.account.api.channels().await {
                Ok(channels) => self.listed(channels),
                Err(over @ Trouble::LoggedOut { .. }) => return Err(over),
                Err(trouble) => {
                    tracing::warn!("the bot's channels cannot be listed, trying again: {trouble}");
                    backoff.pause(trouble.after()).await;
                }
            }
        }
        self.kept.save();
        Ok(())
    }

    /// Takes what the socket tells until our token is no longer known; gives that then.
    pub(crate) async fn run(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) -> Trouble {
        loop {
            self.ask();
            self.kept.save();
            self.tell_link();
            let due = self.next_due().map(tokio::time::Instant::from_std);
            tokio::select! {
                signal = signals.recv() => match signal {
                    Some(signal) => self.take(signal).await,
                    None => std::future::pending().await,
                },
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => {
                        if let Err(over) = self.done(done).await {
                            return over;
                        }
                    }
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {}
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let listing = self.listing.due.filter(|due| !self.listing.running && *due > now);
        self.behind.next_due(now).into_iter().chain(listing).min()
    }

    /// Messages flow where a connection stands and every channel was read back, or cannot be and was tried.
    fn tell_link(&self) {
        if self.connected && !self.listing.wanted && !self.listing.running && self.behind.all_tried() {
            self.link.up();
        }
    }

    /// Asks beside for what is wanted now.
    fn ask(&mut self) {
        let now = Instant::now();
        if !self.listing.running && self.listing.due.is_some_and(|due| due <= now) {
            (self.listing.wanted, self.listing.due) = (true, None);
        }
        if self.listing.wanted && !self.listing.running && self.listing.due.is_none() {
            self.listing.running = true;
            self.listing.wanted = false;
            let account = self.account.clone();
            self.tasks.spawn(async move { Done::Listed(account.api.channels().await) });
        }
        if self.listing.wanted || self.listing.running {
            return;
        }
        for id in self.behind.due(now) {
            if self.behind.reading() >= READERS {
                return;
            }
            match self.account.with_channels(|channels| channels.get(&id).cloned()).flatten() {
                Some(channel) => self.ask_channel(channel),
                // We are in no such channel.
                None => self.behind.remove(&id),
            }
        }
    }

    fn standing(&self, channel: &Channel) -> Standing {
        let is_admin = |person: &str| self.delivery.is_admin(person);
        let look = |channels: &Channels| standing(self.config, channels, &self.kept, channel, is_admin);
        self.account.with_channels(look).unwrap_or(Standing::Unknown)
    }

    fn ask_channel(&mut self, channel: Channel) {
        if channel.kind == Kind::Direct && self.kept.stay(&channel.id).is_none() {
            // Nobody is brought there: it is ours from its first word on.
            let since = channel.create_at - 1;
            self.kept.set_stay(&channel.id, Stay { looked: true, since, ..Stay::default() });
        }
        let stay = self.kept.stay(&channel.id).cloned();
        match (self.standing(&channel), stay) {
            (Standing::Unknown, _) | (Standing::Ours, None) => {
                self.behind.begin(&channel.id);
                let account = self.account.clone();
                self.tasks.spawn(async move {
                    let found = backfill::arrival(&account.api, account.me(), &channel.id).await;
                    Done::Arrived(channel, found)
                });
            }
            (Standing::Foreign, _) => self.ignore(&channel),
            (Standing::Ours, Some(stay)) => self.read(channel, stay),
        }
    }

    /// Reads a channel of ours back to its mark, beside.
    fn read(&mut self, channel: Channel, mut stay: Stay) {
        if stay.foreign {
            // What stands there now was written while it was none of ours.
            stay = Stay { foreign: false, since: stay.since.max(newest(&channel)), ..stay };
            self.kept.set_stay(&channel.id, stay.clone());
        }
        self.behind.begin(&channel.id);
        let (account, inbox) = (self.account.clone(), self.delivery.inbox());
        let reacted = self.kept.reacted(&channel.id);
        self.tasks.spawn(async move {
            let found = async {
                let mark = inbox.mark(&channel.id).await;
                let mark =
                    mark.map_err(|error| Trouble::later(format!("the channel's mark cannot be read: {error}")))?;
                let left = mark.map_or(i64::MIN, |mark| {
                    // What was handled already is known by its id; a moment that no post has is exact.
                    mark.at.as_millisecond() - if mark.event.is_some() { SLACK } else { 0 }
                });
                let bound = left.max(stay.since);
                let found = backfill::since(&account.api, account.me(), &channel.id, bound, &reacted).await?;
                let people = found.posts.iter().chain(&found.removed).map(|post| post.user.as_str());
                if let Err(trouble) = account.users.ask(&account.api, people).await {
                    tracing::debug!("who wrote in a channel cannot be asked: {trouble}");
                }
                Ok(found)
            };
            let found = found.await;
            Done::Read(channel, found)
        });
    }

    /// Handles nothing of a channel that is not ours, and says so once.
    fn ignore(&mut self, channel: &Channel) {
        self.told.foreign(self.config, channel);
        self.behind.remove(&channel.id);
        if let Some(stay) = self.kept.stay(&channel.id).cloned()
            && !stay.foreign
        {
            self.kept.set_stay(&channel.id, Stay { foreign: true, ..stay });
        }
    }

    /// Takes what the socket tells.
    async fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Began => {
                self.connected = true;
                (self.listing.wanted, self.listing.due) = (true, None);
                let ids =
                    self.account.with_channels(|channels| channels.all().map(|one| one.id.clone()).collect::<Vec<_>>());
                for id in ids.unwrap_or_default() {
                    self.behind.add(&id);
                }
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
                self.behind.forget(&post.channel, &post.id);
                if post.user != self.account.me() && post.kind.is_empty() && self.is_ours(&post.channel) {
                    let by = by.as_deref().unwrap_or(&post.user);
                    self.delivery.withdrawn(&post.channel, &post.id, by).await;
                }
            }
            Event::Reacted { channel, reaction } => {
                if self.is_ours(&channel) {
                    self.delivery.given(&channel, &mut self.kept, &reaction, false).await;
                }
            }
            Event::Unreacted { channel, reaction } => {
                if self.is_ours(&channel) {
                    self.delivery.taken(&channel, &mut self.kept, &reaction).await;
                }
            }
            Event::Moved => (self.listing.wanted, self.listing.due) = (true, None),
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
    fn is_ours(&self, id: &str) -> bool {
        self.channel(id).is_some_and(|channel| self.standing(&channel) == Standing::Ours)
    }

    async fn posted(&mut self, post: Post, sender: &str) {
        if !post.user.is_empty() && post.user != self.account.me() {
            self.account.users.learn_name(&post.user, sender);
        }
        let known = self.channel(&post.channel);
        let came = convert::arrival(&post, self.account.me()).is_some();
        let Some(channel) = known else {
            (self.listing.wanted, self.listing.due) = (true, None);
            self.behind.add(&post.channel);
            return self.behind.push(post);
        };
        if came {
            self.behind.add(&channel.id);
        }
        if self.behind.contains(&channel.id) || self.listing.wanted || self.listing.running {
            if !self.behind.contains(&channel.id) {
                self.behind.add(&channel.id);
            }
            return self.behind.push(post);
        }
        match self.standing(&channel) {
            Standing::Ours => {
                // A live message tells its author's name; whether that is a bot is asked once.
                self.delivery.meet(&[&post.user]).await;
                self.delivery.bring(&channel.id, channel.kind, &[(post, false)]).await;
            }
            Standing::Foreign => self.ignore(&channel),
            Standing::Unknown => {
                self.behind.add(&channel.id);
                self.behind.push(post);
            }
        }
    }

    /// Takes what was asked beside. Gives why the account is at its end, if it is.
    async fn done(&mut self, done: Done) -> Result<(), Trouble> {
        match done {
            Done::Listed(Ok(channels)) => self.listed(channels),
            Done::Listed(Err(over @ Trouble::LoggedOut { .. })) => return Err(over),
            Done::Listed(Err(trouble)) => {
                let listing = &mut self.listing;
                (listing.running, listing.wanted) = (false, true);
                listing.due = Some(Instant::now() + listing.backoff.next_asked(trouble.after()));
                if !std::mem::replace(&mut listing.told, true) {
                    tracing::warn!("the bot's channels cannot be listed, trying again: {trouble}");
                }
            }
            Done::Arrived(channel, Ok(arrival)) => self.arrived(&channel, arrival),
            Done::Read(channel, Ok(found)) => self.found(channel, found).await,
            Done::Arrived(_, Err(over @ Trouble::LoggedOut { .. }))
            | Done::Read(_, Err(over @ Trouble::LoggedOut { .. })) => {
                return Err(over);
            }
            Done::Arrived(channel, Err(trouble)) | Done::Read(channel, Err(trouble)) => {
                self.put_off(&channel, &trouble)
            }
        }
        Ok(())
    }

    fn listed(&mut self, channels: Vec<Channel>) {
        let listing = &mut self.listing;
        (listing.running, listing.told) = (false, false);
        listing.backoff.reset();
        let channels = Channels::new(channels);
        self.kept.prune(|id| channels.get(id).is_some());
        if self.kept.is_fresh() {
            for channel in channels.all() {
                // We were here before the engine was: what stands there now is from before its time.
                let stay = Stay { looked: channel.kind != Kind::Team, since: newest(channel), ..Stay::default() };
                self.kept.set_stay(&channel.id, stay);
            }
            self.kept.met_all();
        }
        let known = |id: &str| self.account.with_channels(|channels| channels.get(id).is_some()).unwrap_or_default();
        let new: Vec<String> = channels.all().filter(|one| !known(&one.id)).map(|one| one.id.clone()).collect();
        for id in new {
            self.behind.add(&id);
        }
        if self.told.missing(self.config, &channels, &self.account.reader.called) {
            self.listing.due = Some(Instant::now() + LOOK_AGAIN);
        }
        self.account.change_channels(|known| *known = channels);
    }

    fn arrived(&mut self, channel: &Channel, arrival: Option<Arrival>) {
        let stay = self.kept.stay(&channel.id).cloned();
        // What was written in the same millisecond was written to us.
        let at = arrival.as_ref().map(|arrival| arrival.at - 1);
        let since = match &stay {
            Some(stay) => stay.since.max(at.unwrap_or(stay.since)),
            None => at.unwrap_or_else(|| newest(channel)),
        };
        let by = arrival.and_then(|arrival| arrival.by);
        let foreign = stay.is_some_and(|stay| stay.foreign);
        self.kept.set_stay(&channel.id, Stay { by, looked: true, since, foreign });
        self.behind.go_on(&channel.id);
    }

    /// Brings what was found in a channel, and what was posted there meanwhile.
    async fn found(&mut self, channel: Channel, found: Found) {
        let id = channel.id.as_str();
        let came = self.behind.read(id);
        let mut posts: Vec<(Post, bool)> = found.posts.into_iter().map(|post| (post, true)).collect();
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
        }
        if self.standing(&channel) != Standing::Ours {
            return self.ignore(&channel);
        }
        // On disk before the mark moves: nothing from before this moment is handled after a crash.
        self.kept.save();
        if let Some(stay) = self.kept.stay(id) {
            self.delivery.enter(id, stay.since).await;
        }
        self.delivery.bring(id, channel.kind, &posts).await;
        for post in &found.removed {
            let by = post.property("deleteBy").unwrap_or(&post.user);
            self.delivery.withdrawn(id, &post.id, by).await;
        }
        for (post, now) in &found.reactions {
            self.delivery.compare(id, &mut self.kept, post, now).await;
        }
    }

    /// Tries a channel again later, and says so once.
    fn put_off(&mut self, channel: &Channel, trouble: &Trouble) {
        let now = Instant::now();
        if self.behind.failed(&channel.id, now, trouble.after()) {
            tracing::warn!(
                channel = channel.id,
                name = channel.name,
                "the channel cannot be read back to where it was left, trying again: {trouble}"
            );
        }
        if let Some(asked) = trouble.after() {
            self.behind.rest(now, asked.min(LONGEST_ASKED));
        }
        if matches!(trouble, Trouble::Refused { .. }) {
            // Perhaps we are out of it, and were not told.
            let look = now + Duration::from_secs(60);
            self.listing.due = Some(self.listing.due.map_or(look, |due| due.min(look)));
        }
    }
}

/// The moment of the newest post of a channel, by the server's clock where it tells.
fn newest(channel: &Channel) -> i64 {
    if channel.last_post_at > 0 { channel.last_post_at } else { Timestamp::now().as_millisecond() }
}
