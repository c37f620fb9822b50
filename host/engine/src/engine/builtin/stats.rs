//! `stats`: the deployments of a period, by app and environment.
//!
//! Invariant: the counts come from the releases, which only the host writes, and cover only apps and environments that
//! the person may see. A release from `release record` is not counted as a deployment, but counts as the earlier
//! version when rollbacks are detected.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::jobs::read_failed;
use crate::{
    base::{clean, moment, took},
    command::Value,
    engine::{host::Host, verdict::Refusal},
    model::{Attribute, Outcome},
    policy::Authorized,
    store::{DeploymentLock, Release, ReleaseQuery},
};

/// The default period.
const DEFAULT_PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);

/// The counts of one app and environment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    deployments: usize,
    failed: usize,
    cancelled: usize,
    unknown: usize,
    rollbacks: usize,
    // The durations of the successful deployments.
    took: Vec<SignedDuration>,
}

impl Host {
    /// Runs `stats [APP] [--since 7d]`.
    pub(crate) async fn stats(&self, authorized: &Authorized) -> Result<String, Refusal> {
        let app = authorized.command().typed(Attribute::App).next().map(str::to_owned);
        let since = authorized.command().arguments().find_map(|(parameter, value)| match value {
            Value::Integer(milliseconds) if parameter.name == "since" => u64::try_from(*milliseconds).ok(),
            _ => None,
        });
        let since = SignedDuration::try_from(since.map_or(DEFAULT_PERIOD, Duration::from_millis))
            .unwrap_or(SignedDuration::MAX);
        let from = self.context.clock.now().checked_sub(since).unwrap_or(Timestamp::MIN);
        let query = ReleaseQuery { app: app.clone(), ..ReleaseQuery::default() };
        let mut releases = self.context.store.releases(&query).await.map_err(|error| read_failed(&error))?;
        let asker = authorized.asker();
        let mut seen: BTreeMap<DeploymentLock, bool> = BTreeMap::new();
        releases.retain(|release| {
            let place = DeploymentLock { app: release.app.clone(), environment: release.environment.clone() };
            let sees =
                |place: &DeploymentLock| self.context.access.sees(asker, Some(&place.app), Some(&place.environment));
            *seen.entry(place).or_insert_with_key(sees)
        });
        let counts = count(releases, from);
        if counts.is_empty() {
            let of = app.map_or_else(String::new, |app| format!(" of {app}"));
            return Ok(format!("Nothing{of} was deployed since {}.", moment(from)));
        }
        let lines =
            counts.iter().map(|(place, counts)| format!("  {}: {}", clean(&place.to_string()), counts_text(counts)));
        Ok(std::iter::once(format!("Since {}:", moment(from))).chain(lines).collect::<Vec<_>>().join("\n"))
    }
}

/// Counts the releases that ended at `from` or later. They can be in any order.
fn count(mut releases: Vec<Release>, from: Timestamp) -> BTreeMap<DeploymentLock, Counts> {
    releases.sort_by_key(|release| release.ended);
    let mut counts: BTreeMap<DeploymentLock, Counts> = BTreeMap::new();
    // The successful versions of each app and environment so far, the newest last.
    let mut good: BTreeMap<DeploymentLock, Vec<String>> = BTreeMap::new();
    for release in releases {
        let place = DeploymentLock { app: release.app, environment: release.environment };
        let before = good.entry(place.clone()).or_default();
        let succeeded = release.outcome == Outcome::Succeeded;
        if !release.recorded && release.ended >= from {
            let counts = counts.entry(place).or_default();
            counts.deployments += 1;
            match release.outcome {
                Outcome::Succeeded => {
                    // A rollback: the version ran there before, and is not the current one.
                    let back = before.contains(&release.version) && before.last() != Some(&release.version);
                    counts.rollbacks += usize::from(back);
                    counts.took.push(release.ended.duration_since(release.started));
                }
                Outcome::Failed => counts.failed += 1,
                Outcome::Cancelled => counts.cancelled += 1,
                Outcome::Unknown => counts.unknown += 1,
            }
        }
        if succeeded {
            before.retain(|version| *version != release.version);
            before.push(release.version);
        }
    }
    counts
}

fn counts_text(counts: &Counts) -> String {
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut words = vec![many(counts.deployments, "deployment"), format!("{} failed", counts.failed)];
    if counts.cancelled > 0 {
        words.push(format!("{} cancelled", counts.cancelled));
    }
    if counts.unknown > 0 {
        words.push(format!("{} of which nobody knows how far they came", counts.unknown));
    }
    words.push(many(counts.rollbacks, "rollback"));
    if let Some(median) = median(&counts.took) {
        let end = Timestamp::UNIX_EPOCH.saturating_add(median).unwrap_or(Timestamp::MAX);
        words.push(format!("median {}", took(Timestamp::UNIX_EPOCH, end)));
    }
    words.join(", ")
}

/// The median; for an even number, the mean of the two values in the middle.
fn median(spans: &[SignedDuration]) -> Option<SignedDuration> {
    let mut spans = spans.to_vec();
    spans.sort();
    let upper = *spans.get(spans.len() / 2)?;
    match spans.len() % 2 {
        1 => Some(upper),
        _ => Some((spans[spans.len() / 2 - 1] + upper) / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Person, RunKey};

    fn release(second: i64, version: &str, outcome: Outcome, recorded: bool) -> Release {
        let at = |second| Timestamp::from_second(second).unwrap();
        Release {
            run: RunKey::new("job", u32::try_from(second).unwrap()),
            app: "cms".into(),
            environment: "staging".into(),
            version: version.into(),
            person: Person::named_by_id("bob"),
            job: "job".into(),
            started: at(second - 10 * i64::from(!recorded)),
            ended: at(second),
            outcome,
            recorded,
        }
    }

    fn counted(releases: &[(i64, &str, Outcome, bool)], from: i64) -> Option<Counts> {
        let newest_first = releases.iter().rev().map(|(at, version, how, said)| release(*at, version, *how, *said));
        let counts = count(newest_first.collect(), Timestamp::from_second(from).unwrap());
        counts.into_values().next()
    }

    #[test]
    fn what_ran_there_before_something_else_is_a_rollback() {
        use Outcome::{Failed, Succeeded};
        let all = [
            (100, "1", Succeeded, true),
            (200, "2", Succeeded, false),
            (300, "3", Failed, false),
            // The same version as the last successful one: no rollback.
            (400, "2", Succeeded, false),
            (500, "1", Succeeded, false),
            (600, "2", Succeeded, false),
        ];
        let counts = counted(&all, 0).unwrap();
        assert_eq!((counts.deployments, counts.failed, counts.rollbacks, counts.took.len()), (5, 1, 2, 4));
        // Releases before `from` are not counted, but are used to detect rollbacks.
        let counts = counted(&all, 450).unwrap();
        assert_eq!((counts.deployments, counts.failed, counts.rollbacks), (2, 0, 2));
        assert_eq!(counts_text(&counts), "2 deployments, 0 failed, 2 rollbacks, median 10 s");
        assert_eq!(counted(&all, 700), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        let spans = |seconds: &[i64]| seconds.iter().map(|s| SignedDuration::from_secs(*s)).collect::<Vec<_>>();
        assert_eq!(median(&[]), None);
        assert_eq!(median(&spans(&[9, 1, 5])), Some(SignedDuration::from_secs(5)));
        assert_eq!(median(&spans(&[9, 1, 5, 2])), Some(SignedDuration::from_millis(3500)));
    }
}
