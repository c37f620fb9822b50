//! What is asked of the server beside: which channels there are, who brought us where, and what stands in those that are behind.
//!
//! Architecture Invariant: a few questions at a time, none of which anything else waits for. One that fails is asked again.
//! Not here: the reading of one channel (`read`), and what the socket brings (`live`).

use std::time::{Duration, Instant};

use super::{Rooms, newest, read::ReadBack};
use wardroom_account::{Backoff, LONGEST_ASKED};

use crate::{
    api::{Channel, Kind},
    backfill::{self, Arrival},
    kept::Stay,
    places::{Channels, Standing},
    trouble::Trouble,
};

/// So many channels are read at a time.
const READERS: usize = 4;
/// How often channels of the configuration are looked for that we are not in.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// What came of something that was asked beside.
pub(super) enum Done {
    /// The channels that we are in.
    Listed(Result<(Vec<Channel>, bool), Trouble>),
    /// Who brought us into a channel.
    Arrived(Channel, Result<Option<Arrival>, Trouble>),
    /// A channel, read back.
    Read(Channel, Result<ReadBack, Trouble>),
}

/// The list of our channels: whether it is wanted, and when.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Whether it may be out of date.
    pub(super) wanted: bool,
    pub(super) running: bool,
    /// Not before this.
    pub(super) due: Option<Instant>,
    backoff: Backoff,
    told: bool,
}

impl Listing {
    /// The list may be out of date: it is asked for at once.
    pub(super) fn want(&mut self) {
        (self.wanted, self.due) = (true, None);
    }

    /// The list is asked for at a moment, unless it is to be asked for sooner.
    fn look_at(&mut self, moment: Instant) {
        if !self.wanted {
            self.due = Some(self.due.map_or(moment, |due| due.min(moment)));
        }
    }

    /// Whether what we know of our channels may be out of date.
    pub(super) fn is_open(&self) -> bool {
        self.wanted || self.running
    }
}

impl Rooms<'_> {
    /// Asks beside for what is wanted now.
    pub(super) fn ask(&mut self) {
        let now = Instant::now();
        if !self.listing.running && self.listing.due.is_some_and(|due| due <= now) {
            self.listing.want();
        }
        if self.listing.wanted && !self.listing.running && self.listing.due.is_none() {
            self.listing.running = true;
            self.listing.wanted = false;
            let account = self.account.clone();
            self.tasks.spawn(async move { Done::Listed(account.api.channels().await) });
        }
        if self.listing.is_open() {
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

    fn ask_channel(&mut self, channel: Channel) {
        if channel.kind == Kind::Direct && self.kept.stay(&channel.id).is_none() {
            // Nobody is brought there: it is ours from its first word on.
            let since = channel.create_at - 1;
            self.kept.set_stay(&channel.id, Stay { looked: true, since, ..Stay::default() });
        }
        let stay = self.kept.stay(&channel.id).cloned();
        match (self.standing(&channel), stay) {
            // Who may not write to us alone is told so: what was written is read in any case.
            (_, Some(stay)) if channel.kind == Kind::Direct => self.read(channel, stay),
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

    /// Takes what was asked beside. Gives why the account is at its end, if it is.
    pub(super) async fn done(&mut self, done: Done) -> Result<(), Trouble> {
        match done {
            Done::Listed(Ok((channels, whole))) => self.listed(channels, whole),
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
            Done::Read(channel, Ok(read)) => self.found(channel, read).await,
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

    pub(super) fn listed(&mut self, channels: Vec<Channel>, whole: bool) {
        let listing = &mut self.listing;
        (listing.running, listing.told) = (false, false);
        listing.backoff.reset();
        let channels = Channels::new(channels);
        // What is missing in part of the truth may come back.
        if whole {
            self.kept.prune(|id| channels.get(id).is_some());
        }
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
            self.listing.look_at(Instant::now() + LOOK_AGAIN);
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
            self.listing.look_at(now + Duration::from_secs(60));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_now_is_not_put_off_by_a_later_look() {
        let mut listing = Listing::default();
        let later = Instant::now() + Duration::from_secs(60);
        listing.look_at(later);
        listing.look_at(later + Duration::from_secs(1));
        assert_eq!(listing.due, Some(later));
        // As while one is running that began before.
        listing.want();
        listing.look_at(later);
        assert!(listing.wanted && listing.due.is_none());
    }
}
