//! Formats times in UTC, and elapsed times, for people.

use std::time::Duration;

use jiff::Timestamp;

use super::duration::spoken_duration;

/// Formats a time in UTC: `2026-11-21 14:05 UTC`. Omits seconds that are zero.
pub(crate) fn utc_text(at: Timestamp) -> String {
    let shape = if at.as_second() % 60 == 0 { "%Y-%m-%d %H:%M UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
    at.strftime(shape).to_string()
}

/// Formats the time from `from` to `to` in whole seconds: `less than a second`, `2 s`, `6 min 1 s`, `3 h 20 min`.
pub(crate) fn elapsed_text(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.as_second().saturating_sub(from.as_second()).max(0);
    let milliseconds = to.as_millisecond().saturating_sub(from.as_millisecond()).max(0);
    if milliseconds < 1000 {
        return "less than a second".to_owned();
    }
    spoken_duration(Duration::from_secs(seconds.unsigned_abs()))
}
