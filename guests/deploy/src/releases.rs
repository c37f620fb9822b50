//! The commands `where` and `history`, which show the releases of the catalog as text.
//!
//! Invariant: `where` also shows environments without a success, and attempts that are newer than the last success. A
//! truncated listing ends with a note. `history` marks exactly the releases that `rollback` accepts.

use wardroom_guest::catalog::{self, App, AppQuery, Release, ReleaseQuery};
use wardroom_guest::{Arguments, Failure, Reply, elapsed, moment};
use wardroom_strategy::{History, MAX_RELEASES, Outcome, attribution, outcome};

/// The maximum number of lines of `history`.
const MAX_SHOWN: usize = 20;

/// Runs `where [APP]`.
pub(crate) fn newest(arguments: &Arguments) -> Result<Reply, Failure> {
    let typed = arguments.optional("app");
    let apps = apps(typed)?;
    let good = latest(typed, Some("succeeded"))?;
    let last = latest(typed, None)?;
    if good.len() < MAX_RELEASES as usize && last.len() < MAX_RELEASES as usize {
        let blocks = apps.iter().map(|app| block(app, &good, &last));
        return Ok(Reply::new(blocks.collect::<Vec<_>>().join("\n")));
    }
    // A result with the maximum number of releases may be truncated, so query each app separately.
    let mut blocks = Vec::new();
    for app in &apps {
        let good = latest(Some(&app.name), Some("succeeded"))?;
        let last = latest(Some(&app.name), None)?;
        blocks.push(block(app, &good, &last));
    }
    Ok(Reply::new(blocks.join("\n")))
}

/// Runs `history APP [ENVIRONMENT]`.
pub(crate) fn history(arguments: &Arguments) -> Result<Reply, Failure> {
    let environment = arguments.optional("environment");
    let mut listings = Vec::new();
    for app in apps(Some(arguments.text("app")?))? {
        listings.push(listing(&app, environment, &past(&app, environment)?));
    }
    Ok(Reply::new(listings.join("\n")))
}

fn past(app: &App, environment: Option<&str>) -> Result<Vec<Release>, Failure> {
    Ok(catalog::releases(&ReleaseQuery {
        app: Some(app.name.clone()),
        environment: environment.map(str::to_owned),
        version: None,
        outcome: None,
        latest: false,
        // Read one more than the maximum to detect that the history is longer.
        limit: MAX_SHOWN as u32 + 1,
    })?)
}

/// Returns the typed app, or all apps that the caller may see.
fn apps(app: Option<&str>) -> Result<Vec<App>, Failure> {
    let apps = catalog::apps(&AppQuery { app: app.map(str::to_owned) })?;
    match (apps.is_empty(), app) {
        (false, _) => Ok(apps),
        (true, Some(app)) => Err(Failure::invalid(format!("the app `{app}` does not exist or you may not see it"))),
        (true, None) => Err(Failure::invalid("there are no apps that you may see")),
    }
}

fn latest(app: Option<&str>, outcome: Option<&str>) -> Result<Vec<Release>, Failure> {
    Ok(catalog::releases(&ReleaseQuery {
        app: app.map(str::to_owned),
        environment: None,
        version: None,
        outcome: outcome.map(str::to_owned),
        latest: true,
        limit: MAX_RELEASES,
    })?)
}

fn block(app: &App, good: &[Release], last: &[Release]) -> String {
    let mut text = head(app);
    for deployment in &app.deployments {
        let environment = &deployment.environment;
        let find = |releases: &[Release]| {
            let matches = |one: &&Release| one.app == app.name && one.environment == *environment;
            releases.iter().find(matches).cloned()
        };
        let current = match find(good) {
            Some(good) => format!("{} since {}, {}", good.version, moment(good.ended), attribution(&good)),
            None => "nothing yet".to_owned(),
        };
        text.push_str(&format!("\n  {environment}: {current}"));
        if let Some(attempt) = find(last).filter(|one| Outcome::of(&one.outcome) != Outcome::Succeeded) {
            text.push_str(&format!("; {}, {}, {}", outcome(&attempt), moment(attempt.ended), attribution(&attempt)));
        }
    }
    text
}

fn listing(app: &App, environment: Option<&str>, releases: &[Release]) -> String {
    let mut text = head(app);
    for release in releases.iter().take(MAX_SHOWN) {
        let when = moment(release.ended);
        let environment = &release.environment;
        text.push_str(&format!(
            "\n  {when}: {environment}: {}{}, {}",
            outcome(release),
            span(release),
            attribution(release)
        ));
        let past = History::of(releases.iter().filter(|other| other.environment == *environment));
        if past.choices().iter().any(|choice| std::ptr::eq(*choice, release)) {
            text.push_str("; can be rolled back to");
        }
    }
    match (releases.len(), environment) {
        (0, Some(environment)) => text.push_str(&format!("\n  nothing has been deployed to {environment} yet")),
        (0, None) => text.push_str("\n  nothing has been deployed yet"),
        (more, _) if more > MAX_SHOWN => {
            text.push_str(&format!("\n  only the newest {MAX_SHOWN} deployments are shown"));
        }
        _ => {}
    }
    text
}

fn head(app: &App) -> String {
    if app.title == app.name { app.name.clone() } else { format!("{} (`{}`)", app.title, app.name) }
}

