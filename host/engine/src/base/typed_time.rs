//! Parses the end time and the reason that a person typed: `until 14:00`, `until 2026-12-01T08:00` or `for 2h`, each
//! with an optional `reason TEXT`.
//!
//! Invariant: the result depends only on the arguments. At a change of the local clock, a time means the same as in a
//! cron expression with fixed hours: a time that the clock shows twice is the first of the two, if it is not past, and a
//! time that the clock skips is the instant of the change. A time in the past is rejected.

use jiff::{
    SignedDuration, Timestamp, civil,
    tz::{AmbiguousOffset, TimeZone},
};

use super::duration::parse_duration;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EndAndReason {
    /// The end time; `None` if the person typed neither `until` nor `for`.
    pub until: Option<Timestamp>,
    /// The text after the word `reason`; empty if the person typed no reason.
    pub reason: String,
}

/// The text that a person typed is not a valid end time. The message is one line for this person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidEnd(String);

/// Parses `[until TIME | for DURATION] [reason TEXT]`. Times without a zone are in the time zone `zone`. A time of day
/// such as `14:00` is its next occurrence after `now`.
///
/// # Errors
/// [`InvalidEnd`] if the text has another form, or if the end time is not after `now`.
pub(crate) fn parse_end(text: &str, now: Timestamp, zone: &TimeZone) -> Result<EndAndReason, InvalidEnd> {
    let (first, rest) = split(text);
    let (until, rest) = match first.to_lowercase().as_str() {
        "until" => {
            let (time, rest) = parse_time(rest, now, zone)?;
            (Some(time), rest)
        }
        "for" => {
            let (span, rest) = split(rest);
            let Some(span) = parse_duration(span).and_then(|span| SignedDuration::try_from(span).ok()) else {
                let span = crate::base::text::clean(span);
                return Err(InvalidEnd(format!("`{span}` is not a duration. Write for example 90s, 2h or 1d12h.")));
            };
            let invalid =
                || InvalidEnd("The duration is zero or too long. Write for example 90s, 2h or 1d12h.".to_owned());
            let until = now.checked_add(span).ok().filter(|until| *until > now).ok_or_else(invalid)?;
            (Some(until), rest)
        }
        _ => (None, text),
    };
    let (word, reason) = split(rest);
    match word.to_lowercase().as_str() {
        "" | "reason" => Ok(EndAndReason { until, reason: reason.trim().to_owned() }),
        _ => Err(InvalidEnd(format!(
            "The word `{}` was not expected. Write `until TIME`, `for DURATION` or `reason TEXT`.",
            crate::base::text::clean(word)
        ))),
    }
}

/// Returns the first word of a text, and the rest of the text.
fn split(text: &str) -> (&str, &str) {
    text.trim_start().split_once(' ').unwrap_or((text.trim_start(), ""))
}

/// Parses the time at the start of a text. Returns the time and the text after the time.
fn parse_time<'t>(text: &'t str, now: Timestamp, zone: &TimeZone) -> Result<(Timestamp, &'t str), InvalidEnd> {
    let (first, rest) = split(text);
    if first.is_empty() {
        return Err(InvalidEnd("`until` needs a time, for example 14:00 or 2026-12-01T08:00.".to_owned()));
    }
    let unknown = || {
        let word = crate::base::text::clean(first);
        InvalidEnd(format!("`{word}` is not a time. Write for example 14:00 or 2026-12-01T08:00."))
    };
    let instant = |at: civil::DateTime| instant(at, now, zone).ok_or_else(unknown);
    if let Some(time) = clock(first) {
        let today = zone.to_datetime(now).date();
        for date in std::iter::successors(Some(today), |date| date.tomorrow().ok()) {
            let at = instant(date.to_datetime(time))?;
            if at > now {
                return Ok((at, rest));
            }
        }
        return Err(unknown());
    }
    let (at, rest) = match first.parse::<civil::Date>() {
        Ok(date) if first.len() == DATE => {
            let (second, behind) = split(rest);
            match clock(second) {
                Some(time) => (instant(date.to_datetime(time))?, behind),
                None => (instant(date.to_datetime(civil::Time::midnight()))?, rest),
            }
        }
        _ => match (first.parse::<Timestamp>(), first.parse::<civil::DateTime>()) {
            (Ok(at), _) => (at, rest),
            (Err(_), Ok(at)) => (instant(at)?, rest),
            (Err(_), Err(_)) => return Err(unknown()),
        },
    };
    match at > now {
        true => Ok((at, rest)),
        false => Err(InvalidEnd(format!("{} is in the past.", crate::base::time_zone::zoned_text(at, zone)))),
    }
}

