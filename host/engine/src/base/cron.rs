//! Cron expressions with five fields (minute, hour, day of the month, month, day of the week), evaluated in a time
//! zone.
//!
//! Invariant: no matching minute of the local clock is lost at a change between winter and summer time. A minute that
//! the local clock shows twice matches twice. A minute that the local clock skips matches at the instant of the clock
//! change.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// A cron expression with its time zone, for example `0 17 * * FRI` in `Europe/Berlin`.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    text: String,
    zone: TimeZone,
    // Parsed with the zone UTC. `next` converts between UTC and `zone`.
    fields: cronexpr::Crontab,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid cron expression: {reason}")]
pub(crate) struct CronError {
    text: String,
    reason: String,
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

impl Cron {
    /// # Errors
    /// [`CronError`] if the expression is invalid or never matches, such as `0 0 30 2 *` (30 February).
    pub(crate) fn new(text: &str, zone: &TimeZone) -> Result<Self, CronError> {
        let text = text.trim();
        let invalid = |reason: &str| CronError { text: crate::base::text::clean(text), reason: reason.to_owned() };
        let fields = text.split_whitespace().count();
        if fields != 5 {
            return Err(invalid(&format!("it has {fields} fields instead of 5 (minute hour day month weekday)")));
        }
        let known = |letter: char| letter.is_ascii_alphanumeric() || "*,-/ ".contains(letter);
        let words = text.split(|letter: char| !letter.is_ascii_alphabetic());
        if !text.chars().all(known) || words.filter(|word| !word.is_empty()).any(|word| word.len() != 3) {
            return Err(invalid("use only numbers, `*`, `-`, `,`, `/` and the names JAN to DEC and MON to SUN"));
        }
        // The last line of the parser's error is the reason; the lines before the reason show the position.
        let reason = |error: cronexpr::Error| {
            error.to_string().lines().last().unwrap_or_default().trim_start_matches(['^', ' ']).to_owned()
        };
        let fields = cronexpr::parse_crontab(&format!("{text} UTC")).map_err(|error| invalid(&reason(error)))?;
        let cron = Self { text: text.to_owned(), zone: zone.clone(), fields };
        match cron.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err(invalid("it never matches, because no such date exists")),
        }
    }

    /// Returns the expression as written in the configuration, without the time zone.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the expression and its time zone as text, for example `0 17 * * FRI Europe/Berlin`.
    pub(crate) fn described(&self) -> String {
        format!("{} {}", self.text, self.zone.iana_name().unwrap_or("fixed"))
    }

