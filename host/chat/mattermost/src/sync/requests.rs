//! Requests that run in the background: the list of channels, the search for the post that reports that the bot joined
//! a channel, and the backfill of a channel.
//!
//! Invariant: only a few requests run at the same time, and the sync loop waits for none of them. A failed request is
//! retried.
//! Not here: the backfill of one channel (`channel_backfill`), and live events (`live`).

use std::time::{Duration, Instant};

use wardroom::base::Backoff;
use wardroom_account::RoomMembership;

use super::{SyncLoop, channel_backfill::ReadBack, newest_post_time};
use crate::{
    backfill::{self, ChannelJoin},
    client::{Channel, ChannelKind},
    error::MattermostError,
    joined_channels::JoinedChannels,
    state_file::ChannelState,
};

/// Maximum number of channels that are backfilled at the same time.
const MAX_READERS: usize = 4;
/// Interval at which the list of the bot's channels is requested again while a configured channel is missing from it.
const MISSING_CHANNEL_INTERVAL: Duration = Duration::from_secs(300);
/// Delay after which the bot's channels are listed again if the server rejected the backfill of a channel, because the
/// bot may have left the channel.
const REJECTED_CHANNEL_DELAY: Duration = Duration::from_secs(60);

/// The result of a background request.
pub(super) enum Finished {
    /// The bot's channels, and whether the list is complete.
    Listing(Result<(Vec<Channel>, bool), MattermostError>),
    /// The time at which the bot joined the channel, and the person who added it; `None` if the search did not find the
    /// post that reports this.
    Join(Channel, Result<Option<ChannelJoin>, MattermostError>),
    Backfill(Channel, Result<ReadBack, MattermostError>),
}

/// The schedule of the requests for the list of the bot's channels.
#[derive(Debug, Default)]
pub(super) struct ChannelListing {
    /// Whether a new list is needed and the request for it has not started yet.
    pub(super) is_requested: bool,
    pub(super) is_running: bool,
    /// The time at which the next request for the list starts. `None` if no request is scheduled, or if `is_requested`
    /// is true and the request starts at once.
    pub(super) due: Option<Instant>,
    backoff: Backoff,
    failure_reported: bool,
}

impl ChannelListing {
    /// Marks that the list must be requested again at once, because the stored list may be out of date.
    pub(super) fn request(&mut self) {
        (self.is_requested, self.due) = (true, None);
    }

    /// Schedules a request for the list at `time`. If an earlier request is already scheduled, changes nothing.
    fn schedule(&mut self, time: Instant) {
        if !self.is_requested {
            self.due = Some(self.due.map_or(time, |due| due.min(time)));
        }
    }

    /// Returns whether the stored list of channels may be out of date: a new list must be requested, or the request for
    /// it is running.
    pub(super) fn is_pending(&self) -> bool {
        self.is_requested || self.is_running
    }
}

