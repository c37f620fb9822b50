//! The strategy `pipeline`: deploys a version with one run of the target's pipeline.

use wardroom_guest::chat::Message;
use wardroom_guest::pipelines::{Ready, Request, WaitError};
use wardroom_guest::{Entry, Error, Failure, chat, code, elapsed, pipelines, wait_for};

use crate::{Ended, Outcome, Target};

/// Starts the target's pipeline with a version and waits until the pipeline run ends.
pub(crate) fn run(target: &Target, version: &str) -> Result<Ended, Failure> {
    let request = Request { pipeline: target.deployment.pipeline.clone(), parameters: parameters(target, version)? };
    let run = match pipelines::trigger(&request) {
        Ok(run) => run,
        Err(error) => return not_started(target, version, error),
    };
    // Ignore the error: a failed update of the status card must not fail the deployment.
    let _ = chat::stage(&Message { text: format!("{} is running", request.pipeline) });
    Ok(ended(wait_for(&run)))
}

/// Returns the values of the parameters `version`, `app` and `environment`, without the parameters that the pipeline
/// does not take.
///
/// # Errors
/// `invalid` if the pipeline does not take the parameter `version`.
fn parameters(target: &Target, version: &str) -> Result<Vec<Entry>, Failure> {
    let known = [("version", version), ("app", target.app.as_str()), ("environment", target.environment())];
    let taken = |name: &str| target.deployment.parameters.iter().any(|parameter| parameter == name);
    if !taken("version") {
        // The pipeline would deploy another version than the closing line reports.
        return Err(Failure::invalid(format!(
            "the pipeline `{}` has no parameter `version`, so it cannot deploy the typed version; add `version` to the \
             `parameters` of the pipeline in `plugins.toml`",
            target.deployment.pipeline
        )));
    }
    let given = known.into_iter().filter(|(name, _)| taken(name));
    Ok(given.map(|(name, value)| Entry { name: name.to_owned(), value: value.to_owned() }).collect())
}

/// Converts an error of `pipelines.trigger` to the failure of the command. If it is not known whether the pipeline run
/// was started, returns an attempt with an unknown outcome instead.
fn not_started(target: &Target, version: &str, error: Error) -> Result<Ended, Failure> {
    let denied = matches!(error, Error::Denied(_));
    let failure = Failure::from(error);
    if denied {
        return Err(failure);
    }
    if failure.code == code::UNKNOWN {
        return Ok(Ended { outcome: Outcome::Unknown, reason: failure.message, duration: None });
    }
    let message = format!(
        "{}: the deployment of version {version} to {} did not start: {}",
        target.title,
        target.environment(),
        failure.message
    );
    Err(Failure { message, ..failure })
}

fn ended(waited: Result<Ready, WaitError>) -> Ended {
    match waited {
        Ok(ready) => Ended {
            outcome: Outcome::of(&ready.outcome),
            duration: Some(elapsed(ready.started, ready.ended)),
            reason: ready.message,
        },
        Err(WaitError::Cancelled) => Ended { outcome: Outcome::Cancelled, reason: String::new(), duration: None },
        // The run may still continue, but the plugin does not receive its end.
        Err(error) => Ended { outcome: Outcome::Unknown, reason: Failure::from(error).message, duration: None },
    }
}

#[cfg(test)]
mod tests {
    use wardroom_guest::catalog::Deployment;
    use wardroom_guest::{Denial, Instant, Problem};

    use super::*;

    fn target(parameters: &[&str]) -> Target {
        Target {
            app: "cms".into(),
            title: "Content Management System".into(),
            deployment: Deployment {
                environment: "staging".into(),
                strategy: "pipeline".into(),
                pipeline: "cms/staging".into(),
                parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
                after: None,
            },
        }
    }

    #[test]
    fn a_pipeline_gets_exactly_the_parameters_that_it_takes() {
        let given = parameters(&target(&["color", "environment", "version"]), "1.0.2").unwrap();
        let given = given.iter().map(|entry| (entry.name.as_str(), entry.value.as_str()));
        assert_eq!(given.collect::<Vec<_>>(), [("version", "1.0.2"), ("environment", "staging")]);
    }

    #[test]
    fn a_pipeline_without_a_version_parameter_is_not_started() {
        let failure = parameters(&target(&["app"]), "1.0.2").unwrap_err();
        assert_eq!(failure.code, "invalid");
    }

    #[test]
    fn a_denial_keeps_its_message_and_a_problem_gets_the_target() {
        let denial = Denial { reason: "grant".into(), message: "no rule of `deploy` allows it".into() };
        let failure = not_started(&target(&[]), "1.0.2", Error::Denied(denial)).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("denied", "no rule of `deploy` allows it"));

        let problem = Problem { code: "unavailable".into(), message: "`ci` does not answer".into() };
        let failure = not_started(&target(&[]), "1.0.2", Error::Other(problem)).unwrap_err();
        assert_eq!(
            failure.message,
            "Content Management System: the deployment of version 1.0.2 to staging did not start: `ci` does not answer"
        );
    }

    #[test]
    fn an_unknown_start_has_an_unknown_outcome() {
        let problem = Problem { code: "unknown".into(), message: "`ci` does not answer".into() };
        let end = not_started(&target(&[]), "1.0.2", Error::Other(problem)).unwrap();
        assert_eq!((end.outcome, end.reason.as_str()), (Outcome::Unknown, "`ci` does not answer"));
    }

    #[test]
    fn an_end_that_was_not_observed_has_an_unknown_outcome() {
        let problem = Problem { code: "unavailable".into(), message: "`ci` does not answer".into() };
        assert_eq!(ended(Err(WaitError::Other(problem))).outcome, Outcome::Unknown);
        assert_eq!(ended(Err(WaitError::Cancelled)).outcome, Outcome::Cancelled);

        let ready = Ready {
            kind: "run".into(),
            id: "r1".into(),
            outcome: "skipped".into(),
            message: String::new(),
            started: Instant { unix_ms: 1000 },
            ended: Instant { unix_ms: 3000 },
            details: Vec::new(),
        };
        let end = ended(Ok(ready));
        assert_eq!(
            (end.outcome, end.duration.as_deref()),
            (Outcome::Unknown, Some("2 s")),
            "an outcome of a newer contract"
        );
    }
}
