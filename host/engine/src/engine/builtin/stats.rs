//! The command `stats`: counts the deployments of a period by app and environment.
//!
//! Invariant: the counts come from releases, which only the host writes. They include only apps and environments on
//! which the person has rights. A release that a person recorded with `release record` is not counted. It is only used
//! to determine whether a later deployment is a rollback.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::jobs::{integer, read_failed};
use crate::{
    base::{clean, elapsed_text, utc_text},
    engine::{host::Host, verdict::Refusal},
    model::{Attribute, Outcome},
    policy::Authorized,
    store::{DeploymentLock, Release, ReleaseQuery},
};

/// The default of the option `--since` of `stats`.
const DEFAULT_PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);

/// The maximum number of releases that `stats` reads, the newest first.
const MAX_RELEASES: u32 = 10_000;

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    deployments: usize,
    failed: usize,
    cancelled: usize,
    unknown: usize,
    rollbacks: usize,
    // The durations of successful deployments.
    durations: Vec<SignedDuration>,
}

impl Host {
    /// Runs `stats [APP] [--since 7d]`.
    pub(crate) async fn stats(&self, authorized: &Authorized) -> Result<String, Refusal> {
        let app = authorized.command().typed(Attribute::App).next().map(str::to_owned);
        let since = integer(authorized, "since").and_then(|milliseconds| u64::try_from(milliseconds).ok());
        let since = SignedDuration::try_from(since.map_or(DEFAULT_PERIOD, Duration::from_millis))
            .unwrap_or(SignedDuration::MAX);
        let from = self.context.clock.now().checked_sub(since).unwrap_or(Timestamp::MIN);
        let query = ReleaseQuery { app: app.clone(), limit: Some(MAX_RELEASES), ..ReleaseQuery::default() };
        let mut releases = self.context.store.releases(&query).await.map_err(read_failed)?;
        let is_cut = releases.len() >= MAX_RELEASES as usize;
        let asker = authorized.asker();
        let mut seen: BTreeMap<DeploymentLock, bool> = BTreeMap::new();
        releases.retain(|release| {
            let target = DeploymentLock { app: release.app.clone(), environment: release.environment.clone() };
            let sees =
                |target: &DeploymentLock| self.context.access.sees(asker, Some(&target.app), Some(&target.environment));
            *seen.entry(target).or_insert_with_key(sees)
        });
        let counts = count(releases, from);
        if counts.is_empty() {
            let of = app.map_or_else(String::new, |app| format!(" of {app}"));
            return Ok(format!("There have been no deployments{of} since {}.", utc_text(from)));
        }
        let mut lines = vec![format!("Deployments since {}:", utc_text(from))];
        for (target, counts) in &counts {
            lines.push(format!("  {}: {}", clean(&target.to_string()), counts_text(counts)));
        }
        lines.extend(is_cut.then(|| format!("Only the newest {MAX_RELEASES} deployments were counted.")));
        Ok(lines.join("\n"))
    }
}

/// Counts the releases that ended at `from` or later, by app and environment. `releases` can be in any order. The
/// releases that ended before `from` are used only to detect rollbacks.
fn count(mut releases: Vec<Release>, from: Timestamp) -> BTreeMap<DeploymentLock, Counts> {
    releases.sort_by_key(|release| release.ended);
    let mut counts: BTreeMap<DeploymentLock, Counts> = BTreeMap::new();
    // The versions that have succeeded so far, by app and environment, newest last.
    let mut good: BTreeMap<DeploymentLock, Vec<String>> = BTreeMap::new();
    for release in releases {
        let target = DeploymentLock { app: release.app, environment: release.environment };
        let before = good.entry(target.clone()).or_default();
        let succeeded = release.outcome == Outcome::Succeeded;
        if !release.recorded && release.ended >= from {
            let counts = counts.entry(target).or_default();
            counts.deployments += 1;
            match release.outcome {
                Outcome::Succeeded => {
                    // A release is a rollback if its version succeeded before and is not the current one.
                    let back = before.contains(&release.version) && before.last() != Some(&release.version);
                    counts.rollbacks += usize::from(back);
                    counts.durations.push(release.ended.duration_since(release.started));
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
    let mut parts = vec![many(counts.deployments, "deployment"), format!("{} failed", counts.failed)];
    if counts.cancelled > 0 {
        parts.push(format!("{} cancelled", counts.cancelled));
    }
    if counts.unknown > 0 {
        parts.push(format!("{} with unknown outcome", counts.unknown));
    }
    parts.push(many(counts.rollbacks, "rollback"));
    if let Some(median) = median(&counts.durations) {
        let end = Timestamp::UNIX_EPOCH.saturating_add(median).unwrap_or(Timestamp::MAX);
        parts.push(format!("median {}", elapsed_text(Timestamp::UNIX_EPOCH, end)));
    }
    parts.join(", ")
}

/// Returns the median of durations; `None` without durations. For an even number of durations, returns the mean of the
/// two middle durations.
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
        let newest_first =
            releases.iter().rev().map(|(at, version, outcome, recorded)| release(*at, version, *outcome, *recorded));
        let counts = count(newest_first.collect(), Timestamp::from_second(from).unwrap());
        counts.into_values().next()
    }

    #[test]
    fn a_deployment_of_an_earlier_version_is_a_rollback() {
        use Outcome::{Failed, Succeeded};
        let all = [
            (100, "1", Succeeded, true),
            (200, "2", Succeeded, false),
            (300, "3", Failed, false),
            // Not a rollback: the same version as the last successful one.
            (400, "2", Succeeded, false),
            (500, "1", Succeeded, false),
            (600, "2", Succeeded, false),
        ];
        let counts = counted(&all, 0).unwrap();
        assert_eq!((counts.deployments, counts.failed, counts.rollbacks, counts.durations.len()), (5, 1, 2, 4));
        // Releases before `from` are not counted, but are used to detect rollbacks.
        let counts = counted(&all, 450).unwrap();
        assert_eq!((counts.deployments, counts.failed, counts.rollbacks), (2, 0, 2));
        assert_eq!(counts_text(&counts), "2 deployments, 0 failed, 2 rollbacks, median 10 s");
        assert_eq!(counted(&all, 700), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_two_middle_values() {
        let spans = |seconds: &[i64]| seconds.iter().map(|s| SignedDuration::from_secs(*s)).collect::<Vec<_>>();
        assert_eq!(median(&[]), None);
        assert_eq!(median(&spans(&[9, 1, 5])), Some(SignedDuration::from_secs(5)));
        assert_eq!(median(&spans(&[9, 1, 5, 2])), Some(SignedDuration::from_millis(3500)));
    }
}
