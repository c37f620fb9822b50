//! Selects the version that a rollback deploys.
//!
//! Invariant: the functions are pure. A refusal names the versions or the command that a person can type instead.

use wardroom_guest::catalog::Release;
use wardroom_guest::{Failure, command_line};
use wardroom_strategy::{History, MAX_RELEASES, Target};

/// The maximum number of versions that a refusal names.
const MAX_NAMED: usize = 5;

/// Returns the release that a rollback restores: the newest successful release of a version other than the current
/// version. If the newest attempt did not succeed, returns the newest successful release.
///
/// # Errors
/// `invalid` if `past` has no such release.
pub(crate) fn before<'a>(target: &Target, past: &History<'a>) -> Result<&'a Release, Failure> {
    match past.choices().first() {
        Some(release) => Ok(release),
        None => Err(nothing(target, past)),
    }
}

/// Returns the newest successful release of the typed version.
///
/// # Errors
/// `invalid` if the version has never been deployed to the environment successfully, or if the version is the current
/// version.
pub(crate) fn typed_version<'a>(target: &Target, past: &History<'a>, version: &str) -> Result<&'a Release, Failure> {
    let Target { app, title, .. } = target;
    let environment = target.environment();
    if past.current() == Some(version) {
        let again = command_line(&["deploy", app, environment, version]);
        return Err(Failure::invalid(format!(
            "{title}: {environment} already runs {version}. To deploy it again: {again}"
        )));
    }
    let good = past.good();
    if good.is_empty() {
        return Err(nothing(target, past));
    }
    match good.iter().find(|release| release.version == version) {
        Some(release) => Ok(release),
        None => {
            let newest = good.iter().take(MAX_NAMED).map(|release| release.version.as_str()).collect::<Vec<_>>();
            let (listed, more) = if good.len() > MAX_NAMED {
                ("The newest successful versions", ", ...")
            } else {
                ("Successful versions", "")
            };
            Err(Failure::invalid(format!(
                "{title}: {version} has never been deployed to {environment} successfully{}. {listed}: {}{more}",
                seen(past),
                newest.join(", ")
            )))
        }
    }
}

fn nothing(target: &Target, past: &History<'_>) -> Failure {
    let title = &target.title;
    let environment = target.environment();
    let why = match past.last_good() {
        Some(only) => format!("{} is the only version that was deployed successfully{}", only.version, seen(past)),
        None => format!("no version was deployed successfully{}", seen(past)),
    };
    Failure::invalid(format!("{title}: {environment} cannot be rolled back: {why}"))
}

/// Returns ` in the newest 200 attempts` if the list of attempts may be truncated, else an empty text.
fn seen(past: &History<'_>) -> String {
    if past.count() < MAX_RELEASES as usize {
        String::new()
    } else {
        format!(" in the newest {} attempts", past.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closing::tests::{release, target};

    fn before_of(past: &[Release]) -> Result<String, String> {
        let choice = before(&target(), &History::of(past));
        choice.map(|release| release.version.clone()).map_err(|failure| failure.message)
    }

    fn typed_of(past: &[Release], version: &str) -> Result<String, String> {
        let choice = typed_version(&target(), &History::of(past), version);
        choice.map(|release| release.version.clone()).map_err(|failure| failure.message)
    }

    #[test]
    fn without_a_version_the_previous_good_version_is_selected() {
        let good = [release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(before_of(&good).as_deref(), Ok("1.0.2"));
        let failed = [release("1.0.4", "failed"), release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(before_of(&failed).as_deref(), Ok("1.0.3"));
    }

    #[test]
    fn a_refusal_names_the_reason() {
        let message = before_of(&[]).unwrap_err();
        let refused = "Content Management System: staging cannot be rolled back";
        assert_eq!(message, format!("{refused}: no version was deployed successfully"));
        assert_eq!(typed_of(&[release("1.0.2", "failed")], "1.0.2"), Err(message));
        let only = [release("1.0.2", "succeeded"), release("1.0.3", "failed"), release("1.0.2", "succeeded")];
        let message = before_of(&only).unwrap_err();
        assert_eq!(message, format!("{refused}: 1.0.2 is the only version that was deployed successfully"));
        let message = before_of(&vec![release("1.0.3", "succeeded"); MAX_RELEASES as usize]).unwrap_err();
        let end = "1.0.3 is the only version that was deployed successfully in the newest 200 attempts";
        assert!(message.ends_with(end), "{message}");
    }

    #[test]
    fn a_typed_version_must_have_succeeded_in_the_environment() {
        let past = [release("1.0.4", "failed"), release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(typed_of(&past, "1.0.2").as_deref(), Ok("1.0.2"));
        assert_eq!(typed_of(&past, "1.0.3").as_deref(), Ok("1.0.3"), "the last good version, after a failure");
        assert_eq!(
            typed_of(&past, "1.0.4"),
            Err("Content Management System: 1.0.4 has never been deployed to staging successfully. \
                 Successful versions: 1.0.3, 1.0.2"
                .into())
        );
        let many = ["9", "8", "7", "6", "5", "4"].map(|version| release(version, "succeeded"));
        assert_eq!(
            typed_of(&many, "1"),
            Err("Content Management System: 1 has never been deployed to staging successfully. \
                 The newest successful versions: 9, 8, 7, 6, 5, ..."
                .into())
        );
    }

    #[test]
    fn the_current_version_is_refused() {
        let past = [release("1.0.3", "succeeded"), release("1.0.2", "succeeded")];
        assert_eq!(
            typed_of(&past, "1.0.3"),
            Err("Content Management System: staging already runs 1.0.3. \
                 To deploy it again: \u{f8ff}deploy cms staging 1.0.3"
                .into())
        );
    }
}
