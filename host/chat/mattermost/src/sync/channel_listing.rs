//! The schedule of the requests for the list of the bot's channels.
//!
//! Invariant: events cause at most one request per [`MIN_LISTING_INTERVAL`], and the channels are read and served
//! between two requests. After a new connection, the list is requested at once, and nothing else is done before it has
//! arrived.
//! Not here: the requests themselves (`requests`).

use std::time::{Duration, Instant};

use wardroom::base::Backoff;

/// Minimum time between the end of a request for the list of the bot's channels and the next request. Anybody who may
/// edit a channel causes an event after which the list is requested.
const MIN_LISTING_INTERVAL: Duration = Duration::from_secs(2);

/// The schedule of the requests for the list of the bot's channels.
#[derive(Debug, Default)]
pub(super) struct ChannelListing {
    /// Whether an event has shown that the stored list may be out of date, and the request has not started yet.
    pub(super) is_requested: bool,
    /// Whether the stored list may lack any number of changes, because the connection is new.
    is_required: bool,
    /// Whether another connection was opened while the request was running.
    is_required_again: bool,
    is_running: bool,
    /// The time at which the next request for the list starts; `None` if no request is scheduled.
    due: Option<Instant>,
    /// The earliest time of a request that does not follow a new connection.
    earliest: Option<Instant>,
    backoff: Backoff,
    failure_reported: bool,
}

impl ChannelListing {
    /// Requests a new list as soon as [`MIN_LISTING_INTERVAL`] since the last one has passed.
    pub(super) fn request(&mut self, now: Instant) {
        self.is_requested = true;
        self.schedule(self.earliest.map_or(now, |earliest| earliest.max(now)));
    }

    /// Requests a new list at once. Until it has arrived, the channels are neither read nor served.
    pub(super) fn require(&mut self, now: Instant) {
        (self.is_requested, self.is_required, self.due) = (true, true, Some(now));
        self.is_required_again = self.is_running;
    }

    /// Schedules a request for the list at `time`. If an earlier request is already scheduled, changes nothing.
    pub(super) fn schedule(&mut self, time: Instant) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }

    /// Returns whether the channels must not be read or served now: a new list is required, or a request for it is
    /// running.
    pub(super) fn is_pending(&self) -> bool {
        self.is_required || self.is_running
    }

    /// Returns the time after `now` at which a request starts.
    pub(super) fn next_start(&self, now: Instant) -> Option<Instant> {
        self.due.filter(|due| !self.is_running && *due > now)
    }

    /// If a request is due, records that it is running and returns `true`.
    pub(super) fn start(&mut self, now: Instant) -> bool {
        let starts = !self.is_running && self.due.is_some_and(|due| due <= now);
        if starts {
            (self.is_running, self.is_requested, self.due) = (true, false, None);
            self.is_required_again = false;
        }
        starts
    }

    /// Records that the list has arrived.
    pub(super) fn finish(&mut self, now: Instant) {
        let earliest = now + MIN_LISTING_INTERVAL;
        self.is_required = std::mem::take(&mut self.is_required_again);
        self.due = self.due.map(|due| if self.is_required { due } else { due.max(earliest) });
        (self.is_running, self.failure_reported, self.earliest) = (false, false, Some(earliest));
        self.backoff.reset();
    }

    /// Records that the request failed, and schedules the retry. `requested` is the delay that the server requested.
    /// Returns `true` for the first failure since the last list.
    pub(super) fn fail(&mut self, now: Instant, requested: Option<Duration>) -> bool {
        let retry = now + self.backoff.next_delay_or(requested);
        (self.is_running, self.is_requested) = (false, true);
        (self.due, self.earliest) = (Some(retry), Some(retry));
        !std::mem::replace(&mut self.failure_reported, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requested_list_is_not_delayed_by_a_scheduled_one() {
        let mut listing = ChannelListing::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        listing.schedule(later);
        listing.schedule(later + Duration::from_secs(1));
        assert_eq!(listing.next_start(now), Some(later));
        listing.request(now);
        listing.schedule(later);
        assert!(listing.start(now) && listing.is_pending());
    }

    #[test]
    fn events_during_the_request_after_a_new_connection_do_not_require_another_list() {
        let (mut listing, now) = (ChannelListing::default(), Instant::now());
        listing.require(now);
        assert!(listing.start(now));
        listing.request(now);
        listing.finish(now);
        assert!(!listing.is_pending() && !listing.start(now), "the channels are served before the next list");
        assert!(listing.start(now + MIN_LISTING_INTERVAL));
        // A new connection during the request needs another list at once.
        listing.require(now);
        listing.finish(now + MIN_LISTING_INTERVAL);
        assert!(listing.is_pending() && listing.start(now + MIN_LISTING_INTERVAL));
    }

    #[test]
    fn a_flood_of_events_causes_one_list_per_interval_and_channels_are_served_between_them() {
        let (mut listing, began) = (ChannelListing::default(), Instant::now());
        let (mut lists, mut served) = (0, 0);
        // Ten events a second. The answer takes half a second.
        for tenth in 0..600 {
            let now = began + Duration::from_millis(tenth * 100);
            listing.request(now);
            if listing.is_running && tenth % 5 == 0 {
                listing.finish(now);
            }
            lists += u32::from(listing.start(now));
            served += u32::from(!listing.is_pending());
        }
        assert!((20..=30).contains(&lists), "{lists}");
        assert!(served > 400, "{served}");
    }

    #[test]
    fn a_list_after_a_new_connection_is_requested_at_once_and_blocks_the_channels() {
        let (mut listing, now) = (ChannelListing::default(), Instant::now());
        listing.request(now);
        assert!(listing.start(now));
        // The connection is opened while an earlier request is running.
        listing.require(now);
        listing.finish(now);
        assert!(listing.is_pending() && listing.start(now));
        listing.finish(now);
        assert!(!listing.is_pending());
        listing.require(now);
        assert!(listing.start(now));
        // A failed request is retried after the backoff, also if events follow.
        assert!(listing.fail(now, Some(Duration::from_secs(9))));
        listing.request(now);
        assert!(listing.is_pending() && !listing.start(now + Duration::from_secs(8)));
        assert!(listing.start(now + Duration::from_secs(9)));
    }
}
