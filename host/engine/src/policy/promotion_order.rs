//! The order of environments: a version comes to production only where it succeeded before it.
//!
//! Invariant: pure. What ran where is read by whoever asks, from the one table of releases.

use crate::base::At;

/// A version that never succeeded in the environment before the one it is to come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutOfOrder<'a> {
    pub(crate) app: &'a str,
    pub(crate) version: &'a str,
    pub(crate) environment: &'a str,
    /// The environment before it.
    pub(crate) before: &'a str,
    /// The rule that says so.
    pub(crate) rule: &'a At,
    /// The version that succeeded there last, if any did.
    pub(crate) runs: Option<&'a str>,
    /// What brings the version there, where the command that was typed can say it.
    pub(crate) line: Option<String>,
}

impl std::fmt::Display for OutOfOrder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { app, version, environment, before, rule, runs, line } = self;
        let (app, version) = (crate::base::clean(app), crate::base::clean(version));
        write!(f, "{app} {version} never succeeded in {before}, and {environment} comes after it ({rule})")?;
        match runs {
            Some(runs) => write!(f, "; {before} runs {runs}")?,
            None => write!(f, "; nothing runs in {before} yet")?,
        }
        match line {
            Some(line) => write!(f, ". First: {line}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_reason_names_the_rule_what_runs_there_and_the_line_to_type() {
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
        let rule = "cms 1.0.2 never succeeded in staging, and production comes after it (plugins.toml line 40)";
        assert_eq!(
            missing(Some("1.0.1"), Some("deploy cms staging 1.0.2")),
            format!("{rule}; staging runs 1.0.1. First: deploy cms staging 1.0.2")
        );
        assert_eq!(missing(None, None), format!("{rule}; nothing runs in staging yet"));
    }
}
