//! `promote APP [ENVIRONMENT]`: which version comes where, or why none does.
//!
//! Invariant: what is promoted is what runs in the environment before for certain: no attempt there is newer than its success.
//! Every refusal names a line that can be typed, where there is one.

use wardroom_guest::catalog::{self, App, AppQuery, Deployment};
use wardroom_guest::{Arguments, Failure, Reply, typed};
use wardroom_strategy::{Past, Target, came};

use crate::closing;

/// One environment that comes after another, and what runs in both.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    environment: String,
    before: String,
    /// What runs in the environment before, for certain; or why nobody can say.
    next: Result<String, String>,
    /// What runs in the environment itself, for certain.
    now: Option<String>,
}

/// `promote APP [ENVIRONMENT]`
pub(crate) fn promote(arguments: &Arguments) -> Result<Reply, Failure> {
    let name = arguments.text("app")?;
    let found = catalog::apps(&AppQuery { app: Some(name.to_owned()) })?;
    let app = found.into_iter().find(|app| app.name == name);
    let app = app.ok_or_else(|| Failure::invalid(format!("there is no app `{name}` that you may see")))?;
    let mut steps = Vec::new();
    for (deployment, before) in wanted(&app, arguments.optional("environment"))? {
        steps.push(step(&app, deployment, before, arguments.job())?);
    }
    let (step, version) = choose(&app, &steps, arguments.optional("environment").is_some())?;
    let target = Target::find(name, &step.environment)?;
    let known = target.last_good(arguments.job())?;
    let ended = target.run(version)?;
    // Read again: others may have deployed while this one stood in line.
    let before = target.last_good(arguments.job()).unwrap_or(known);
    closing::promoted(&target, version, &step.before, before.as_deref(), &ended)
}

/// The environments of an app that come after another: the one that was typed, or all.
fn wanted<'a>(app: &'a App, typed: Option<&str>) -> Result<Vec<(&'a Deployment, &'a str)>, Failure> {
    let App { title, deployments, .. } = app;
    let after = deployments.iter().filter_map(|one| Some((one, one.after.as_deref()?)));
    let mut wanted: Vec<(&Deployment, &str)> = after.collect();
    match typed {
        Some(environment) => {
            // Says what is wrong with the place itself, in the words of `deploy`.
            Target::of(app.clone(), environment)?;
            wanted.retain(|(one, _)| one.environment == environment);
            match wanted.is_empty() {
                true => Err(Failure::invalid(format!("{title}: {environment} comes after no environment"))),
                false => Ok(wanted),
            }
        }
        None if wanted.is_empty() => {
            Err(Failure::invalid(format!("{title}: there is nothing to promote: no environment comes after another")))
        }
        None => Ok(wanted),
    }
}

/// What runs in an environment and in the one before it.
fn step(app: &App, deployment: &Deployment, before: &str, job: &str) -> Result<Step, Failure> {
    let there = Target { app: app.name.clone(), title: app.title.clone(), deployment: deployment.clone() };
    let now = there.releases(job)?;
    // Who may not see the environment before does not learn what runs there.
    let next = match Target::of(app.clone(), before) {
        Ok(first) => runs(&app.name, &Past::of(&first.releases(job)?), before, &deployment.environment),
        Err(_) => Err(format!("you may not see what runs in {before}")),
    };
    Ok(Step {
        environment: deployment.environment.clone(),
        before: before.to_owned(),
        next,
        now: Past::of(&now).present().map(str::to_owned),
    })
}

/// What runs somewhere for certain, or why nobody can say.
fn runs(app: &str, past: &Past<'_>, before: &str, environment: &str) -> Result<String, String> {
    match (past.present(), past.newest(), past.last_good()) {
        (Some(version), _, _) => Ok(version.to_owned()),
        (None, None, _) => Err(format!("nothing runs in {before} yet")),
        (None, Some(newest), None) => Err(format!("{} in {before}, and no version has succeeded there", came(newest))),
        (None, Some(newest), Some(good)) => Err(format!(
            "{} in {before}. To take the last good one: {}",
            came(newest),
            typed(&["deploy", app, environment, &good.version])
        )),
    }
}

