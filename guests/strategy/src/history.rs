//! The releases of one app in one environment, and the versions that a rollback can restore.
//!
//! Invariant: the command `history` marks exactly the releases that the command `rollback` accepts, because both
//! commands use [`History::choices`].

use wardroom_guest::catalog::Release;

use crate::Outcome;

/// The attempts to deploy one app to one environment, newest first.
#[derive(Debug, Clone)]
pub struct History<'a> {
    attempts: Vec<&'a Release>,
}

impl<'a> History<'a> {
    /// Creates a history from the releases of one app and environment, which must be ordered newest first.
    pub fn of(attempts: impl IntoIterator<Item = &'a Release>) -> Self {
        Self { attempts: attempts.into_iter().collect() }
    }

    /// Returns the number of attempts.
    pub fn count(&self) -> usize {
        self.attempts.len()
    }

    /// Returns the newest attempt with any outcome.
    pub fn newest(&self) -> Option<&'a Release> {
        self.attempts.first().copied()
    }

    /// Returns the newest success. A later attempt that did not succeed may still have replaced the version of the
    /// success.
    pub fn last_good(&self) -> Option<&'a Release> {
        self.successes().next()
    }

    /// Returns the version that runs in the environment: the version of the newest attempt if this attempt succeeded.
    /// Otherwise returns `None`, because the running version is not certain.
    pub fn current(&self) -> Option<&'a str> {
        let newest = self.newest()?;
        succeeded(newest).then_some(newest.version.as_str())
    }

    /// Returns the newest success of each version, newest first.
    pub fn good(&self) -> Vec<&'a Release> {
        let mut good: Vec<&Release> = Vec::new();
        for release in self.successes() {
            if good.iter().all(|newer| newer.version != release.version) {
                good.push(release);
            }
        }
        good
    }

    /// Returns the releases that a rollback can restore, newest first: the releases of [`History::good`] without the
    /// release of the current version. The command `rollback` without a version restores the first of them.
    pub fn choices(&self) -> Vec<&'a Release> {
        let current = self.current();
        let mut choices = self.good();
        choices.retain(|release| Some(release.version.as_str()) != current);
        choices
    }

    fn successes(&self) -> impl Iterator<Item = &'a Release> {
        self.attempts.iter().copied().filter(|release| succeeded(release))
    }
}

fn succeeded(release: &Release) -> bool {
    Outcome::of(&release.outcome) == Outcome::Succeeded
}

/// Formats the version and the outcome of a release: `1.0.3 failed`.
pub fn outcome(release: &Release) -> String {
    let version = &release.version;
    match Outcome::of(&release.outcome) {
        Outcome::Succeeded => format!("{version} succeeded"),
        Outcome::Failed => format!("{version} failed"),
        Outcome::Cancelled => format!("{version} was cancelled"),
        Outcome::Unknown => format!("{version} has an unknown outcome"),
    }
}

/// Formats the person who deployed a release: `by @bob:example.org`. For a release that a person recorded by hand:
/// `recorded by @bob:example.org`.
pub fn attribution(release: &Release) -> String {
    let how = if release.recorded { "recorded by" } else { "by" };
    format!("{how} {}", release.person.id)
}

#[cfg(test)]
mod tests {
    use wardroom_guest::{Instant, Person};

    use super::*;

    fn release(version: &str, outcome: &str) -> Release {
        Release {
            app: "cms".into(),
            environment: "staging".into(),
            version: version.into(),
            person: Person { id: "@bob:example.org".into(), name: "Bob".into() },
            job: "j1".into(),
            started: Instant { unix_ms: 0 },
            ended: Instant { unix_ms: 0 },
            outcome: outcome.into(),
            recorded: false,
        }
    }

    fn choices(releases: &[Release]) -> Vec<&str> {
        History::of(releases).choices().iter().map(|release| release.version.as_str()).collect()
    }

    #[test]
    fn a_rollback_selects_the_good_version_before_the_current_one() {
        let good = |versions: &[&str]| versions.iter().map(|one| release(one, "succeeded")).collect::<Vec<_>>();
        assert_eq!(choices(&good(&["3", "2", "1"])), ["2", "1"]);
        assert_eq!(choices(&good(&["2", "3", "2", "1"])), ["3", "1"], "after a rollback, the version before it");
        assert_eq!(choices(&good(&["3", "3", "2"])), ["2"], "a repeated version is not an earlier version");
        assert_eq!(choices(&good(&["3"])), [""; 0]);
        assert_eq!(choices(&[]), [""; 0]);
    }

    #[test]
    fn after_an_attempt_without_success_a_rollback_selects_the_last_good_version() {
        for outcome in ["failed", "cancelled", "unknown", "odd"] {
            let past = [release("3", outcome), release("2", "succeeded"), release("1", "succeeded")];
            assert_eq!(choices(&past), ["2", "1"], "{outcome}");
            let again = [release("2", outcome), release("2", "succeeded"), release("1", "succeeded")];
            assert_eq!(choices(&again), ["2", "1"], "{outcome}: the same version again");
            assert_eq!(History::of(&again).last_good().map(|good| good.version.as_str()), Some("2"));
            assert_eq!(History::of(&again).current(), None);
        }
    }

    #[test]
    fn the_newest_success_of_a_version_is_selected() {
        let past =
            [release("3", "succeeded"), release("2", "succeeded"), release("3", "failed"), release("2", "succeeded")];
        assert!(std::ptr::eq(History::of(&past).choices()[0], &past[1]));
        assert_eq!(History::of(&past).good().len(), 2);
    }

    #[test]
    fn a_recorded_release_is_labelled() {
        let recorded = Release { recorded: true, ..release("3", "succeeded") };
        assert_eq!(attribution(&recorded), "recorded by @bob:example.org");
        assert_eq!(attribution(&release("3", "succeeded")), "by @bob:example.org");
    }
}