impl SyncLoop<'_> {
    /// Starts the requests that are due. Until a requested list of channels has arrived, starts no other request.
    pub(super) fn start_due_requests(&mut self) {
        // Request the list of channels first, because the backfill depends on it.
        let now = Instant::now();
        if !self.listing.is_running && self.listing.due.is_some_and(|due| due <= now) {
            self.listing.request();
        }
        if self.listing.is_requested && !self.listing.is_running && self.listing.due.is_none() {
            self.listing.is_running = true;
            self.listing.is_requested = false;
            let session = self.session.clone();
            self.tasks.spawn(async move { Finished::Listing(session.client.channels().await) });
        }
        if self.listing.is_pending() {
            return;
        }
        for id in self.backfill.due(now) {
            if self.backfill.reading() >= MAX_READERS {
                return;
            }
            match self.joined_channel(&id) {
                Some(channel) => self.start_channel_request(channel),
                // The bot is not in the channel.
                None => self.backfill.remove(&id),
            }
        }
    }

    fn start_channel_request(&mut self, channel: Channel) {
        if channel.kind == ChannelKind::Direct && self.state.channel(&channel.id).is_none() {
            // Nobody adds the bot to a direct channel, so all of its posts are for the bot.
            let since = channel.create_at.saturating_sub(1);
            let state = ChannelState { is_looked_up: true, since, ..ChannelState::default() };
            self.state.set_channel(&channel.id, state);
        }
        let state = self.state.channel(&channel.id).cloned();
        match (self.membership(&channel), state) {
            // Read a direct channel in any case, because a person whose messages are not handled gets a refusal.
            (_, Some(state)) if channel.kind == ChannelKind::Direct => self.start_backfill(channel, state),
            (RoomMembership::Undecided, _) | (RoomMembership::Served, None) => {
                self.backfill.begin(&channel.id);
                let session = self.session.clone();
                self.tasks.spawn(async move {
                    let join = backfill::find_join(&session.client, session.me(), &channel.id).await;
                    Finished::Join(channel, join)
                });
            }
            (RoomMembership::Ignored, _) => self.ignore(&channel),
            (RoomMembership::Served, Some(state)) => self.start_backfill(channel, state),
        }
    }

    /// Handles the result of a background request.
    ///
    /// # Errors
    /// [`MattermostError::TokenRejected`]. Other errors are retried.
    pub(super) async fn handle_finished(&mut self, finished: Finished) -> Result<(), MattermostError> {
        match finished {
            Finished::Listing(Ok((channels, is_complete))) => self.handle_listing(channels, is_complete),
            Finished::Join(channel, Ok(join)) => self.handle_join(&channel, join),
            Finished::Backfill(channel, Ok(read)) => self.handle_backfill(channel, read).await,
            Finished::Listing(Err(end @ MattermostError::TokenRejected { .. }))
            | Finished::Join(_, Err(end @ MattermostError::TokenRejected { .. }))
            | Finished::Backfill(_, Err(end @ MattermostError::TokenRejected { .. })) => return Err(end),
            Finished::Listing(Err(error)) => {
                let listing = &mut self.listing;
                (listing.is_running, listing.is_requested) = (false, true);
                listing.due = Some(Instant::now() + listing.backoff.next_delay_or(error.retry_after()));
                if !std::mem::replace(&mut listing.failure_reported, true) {
                    tracing::warn!(%error, "cannot list the bot's channels; retrying");
                }
            }
            Finished::Join(channel, Err(error)) | Finished::Backfill(channel, Err(error)) => {
                self.schedule_retry(&channel, &error);
            }
        }
        Ok(())
    }

    /// Records the channels that the bot is in, and queues the new ones for a backfill. If the list is complete,
    /// removes the stored state of all other channels. `is_complete` is false if the server did not list all channels.
    pub(super) fn handle_listing(&mut self, channels: Vec<Channel>, is_complete: bool) {
        let listing = &mut self.listing;
        (listing.is_running, listing.failure_reported) = (false, false);
        listing.backoff.reset();
        let channels = JoinedChannels::new(channels);
        // An incomplete list may lack a channel that the bot is in.
        if is_complete {
            self.state.prune(|id| channels.get(id).is_some());
        }
        if self.state.is_new() {
            for channel in channels.all() {
                // The account was in the channel before the bot first ran. Do not handle the posts from that time.
                let is_looked_up = channel.kind != ChannelKind::Team;
                let since = newest_post_time(channel);
                self.state.set_channel(&channel.id, ChannelState { is_looked_up, since, ..ChannelState::default() });
            }
            self.state.finish_initialization();
        }
        let is_known = |id: &str| self.session.with_channels(|known| known.get(id).is_some()).unwrap_or_default();
        let new: Vec<String> = channels.all().filter(|one| !is_known(&one.id)).map(|one| one.id.clone()).collect();
        for id in new {
            self.backfill.add(id);
        }
        if self.reported.report_missing(self.config, &channels, &self.session.converter.user_name) {
            self.listing.schedule(Instant::now() + MISSING_CHANNEL_INTERVAL);
        }
        self.session.change_channels(|known| *known = channels);
    }

    /// Records the person who added the bot to a channel, and makes the channel's backfill due at once. `join` is
    /// `None` if the bot's join was not found.
    fn handle_join(&mut self, channel: &Channel, join: Option<ChannelJoin>) {
        let state = self.state.channel(&channel.id).cloned();
        // A post in the same millisecond as the join is handled.
        let before_join = join.as_ref().map(|join| join.at.saturating_sub(1));
        let since = match &state {
            Some(state) => state.since.max(before_join.unwrap_or(state.since)),
            None => before_join.unwrap_or_else(|| newest_post_time(channel)),
        };
        let added_by = join.and_then(|join| join.added_by);
        let was_ignored = state.is_some_and(|state| state.was_ignored);
        self.state.set_channel(&channel.id, ChannelState { added_by, is_looked_up: true, since, was_ignored });
        self.backfill.restart(&channel.id);
    }

    /// Schedules the retry of a failed request about a channel, and logs the channel's first failure. If the server
    /// requested a delay, postpones the requests for all queued channels. If the server rejected the request, schedules
    /// a request for the current list of channels, because the bot may have left the channel.
    fn schedule_retry(&mut self, channel: &Channel, error: &MattermostError) {
        let now = Instant::now();
        if self.backfill.record_failure(&channel.id, now, error.retry_after()) {
            tracing::warn!(
                room = channel.id,
                name = channel.name,
                %error,
                "cannot backfill the channel; retrying"
            );
        }
        if matches!(error, MattermostError::Rejected { .. }) {
            self.listing.schedule(now + REJECTED_CHANNEL_DELAY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requested_list_is_not_delayed_by_a_scheduled_one() {
        let mut listing = ChannelListing::default();
        let later = Instant::now() + Duration::from_secs(60);
        listing.schedule(later);
        listing.schedule(later + Duration::from_secs(1));
        assert_eq!(listing.due, Some(later));
        // The same applies while an earlier request is running.
        listing.request();
        listing.schedule(later);
        assert!(listing.is_requested && listing.due.is_none());
    }
}
