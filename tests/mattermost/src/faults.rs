//! The faults that a test can switch on.

use std::{collections::BTreeSet, time::Duration};

/// The faults of a server. All are off by default.
#[derive(Debug, Default)]
pub struct Faults {
    /// A proxy answers every request with 502 and HTML.
    pub down: bool,
    /// The number of requests that are answered with 429 and plain text.
    pub limited: u32,
    /// The `Retry-After` of a 429 response, in seconds.
    pub retry_after: u32,
    /// A proxy answers every request with 401 and HTML.
    pub guarded: bool,
    /// The members of a channel cannot be listed.
    pub members_away: bool,
    /// Users cannot be looked up.
    pub users_away: bool,
    /// The delay of a lookup of users.
    pub slow_users: Duration,
    /// The number of new posts that are stored without a response, because the connection is cut.
    pub lost_answers: u32,
    /// The delay before a new post is stored. A repeated request meanwhile gets the error that the first is pending.
    pub slow_posts: Duration,
    /// The number of requests for new posts that are answered with 500.
    pub broken_posts: u32,
    /// Each event is sent twice.
    pub twice: bool,
    /// Two consecutive events are swapped.
    pub swapped: bool,
    /// Events have unknown kinds and fields.
    pub strange: bool,
    /// The token of a WebSocket's first request is dropped.
    pub no_header: bool,
    /// A WebSocket is accepted, but nothing is sent on it.
    pub deaf: bool,
    /// Channels that may not be read.
    pub forbidden: BTreeSet<String>,
    /// Maximum length of a message; 0 means the server's default of 16,383.
    pub longest: usize,
    /// The configuration does not contain the maximum length.
    pub hides_longest: bool,
    /// The status with which uploads are refused; 0 if they are accepted.
    pub refuses_files: u16,
    /// New posts with files are refused, but uploads are accepted.
    pub refuses_posts_with_files: bool,
    /// A plugin of the server rejects each new post that contains this text; empty for none.
    pub rejected: String,
    /// The time limit for edits has passed for every post.
    pub refuses_edits: bool,
    /// Roles are not reported.
    pub hides_roles: bool,
    /// The path of the requests after `/api/v4` whose responses are followed by [`Faults::padding`] spaces; empty for
    /// none. A longer path that begins with this one counts, too.
    pub padded: String,
    /// The number of spaces after a response.
    pub padding: usize,
    /// A created object is answered with 200 instead of 201.
    pub plain_success: bool,
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) typed: Vec<String>,
}

impl Faults {
    /// Returns the maximum length of a message.
    pub(crate) fn longest(&self) -> usize {
        if self.longest == 0 { 16_383 } else { self.longest }
    }

    /// Decrements a number of faults. Returns false if it was 0.
    pub(crate) fn use_up(left: &mut u32) -> bool {
        let any = *left > 0;
        *left = left.saturating_sub(1);
        any
    }
}
