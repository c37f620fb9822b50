//! Requests that run in the background: the list of channels, the search for the post that reports that the bot joined
//! a channel, and the backfill of a channel.
//!
//! Invariant: only a few requests run at the same time, and the sync loop waits for none of them. A failed request is
//! retried.
//! Not here: the backfill of one channel (`channel_backfill`), and live events (`live`).

use std::time::Duration;

use wardroom_account::RoomMembership;

use super::{SyncLoop, channel_backfill::ReadBack, newest_post_time, now};
use crate::{
    backfill::{self, ChannelJoin},
    client::{Channel, ChannelKind},
    config::RoomName,
    error::MattermostError,
    joined_channels::JoinedChannels,
    session::{NOT_IN_CHANNEL, Session},
    state_file::ChannelState,
};

/// The reason for a channel in which the bot's roles permit no posts.
const NO_PERMISSION: &str = "no role of the bot has the permission `create_post` in the channel";
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

/// Returns the channels that the bot is in, and whether the list is complete. If the server's list is too large,
/// returns only the channels of `rooms`.
pub(super) async fn list_channels(
    session: &Session,
    rooms: &[RoomName],
) -> Result<(Vec<Channel>, bool), MattermostError> {
    let (mut channels, is_complete) = match session.client.channels().await {
        Err(error @ MattermostError::Unavailable { is_too_large: true, .. }) => {
            tracing::warn!(%error, "cannot list the bot's channels; serving only the channels of `rooms`; hint: remove the bot from group messages and channels that do not need it");
            (session.client.channels_named(rooms, session.me()).await?, false)
        }
        listed => listed?,
    };
    match session.client.look_up_permissions(&mut channels).await {
        Err(end @ MattermostError::TokenRejected { .. }) => return Err(end),
        // The rejection of a post shows a missing permission, too.
        Err(error) => tracing::debug!(%error, "cannot look up in which channels the bot may post"),
        Ok(()) => {}
    }
    Ok((channels, is_complete))
}

impl SyncLoop<'_> {
    /// Starts the requests that are due. While a list of channels is required or requested from the server, starts no
    /// other request. Between two lists, starts the backfills of the channels in the first one.
    pub(super) fn start_due_requests(&mut self) {
        // Request the list of channels first, because the backfill depends on it.
        let now = now();
        if self.listing.start(now) {
            let (session, rooms) = (self.session.clone(), self.config.rooms.clone());
            self.tasks.spawn(async move { Finished::Listing(list_channels(&session, &rooms).await) });
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
                // The next list may contain the channel.
                None if self.listing.is_requested => {}
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
                if self.listing.fail(now(), error.retry_after()) {
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
    /// removes the stored state of all other channels, but not their reactions. `is_complete` is false if the server
    /// did not list all channels.
    pub(super) fn handle_listing(&mut self, channels: Vec<Channel>, is_complete: bool) {
        self.listing.finish(now());
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
            self.listing.schedule(now() + MISSING_CHANNEL_INTERVAL);
        }
        self.session.change_channels(|known| *known = channels);
        self.update_permissions();
    }

    /// Records for each channel that the bot serves whether the bot may post in it, and for each configured channel
    /// whether the bot is in it.
    fn update_permissions(&self) {
        let channels = self.session.with_channels(|channels| channels.all().cloned().collect::<Vec<_>>());
        for channel in channels.unwrap_or_default() {
            let is_blocked = !channel.may_post && self.membership(&channel) == RoomMembership::Served;
            self.record_refusal(&channel.id, is_blocked.then_some(NO_PERMISSION));
        }
        for room in &self.config.rooms {
            let is_in = self.session.with_channels(|channels| channels.named(room).is_some()).unwrap_or_default();
            // A channel whose id is configured is in the list above.
            let is_listed = is_in && matches!(room, RoomName::Id(_));
            if !is_listed {
                self.record_refusal(&room.to_string(), (!is_in).then_some(NOT_IN_CHANNEL));
            }
        }
    }

    fn record_refusal(&self, room: &str, refusal: Option<&str>) {
        match refusal {
            Some(reason) => {
                if self.session.permissions.block(room, reason) {
                    tracing::warn!(
                        room,
                        reason,
                        "the bot may not post in a channel; its messages wait, and no action starts from the channel; hint: give the bot the permission `create_post` in the channel"
                    );
                }
            }
            None => {
                if self.session.permissions.allow(room) {
                    tracing::info!(room, "the bot may post in the channel again");
                }
            }
        }
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
        let now = now();
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
