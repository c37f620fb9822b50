//! The faults that a test can switch on.

use std::time::Duration;

/// The faults of a server. All are off by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The number of triggers that are carried out, but whose connection is cut before the answer.
    pub lost_answers: u32,
    /// The number of triggers that are carried out, but never answered.
    pub silent_answers: u32,
    /// The number of triggers whose connection is cut before they are carried out.
    pub lost_triggers: u32,
    /// The number of triggers that are carried out and then answered with 500.
    pub failing_triggers: u32,
    /// The number of triggers that Orca carries out too slowly for Gate, which answers 400 with the text `timeout`.
    pub orca_timeouts: u32,
    /// The number of triggers that Orca does not get, which Gate also answers with 400 and the text `timeout`.
    pub orca_outages: u32,
    /// The number of triggers that are carried out and answered with 202 without a reference.
    pub nameless_triggers: u32,
    /// The number of triggers that a proxy delivers twice.
    pub doubled_triggers: u32,
    /// The number of `GET` requests that are answered with 500.
    pub failing_reads: u32,
    /// The number of requests for an execution that are answered with 200 and no body, because Orca is down.
    pub empty_answers: u32,
    /// The number of requests for executions that do not see the newest one, because a replica is behind.
    pub invisible_reads: u32,
    /// A proxy answers every request with this status and HTML; 0 if it does not.
    pub down: u16,
    /// The `Retry-After` of these answers, in seconds; 0 for none.
    pub retry_after: u32,
    /// The page of a login answers every request with 200.
    pub html: bool,
    /// Every request is redirected to the page of a login.
    pub login: bool,
    /// A request with a wrong secret is redirected to the page of a login instead of being answered with 401.
    pub redirects_wrong_secrets: bool,
    /// The delay of every answer.
    pub slow: Duration,
    /// Gate is too old to list executions by their ids.
    pub old_gate: bool,
    /// Every JSON answer is followed by this many blanks.
    pub padding: usize,
    /// The details of an execution are followed by this many blanks.
    pub large_details: usize,
    /// The difference of the server's clock, in seconds.
    pub clock_skew: i64,
    /// The time after which Orca looks at the answer to a judgement.
    pub judgement_delay: Duration,
}

impl Faults {
    /// Decrements a number of faults. Returns false if it was 0.
    pub(crate) fn use_up(left: &mut u32) -> bool {
        let any = *left > 0;
        *left = left.saturating_sub(1);
        any
    }
}
