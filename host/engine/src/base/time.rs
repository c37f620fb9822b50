//! Times and durations as text for people.

use jiff::Timestamp;

/// A time in UTC: `2026-11-21 14:05 UTC`. Seconds are shown only if they are not zero.
pub(crate) fn moment(at: Timestamp) -> String {
    let shape = if at.as_second() % 60 == 0 { "%Y-%m-%d %H:%M UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
    at.strftime(shape).to_string()
}

/// A duration: `2 s`, `6 min 1 s`, `3 h 20 min`.
pub(crate) fn took(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.as_second().saturating_sub(from.as_second()).max(0);
    let milliseconds = to.as_millisecond().saturating_sub(from.as_millisecond()).max(0);
    match seconds {
        _ if milliseconds < 1000 => "less than a second".to_owned(),
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
