//! `promote APP [ENVIRONMENT]`: selects an environment and deploys the version of the previous environment to it.
//!
//! The previous environment is the one to which a version must be deployed successfully first (`after` in
//! `plugins.toml`).
//!
//! Invariant: the newest attempt to deploy to the previous environment succeeded, with the promoted version.

use wardroom_guest::catalog::{self, App, AppQuery, Deployment};
use wardroom_guest::{Arguments, Failure, Reply, command_line};
use wardroom_strategy::{History, Target, outcome};

use crate::closing;

/// An environment with its previous environment, and the versions in both.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    environment: String,
    /// The previous environment.
    before: String,
    /// The version that runs in the previous environment, or the reason why this version is not certain.
    next: Result<String, String>,
    /// The version that runs in `environment`; `None` if this version is not certain.
    now: Option<String>,
}

/// Runs `promote APP [ENVIRONMENT]`.
pub(crate) fn promote(arguments: &Arguments) -> Result<Reply, Failure> {
    let name = arguments.text("app")?;
    let found = catalog::apps(&AppQuery { app: Some(name.to_owned()) })?;
    let app = found.into_iter().find(|app| app.name == name);
    let app = app.ok_or_else(|| Failure::invalid(format!("the app `{name}` does not exist or you may not see it")))?;
    let mut steps = Vec::new();
    for (deployment, before) in wanted(&app, arguments.optional("environment"))? {
        steps.push(step(&app, deployment, before, arguments.job())?);
    }
    let (step, version) = choose(&app, &steps, arguments.optional("environment").is_some())?;
    let target = Target::find(name, &step.environment)?;
    let before_lock = target.last_good(arguments.job())?;
    let ended = target.run(version)?;
    // Read the last good version again: other jobs may have deployed while this job waited for the lock.
    let before = target.last_good(arguments.job()).unwrap_or(before_lock);
    closing::promoted(&target, version, &step.before, before.as_deref(), &ended)
}

/// Returns the deployment to the typed environment, or to all environments of the app, each with the name of its
/// previous environment. Leaves out environments without a previous environment.
///
/// # Errors
/// `invalid` if no deployment is left.
fn wanted<'a>(app: &'a App, typed: Option<&str>) -> Result<Vec<(&'a Deployment, &'a str)>, Failure> {
    let App { title, deployments, .. } = app;
    let after = deployments.iter().filter_map(|one| Some((one, one.after.as_deref()?)));
    let mut wanted: Vec<(&Deployment, &str)> = after.collect();
    match typed {
        Some(environment) => {
            // Fails with the message of `deploy` if the app has no such environment.
            Target::of(app.clone(), environment)?;
            wanted.retain(|(one, _)| one.environment == environment);
            match wanted.is_empty() {
                true => Err(Failure::invalid(format!(
                    "{title}: {environment} has no previous environment to promote from; deploy a version instead: {}",
                    command_line(&["deploy", &app.name, environment, "VERSION"])
                ))),
                false => Ok(wanted),
            }
        }
        None if wanted.is_empty() => Err(Failure::invalid(format!(
            "{title}: there is nothing to promote: no environment has a previous environment (`after` in \
             `plugins.toml`)"
        ))),
        None => Ok(wanted),
    }
}

/// Reads the versions of an environment and of its previous environment `before`.
fn step(app: &App, deployment: &Deployment, before: &str, job: &str) -> Result<Step, Failure> {
    let target = Target { app: app.name.clone(), title: app.title.clone(), deployment: deployment.clone() };
    let now = target.releases(job)?;
    // If the caller may not see the previous environment, its version must not appear in a message.
    let next = match Target::of(app.clone(), before) {
        Ok(first) => runs(&app.name, &History::of(&first.releases(job)?), before, &deployment.environment),
        Err(_) => Err(format!("you may not see the version in {before}")),
    };
    Ok(Step {
        environment: deployment.environment.clone(),
        before: before.to_owned(),
        next,
        now: History::of(&now).current().map(str::to_owned),
    })
}

/// Returns the version that runs in the environment `before`, from its attempts `past`. `environment` is the
/// environment to promote to.
///
/// # Errors
/// The reason why the running version is not certain, in one line.
fn runs(app: &str, past: &History<'_>, before: &str, environment: &str) -> Result<String, String> {
    match (past.current(), past.newest(), past.last_good()) {
        (Some(version), _, _) => Ok(version.to_owned()),
        (None, None, _) => Err(format!("nothing has been deployed to {before} yet")),
        (None, Some(newest), None) => {
            Err(format!("{} in {before}, and no version was ever deployed successfully to {before}", outcome(newest)))
        }
        (None, Some(newest), Some(good)) => Err(format!(
            "{} in {before}. To deploy the last good version: {}",
            outcome(newest),
            command_line(&["deploy", app, environment, &good.version])
        )),
    }
}

