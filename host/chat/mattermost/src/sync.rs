//! The sync loop of one account: handles live events, and backfills the channels.
//!
//! Invariant: if events can be missing (when the host starts, after each new connection), a channel is
//! backfilled to its cursor before a newer event moves that cursor.
//! Invariant: the loop waits for the server only to look up an author, for a few seconds. All other
//! requests run in the background, a few at a time, so that a failing channel does not delay another.
//! Not here: live events (`live`), background requests (`requests`), the schedule of the list of channels
//! (`channel_listing`), and the backfill of one channel (`channel_backfill`).

mod channel_backfill;
mod channel_listing;
mod live;
mod requests;

use std::{convert::Infallible, sync::Arc, time::Instant};

use tokio::{sync::mpsc, task::JoinSet};
use wardroom::{Timestamp, adapter::Inbox, adapter::Link, base::Backoff};
use wardroom_account::{BackfillQueue, RoomMembership};

use crate::{
    client::{Channel, Post},
    config::Config,
    delivery::Delivery,
    direct_messages::DirectSenders,
    error::MattermostError,
    joined_channels::{JoinedChannels, ReportedChannels, membership},
    session::Session,
    socket::Signal,
    state_file::AccountState,
};
use channel_listing::ChannelListing;
use requests::{Finished, list_channels};

/// Maximum number of buffered posts of a channel that waits for a backfill. If more posts arrive, the oldest are
/// dropped, and another backfill reads them.
const MAX_BUFFERED: usize = 1_000;
/// Maximum size of the buffered posts of all channels, in bytes of memory.
const MAX_BUFFERED_BYTES: usize = 32 * 1024 * 1024;

pub(crate) struct SyncLoop<'a> {
    config: &'a Config,
    session: Arc<Session>,
    link: &'a Link,
    state: AccountState,
    reported: ReportedChannels,
    senders: DirectSenders,
    /// The channels to backfill, each with a buffer of the posts that arrive before the backfill ends.
    backfill: BackfillQueue<str, Post>,
    listing: ChannelListing,
    is_connected: bool,
    delivery: Delivery,
    tasks: JoinSet<Finished>,
}

impl<'a> SyncLoop<'a> {
    /// Loads the account's state file. Makes no request.
    pub(crate) fn new(config: &'a Config, session: Arc<Session>, inbox: Arc<dyn Inbox>, link: &'a Link) -> Self {
        Self {
            config,
            link,
            state: AccountState::load(&config.folder, session.me()),
            reported: ReportedChannels::default(),
            senders: DirectSenders::new(session.me()),
            backfill: BackfillQueue::new(MAX_BUFFERED).max_bytes(MAX_BUFFERED_BYTES, Post::size),
            listing: ChannelListing::default(),
            is_connected: false,
            delivery: Delivery::new(session.clone(), inbox),
            session,
            tasks: JoinSet::new(),
        }
    }

    /// Lists the channels of an account that has no stored state, before the connection is opened. The bot does not
    /// handle the posts that are in the channels at that time. It handles only later posts.
    ///
    /// # Errors
    /// [`MattermostError::TokenRejected`]. Other errors are retried.
    pub(crate) async fn initialize(&mut self) -> Result<(), MattermostError> {
        let mut backoff = Backoff::default();
        while self.state.is_new() {
            match list_channels(&self.session, &self.config.rooms).await {
                Ok((channels, is_complete)) => self.handle_listing(channels, is_complete),
                Err(end @ MattermostError::TokenRejected { .. }) => return Err(end),
                Err(error) => {
                    tracing::warn!(%error, "cannot list the bot's channels; retrying");
                    backoff.wait(error.retry_after()).await;
                }
            }
        }
        self.state.save();
        Ok(())
    }

    /// Handles signals of the socket and finished requests until the server rejects the token.
    ///
    /// # Errors
    /// [`MattermostError::TokenRejected`].
    pub(crate) async fn run(&mut self, signals: &mut mpsc::Receiver<Signal>) -> Result<Infallible, MattermostError> {
        loop {
            self.start_due_requests();
            self.state.save();
            self.update_link();
            let due = self.next_due().map(tokio::time::Instant::from_std);
            tokio::select! {
                signal = signals.recv() => match signal {
                    Some(signal) => self.handle_signal(signal).await,
                    None => std::future::pending().await,
                },
                Some(finished) = self.tasks.join_next() => match finished {
                    Ok(finished) => self.handle_finished(finished).await?,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {}
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let now = now();
        self.backfill.next_retry(now).into_iter().chain(self.listing.next_start(now)).min()
    }

    /// Reports the account as connected if all of these are true: a connection is open; no list of channels is required
    /// or running; the backfill of every queued channel was attempted at least once.
    fn update_link(&self) {
        if self.is_connected && !self.listing.is_pending() && self.backfill.all_attempted() {
            self.link.up();
        }
    }

    fn membership(&self, channel: &Channel) -> RoomMembership {
        let is_admin = |person: &str| self.delivery.is_admin(person);
        let look = |channels: &JoinedChannels| {
            membership(self.config, channels, &self.state, &self.senders, channel, is_admin)
        };
        self.session.with_channels(look).unwrap_or(RoomMembership::Undecided)
    }
}

/// Returns the current time of tokio's clock, by which the loop waits.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Returns the time of a channel's newest post, in milliseconds since the Unix epoch (server clock); the current time
/// if the server does not report the newest post's time.
fn newest_post_time(channel: &Channel) -> i64 {
    if channel.last_post_at > 0 { channel.last_post_at } else { Timestamp::now().as_millisecond() }
}

#[cfg(test)]
mod tests;