/// Formats the duration of a deployment: ` in 2 s` for a success, else ` after 2 s`. Empty for a release that a person
/// recorded by hand, because its duration is not known.
fn span(release: &Release) -> String {
    let took = elapsed(release.started, release.ended);
    match Outcome::of(&release.outcome) {
        _ if release.recorded => String::new(),
        Outcome::Succeeded => format!(" in {took}"),
        Outcome::Failed | Outcome::Cancelled | Outcome::Unknown => format!(" after {took}"),
    }
}

#[cfg(test)]
mod tests {
    use wardroom_guest::catalog::Deployment;
    use wardroom_guest::{Instant, Person};

    use super::*;

    fn cms() -> App {
        let deployment = |environment: &str| Deployment {
            environment: environment.into(),
            strategy: "pipeline".into(),
            pipeline: format!("cms/{environment}"),
            parameters: vec!["version".into()],
            after: None,
        };
        App {
            name: "cms".into(),
            title: "Content Management System".into(),
            deployments: vec![deployment("staging"), deployment("production")],
        }
    }

    fn release(version: &str, outcome: &str, minute: u64) -> Release {
        let started = 1_795_255_200_000 + minute * 60_000;
        Release {
            app: "cms".into(),
            environment: "staging".into(),
            version: version.into(),
            person: Person { id: "@bob:example.org".into(), name: "Bob".into() },
            job: "j1".into(),
            started: Instant { unix_ms: started },
            ended: Instant { unix_ms: started + 2000 },
            outcome: outcome.into(),
            recorded: false,
        }
    }

    #[test]
    fn where_shows_the_last_success_and_newer_attempts() {
        let good = release("1.0.2", "succeeded", 4);
        assert_eq!(
            block(&cms(), std::slice::from_ref(&good), std::slice::from_ref(&good)),
            "Content Management System (`cms`)\n  \
             staging: 1.0.2 since 2026-11-21 10:04 UTC, by @bob:example.org\n  \
             production: nothing yet"
        );
        assert_eq!(
            block(&cms(), &[good], &[release("1.0.3", "failed", 6)]),
            "Content Management System (`cms`)\n  \
             staging: 1.0.2 since 2026-11-21 10:04 UTC, by @bob:example.org; \
             1.0.3 failed, 2026-11-21 10:06 UTC, by @bob:example.org\n  \
             production: nothing yet"
        );
        assert!(
            block(&cms(), &[], &[release("1.0.3", "odd", 6)]).contains(
                "staging: nothing yet; 1.0.3 has an unknown outcome, 2026-11-21 10:06 UTC, by @bob:example.org"
            )
        );
    }

    #[test]
    fn history_includes_failures() {
        let releases = [release("1.0.3", "failed", 6), release("1.0.2", "succeeded", 4)];
        assert_eq!(
            listing(&cms(), None, &releases),
            "Content Management System (`cms`)\n  \
             2026-11-21 10:06 UTC: staging: 1.0.3 failed after 2 s, by @bob:example.org\n  \
             2026-11-21 10:04 UTC: staging: 1.0.2 succeeded in 2 s, by @bob:example.org; can be rolled back to"
        );
    }

    #[test]
    fn history_marks_each_rollback_version_once_per_environment() {
        let release_in = |version: &str, environment: &str| Release {
            environment: environment.into(),
            ..release(version, "succeeded", 4)
        };
        let releases = [
            release_in("1.0.3", "staging"),
            release_in("1.0.2", "production"),
            release_in("1.0.2", "staging"),
            release_in("1.0.1", "production"),
            release_in("1.0.2", "staging"),
            release_in("1.0.3", "staging"),
        ];
        let text = listing(&cms(), None, &releases);
        let marked = text.lines().skip(1).map(|line| line.ends_with("; can be rolled back to"));
        assert_eq!(marked.collect::<Vec<_>>(), [false, false, true, true, false, false]);
    }

    #[test]
    fn recorded_releases_are_labelled() {
        let recorded = Release { recorded: true, job: String::new(), ..release("1.0.2", "succeeded", 4) };
        assert!(
            listing(&cms(), None, std::slice::from_ref(&recorded))
                .ends_with("\n  2026-11-21 10:04 UTC: staging: 1.0.2 succeeded, recorded by @bob:example.org")
        );
        let past = [release("1.0.3", "succeeded", 6), recorded.clone()];
        assert!(listing(&cms(), None, &past).ends_with("recorded by @bob:example.org; can be rolled back to"));
        assert!(
            block(&cms(), &[recorded], &[])
                .contains("staging: 1.0.2 since 2026-11-21 10:04 UTC, recorded by @bob:example.org\n")
        );
    }

    #[test]
    fn a_truncated_or_empty_history_ends_with_a_note() {
        let many = vec![release("1.0.2", "succeeded", 4); MAX_SHOWN + 1];
        let text = listing(&cms(), None, &many);
        assert_eq!(text.lines().count(), MAX_SHOWN + 2);
        assert!(text.ends_with("\n  only the newest 20 deployments are shown"));
        assert!(!listing(&cms(), None, &many[1..]).contains("only"));
        assert!(listing(&cms(), Some("staging"), &[]).ends_with("nothing has been deployed to staging yet"));
    }
}