/// Selects the environment to promote to: the only one that runs another version than its previous environment. Returns
/// its step and the version to promote. `one_typed` is true if the person typed the environment.
///
/// # Errors
/// `invalid` if no step or several steps have a version to promote.
fn choose<'a>(app: &App, steps: &'a [Step], one_typed: bool) -> Result<(&'a Step, &'a str), Failure> {
    let title = &app.title;
    let ready = steps.iter().filter_map(|step| Some((step, step.next.as_deref().ok()?)));
    let mut open: Vec<(&Step, &str)> = ready.filter(|(step, next)| step.now.as_deref() != Some(next)).collect();
    match (open.len(), open.pop()) {
        (1, Some(one)) => Ok(one),
        (0, _) | (_, None) => {
            let why = steps.iter().map(|step| match &step.next {
                Ok(version) => format!("{} already runs {version}, the version of {}", step.environment, step.before),
                Err(why) => why.clone(),
            });
            let why = why.collect::<Vec<_>>().join("; ");
            let to = steps.first().filter(|_| one_typed).map(|step| format!(" to {}", step.environment));
            Err(Failure::invalid(format!("{title}: there is nothing to promote{}: {why}", to.unwrap_or_default())))
        }
        (_, Some(last)) => {
            open.push(last);
            let lines = open.iter().map(|(step, next)| {
                format!("{} ({next} from {})", command_line(&["promote", &app.name, &step.environment]), step.before)
            });
            Err(Failure::invalid(format!(
                "{title}: several environments have a version to promote. Type one of: {}",
                lines.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use wardroom_guest::catalog::Release;
    use wardroom_guest::{Instant, Person};

    use super::*;

    fn cms(order: &[(&str, Option<&str>)]) -> App {
        let deployment = |(environment, after): &(&str, Option<&str>)| Deployment {
            environment: (*environment).into(),
            strategy: "pipeline".into(),
            pipeline: format!("cms/{environment}"),
            parameters: vec!["version".into()],
            after: after.map(str::to_owned),
        };
        let deployments = order.iter().map(deployment).collect();
        App { name: "cms".into(), title: "Content Management System".into(), deployments }
    }

    fn line() -> App {
        cms(&[("test", None), ("staging", Some("test")), ("production", Some("staging"))])
    }

    fn step(environment: &str, before: &str, next: Result<&str, &str>, now: Option<&str>) -> Step {
        Step {
            environment: environment.into(),
            before: before.into(),
            next: next.map(str::to_owned).map_err(str::to_owned),
            now: now.map(str::to_owned),
        }
    }

    fn chosen(steps: &[Step], one_typed: bool) -> Result<(String, String), String> {
        choose(&line(), steps, one_typed)
            .map(|(step, version)| (step.environment.clone(), version.to_owned()))
            .map_err(|failure| failure.message)
    }

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

    #[test]
    fn without_an_environment_the_only_one_with_a_version_to_promote_is_selected() {
        let staging = || step("staging", "test", Ok("2"), Some("2"));
        let production = |now| step("production", "staging", Ok("2"), now);
        assert_eq!(chosen(&[staging(), production(Some("1"))], false), Ok(("production".into(), "2".into())));
        assert_eq!(chosen(&[staging(), production(None)], false), Ok(("production".into(), "2".into())));
        let uncertain = step("staging", "test", Err("nothing has been deployed to test yet"), None);
        assert_eq!(chosen(&[uncertain, production(None)], false), Ok(("production".into(), "2".into())));
    }

    #[test]
    fn several_environments_with_a_version_to_promote_are_listed() {
        let steps = [step("staging", "test", Ok("3"), Some("2")), step("production", "staging", Ok("2"), None)];
        assert_eq!(
            chosen(&steps, false),
            Err("Content Management System: several environments have a version to promote. Type one of: \
                 \u{f8ff}promote cms staging (3 from test), \u{f8ff}promote cms production (2 from staging)"
                .into())
        );
        assert_eq!(chosen(&steps[1..], true), Ok(("production".into(), "2".into())));
    }

    #[test]
    fn a_refusal_says_why_there_is_nothing_to_promote() {
        let steps = [step("production", "staging", Ok("2"), Some("2"))];
        let nothing = "Content Management System: there is nothing to promote";
        let why = "production already runs 2, the version of staging";
        assert_eq!(chosen(&steps, true), Err(format!("{nothing} to production: {why}")));
        assert_eq!(chosen(&steps, false), Err(format!("{nothing}: {why}")));
        let steps = [step("production", "staging", Err("nothing has been deployed to staging yet"), None)];
        assert_eq!(chosen(&steps, false), Err(format!("{nothing}: nothing has been deployed to staging yet")));
    }

    #[test]
    fn only_a_version_that_is_certain_to_run_is_promoted() {
        let runs = |past: &[Release]| runs("cms", &History::of(past), "staging", "production");
        assert_eq!(runs(&[release("2", "succeeded"), release("3", "failed")]), Ok("2".into()));
        assert_eq!(runs(&[]), Err("nothing has been deployed to staging yet".into()));
        assert_eq!(
            runs(&[release("3", "failed")]),
            Err("3 failed in staging, and no version was ever deployed successfully to staging".into())
        );
        assert_eq!(
            runs(&[release("3", "unknown"), release("2", "succeeded")]),
            Err(
                "3 has an unknown outcome in staging. To deploy the last good version: \u{f8ff}deploy cms production 2"
                    .into()
            )
        );
    }

    #[test]
    fn only_environments_with_a_previous_one_are_selected() {
        let names = |app: &App, typed: Option<&str>| -> Result<Vec<String>, String> {
            let wanted = wanted(app, typed).map_err(|failure| failure.message)?;
            Ok(wanted.iter().map(|(one, before)| format!("{before} {}", one.environment)).collect())
        };
        assert_eq!(names(&line(), None), Ok(vec!["test staging".into(), "staging production".into()]));
        assert_eq!(names(&line(), Some("production")), Ok(vec!["staging production".into()]));
        assert_eq!(
            names(&line(), Some("test")),
            Err("Content Management System: test has no previous environment to promote from; deploy a version \
                 instead: \u{f8ff}deploy cms test VERSION"
                .into())
        );
        assert!(names(&line(), Some("qa")).unwrap_err().contains("is not deployed to `qa`"));
        assert_eq!(
            names(&cms(&[("test", None)]), None),
            Err("Content Management System: there is nothing to promote: no environment has a previous environment \
                 (`after` in `plugins.toml`)"
                .into())
        );
    }
}