/// Returns the instant at which the local clock shows a time. If it shows the time twice, the first of the two that is
/// after `now`. If it skips the time, the instant of the clock change.
fn instant(at: civil::DateTime, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let instants = zone.to_ambiguous_timestamp(at);
    let (earlier, later) = (instants.earlier().ok()?, instants.later().ok()?);
    match instants.offset() {
        AmbiguousOffset::Gap { .. } => zone.following(earlier).next().map(|change| change.timestamp()),
        _ if earlier > now => Some(earlier),
        _ => Some(later),
    }
}

/// The length in bytes of a date such as `2026-12-01`.
const DATE: usize = 10;

/// Parses a time of day such as `14:00` or `9:30`. Returns `None` for any other format.
fn clock(word: &str) -> Option<civil::Time> {
    let (hour, minute) = word.split_once(':')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=2).contains(&hour.len()) || minute.len() != 2 || !digits(hour) || !digits(minute) {
        return None;
    }
    civil::Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time_zone::zone;

    fn until(words: &str, now: &str, name: &str) -> Result<String, String> {
        let parse_end =
            parse_end(words, now.parse().unwrap(), &zone(name).unwrap()).map_err(|error| error.to_string())?;
        Ok(parse_end.until.map(|until| until.to_string()).unwrap_or_default())
    }

    #[test]
    fn a_time_of_day_is_its_next_occurrence() {
        let berlin = |words, now| until(words, now, "Europe/Berlin").unwrap();
        assert_eq!(berlin("until 14:00", "2026-11-21T12:59:59Z"), "2026-11-21T13:00:00Z");
        assert_eq!(berlin("until 14:00", "2026-11-21T13:00:00Z"), "2026-11-22T13:00:00Z", "it is exactly 14:00");
        assert_eq!(berlin("until 0:30", "2026-11-21T23:10:00Z"), "2026-11-21T23:30:00Z", "after local midnight");
        assert_eq!(
            berlin("until 8:00", "2026-03-28T20:00:00Z"),
            "2026-03-29T06:00:00Z",
            "across the start of summer time"
        );
        assert_eq!(
            berlin("until 02:30", "2026-03-28T20:00:00Z"),
            "2026-03-29T01:00:00Z",
            "a skipped time is the instant of the change"
        );
        assert_eq!(
            berlin("until 02:30", "2026-10-24T20:00:00Z"),
            "2026-10-25T00:30:00Z",
            "a repeated time is the first of the two"
        );
        assert_eq!(berlin("until 02:30", "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00Z", "that is not past");
        assert_eq!(until("until 14:00", "2026-11-21T12:59:59Z", "UTC").unwrap(), "2026-11-21T14:00:00Z");
    }

    #[test]
    fn dates_and_durations_are_parsed() {
        let berlin = |words| until(words, "2026-11-21T12:00:00Z", "Europe/Berlin").unwrap();
        assert_eq!(berlin("until 2026-12-01T08:00"), "2026-12-01T07:00:00Z");
        assert_eq!(berlin("until 2026-12-01 08:00 reason x"), "2026-12-01T07:00:00Z");
        assert_eq!(berlin("UNTIL 2026-12-01"), "2026-11-30T23:00:00Z");
        assert_eq!(berlin("until 2026-12-01T08:00Z"), "2026-12-01T08:00:00Z");
        assert_eq!(berlin("for 1d12h"), "2026-11-23T00:00:00Z");
        assert_eq!(berlin(""), "");
        assert_eq!(berlin("reason until 14:00"), "", "everything after `reason` is the reason");
    }

    #[test]
    fn the_rest_of_the_line_is_the_reason() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let parse_end = |words| parse_end(words, now, &TimeZone::UTC).unwrap();
        assert_eq!(parse_end("until 14:00 reason the database  moves").reason, "the database  moves");
        assert_eq!(parse_end("reason for 2h").reason, "for 2h");
        assert_eq!(parse_end("for 2h reason").reason, "");
    }

    #[test]
    fn invalid_text_is_rejected_with_a_message() {
        let why = |words: &str| until(words, "2026-11-21T12:00:00Z", "UTC").unwrap_err();
        assert_eq!(
            why("the database moves"),
            "The word `the` was not expected. Write `until TIME`, `for DURATION` or `reason TEXT`."
        );
        assert_eq!(
            why("until 14:00 because"),
            "The word `because` was not expected. Write `until TIME`, `for DURATION` or `reason TEXT`."
        );
        for word in ["25:00", "14:60", "2pm", "14:0", "2026-13-01", "tomorrow", "1:2:3", "-1:00", "+1:00"] {
            let said = why(&format!("until {word}"));
            assert_eq!(said, format!("`{word}` is not a time. Write for example 14:00 or 2026-12-01T08:00."));
        }
        assert!(why("until").contains("needs a time"));
        assert_eq!(why("until 2026-11-21T11:59"), "2026-11-21 11:59 UTC is in the past.");
        assert!(why("for 2 h").contains("is not a duration") && why("for").contains("is not a duration"));
        assert!(why("for 0s").contains("zero or too long") && why("for 1000000w").contains("zero or too long"));
    }
}
