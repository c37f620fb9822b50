//! Parses durations that people type, such as `90s` or `1d12h`, and formats durations for files and messages.

use std::time::Duration;

use jiff::{
    SignedDuration, SpanRelativeTo, SpanRound, Timestamp, Unit,
    fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter},
};

static PARSER: SpanParser = SpanParser::new();
static PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::Compact).spacing(Spacing::None);

/// Parses a duration such as `90s`, `2h`, `1d12h`, `1w` or `500ms`: whole numbers with units, each unit at most once,
/// the largest unit first. A day has 24 hours. Returns `None` for any other text. Months, years and fractions of a
/// millisecond are not accepted.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    // Reject signs, decimal fractions, inner spaces and clock times such as `1:30:00`.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()) {
        return None;
    }
    let span = PARSER.parse_span(text).ok()?;
    let duration = Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()?;
    duration.subsec_nanos().is_multiple_of(1_000_000).then_some(duration)
}

/// Formats a duration in the form that [`parse_duration`] reads, for example `1d12h`. Drops fractions of a millisecond.
pub(crate) fn written_duration(duration: Duration) -> String {
    let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let duration = SignedDuration::from_millis(milliseconds);
    let round = SpanRound::new().largest(Unit::Day).days_are_24_hours();
    // The longest durations do not fit into a span with days, and are printed without days.
    let span = jiff::Span::try_from(duration).and_then(|span| span.round(round));
    span.map_or_else(|_| PRINTER.duration_to_string(&duration), |span| PRINTER.span_to_string(&span))
}

/// Formats a duration for messages, in at most two units: `500 ms`, `2 s`, `6 min 1 s`, `10 min`, `3 h 20 min`.
pub fn spoken_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (large, small) = match seconds {
        0 => return format!("{} ms", duration.as_millis()),
        1..60 => return format!("{seconds} s"),
        60..3600 => (format!("{} min", seconds / 60), (seconds % 60, "s")),
        _ => (format!("{} h", seconds / 3600), (seconds % 3600 / 60, "min")),
    };
    match small {
        (0, _) => large,
        (count, unit) => format!("{large} {count} {unit}"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_by_this_table() {
        const HOUR: u64 = 3600;
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("007s", 7),
            ("10m", 600),
            ("2h", 2 * HOUR),
            ("7d", 7 * 24 * HOUR),
            ("1w", 7 * 24 * HOUR),
            ("1d12h", 36 * HOUR),
            ("1w2d3h4m5s", (9 * 24 + 3) * HOUR + 245),
            ("36h", 36 * HOUR),
            ("90m", 90 * 60),
            (" 90s ", 90),
            ("2000ms", 2),
            ("2hours", 2 * HOUR),
            ("1000000w", 1_000_000 * 7 * 24 * HOUR),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("1s500ms"), Some(Duration::from_millis(1500)));
        for text in [
            "",
            " ",
            "s",
            "90",
            "0",
            "1h30",
            "-1h",
            "+1h",
            "1h ago",
            "1hago",
            "1.5h",
            "1,5h",
            "2 h",
            "1h, 2m",
            "1h 2m",
            "1H",
            "1h2",
            "1:30:00",
            "PT1H",
            "1x",
            "1y",
            "1mo",
            "1month",
            "5us",
            "5ns",
            "1500us",
            "30m1h",
            "1h1h",
            "99999999w",
            "99999999999999999999s",
            "١h",
            "1h\u{0}",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_written_duration_is_read_as_the_same() {
        for text in ["0s", "500ms", "90s", "5m", "24h", "2h", "1d12h", "1w", "1s500ms", "1000000w"] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&written_duration(duration)), Some(duration), "{text}");
        }
        let written = |seconds| written_duration(Duration::from_secs(seconds));
        assert_eq!([0, 5, 300, 5400, 129_600, 604_800].map(written), ["0s", "5s", "5m", "1h30m", "1d12h", "7d"]);
        assert_eq!(written_duration(Duration::from_micros(1_500_999)), "1s500ms");
        assert!(!written_duration(Duration::MAX).is_empty());
    }

    #[test]
    fn a_spoken_duration_has_two_units() {
        let spoken = |seconds| spoken_duration(Duration::from_secs(seconds));
        assert_eq!(spoken_duration(Duration::from_millis(500)), "500 ms");
        assert_eq!([2, 361, 600, 90, 7200].map(spoken), ["2 s", "6 min 1 s", "10 min", "1 min 30 s", "2 h"]);
        assert_eq!([12_000, 100_000].map(spoken), ["3 h 20 min", "27 h 46 min"]);
    }
}
