//! What was tried at one place before, and what of it can be brought back.
//!
//! Invariant: `history` marks what `rollback` takes, because both ask here.
//! Not here: reading the releases; see [`crate::Target::releases`].

use wardroom_guest::catalog::Release;

use crate::Outcome;

/// The releases of one app in one environment, newest first.
#[derive(Debug, Clone)]
pub struct Past<'a> {
    attempts: Vec<&'a Release>,
}

impl<'a> Past<'a> {
    /// Of one place's releases, newest first.
    pub fn of(attempts: impl IntoIterator<Item = &'a Release>) -> Self {
        Self { attempts: attempts.into_iter().collect() }
    }

    /// How many attempts this knows of.
    pub fn count(&self) -> usize {
        self.attempts.len()
    }

    /// The newest attempt, however it ended.
    pub fn newest(&self) -> Option<&'a Release> {
        self.attempts.first().copied()
    }

    /// The newest success: what runs there, unless a later attempt changed it before it failed.
    pub fn last_good(&self) -> Option<&'a Release> {
        self.successes().next()
    }

    /// The version that runs there for certain: no later attempt than its success.
    pub fn present(&self) -> Option<&'a str> {
        let newest = self.newest()?;
        succeeded(newest).then_some(newest.version.as_str())
    }

    /// The newest success of each version that succeeded there, newest first.
    pub fn good(&self) -> Vec<&'a Release> {
        let mut good: Vec<&Release> = Vec::new();
        for release in self.successes() {
            if good.iter().all(|newer| newer.version != release.version) {
                good.push(release);
            }
        }
        good
    }

    /// What can be rolled back to, newest first: the good ones but the present one. The first is where a rollback
    /// without a version goes.
    pub fn choices(&self) -> Vec<&'a Release> {
        let present = self.present();
        let mut choices = self.good();
        choices.retain(|release| Some(release.version.as_str()) != present);
        choices
    }

    fn successes(&self) -> impl Iterator<Item = &'a Release> {
        self.attempts.iter().copied().filter(|release| succeeded(release))
    }
}

fn succeeded(release: &Release) -> bool {
    Outcome::of(&release.outcome) == Outcome::Succeeded
}

/// What came of a release, in words: `1.0.3 failed`.
pub fn came(release: &Release) -> String {
    let version = &release.version;
    match Outcome::of(&release.outcome) {
        Outcome::Succeeded => format!("{version} succeeded"),
        Outcome::Failed => format!("{version} failed"),
        Outcome::Cancelled => format!("{version} was cancelled"),
        Outcome::Unknown => format!("nobody knows how far {version} came"),
    }
}

/// Whose release it is: `by @bob:example.org`, or `recorded by` somebody who says that others deployed it.
pub fn by(release: &Release) -> String {
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
        Past::of(releases).choices().iter().map(|release| release.version.as_str()).collect()
    }

    #[test]
    fn a_rollback_goes_to_the_version_before_the_present_one() {
        let good = |versions: &[&str]| versions.iter().map(|one| release(one, "succeeded")).collect::<Vec<_>>();
        assert_eq!(choices(&good(&["3", "2", "1"])), ["2", "1"]);
        assert_eq!(choices(&good(&["2", "3", "2", "1"])), ["3", "1"], "after a rollback, the one it came from");
        assert_eq!(choices(&good(&["3", "3", "2"])), ["2"], "the same version again is no version before");
        assert_eq!(choices(&good(&["3"])), [""; 0]);
        assert_eq!(choices(&[]), [""; 0]);
    }

    #[test]
    fn after_an_attempt_that_was_no_success_it_goes_to_the_last_good_one() {
        for outcome in ["failed", "cancelled", "unknown", "odd"] {
            let past = [release("3", outcome), release("2", "succeeded"), release("1", "succeeded")];
            assert_eq!(choices(&past), ["2", "1"], "{outcome}");
            let again = [release("2", outcome), release("2", "succeeded"), release("1", "succeeded")];
            assert_eq!(choices(&again), ["2", "1"], "{outcome}: the same version again");
            assert_eq!(Past::of(&again).last_good().map(|good| good.version.as_str()), Some("2"));
            assert_eq!(Past::of(&again).present(), None);
        }
    }

    #[test]
    fn of_a_version_that_succeeded_twice_the_newer_is_meant() {
        let past =
            [release("3", "succeeded"), release("2", "succeeded"), release("3", "failed"), release("2", "succeeded")];
        assert!(std::ptr::eq(Past::of(&past).choices()[0], &past[1]));
        assert_eq!(Past::of(&past).good().len(), 2);
    }

    #[test]
    fn a_recorded_release_says_so() {
        let recorded = Release { recorded: true, ..release("3", "succeeded") };
        assert_eq!(by(&recorded), "recorded by @bob:example.org");
        assert_eq!(by(&release("3", "succeeded")), "by @bob:example.org");
    }
}
