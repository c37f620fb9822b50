//! A `[[freeze]]` window: a recurring period in which no effect may start in some environments.
//!
//! Invariant: no function in this file reads a clock. A window whose end cannot be computed does not end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::base::Pattern;
use crate::base::{At, Cron};

/// The maximum time between the start and the end of a window that ends by a cron expression: four years, from one 29
/// February to the next.
const MAX_CRON_LENGTH: Duration = Duration::from_secs(4 * 366 * 86_400);

/// A freeze window, from a `[[freeze]]` table of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub at: At,
    pub environments: Vec<Pattern>,
    /// The times at which the window begins.
    pub from: Cron,
    pub ends: WindowEnd,
    /// The operator's reason for the freeze; empty if the table has no `reason`.
    pub reason: String,
}

/// The end of a window.
#[derive(Debug, Clone)]
pub(crate) enum WindowEnd {
    /// The window has this length. A change to or from daylight saving time does not alter the length.
    After(Duration),
    /// The window ends at the first time after its start that matches the cron expression.
    At(Cron),
}

impl Window {
    pub(crate) fn is_for(&self, environment: &str) -> bool {
        self.environments.iter().any(|pattern| pattern.matches(environment))
    }

    /// Returns the end of the window if the window contains the time `at`, otherwise `None`. The start is inclusive,
    /// the end exclusive.
    pub(crate) fn covers(&self, at: Timestamp) -> Option<Timestamp> {
        let within = match self.ends {
            WindowEnd::After(lasts) => lasts,
            WindowEnd::At(_) => MAX_CRON_LENGTH,
        };
        // Of overlapping occurrences, the one that began last ends last.
        let begin = self.from.last(at, within)?;
        Some(self.end(begin)).filter(|end| *end > at)
    }

    /// Returns the start and the end of the next window that begins after the time `after`; `None` if `from` has no
    /// later match.
    pub(crate) fn next(&self, after: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let begin = self.from.next(after)?;
        Some((begin, self.end(begin)))
    }

