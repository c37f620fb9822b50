//! What goes wrong, switched on by a test and left to the clients to bear.

use std::{collections::BTreeSet, time::Duration};

/// The faults of a server. None is on at first.
#[derive(Debug, Default)]
pub struct Faults {
    /// A proxy answers in the server's place: 502, in HTML.
    pub down: bool,
    /// So many requests are answered with 429, in plain text.
    pub limited: u32,
    /// How long such an answer asks to wait, in seconds.
    pub retry_after: u32,
    /// A proxy in front of the server wants a login of its own: 401, in HTML.
    pub guarded: bool,
    /// It cannot be asked who is in a channel.
    pub members_away: bool,
    /// It cannot be asked who people are.
    pub users_away: bool,
    /// It takes so long to say who people are.
    pub slow_users: Duration,
    /// The answers to so many new posts are lost: the post is stored, and the connection cut.
    pub lost_answers: u32,
    /// A new post takes so long until it is stored; a second try meanwhile is told that the first is under way.
    pub slow_posts: Duration,
    /// So many requests for new posts are answered with 500.
    pub broken_posts: u32,
    /// Each event comes twice.
    pub twice: bool,
    /// Of two events that follow each other the second comes first.
    pub swapped: bool,
    /// Events of kinds and with fields that nobody has heard of.
    pub strange: bool,
    /// The token in the first request of a WebSocket does not arrive.
    pub no_header: bool,
    /// A connection is taken, and nothing comes of it.
    pub deaf: bool,
    /// Channels that may not be read.
    pub forbidden: BTreeSet<String>,
    /// The longest message; 16,383 where it is 0.
    pub longest: usize,
    /// Whether the configuration hides how long that is.
    pub hides_longest: bool,
    /// No file is taken.
    pub no_files: bool,
    /// What is created is answered with 200 and not with 201.
    pub plain_success: bool,
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) typed: Vec<String>,
}

impl Faults {
    /// The longest message that is taken.
    pub(crate) fn longest(&self) -> usize {
        if self.longest == 0 { 16_383 } else { self.longest }
    }

    /// Uses up one of a number of faults; gives whether there was one left.
    pub(crate) fn use_up(left: &mut u32) -> bool {
        let any = *left > 0;
        *left = left.saturating_sub(1);
        any
    }
}
