//! What happens in the channels, for as long as the account is logged in: what the socket brings, and what has to be read
//! besides.
//!
//! Architecture Invariant: where anything may be missing (at each start, and with each connection that is a new one), a channel
//! is read back to its mark before anything newer moves that mark.
//! Architecture Invariant: nothing here waits for the server but for who somebody is, and that for moments. Whatever else is
//! asked is asked beside, a few at a time, so that one channel's trouble is no other's.
//! Not here: what is done with what the socket tells (`live`), what is asked beside (`asked`), and the reading of one channel
//! (`read`).

mod asked;
mod live;
mod read;

use std::{sync::Arc, time::Instant};

use tokio::{sync::mpsc, task::JoinSet};
use wardroom::{Timestamp, message::Inbox, port::Link};
use wardroom_account::Backoff;

use crate::{
    account::Account,
    api::Channel,
    behind::Behind,
    config::Config,
    delivery::Delivery,
    direct::Doors,
    kept::Kept,
    places::{Channels, Standing, Told, standing},
    socket::Signal,
    trouble::Trouble,
};
use asked::{Done, Listing};

/// One account's view of its channels.
pub(crate) struct Rooms<'a> {
    config: &'a Config,
    account: Arc<Account>,
    link: &'a Link,
    kept: Kept,
    told: Told,
    doors: Doors,
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
            doors: Doors::new(account.me()),
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
                Ok((channels, whole)) => self.listed(channels, whole),
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
        if self.connected && !self.listing.is_open() && self.behind.all_tried() {
            self.link.up();
        }
    }

    fn standing(&self, channel: &Channel) -> Standing {
        let is_admin = |person: &str| self.delivery.is_admin(person);
        let look = |channels: &Channels| standing(self.config, channels, &self.kept, &self.doors, channel, is_admin);
        self.account.with_channels(look).unwrap_or(Standing::Unknown)
    }
}

/// The moment of the newest post of a channel, by the server's clock where it tells.
fn newest(channel: &Channel) -> i64 {
    if channel.last_post_at > 0 { channel.last_post_at } else { Timestamp::now().as_millisecond() }
}
