//! The one line that a deployment ends with: what happened, how long it took, what to type next.
//!
//! Invariant: pure. Every line names a command that is valid as it stands.

use wardroom_guest::{Failure, Reply, code, typed};
use wardroom_strategy::{Ended, Outcome, Target};

/// The closing line. `before` is the version that had succeeded there last.
///
/// # Errors
/// Anything but a success.
pub(crate) fn line(target: &Target, version: &str, before: Option<&str>, ended: &Ended) -> Result<Reply, Failure> {
    let Target { app, title, .. } = target;
    let environment = target.environment();
    let command = |version: &str| typed(&["deploy", app, environment, version]);
    let after = |word: &str| ended.took.as_ref().map(|took| format!(" {word} {took}")).unwrap_or_default();
    let reason = reason(&ended.reason);
    let next = format!("Last good: {}. Again: {}", before.unwrap_or("none"), command(version));
    match ended.outcome {
        Outcome::Succeeded => {
            let last = match before {
                Some(same) if same == version => "It was there before.".to_owned(),
                Some(other) => format!("Before: {other}. Undo: {}", command(other)),
                None => "First release there.".to_owned(),
            };
            let after = after("in");
            Ok(Reply::new(format!("{title}: deployed version {version} to {environment}{after}. {last}")))
        }
        Outcome::Failed => {
            let after = after("after");
            Err(Failure::failed(format!("{title}: version {version} to {environment} failed{after}{reason}. {next}")))
        }
        Outcome::Cancelled => {
            let after = after("after");
            let reason = if reason == ": cancelled" { "" } else { &reason };
            let message = format!("{title}: version {version} to {environment} was cancelled{after}{reason}. {next}");
            Err(Failure::new(code::CANCELLED, message))
        }
        Outcome::Unknown => {
            let message =
                format!("{title}: nobody knows how far version {version} to {environment} came{reason}. {next}");
            Err(Failure::new(code::UNKNOWN, message))
        }
    }
}

/// A reason that reads on (`in step migrate (exit code 3)`) follows as it is, another one after a colon.
fn reason(reason: &str) -> String {
    match reason.trim().trim_end_matches('.') {
        "" => String::new(),
        reads_on if reads_on.starts_with("in ") => format!(" {reads_on}"),
        other => format!(": {other}"),
    }
}

#[cfg(test)]
mod tests {
    use wardroom_guest::catalog::Deployment;

    use super::*;

    fn said(version: &str, before: Option<&str>, outcome: Outcome, reason: &str, took: Option<&str>) -> String {
        let target = Target {
            app: "cms".into(),
            title: "Content Management System".into(),
            deployment: Deployment {
                environment: "staging".into(),
                strategy: "pipeline".into(),
                pipeline: "cms/staging".into(),
                parameters: vec!["version".into()],
            },
        };
        let ended = Ended { outcome, reason: reason.into(), took: took.map(str::to_owned) };
        match line(&target, version, before, &ended) {
            Ok(reply) => reply.text,
            Err(failure) => format!("{}> {}", failure.code, failure.message),
        }
    }

    #[test]
    fn a_success_says_how_to_undo_it() {
        let said = |before| said("1.0.2", before, Outcome::Succeeded, "", Some("2 s"));
        let done = "Content Management System: deployed version 1.0.2 to staging in 2 s.";
        assert_eq!(said(Some("1.0.1")), format!("{done} Before: 1.0.1. Undo: deploy cms staging 1.0.1"));
        assert_eq!(said(Some("1.0.2")), format!("{done} It was there before."));
        assert_eq!(said(None), format!("{done} First release there."));
    }

    #[test]
    fn a_failure_says_where_and_how_to_try_again() {
        assert_eq!(
            said("1.0.3", Some("1.0.2"), Outcome::Failed, "in step migrate (exit code 3)", Some("41 s")),
            "failed> Content Management System: version 1.0.3 to staging failed after 41 s in step migrate \
             (exit code 3). Last good: 1.0.2. Again: deploy cms staging 1.0.3"
        );
        assert_eq!(
            said("1.0.3", None, Outcome::Failed, "timed out after 10 min.", Some("10 min")),
            "failed> Content Management System: version 1.0.3 to staging failed after 10 min: timed out after 10 min. \
             Last good: none. Again: deploy cms staging 1.0.3"
        );
    }

    #[test]
    fn what_was_called_off_or_lost_is_never_called_failed() {
        assert_eq!(
            said("1.0.3", Some("1.0.2"), Outcome::Cancelled, "cancelled", Some("3 s")),
            "cancelled> Content Management System: version 1.0.3 to staging was cancelled after 3 s. Last good: 1.0.2. \
             Again: deploy cms staging 1.0.3"
        );
        assert_eq!(
            said("1.0.3", Some("1.0.2"), Outcome::Unknown, "the run was interrupted", Some("41 s")),
            "unknown> Content Management System: nobody knows how far version 1.0.3 to staging came: \
             the run was interrupted. Last good: 1.0.2. Again: deploy cms staging 1.0.3"
        );
    }
}
