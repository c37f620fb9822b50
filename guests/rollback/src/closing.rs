//! The closing line of a rollback: the version before and the version after the rollback, and the command that undoes
//! the rollback.
//!
//! Invariant: the functions are pure. The line has an undo command only if that command restores the version before the
//! rollback.

use wardroom_guest::catalog::Release;
use wardroom_guest::{Failure, Reply, command_line};
use wardroom_strategy::{Closing, Ended, History, Target, attribution, outcome, undo};

/// Returns the closing line of a rollback to the release `to`. `past` has the attempts of other jobs in the
/// environment.
///
/// # Errors
/// Any outcome but a success becomes a [`Failure`] with the line.
pub(crate) fn line(target: &Target, to: &Release, past: &History<'_>, ended: &Ended) -> Result<Reply, Failure> {
    let environment = target.environment();
    let version = &to.version;
    // If the newest attempt has the same version, the line names only one version.
    let from = past.newest().filter(|from| from.version != *version);
    let done = match from {
        Some(from) => format!("rolled {environment} back from {} to {version}", from.version),
        None => format!("rolled {environment} back to {version}"),
    };
    let next = match past.current() {
        Some(current) if current == version => "This version was already deployed.".to_owned(),
        Some(_) => undo(target),
        // The newest attempt did not succeed, so a rollback cannot restore its version.
        None => String::new(),
    };
    let failed = from.filter(|_| past.current().is_none()).map(outcome);
    let recorded = from.into_iter().chain([to]).filter(|release| release.recorded);
    let recorded =
        recorded.map(|release| format!("{} was deployed by others and {}", release.version, attribution(release)));
    let closing = Closing {
        target,
        done,
        aside: failed.into_iter().chain(recorded).collect::<Vec<_>>().join("; "),
        next,
        tried: format!("the rollback of {environment} to version {version}"),
        last_good: past.last_good().map(|release| release.version.as_str()),
        again: command_line(&["rollback", &target.app, environment, version]),
    };
    closing.line(ended)
}

#[cfg(test)]
pub(crate) mod tests {
    use wardroom_guest::catalog::Deployment;
    use wardroom_guest::{Instant, Person};
    use wardroom_strategy::Outcome;

    use super::*;

    pub(crate) fn target() -> Target {
        Target {
            app: "cms".into(),
            title: "Content Management System".into(),
            deployment: Deployment {
                environment: "staging".into(),
                strategy: "pipeline".into(),
                pipeline: "cms/staging".into(),
                parameters: vec!["version".into()],
                after: None,
            },
        }
    }

    pub(crate) fn release(version: &str, outcome: &str) -> Release {
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

    fn recorded(version: &str) -> Release {
        Release { recorded: true, job: String::new(), ..release(version, "succeeded") }
    }

    /// Returns the closing line of a rollback to the oldest release of `past`.
    fn text(past: &[Release], outcome: Outcome, reason: &str) -> String {
        let ended = Ended { outcome, reason: reason.into(), duration: Some("6 s".into()) };
        match line(&target(), past.last().unwrap(), &History::of(past), &ended) {
            Ok(reply) => reply.text,
            Err(failure) => format!("{}> {}", failure.code, failure.message),
        }
    }

    fn done(past: &[Release]) -> String {
        text(past, Outcome::Succeeded, "")
    }

    #[test]
    fn a_rollback_names_a_rollback_as_its_undo_command() {
        let past = [release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(
            done(&past),
            "Content Management System: rolled staging back from 1.0.3 to 1.0.2 in 6 s. Undo: \u{f8ff}rollback cms staging"
        );
        let after = [release("1.0.2", "succeeded"), past[0].clone(), past[1].clone()];
        assert_eq!(History::of(&after).choices()[0].version, "1.0.3", "the version that the undo command selects");
    }

    #[test]
    fn a_rollback_from_a_failed_version_has_no_undo_command() {
        let past = [release("1.0.3", "failed"), release("1.0.2", "succeeded")];
        assert_eq!(
            done(&past),
            "Content Management System: rolled staging back from 1.0.3 to 1.0.2 in 6 s (1.0.3 failed)."
        );
        let past = [release("1.0.2", "unknown"), release("1.0.2", "succeeded")];
        assert_eq!(done(&past), "Content Management System: rolled staging back to 1.0.2 in 6 s.");
    }

    #[test]
    fn a_version_that_was_deployed_in_the_meantime_is_reported_as_unchanged() {
        let past = [release("1.0.2", "succeeded"), release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(
            done(&past),
            "Content Management System: rolled staging back to 1.0.2 in 6 s. This version was already deployed."
        );
    }

    #[test]
    fn recorded_versions_are_labelled() {
        let one = "was deployed by others and recorded by @bob:example.org";
        let from = "Content Management System: rolled staging back from 1.0.3 to 1.0.2 in 6 s";
        let undo = "Undo: \u{f8ff}rollback cms staging";
        assert_eq!(done(&[recorded("1.0.3"), release("1.0.2", "succeeded")]), format!("{from} (1.0.3 {one}). {undo}"));
        assert_eq!(done(&[release("1.0.3", "succeeded"), recorded("1.0.2")]), format!("{from} (1.0.2 {one}). {undo}"));
        assert_eq!(done(&[recorded("1.0.3"), recorded("1.0.2")]), format!("{from} (1.0.3 {one}; 1.0.2 {one}). {undo}"));
    }

    #[test]
    fn a_failure_names_the_last_good_version_and_the_retry_command() {
        let past = [release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(
            text(&past, Outcome::Failed, "in step migrate (exit code 3)"),
            "failed> Content Management System: the rollback of staging to version 1.0.2 failed after 6 s in step \
             migrate (exit code 3). Last good: 1.0.3. Again: \u{f8ff}rollback cms staging 1.0.2"
        );
        let after = [release("1.0.2", "failed"), past[0].clone(), past[1].clone()];
        let again = crate::choice::typed_version(&target(), &History::of(&after), "1.0.2");
        assert_eq!(again.unwrap().version, "1.0.2", "the retry command is accepted");
    }
}