    /// Returns the first time after `after` that matches the expression. Returns `None` if no time in the next four
    /// years matches.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let by = |at: Timestamp, seconds: i32| at.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok();
        let mut changes = self.zone.following(after);
        let mut offset = self.zone.to_offset(after).seconds();
        let mut from = by(after, offset)?;
        loop {
            // `shown` is the local time of the next match, if the offset does not change before that match.
            let shown = self.fields.find_next(from).ok()?.timestamp();
            let moment = by(shown, -offset)?;
            let Some(change) = changes.next().filter(|change| change.timestamp() <= moment) else {
                return Some(moment);
            };
            let (at, new) = (change.timestamp(), change.offset().seconds());
            // The clock change skips the minute `shown`.
            if shown < by(at, new)? {
                return Some(at);
            }
            offset = new;
            // The first minute after the clock change can match too, so search from one second before that minute.
            from = by(at, new - 1)?;
        }
    }

    /// Returns the last time at or before `upto` that matches the expression. Searches only the period `within` before
    /// `upto`, and returns `None` if no time in this period matches.
    pub(crate) fn last(&self, upto: Timestamp, within: Duration) -> Option<Timestamp> {
        let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
        let begin = upto.checked_sub(within).unwrap_or(Timestamp::MIN);
        let next = |after: Timestamp| self.next(after).filter(|moment| *moment <= upto);
        // Bisect between a known match and a time after which no match follows.
        let (mut last, mut none) = (next(begin)?, upto);
        while none.duration_since(last) > MINUTE {
            let half = last.saturating_add(none.duration_since(last) / 2).unwrap_or(none);
            match next(half) {
                Some(later) => last = later,
                None => none = half,
            }
        }
        Some(next(last).unwrap_or(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time_zone::zone;

    fn cron(text: &str, name: &str) -> Cron {
        Cron::new(text, &zone(name).unwrap()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_expression_is_evaluated_in_its_time_zone() {
        let friday = cron("0 17 * * FRI", "Europe/Berlin");
        assert_eq!(friday.next(at("2026-11-18T12:00:00Z")), Some(at("2026-11-20T16:00:00Z")));
        assert_eq!(
            friday.next(at("2026-11-20T16:00:00Z")),
            Some(at("2026-11-27T16:00:00Z")),
            "after the time, not at it"
        );
        assert_eq!(friday.next(at("2026-07-15T12:00:00Z")), Some(at("2026-07-17T15:00:00Z")), "in summer");
        let week = Duration::from_secs(7 * 86_400);
        assert_eq!(
            friday.last(at("2026-11-20T16:00:00Z"), week),
            Some(at("2026-11-20T16:00:00Z")),
            "the time itself is included"
        );
        assert_eq!(friday.last(at("2026-11-20T15:59:59Z"), week), Some(at("2026-11-13T16:00:00Z")));
        assert_eq!(
            friday.last(at("2026-11-20T16:00:00Z").saturating_add(MINUTE * 60).unwrap(), Duration::from_secs(3600)),
            None
        );
        assert_eq!(cron("0 9 * * 1-5", "UTC").next(at("2026-11-21T00:00:00Z")), Some(at("2026-11-23T09:00:00Z")));
    }

    #[test]
    fn a_skipped_minute_matches_at_the_clock_change() {
        // On 29 March 2026 at 02:00 the clock of Berlin shows 03:00.
        let forward = at("2026-03-29T01:00:00Z");
        let night = cron("30 2 * * *", "Europe/Berlin");
        assert_eq!(night.next(at("2026-03-28T02:00:00Z")), Some(forward));
        assert_eq!(night.next(forward), Some(at("2026-03-30T00:30:00Z")));
        assert_eq!(night.last(at("2026-03-29T10:00:00Z"), Duration::from_secs(86_400)), Some(forward));
        let both = cron("30 2,3 * * *", "Europe/Berlin");
        assert_eq!(both.next(forward), Some(at("2026-03-29T01:30:00Z")), "other minutes match normally");
        assert_eq!(cron("0 3 * * *", "Europe/Berlin").next(at("2026-03-28T12:00:00Z")), Some(forward), "once");
    }

    #[test]
    fn a_repeated_minute_matches_twice() {
        // On 25 October 2026 at 03:00 the clock of Berlin shows 02:00 again.
        let night = cron("30 2 * * *", "Europe/Berlin");
        let (first, second) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        assert_eq!(night.next(at("2026-10-24T12:00:00Z")), Some(first));
        assert_eq!(night.next(first), Some(second));
        assert_eq!(night.next(second), Some(at("2026-10-26T01:30:00Z")));
        assert_eq!(night.last(at("2026-10-25T12:00:00Z"), Duration::from_secs(86_400)), Some(second));
    }

    #[test]
    fn an_invalid_expression_is_rejected_with_a_reason() {
        let why = |text: &str| Cron::new(text, &TimeZone::UTC).unwrap_err().to_string();
        assert!(why("0 17 * *").contains("it has 4 fields"), "{}", why("0 17 * *"));
        assert!(why("0 0 17 * * FRI").contains("it has 6 fields"));
        for text in ["0 0 L * *", "0 0 1W * *", "0 0 * * 5#3", "H 0 * * *", "0 0 ? * *", "@daily a b c d"] {
            assert!(why(text).contains("use only numbers"), "{text}: {}", why(text));
        }
        assert!(why("0 0 30 2 *").contains("it never matches, because no such date exists"));
        for text in ["60 0 * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8", "0 0 * * FRY", "5-1 * * * *"] {
            let why = why(text);
            assert!(
                why.starts_with(&format!("`{text}` is not a valid cron expression: ")) && why.lines().count() == 1,
                "{why}"
            );
        }
        assert!(Cron::new("0 0 29 2 *", &TimeZone::UTC).is_ok());
    }
}