    fn end(&self, begin: Timestamp) -> Timestamp {
        match &self.ends {
            WindowEnd::After(lasts) => {
                let lasts = SignedDuration::try_from(*lasts).unwrap_or(SignedDuration::MAX);
                begin.saturating_add(lasts).unwrap_or(Timestamp::MAX)
            }
            WindowEnd::At(until) => until.next(begin).unwrap_or(Timestamp::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::base::zone;

    fn window(from: &str, ends: Result<&str, &str>, name: &str) -> Window {
        let zone = zone(name).unwrap();
        Window {
            at: At { file: Arc::from("plugins.toml"), line: 7 },
            environments: vec![Pattern::new("production").unwrap()],
            from: Cron::new(from, &zone).unwrap(),
            ends: match ends {
                Ok(lasts) => WindowEnd::After(crate::base::parse_duration(lasts).unwrap()),
                Err(until) => WindowEnd::At(Cron::new(until, &zone).unwrap()),
            },
            reason: String::new(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_weekend_window_includes_its_start_and_excludes_its_end() {
        for ends in [Ok("63h"), Err("0 8 * * MON")] {
            let weekend = window("0 17 * * FRI", ends, "Europe/Berlin");
            let monday = Some(at("2026-11-23T07:00:00Z"));
            assert_eq!(weekend.covers(at("2026-11-20T15:59:59Z")), None);
            assert_eq!(weekend.covers(at("2026-11-20T16:00:00Z")), monday);
            assert_eq!(weekend.covers(at("2026-11-23T06:59:59Z")), monday);
            assert_eq!(weekend.covers(at("2026-11-23T07:00:00Z")), None);
            assert_eq!(weekend.next(at("2026-11-23T07:00:00Z")).unwrap().0, at("2026-11-27T16:00:00Z"));
        }
        assert!(window("0 17 * * FRI", Ok("1h"), "UTC").is_for("production"));
        assert!(!window("0 17 * * FRI", Ok("1h"), "UTC").is_for("staging"));
    }

    #[test]
    fn across_a_clock_change_a_duration_is_elapsed_time_and_cron_is_local_time() {
        // Clocks in Berlin are put forward in the night to 29 March 2026, and back in the night to 25 October.
        let end = |ends, moment| window("0 17 * * FRI", ends, "Europe/Berlin").covers(at(moment)).unwrap();
        assert_eq!(end(Ok("63h"), "2026-03-28T12:00:00Z"), at("2026-03-30T07:00:00Z"), "9:00 there");
        assert_eq!(end(Err("0 8 * * MON"), "2026-03-28T12:00:00Z"), at("2026-03-30T06:00:00Z"), "8:00 there");
        assert_eq!(end(Ok("63h"), "2026-10-24T12:00:00Z"), at("2026-10-26T06:00:00Z"), "7:00 there");
        assert_eq!(end(Err("0 8 * * MON"), "2026-10-24T12:00:00Z"), at("2026-10-26T07:00:00Z"), "8:00 there");
        // A window whose start is skipped by the clock change begins at the change.
        let night = window("30 2 * * SUN", Ok("2h"), "Europe/Berlin");
        assert_eq!(night.covers(at("2026-03-29T01:00:00Z")), Some(at("2026-03-29T03:00:00Z")));
        assert_eq!(night.covers(at("2026-03-29T00:59:59Z")), None);
        // If the clock shows the start twice, the window begins once, at the first of the two.
        assert_eq!(night.covers(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T02:30:00Z")));
        assert_eq!(night.covers(at("2026-10-25T02:29:59Z")), Some(at("2026-10-25T02:30:00Z")));
        assert_eq!(night.covers(at("2026-10-25T02:30:00Z")), None);
        // The same applies to its end.
        let hour = window("30 1 * * SUN", Err("30 2 * * SUN"), "Europe/Berlin");
        assert_eq!(hour.covers(at("2026-10-24T23:30:00Z")), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(hour.covers(at("2026-10-25T00:30:00Z")), None);
        assert_eq!(hour.covers(at("2026-03-29T00:59:59Z")), Some(at("2026-03-29T01:00:00Z")), "the skipped end");
    }

    #[test]
    fn a_window_on_29_february_is_found() {
        let leap = window("0 0 29 2 *", Err("0 0 1 3 *"), "UTC");
        assert_eq!(leap.covers(at("2028-02-29T12:00:00Z")), Some(at("2028-03-01T00:00:00Z")));
        assert_eq!(leap.covers(at("2027-02-28T12:00:00Z")), None);
        let long = window("0 0 29 2 *", Err("0 0 28 2 *"), "UTC");
        assert_eq!(long.covers(at("2028-12-29T12:00:00Z")), Some(at("2029-02-28T00:00:00Z")));
    }

    /// Generates one to three values of a cron field, for example of the hours.
    fn field(values: std::ops::RangeInclusive<i8>) -> impl Strategy<Value = BTreeSet<i8>> {
        proptest::collection::btree_set(values, 1..4)
    }

    fn text(values: &BTreeSet<i8>) -> String {
        values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// A randomly generated freeze window: the values of its cron fields, its time zone, and its length in minutes.
    #[derive(Debug, Clone)]
    struct Drawn {
        minutes: BTreeSet<i8>,
        hours: BTreeSet<i8>,
        weekdays: Option<BTreeSet<i8>>,
        zone: &'static str,
        lasts: i64,
    }

    impl Drawn {
        fn window(&self) -> Window {
            let weekdays = self.weekdays.as_ref().map_or("*".to_owned(), text);
            let from = format!("{} {} * * {weekdays}", text(&self.minutes), text(&self.hours));
            window(&from, Ok(&format!("{}m", self.lasts)), self.zone)
        }

        fn shows(&self, clock: jiff::civil::DateTime) -> bool {
            let weekday = clock.weekday().to_sunday_zero_offset();
            self.minutes.contains(&clock.minute())
                && self.hours.contains(&clock.hour())
                && self.weekdays.as_ref().is_none_or(|days| days.contains(&weekday))
        }

        /// Whether the window begins at this minute: the local time matches and is shown for the first time, or a clock
        /// change at this minute skips a local time that matches.
        fn begins(&self, zone: &TimeZone, minute: Timestamp) -> bool {
            let clock = zone.to_datetime(minute);
            let before = zone.to_datetime(minute.saturating_sub(SignedDuration::from_mins(1)).unwrap());
            let minutes = |count: i64| before.saturating_add(SignedDuration::from_mins(count));
            let skipped = (1..).map(minutes).take_while(|skipped| *skipped < clock);
            let is_first = zone.to_ambiguous_timestamp(clock).earlier().is_ok_and(|first| first == minute);
            (self.shows(clock) && is_first) || skipped.into_iter().any(|skipped| self.shows(skipped))
        }

        /// Computes the same result as [`Window::covers`], but by a search minute by minute.
        fn covers(&self, at: Timestamp) -> Option<Timestamp> {
            let zone = zone(self.zone).unwrap();
            let minute = Timestamp::from_second(at.as_second().div_euclid(60) * 60).unwrap();
            let ago = |count| minute.saturating_sub(SignedDuration::from_mins(count)).unwrap();
            let begin = (0..=self.lasts).map(ago).find(|begin| self.begins(&zone, *begin))?;
            let end = begin.saturating_add(SignedDuration::from_mins(self.lasts)).unwrap();
            (end > at).then_some(end)
        }
    }

    fn drawn() -> impl Strategy<Value = Drawn> {
        let zones = prop_oneof![
            Just("UTC"),
            Just("Europe/Berlin"),
            Just("America/New_York"),
            Just("Australia/Lord_Howe"), // its clock change is half an hour
            Just("Asia/Kolkata"),
        ];
        let weekdays = proptest::option::of(field(0..=6));
        (field(0..=59), field(0..=23), weekdays, zones, 1..2_000_i64)
            .prop_map(|(minutes, hours, weekdays, zone, lasts)| Drawn { minutes, hours, weekdays, zone, lasts })
    }

    /// Generates a random time of a year, in whole seconds. Half of the generated times are within two days of a clock
    /// change.
    fn moment() -> impl Strategy<Value = Timestamp> {
        let changes = prop_oneof![
            Just(at("2026-03-29T01:00:00Z")),
            Just(at("2026-10-25T01:00:00Z")),
            Just(at("2026-03-08T07:00:00Z")),
            Just(at("2026-11-01T06:00:00Z")),
            Just(at("2026-04-04T15:00:00Z")),
            Just(at("2026-10-03T15:30:00Z")),
        ];
        let near = (changes, -172_800..172_800_i64).prop_map(|(change, by)| (change.as_second(), by));
        let any = (0..31_536_000_i64).prop_map(|by| (at("2026-01-01T00:00:00Z").as_second(), by));
        prop_oneof![near, any].prop_map(|(from, by)| Timestamp::from_second(from + by).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn windows_agree_with_a_minute_by_minute_computation(drawn in drawn(), moment in moment()) {
            prop_assert_eq!(drawn.window().covers(moment), drawn.covers(moment));
        }
    }
}
