//! Cron expressions with five fields (minute, hour, day of the month, month, day of the week), evaluated in a time
//! zone.
//!
//! Two rules apply where the local clock changes, for example between winter and summer time:
//! - An expression with fixed hours (`30 2 * * *`) matches each local time once. A time that the clock shows twice matches
//!   when it comes first. Times that the clock skips match together, at the instant of the clock change.
//! - An expression for every hour (`0 * * * *`, `*/15 * * * *`) goes on evenly. It matches whenever the clock shows a
//!   matching time, also in a repeated hour, and it has no additional match at a change.
//!
//! Invariant: no match of an expression with fixed hours is lost.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// A cron expression with its time zone, for example `0 17 * * FRI` in `Europe/Berlin`.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    text: String,
    zone: TimeZone,
    // Parsed with the zone UTC. `next` converts between UTC and `zone`.
    fields: cronexpr::Crontab,
    /// Whether the hour field leaves out an hour of the day.
    fixed_hours: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid cron expression: {reason}")]
pub(crate) struct CronError {
    text: String,
    reason: String,
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// Longer than the clock is ever put back: a day, where a zone moved to the other side of the date line.
const LONGEST_CHANGE: SignedDuration = SignedDuration::from_hours(48);

/// The words that some versions of cron accept in place of the five fields.
const WORDS: [(&str, &str); 7] = [
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
    ("monthly", "0 0 1 * *"),
    ("weekly", "0 0 * * 0"),
    ("daily", "0 0 * * *"),
    ("midnight", "0 0 * * *"),
    ("hourly", "0 * * * *"),
];

impl Cron {
    /// # Errors
    /// [`CronError`] if the expression is invalid or never matches, such as `0 0 30 2 *` (30 February).
    pub(crate) fn new(text: &str, zone: &TimeZone) -> Result<Self, CronError> {
        let text = text.trim();
        let invalid = |reason: &str| CronError { text: crate::base::text::clean(text), reason: reason.to_owned() };
        if let Some(word) = text.strip_prefix('@') {
            match WORDS.iter().find(|(name, _)| *name == word.to_lowercase()) {
                Some((_, fields)) => return Err(invalid(&format!("write `{fields}` instead of `@{word}`"))),
                None if word.eq_ignore_ascii_case("reboot") => {
                    return Err(invalid("`@reboot` is not supported, because a schedule has times"));
                }
                None => {}
            }
        }
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
        let fixed_hours = !text.split_whitespace().nth(1).is_some_and(is_every_hour);
        let cron = Self { text: text.to_owned(), zone: zone.clone(), fields, fixed_hours };
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
        let mut changes = self.zone.following(after);
        let mut offset = self.zone.to_offset(after).seconds();
        let mut from = by(after, offset)?;
        // The local time up to which the clock has shown every time, for the rule for fixed hours.
        let mut shown_before = self.shown_before(after)?;
        if self.fixed_hours {
            from = from.max(by(shown_before, -1)?);
        }
        loop {
            // `shown` is the local time of the next match, if the offset does not change before that match.
            let shown = self.fields.find_next(from).ok()?.timestamp();
            let moment = by(shown, -offset)?;
            let Some(change) = changes.next().filter(|change| change.timestamp() <= moment) else {
                return Some(moment);
            };
            let (at, new) = (change.timestamp(), change.offset().seconds());
            if self.fixed_hours {
                // The clock change skips the minute `shown`.
                if shown < by(at, new)? {
                    return Some(at);
                }
                shown_before = shown_before.max(by(at, offset)?);
            }
            offset = new;
            // The first minute after the clock change can match too, so search from one second before that minute.
            from = by(at, new)?;
            if self.fixed_hours {
                from = from.max(shown_before);
            }
            from = by(from, -1)?;
        }
    }

    /// Returns the latest local time that the clock showed before the changes shortly before `at`; a time before the
    /// local time at `at` if there are no such changes.
    fn shown_before(&self, at: Timestamp) -> Option<Timestamp> {
        let end = at.checked_add(SignedDuration::from_nanos(1)).ok()?;
        let begin = at.saturating_sub(LONGEST_CHANGE).ok()?;
        let changes = self.zone.preceding(end).take_while(|change| change.timestamp() > begin);
        let shown = changes.filter_map(|change| {
            let before = self.zone.to_offset(by(change.timestamp(), -1)?).seconds();
            by(change.timestamp(), before)
        });
        Some(shown.max().unwrap_or(Timestamp::MIN + LONGEST_CHANGE))
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

fn by(at: Timestamp, seconds: i32) -> Option<Timestamp> {
    at.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()
}

/// Returns whether a valid hour field matches all 24 hours, for example `*`, `*/1` or `0-23`.
fn is_every_hour(hours: &str) -> bool {
    let Ok(fields) = cronexpr::parse_crontab(&format!("0 {hours} * * * UTC")) else { return false };
    let next = |at: &Timestamp| Some(fields.find_next(*at).ok()?.timestamp());
    let day = std::iter::successors(next(&Timestamp::UNIX_EPOCH), next);
    day.take(24).last() == by(Timestamp::UNIX_EPOCH, 86_400)
}

#[cfg(test)]
mod clock_change_tests;

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

    #[test]
    fn days_and_names_mean_what_they_mean_in_vixie_cron() {
        let days = |text: &str| {
            let cron = cron(text, "UTC");
            let all = std::iter::successors(cron.next(at("2026-11-30T23:59:59Z")), |day| cron.next(*day));
            let all: Vec<i8> = all.take(4).map(|day| day.to_zoned(TimeZone::UTC).day()).collect();
            all
        };
        // 1 December 2026 is a Tuesday.
        assert_eq!(days("0 0 13 * FRI"), [4, 11, 13, 18], "restricted days of both kinds: either");
        assert_eq!(days("0 0 */7 * FRI"), [1, 8, 15, 22], "a field that begins with `*`: both; 1 January is a Friday");
        for sunday in ["0", "7", "SUN", "sun", "7-7", "6-7"] {
            let wanted = if sunday == "6-7" { [5, 6, 12, 13] } else { [6, 13, 20, 27] };
            assert_eq!(days(&format!("0 0 * * {sunday}")), wanted, "{sunday}");
        }
    }

    #[test]
    fn a_word_in_place_of_the_fields_is_explained() {
        let why = |text: &str| Cron::new(text, &TimeZone::UTC).unwrap_err().to_string();
        assert!(why("@daily").ends_with("write `0 0 * * *` instead of `@daily`"), "{}", why("@daily"));
        assert!(
            why("@reboot").ends_with("`@reboot` is not supported, because a schedule has times"),
            "{}",
            why("@reboot")
        );
        assert!(why("@whenever").contains("has 1 fields instead of 5"));
    }
}
