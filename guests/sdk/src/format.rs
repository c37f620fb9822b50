//! Formats times, durations and command lines for people.
//!
//! Invariant: the functions are pure, and times are in UTC.
//! Not here: calendar arithmetic, for which a plugin uses a library.

use crate::bindings::wardroom::plugin::types::Instant;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Formats a duration in milliseconds with its two largest units: `less than a second`, `2 s`, `6 min 1 s`,
/// `1 h 3 min`, `2 d 4 h`.
pub fn duration(milliseconds: u64) -> String {
    if milliseconds < SECOND {
        return "less than a second".to_owned();
    }
    let rounded = milliseconds.saturating_add(SECOND / 2) / SECOND * SECOND;
    if rounded < MINUTE {
        format!("{} s", rounded / SECOND)
    } else if rounded < HOUR {
        pair(rounded, (MINUTE, "min"), (SECOND, "s"))
    } else if rounded < DAY {
        pair(rounded, (HOUR, "h"), (MINUTE, "min"))
    } else {
        pair(rounded, (DAY, "d"), (HOUR, "h"))
    }
}

/// Formats the time from `started` to `ended` like [`duration`]. If `ended` is before `started`, the duration is zero.
pub fn elapsed(started: Instant, ended: Instant) -> String {
    duration(ended.unix_ms.saturating_sub(started.unix_ms))
}

/// Formats a time with minute precision: `2026-11-21 10:04 UTC`.
pub fn moment(instant: Instant) -> String {
    let (year, month, day) = civil(instant.unix_ms / DAY);
    let minutes = instant.unix_ms % DAY / MINUTE;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// Stands before a command in a text for people. The host shows the prefix of its bot instead, or nothing where commands
/// need no prefix.
pub const PREFIX: &str = "\u{f8ff}";

/// Joins words to a command line that a person can type as the host shows it: it begins with [`PREFIX`], and words with
/// spaces or special characters are quoted.
pub fn command_line(words: &[&str]) -> String {
    let quoted = |word: &&str| {
        let plain = |c: char| c.is_alphanumeric() || "-_./:@+=,~#".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            (*word).to_owned()
        } else {
            format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
        }
    };
    format!("{PREFIX}{}", words.iter().map(quoted).collect::<Vec<_>>().join(" "))
}

fn pair(span: u64, large: (u64, &str), small: (u64, &str)) -> String {
    let head = format!("{} {}", span / large.0, large.1);
    match span % large.0 / small.0 {
        0 => head,
        rest => format!("{head} {rest} {}", small.1),
    }
}

/// Converts days since 1970-01-01 to year, month and day. The calculation uses years that start in March, so that the
/// leap day is the last day of a year, and eras of 400 years, which all have the same number of days.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> String {
        moment(Instant { unix_ms: seconds * SECOND })
    }

    #[test]
    fn durations_have_at_most_their_two_largest_units() {
        let texts = [340, 1500, 2000, 59_499, 59_500, 361_000, 3_600_000, 3_780_000, 187_200_000].map(duration);
        let wanted = ["less than a second", "2 s", "2 s", "59 s", "1 min", "6 min 1 s", "1 h", "1 h 3 min", "2 d 4 h"];
        assert_eq!(texts, wanted);
        assert_eq!(
            elapsed(Instant { unix_ms: 9 }, Instant { unix_ms: 4 }),
            "less than a second",
            "the clock was set back"
        );
        assert_eq!(duration(u64::MAX).split(' ').nth(1), Some("d"));
    }

    #[test]
    fn moments_are_formatted_as_dates_in_utc() {
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(1_709_251_199), "2024-02-29 23:59 UTC");
        assert_eq!(at(1_709_251_200), "2024-03-01 00:00 UTC");
        assert_eq!(at(1_795_255_440), "2026-11-21 10:04 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00 UTC");
        assert!(!moment(Instant { unix_ms: u64::MAX }).is_empty(), "the largest moment does not overflow");
    }

    #[test]
    fn words_with_special_characters_are_quoted() {
        assert_eq!(command_line(&["deploy", "cms", "1.0.2+b/7"]), format!("{PREFIX}deploy cms 1.0.2+b/7"));
        assert_eq!(
            command_line(&["say", "two words", "", "a\"b"]),
            format!("{PREFIX}say \"two words\" \"\" \"a\\\"b\"")
        );
    }
}
