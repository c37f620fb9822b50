//! The closing line of `deploy` and `promote`: the outcome and, after a success, the command that rolls back.
//!
//! Invariant: the functions are pure. The line of a success has the command if another version was deployed before.

use wardroom_guest::{Failure, Reply, command_line};
use wardroom_strategy::{Closing, Ended, Target, undo};

/// Returns the closing line of `deploy`. `before` is the version that succeeded last in the environment.
///
/// # Errors
/// Any outcome but a success becomes a [`Failure`] with the line.
pub(crate) fn line(target: &Target, version: &str, before: Option<&str>, ended: &Ended) -> Result<Reply, Failure> {
    let environment = target.environment();
    let done = format!("deployed version {version} to {environment}");
    let again = command_line(&["deploy", &target.app, environment, version]);
    closing_line(target, version, done, again, before, ended)
}

/// Returns the closing line of `promote` for a version from the environment `from`.
///
/// # Errors
/// Any outcome but a success becomes a [`Failure`] with the line.
pub(crate) fn promoted(
    target: &Target,
    version: &str,
    from: &str,
    before: Option<&str>,
    ended: &Ended,
) -> Result<Reply, Failure> {
    let environment = target.environment();
    let done = format!("promoted version {version} from {from} to {environment}");
    let again = command_line(&["promote", &target.app, environment]);
    closing_line(target, version, done, again, before, ended)
}

fn closing_line(
    target: &Target,
    version: &str,
    done: String,
    again: String,
    before: Option<&str>,
    ended: &Ended,
) -> Result<Reply, Failure> {
    let environment = target.environment();
    let next = match before {
        Some(same) if same == version => "This version was already deployed.".to_owned(),
        Some(_) => undo(target),
        None => format!("This is the first release in {environment}."),
    };
    let closing = Closing {
        target,
        done,
        aside: String::new(),
        next,
        tried: format!("version {version} to {environment}"),
        last_good: before,
        again,
    };
    closing.line(ended)
}

#[cfg(test)]
mod tests {
    use wardroom_guest::catalog::Deployment;
    use wardroom_strategy::Outcome;

    use super::*;

    fn text(version: &str, before: Option<&str>, outcome: Outcome, took: &str) -> String {
        let target = Target {
            app: "cms".into(),
            title: "Content Management System".into(),
            deployment: Deployment {
                environment: "staging".into(),
                strategy: "pipeline".into(),
                pipeline: "cms/staging".into(),
                parameters: vec!["version".into()],
                after: None,
            },
        };
        let reason = "in step migrate (exit code 3)".to_owned();
        match line(&target, version, before, &Ended { outcome, reason, duration: Some(took.to_owned()) }) {
            Ok(reply) => reply.text,
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn a_success_names_the_undo_command_if_the_version_changed() {
        let text = |before| text("1.0.2", before, Outcome::Succeeded, "6 min 1 s");
        let done = "Content Management System: deployed version 1.0.2 to staging in 6 min 1 s.";
        assert_eq!(text(Some("1.0.1")), format!("{done} Undo: \u{f8ff}rollback cms staging"));
        assert_eq!(text(Some("1.0.2")), format!("{done} This version was already deployed."));
        assert_eq!(text(None), format!("{done} This is the first release in staging."));
    }

    #[test]
    fn a_failure_names_the_last_good_version_and_the_retry_command() {
        assert_eq!(
            text("1.0.3", Some("1.0.2"), Outcome::Failed, "41 s"),
            "Content Management System: version 1.0.3 to staging failed after 41 s in step migrate \
             (exit code 3). Last good: 1.0.2. Again: \u{f8ff}deploy cms staging 1.0.3"
        );
    }
}