/// The one step to take, with its version.
fn choose<'a>(app: &App, steps: &'a [Step], typed_one: bool) -> Result<(&'a Step, &'a str), Failure> {
    let title = &app.title;
    let ready = steps.iter().filter_map(|step| Some((step, step.next.as_deref().ok()?)));
    let mut open: Vec<(&Step, &str)> = ready.filter(|(step, next)| step.now.as_deref() != Some(next)).collect();
    match (open.len(), open.pop()) {
        (1, Some(one)) => Ok(one),
        (0, _) | (_, None) => {
            let why = steps.iter().map(|step| match &step.next {
                Ok(version) => format!("{} runs {version}, as {} does", step.environment, step.before),
                Err(why) => why.clone(),
            });
            let why = why.collect::<Vec<_>>().join("; ");
            let to = steps.first().filter(|_| typed_one).map(|step| format!(" to {}", step.environment));
            Err(Failure::invalid(format!("{title}: there is nothing to promote{}: {why}", to.unwrap_or_default())))
        }
        (_, Some(last)) => {
            open.push(last);
            let lines = open.iter().map(|(step, next)| {
                format!("{} ({next} from {})", typed(&["promote", &app.name, &step.environment]), step.before)
            });
            Err(Failure::invalid(format!("{title}: to which environment? {}", lines.collect::<Vec<_>>().join(", "))))
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

    fn chosen(steps: &[Step], typed_one: bool) -> Result<(String, String), String> {
        choose(&line(), steps, typed_one)
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
    fn the_one_that_is_behind_is_meant() {
        let staging = || step("staging", "test", Ok("2"), Some("2"));
        let production = |now| step("production", "staging", Ok("2"), now);
        assert_eq!(chosen(&[staging(), production(Some("1"))], false), Ok(("production".into(), "2".into())));
        assert_eq!(chosen(&[staging(), production(None)], false), Ok(("production".into(), "2".into())));
        let lost = step("staging", "test", Err("nothing runs in test yet"), None);
        assert_eq!(chosen(&[lost, production(None)], false), Ok(("production".into(), "2".into())));
    }

    #[test]
    fn of_several_it_asks_which() {
        let steps = [step("staging", "test", Ok("3"), Some("2")), step("production", "staging", Ok("2"), None)];
        assert_eq!(
            chosen(&steps, false),
            Err("Content Management System: to which environment? promote cms staging (3 from test), \
                 promote cms production (2 from staging)"
                .into())
        );
        assert_eq!(chosen(&steps[1..], true), Ok(("production".into(), "2".into())));
    }

    #[test]
    fn where_there_is_nothing_to_promote_it_says_why() {
        let steps = [step("production", "staging", Ok("2"), Some("2"))];
        let nothing = "Content Management System: there is nothing to promote";
        let why = "production runs 2, as staging does";
        assert_eq!(chosen(&steps, true), Err(format!("{nothing} to production: {why}")));
        assert_eq!(chosen(&steps, false), Err(format!("{nothing}: {why}")));
        let steps = [step("production", "staging", Err("nothing runs in staging yet"), None)];
        assert_eq!(chosen(&steps, false), Err(format!("{nothing}: nothing runs in staging yet")));
    }

    #[test]
    fn only_what_runs_for_certain_is_promoted() {
        let runs = |past: &[Release]| runs("cms", &Past::of(past), "staging", "production");
        assert_eq!(runs(&[release("2", "succeeded"), release("3", "failed")]), Ok("2".into()));
        assert_eq!(runs(&[]), Err("nothing runs in staging yet".into()));
        assert_eq!(
            runs(&[release("3", "failed")]),
            Err("3 failed in staging, and no version has succeeded there".into())
        );
        assert_eq!(
            runs(&[release("3", "unknown"), release("2", "succeeded")]),
            Err("nobody knows how far 3 came in staging. To take the last good one: deploy cms production 2".into())
        );
    }

    #[test]
    fn only_environments_that_come_after_another_can_be_meant() {
        let names = |app: &App, typed: Option<&str>| -> Result<Vec<String>, String> {
            let wanted = wanted(app, typed).map_err(|failure| failure.message)?;
            Ok(wanted.iter().map(|(one, before)| format!("{before} {}", one.environment)).collect())
        };
        assert_eq!(names(&line(), None), Ok(vec!["test staging".into(), "staging production".into()]));
        assert_eq!(names(&line(), Some("production")), Ok(vec!["staging production".into()]));
        assert_eq!(
            names(&line(), Some("test")),
            Err("Content Management System: test comes after no environment".into())
        );
        assert!(names(&line(), Some("qa")).unwrap_err().contains("is not deployed to `qa`"));
        assert_eq!(
            names(&cms(&[("test", None)]), None),
            Err("Content Management System: there is nothing to promote: no environment comes after another".into())
        );
    }
}
