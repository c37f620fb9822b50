//! The faults that a test can switch on.

use std::time::Duration;

/// The faults of a server. All are off by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The number of creations that are carried out, but whose connection is cut before the answer.
    pub lost_answers: u32,
    /// The number of creations that are carried out, but never answered.
    pub silent_answers: u32,
    /// The number of creations whose connection is cut before they are carried out.
    pub lost_creates: u32,
    /// The number of creations whose connection is cut at once, and which are carried out after [`Faults::late_by`].
    pub late_creates: u32,
    /// The delay of late creations.
    pub late_by: Duration,
    /// The number of creations that are carried out and then answered with 504 `Timeout`.
    pub timed_out_creates: u32,
    /// The number of creations that fail because the admission webhook of Tekton does not answer.
    pub webhook_timeouts: u32,
    /// The admission webhook refuses each creation with this text; empty if it does not.
    pub webhook_refusal: String,
    /// The number of votes before which another approver votes, too.
    pub rival_votes: u32,
    /// The number of `GET` requests that are answered with 500 `InternalError`.
    pub failing_reads: u32,
    /// The number of requests that are answered with 429 and `Retry-After: 1`.
    pub limited: u32,
    /// A proxy answers every request with this status and HTML; 0 if it does not.
    pub down: u16,
    /// The `Retry-After` of these answers, in seconds; 0 for none.
    pub retry_after: u32,
    /// The page of a login answers every request with 200.
    pub html: bool,
    /// Every request is redirected to the page of a login.
    pub login: bool,
    /// The delay of every answer.
    pub slow: Duration,
    /// Every list is followed by this many blanks.
    pub padding: usize,
    /// The difference of the server's clock, in seconds.
    pub clock_skew: i64,
    /// The node of the pods with this text in their names does not answer requests for output; empty for none.
    pub no_kubelet: String,
}

impl Faults {
    /// Decrements a number of faults. Returns false if it was 0.
    pub(crate) fn use_up(left: &mut u32) -> bool {
        let any = *left > 0;
        *left = left.saturating_sub(1);
        any
    }
}
