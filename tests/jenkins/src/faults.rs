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
    /// The number of triggers that are carried out and then answered with 500 and an error page.
    pub failing_triggers: u32,
    /// The number of triggers that are carried out and answered with 201 without a `Location`.
    pub nameless_triggers: u32,
    /// The number of `GET` requests that are answered with 500 and an error page.
    pub failing_reads: u32,
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
    /// A response of the log has at most this many bytes, also within a character; 0 for no limit.
    pub log_bytes: usize,
    /// `POST` requests with an API token require a crumb, too, as behind a proxy that signs in by itself.
    pub always_crumb: bool,
    /// Jenkins issues no crumbs and requires none.
    pub no_crumbs: bool,
    /// The list of executors is forbidden.
    pub hides_executors: bool,
    /// Every JSON answer is followed by this many blanks.
    pub padding: usize,
    /// The difference of the server's clock, in seconds.
    pub clock_skew: i64,
    /// URLs in answers begin with this text instead of the server's own URL; empty for its own.
    pub root_url: String,
}

impl Faults {
    /// Decrements a number of faults. Returns false if it was 0.
    pub(crate) fn use_up(left: &mut u32) -> bool {
        let any = *left > 0;
        *left = left.saturating_sub(1);
        any
    }
}
