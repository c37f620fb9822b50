//! What a rollback ends with: from which version to which, and what brings the one it came from back.
//!
//! Invariant: pure. A rollback is undone by a rollback only where that leads to the version it came from.

use wardroom_guest::catalog::Release;
use wardroom_guest::{Failure, Reply, typed};
use wardroom_strategy::{Closing, Ended, Past, Target, by, came, undo};

/// The closing line. `past` is what was tried there before.
///
/// # Errors
/// Anything but a success.
pub(crate) fn line(target: &Target, to: &Release, past: &Past<'_>, ended: &Ended) -> Result<Reply, Failure> {
    let environment = target.environment();
    let version = &to.version;
    // An attempt of the same version leads from nowhere else.
    let from = past.newest().filter(|from| from.version != *version);
    let done = match from {
        Some(from) => format!("rolled {environment} back from {} to {version}", from.version),
        None => format!("rolled {environment} back to {version}"),
    };
    let next = match past.present() {
        Some(present) if present == version => "It was there before.".to_owned(),
        Some(_) => undo(target),
        // What was rolled back did not succeed there, so no rollback brings it back.
        None => String::new(),
    };
    let failed = from.filter(|_| past.present().is_none()).map(came);
    let recorded = from.into_iter().chain([to]).filter(|release| release.recorded);
    let recorded = recorded.map(|release| format!("{} was {}, deployed by others", release.version, by(release)));
    let closing = Closing {
        target,
        done,
        aside: failed.into_iter().chain(recorded).collect::<Vec<_>>().join("; "),
        next,
        tried: format!("version {version} back to {environment}"),
        last_good: past.last_good().map(|release| release.version.as_str()),
        again: typed(&["rollback", &target.app, environment, version]),
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

    /// What is said of a rollback to the oldest of these.
    fn said(past: &[Release], outcome: Outcome, reason: &str) -> String {
        let ended = Ended { outcome, reason: reason.into(), took: Some("6 s".into()) };
        match line(&target(), past.last().unwrap(), &Past::of(past), &ended) {
            Ok(reply) => reply.text,
            Err(failure) => format!("{}> {}", failure.code, failure.message),
        }
    }

    fn done(past: &[Release]) -> String {
        said(past, Outcome::Succeeded, "")
    }

    #[test]
    fn a_rollback_is_undone_by_a_rollback() {
        let past = [release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(
            done(&past),
            "Content Management System: rolled staging back from 1.0.3 to 1.0.2 in 6 s. Undo: rollback cms staging"
        );
        let after = [release("1.0.2", "succeeded"), past[0].clone(), past[1].clone()];
        assert_eq!(Past::of(&after).choices()[0].version, "1.0.3", "what the undo leads to");
    }

    #[test]
    fn what_did_not_succeed_cannot_be_brought_back() {
        let past = [release("1.0.3", "failed"), release("1.0.2", "succeeded")];
        assert_eq!(
            done(&past),
            "Content Management System: rolled staging back from 1.0.3 to 1.0.2 in 6 s (1.0.3 failed)."
        );
        let past = [release("1.0.2", "unknown"), release("1.0.2", "succeeded")];
        assert_eq!(done(&past), "Content Management System: rolled staging back to 1.0.2 in 6 s.");
    }

    #[test]
    fn a_version_that_came_there_in_the_meantime_was_there_before() {
        let past = [release("1.0.2", "succeeded"), release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(done(&past), "Content Management System: rolled staging back to 1.0.2 in 6 s. It was there before.");
    }

    #[test]
    fn a_recorded_version_is_said_to_be() {
        let one = "was recorded by @bob:example.org, deployed by others";
        let from = "Content Management System: rolled staging back from 1.0.3 to 1.0.2 in 6 s";
        let undo = "Undo: rollback cms staging";
        assert_eq!(done(&[recorded("1.0.3"), release("1.0.2", "succeeded")]), format!("{from} (1.0.3 {one}). {undo}"));
        assert_eq!(done(&[release("1.0.3", "succeeded"), recorded("1.0.2")]), format!("{from} (1.0.2 {one}). {undo}"));
        assert_eq!(done(&[recorded("1.0.3"), recorded("1.0.2")]), format!("{from} (1.0.3 {one}; 1.0.2 {one}). {undo}"));
    }

    #[test]
    fn a_failure_says_what_is_good_and_how_to_try_again() {
        let past = [release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(
            said(&past, Outcome::Failed, "in step migrate (exit code 3)"),
            "failed> Content Management System: version 1.0.2 back to staging failed after 6 s in step migrate \
             (exit code 3). Last good: 1.0.3. Again: rollback cms staging 1.0.2"
        );
        let after = [release("1.0.2", "failed"), past[0].clone(), past[1].clone()];
        let again = crate::choice::typed_version(&target(), &Past::of(&after), "1.0.2");
        assert_eq!(again.unwrap().version, "1.0.2", "what the line names is taken");
    }
}
