//! Tests of cron expressions at clock changes: examples, and a comparison with a computation minute by minute.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use proptest::prelude::*;

use super::Cron;
use crate::base::time_zone::zone;

fn cron(text: &str, name: &str) -> Cron {
    Cron::new(text, &zone(name).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Returns the matches after `from` up to `to`.
fn matches(cron: &Cron, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let all = std::iter::successors(cron.next(from), |moment| cron.next(*moment));
    all.take_while(|moment| *moment <= to).collect()
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
    let often = matches(&cron("*/10 2 * * *", "Europe/Berlin"), at("2026-03-29T00:00:00Z"), at("2026-03-29T12:00:00Z"));
    assert_eq!(often, [forward], "all skipped minutes match together");
}

#[test]
fn a_repeated_minute_matches_once() {
    // On 25 October 2026 at 03:00 the clock of Berlin shows 02:00 again.
    let night = cron("30 2 * * *", "Europe/Berlin");
    let (first, next) = (at("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z"));
    assert_eq!(night.next(at("2026-10-24T12:00:00Z")), Some(first));
    assert_eq!(night.next(first), Some(next));
    assert_eq!(night.next(at("2026-10-25T01:29:59Z")), Some(next), "from a time between the two");
    assert_eq!(night.last(at("2026-10-25T12:00:00Z"), Duration::from_secs(86_400)), Some(first));
    let three = cron("0 3 * * *", "Europe/Berlin");
    assert_eq!(three.next(at("2026-10-24T12:00:00Z")), Some(at("2026-10-25T02:00:00Z")), "03:00 comes once");
}

#[test]
fn an_expression_for_every_hour_goes_on_evenly() {
    for (text, minutes) in [("*/15 * * * *", 15), ("0 * * * *", 60), ("30 0-23 * * *", 60), ("* */1 * * *", 1)] {
        for (name, day) in [
            ("Europe/Berlin", "2026-03-28T12:00:00Z"),
            ("Europe/Berlin", "2026-10-24T12:00:00Z"),
            ("America/New_York", "2026-11-01T00:00:00Z"),
        ] {
            let (cron, from) = (cron(text, name), at(day));
            let times = matches(&cron, from, from.saturating_add(SignedDuration::from_hours(24)).unwrap());
            let gaps: BTreeSet<i128> =
                times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs().into()).collect();
            assert_eq!(gaps, BTreeSet::from([minutes * 60]), "{text} in {name}");
        }
    }
}

#[test]
fn a_day_that_a_zone_left_out_is_made_up_for_once() {
    // Samoa moved over the date line: 31 December 2011 followed 29 December.
    let from = at("2011-12-29T00:00:00Z");
    let noon = matches(&cron("0 12 * * *", "Pacific/Apia"), from, at("2011-12-31T12:00:00Z"));
    let shown: Vec<String> =
        noon.iter().map(|at| at.to_zoned(zone("Pacific/Apia").unwrap()).strftime("%d %H:%M").to_string()).collect();
    assert_eq!(shown, ["29 12:00", "31 00:00", "31 12:00"]);
    let quarter = matches(&cron("*/15 * * * *", "Pacific/Apia"), from, at("2011-12-31T12:00:00Z"));
    assert_eq!(quarter.len(), 60 * 4, "one every 15 minutes");
    // In Sao Paulo the clock was put forward at midnight.
    let midnight = cron("0 0 * * *", "America/Sao_Paulo");
    assert_eq!(midnight.next(at("2018-11-03T12:00:00Z")), Some(at("2018-11-04T03:00:00Z")), "shown as 01:00");
}

/// A cron expression of lists of values, which the test can match by itself.
#[derive(Debug, Clone)]
struct Drawn {
    minutes: BTreeSet<i8>,
    hours: Option<BTreeSet<i8>>,
    weekdays: Option<BTreeSet<i8>>,
}

impl Drawn {
    fn text(&self) -> String {
        let list = |values: &BTreeSet<i8>| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let hours = self.hours.as_ref().map_or("*".to_owned(), list);
        let weekdays = self.weekdays.as_ref().map_or("*".to_owned(), list);
        format!("{} {hours} * * {weekdays}", list(&self.minutes))
    }

    fn shows(&self, clock: civil::DateTime) -> bool {
        self.minutes.contains(&clock.minute())
            && self.hours.as_ref().is_none_or(|hours| hours.contains(&clock.hour()))
            && self.weekdays.as_ref().is_none_or(|days| days.contains(&clock.weekday().to_sunday_zero_offset()))
    }

    /// Computes the matches minute by minute, with a record of the local times that were shown.
    fn matches(&self, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let fixed = self.hours.as_ref().is_some_and(|hours| hours.len() < 24);
        let minute = SignedDuration::from_mins(1);
        // Begin early enough to have seen the first of two equal local times.
        let mut now = from.saturating_sub(SignedDuration::from_hours(49)).unwrap();
        let mut before: Option<civil::DateTime> = None;
        let (mut shown, mut found) = (BTreeSet::new(), Vec::new());
        while now <= to {
            let clock = zone.to_datetime(now);
            let is_new = shown.insert(clock);
            let skipped = before.is_some_and(|before| {
                let minutes =
                    std::iter::successors(Some(before.saturating_add(minute)), |at| Some(at.saturating_add(minute)));
                minutes.take_while(|skipped| *skipped < clock).any(|skipped| self.shows(skipped))
            });
            let is_match = match fixed {
                true => (is_new && self.shows(clock)) || skipped,
                false => self.shows(clock),
            };
            if is_match && now > from {
                found.push(now);
            }
            before = Some(clock);
            now = now.checked_add(minute).unwrap();
        }
        found
    }
}

fn field(values: std::ops::RangeInclusive<i8>) -> impl Strategy<Value = BTreeSet<i8>> {
    proptest::collection::btree_set(values, 1..5)
}

fn drawn() -> impl Strategy<Value = Drawn> {
    // Half of the hours are those in which clocks change.
    let hours = prop_oneof![Just(None), field(0..=23).prop_map(Some), field(0..=3).prop_map(Some)];
    (field(0..=59), hours, proptest::option::of(field(0..=6))).prop_map(|(minutes, hours, weekdays)| Drawn {
        minutes,
        hours,
        weekdays,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn matches_agree_with_a_minute_by_minute_computation(
        drawn in drawn(),
        (name, change) in prop_oneof![
            Just(("Europe/Berlin", "2026-03-29T01:00:00Z")),
            Just(("Europe/Berlin", "2026-10-25T01:00:00Z")),
            Just(("America/New_York", "2026-03-08T07:00:00Z")),
            Just(("America/New_York", "2026-11-01T06:00:00Z")),
            Just(("Australia/Lord_Howe", "2026-04-04T15:00:00Z")), // half an hour
            Just(("Australia/Lord_Howe", "2026-10-03T15:30:00Z")),
            Just(("America/Sao_Paulo", "2018-11-04T03:00:00Z")), // at midnight
            Just(("America/Sao_Paulo", "2019-02-17T02:00:00Z")),
            Just(("Pacific/Apia", "2011-12-30T10:00:00Z")), // a whole day
            Just(("America/St_Johns", "1988-04-03T03:31:00Z")), // two hours
            Just(("Africa/Casablanca", "2026-02-15T02:00:00Z")),
            Just(("UTC", "2026-01-01T00:00:00Z")),
        ],
        minutes_before in 0_i64..1_800,
    ) {
        let from = at(change).checked_sub(SignedDuration::from_mins(minutes_before)).unwrap();
        let to = from.checked_add(SignedDuration::from_hours(60)).unwrap();
        let (zone, cron) = (zone(name).unwrap(), cron(&drawn.text(), name));
        let wanted = drawn.matches(&zone, from, to);
        prop_assert_eq!(matches(&cron, from, to), wanted.clone(), "{}", drawn.text());
        let within = Duration::from_secs(60 * 3600 - 1);
        prop_assert_eq!(cron.last(to, within), wanted.last().copied());
    }
}
