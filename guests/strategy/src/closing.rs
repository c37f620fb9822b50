//! The closing line of a deployment: the outcome, the duration and the next command.
//!
//! Invariant: the functions are pure. A person can type each command in a line unchanged.
//! Not here: the text of a success, which is in the plugins (`deploy/src/closing.rs`, `rollback/src/closing.rs`).

use wardroom_guest::{Failure, Reply, code, command_line};

use crate::{Ended, Outcome, Target};

/// The parts of a closing line.
#[derive(Debug, Clone)]
pub struct Closing<'a> {
    /// The target of the deployment. The app's title is the beginning of the line.
    pub target: &'a Target,
    /// The text of a success: `deployed version 1.0.2 to staging`.
    pub done: String,
    /// A note about a success, which the line shows in brackets, for example `1.0.3 failed`; may be empty.
    pub aside: String,
    /// The sentences after the text of a success, for example `Undo: rollback cms staging`; may be empty.
    pub next: String,
    /// The name of the attempt, for the other outcomes: `version 1.0.2 to staging`.
    pub tried: String,
    /// The last version that succeeded in the environment; `None` if no version has succeeded.
    pub last_good: Option<&'a str>,
    /// The command that retries the attempt, for example `deploy cms staging 1.0.2`.
    pub again: String,
}

impl Closing<'_> {
    /// Formats the closing line. Returns a [`Reply`] with the line if the deployment succeeded.
    ///
    /// # Errors
    /// A [`Failure`] with the line if the deployment has any other outcome.
    pub fn line(&self, ended: &Ended) -> Result<Reply, Failure> {
        let Self { tried, again, .. } = self;
        let title = &self.target.title;
        let after = |word: &str| ended.duration.as_ref().map(|took| format!(" {word} {took}")).unwrap_or_default();
        let reason = reason(&ended.reason);
        let next = format!("Last good: {}. Again: {again}", self.last_good.unwrap_or("none"));
        match ended.outcome {
            Outcome::Succeeded => Ok(Reply::new(self.success(&after("in")))),
            Outcome::Failed => {
                Err(Failure::failed(format!("{title}: {tried} failed{}{reason}. {next}", after("after"))))
            }
            Outcome::Cancelled => {
                let reason = if reason == ": cancelled" { "" } else { &reason };
                let message = format!("{title}: {tried} was cancelled{}{reason}. {next}", after("after"));
                Err(Failure::new(code::CANCELLED, message))
            }
            Outcome::Unknown => {
                let message = format!("{title}: the outcome of {tried} is unknown{reason}. {next}");
                Err(Failure::new(code::UNKNOWN, message))
            }
        }
    }

    fn success(&self, took: &str) -> String {
        let mut text = format!("{}: {}{took}", self.target.title, self.done);
        if !self.aside.is_empty() {
            text.push_str(&format!(" ({})", self.aside));
        }
        text.push('.');
        if !self.next.is_empty() {
            text.push_str(&format!(" {}", self.next));
        }
        text
    }
}

/// Returns the sentence with the undo command: `Undo: rollback cms staging`.
pub fn undo(target: &Target) -> String {
    format!("Undo: {}", command_line(&["rollback", &target.app, target.environment()]))
}

/// Formats the reason of a failure for the end of a clause: ` in step migrate (exit code 3)` for a reason that starts
/// with `in`, else the reason after a colon.
fn reason(reason: &str) -> String {
    match reason.trim().trim_end_matches('.') {
        "" => String::new(),
        clause if clause.starts_with("in ") => format!(" {clause}"),
        other => format!(": {other}"),
    }
}

#[cfg(test)]
mod tests {
    use wardroom_guest::catalog::Deployment;

    use super::*;

    fn target() -> Target {
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

    fn text(last_good: Option<&str>, aside: &str, outcome: Outcome, reason: &str, took: Option<&str>) -> String {
        let target = target();
        let closing = Closing {
            target: &target,
            done: "deployed version 1.0.3 to staging".into(),
            aside: aside.into(),
            next: String::new(),
            tried: "version 1.0.3 to staging".into(),
            last_good,
            again: "deploy cms staging 1.0.3".into(),
        };
        let ended = Ended { outcome, reason: reason.into(), duration: took.map(str::to_owned) };
        match closing.line(&ended) {
            Ok(reply) => reply.text,
            Err(failure) => format!("{}> {}", failure.code, failure.message),
        }
    }

    #[test]
    fn a_success_has_the_duration_and_the_note() {
        let text = |aside, took| text(None, aside, Outcome::Succeeded, "ignored", took);
        assert_eq!(text("", Some("2 s")), "Content Management System: deployed version 1.0.3 to staging in 2 s.");
        assert_eq!(
            text("1.0.2 failed", None),
            "Content Management System: deployed version 1.0.3 to staging (1.0.2 failed)."
        );
        assert_eq!(undo(&target()), "Undo: \u{f8ff}rollback cms staging");
    }

    #[test]
    fn a_failure_has_the_step_and_the_retry_command() {
        assert_eq!(
            text(Some("1.0.2"), "", Outcome::Failed, "in step migrate (exit code 3)", Some("41 s")),
            "failed> Content Management System: version 1.0.3 to staging failed after 41 s in step \
             migrate (exit code 3). Last good: 1.0.2. Again: deploy cms staging 1.0.3"
        );
        assert_eq!(
            text(None, "", Outcome::Failed, "timed out after 10 min.", Some("10 min")),
            "failed> Content Management System: version 1.0.3 to staging failed after 10 min: timed \
             out after 10 min. Last good: none. Again: deploy cms staging 1.0.3"
        );
    }

    #[test]
    fn cancelled_and_unknown_outcomes_are_not_reported_as_failures() {
        assert_eq!(
            text(Some("1.0.2"), "", Outcome::Cancelled, "cancelled", Some("3 s")),
            "cancelled> Content Management System: version 1.0.3 to staging was cancelled after 3 s. \
             Last good: 1.0.2. Again: deploy cms staging 1.0.3"
        );
        assert_eq!(
            text(Some("1.0.2"), "", Outcome::Unknown, "the run was interrupted", Some("41 s")),
            "unknown> Content Management System: the outcome of version 1.0.3 to staging is unknown: \
             the run was interrupted. Last good: 1.0.2. Again: deploy cms staging 1.0.3"
        );
    }
}
