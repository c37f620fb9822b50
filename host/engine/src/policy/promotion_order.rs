//! The error of a deployment that violates the promotion order, and the error's message. The promotion order requires
//! that a version succeeds in one environment before the version is deployed to the next.
//!
//! Not here: the check of an effect against the promotion order ([`crate::hostcall`]).

use crate::base::{At, as_word};

/// A violation of the promotion order: the version cannot be deployed to `environment`, because it has not succeeded in
/// the environment `before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutOfOrder<'a> {
    pub(crate) app: &'a str,
    pub(crate) version: &'a str,
    pub(crate) environment: &'a str,
    /// The environment in which the version must succeed first.
    pub(crate) before: &'a str,
    /// The position of the rule in the configuration.
    pub(crate) rule: &'a At,
    /// The last version that succeeded in `before`. `Some(None)` if no version succeeded. `None` if the sender of the
    /// command has no right on `before`, and so may not see the version.
    pub(crate) runs: Option<Option<&'a str>>,
    /// The command line that deploys the version to `before`; `None` if the line cannot be derived from the command
    /// that the person typed.
    pub(crate) line: Option<String>,
}

/// Returns the message for a deployment of an unknown version to an environment with a promotion order. `rule` is the
/// position of the rule in the configuration.
pub(crate) fn unknown_version(app: &str, environment: &str, rule: &At) -> String {
    let app = crate::base::clean(app);
    format!(
        "the version of `{app}` that this effect deploys to `{environment}` is unknown, so the promotion order ({rule}) \
         cannot be checked"
    )
}

impl std::fmt::Display for OutOfOrder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { app, version, environment, before, rule, runs, line } = self;
        let (app, version) = (crate::base::clean(app), crate::base::clean(&as_word(version)));
        write!(
            f,
            "`{app}` {version} must succeed in `{before}` before it can be deployed to `{environment}` ({rule})"
        )?;
        match runs {
            Some(Some(runs)) => write!(f, "; `{before}` has version {}", as_word(runs))?,
            Some(None) => write!(f, "; `{before}` has no version yet")?,
            None => {}
        }
        match line {
            Some(line) => write!(f, ". Run first: {line}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_message_has_the_rule_the_current_version_and_the_command_to_run() {
        let rule = At { file: Arc::from("plugins.toml"), line: 40 };
        let missing = |runs, line: Option<&str>| {
            let line = line.map(str::to_owned);
            OutOfOrder {
                app: "cms",
                version: "1.0.2",
                environment: "production",
                before: "staging",
                rule: &rule,
                runs,
                line,
            }
            .to_string()
        };
        let rule =
            "`cms` 1.0.2 must succeed in `staging` before it can be deployed to `production` (plugins.toml line 40)";
        assert_eq!(
            missing(Some(Some("1.0.1")), Some("deploy cms staging 1.0.2")),
            format!("{rule}; `staging` has version 1.0.1. Run first: deploy cms staging 1.0.2")
        );
        assert_eq!(missing(Some(None), None), format!("{rule}; `staging` has no version yet"));
        assert_eq!(missing(None, None), rule, "the caller may not see the version");
    }
}
