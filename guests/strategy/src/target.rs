//! The place that a version goes to, as the catalog knows it.

use wardroom_guest::Failure;
use wardroom_guest::catalog::{self, App, AppQuery, Deployment, Release, ReleaseQuery};

use crate::{Ended, pipeline};

/// How many releases the host gives at most.
pub const MOST: u32 = 200;

/// How many releases are enough to find one that is not of this job.
const FEW: u32 = 10;

/// One app in one environment.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name that is typed.
    pub app: String,
    /// What people call the app.
    pub title: String,
    /// How the app gets there.
    pub deployment: Deployment,
}

impl Target {
    /// Looks the place up.
    ///
    /// # Errors
    /// `invalid` where the caller sees no such app, or the app has no such environment; what
    /// `catalog.apps` answers.
    pub fn find(app: &str, environment: &str) -> Result<Self, Failure> {
        let found = catalog::apps(&AppQuery { app: Some(app.to_owned()) })?;
        match found.into_iter().find(|candidate| candidate.name == app) {
            Some(known) => Self::of(known, environment),
            None => Err(Failure::invalid(format!("there is no app `{app}` that you may see"))),
        }
    }

    /// The place of an app that was looked up.
    ///
    /// # Errors
    /// `invalid` where the app has no such environment that the caller may see.
    pub fn of(app: App, environment: &str) -> Result<Self, Failure> {
        let App { name, title, deployments } = app;
        let known = deployments.iter().map(|one| format!("`{}`", one.environment)).collect::<Vec<_>>();
        match deployments.into_iter().find(|one| one.environment == environment) {
            Some(deployment) => Ok(Self { app: name, title, deployment }),
            None if known.is_empty() => Err(Failure::invalid(format!("{title} has no deployment that you may see"))),
            None => Err(Failure::invalid(format!(
                "{title} is not deployed to `{environment}`; it is to {}",
                known.join(", ")
            ))),
        }
    }

    /// The environment.
    pub fn environment(&self) -> &str {
        &self.deployment.environment
    }

    /// The version that succeeded there last before this job, if any did.
    ///
    /// A job can stand in line for its place, or wait for an approval, while others deploy there: what was true
    /// before the run is only certain once it has ended, while the place is still this job's.
    ///
    /// # Errors
    /// What `catalog.releases` answers.
    pub fn last_good(&self, job: &str) -> Result<Option<String>, Failure> {
        let good = self.query(None, Some("succeeded"), FEW)?;
        Ok(good.into_iter().find(|release| release.job != job).map(|release| release.version))
    }

    /// What was tried there before this job, newest first, [`MOST`] at most.
    ///
    /// # Errors
    /// What `catalog.releases` answers.
    pub fn releases(&self, job: &str) -> Result<Vec<Release>, Failure> {
        let mut releases = self.query(None, None, MOST)?;
        releases.retain(|release| release.job != job);
        Ok(releases)
    }

    /// When a version last succeeded there, however long ago.
    ///
    /// # Errors
    /// What `catalog.releases` answers.
    pub fn success_of(&self, version: &str) -> Result<Option<Release>, Failure> {
        Ok(self.query(Some(version), Some("succeeded"), 1)?.into_iter().next())
    }

    fn query(&self, version: Option<&str>, outcome: Option<&str>, limit: u32) -> Result<Vec<Release>, Failure> {
        Ok(catalog::releases(&ReleaseQuery {
            app: Some(self.app.clone()),
            environment: Some(self.environment().to_owned()),
            version: version.map(str::to_owned),
            outcome: outcome.map(str::to_owned),
            latest: false,
            limit,
        })?)
    }

    /// Brings a version there, by the strategy that the catalog names.
    ///
    /// # Errors
    /// Nothing was started: `denied` in the host's words, `invalid` where the strategy is not known
    /// here or cannot take a version, else why it could not start.
    pub fn run(&self, version: &str) -> Result<Ended, Failure> {
        match self.deployment.strategy.as_str() {
            "pipeline" => pipeline::run(self, version),
            other => Err(Failure::invalid(format!(
                "{} goes to {} by the strategy `{other}`, which this plugin does not know; it knows `pipeline`",
                self.title,
                self.environment()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(environment: &str, strategy: &str) -> Deployment {
        Deployment {
            environment: environment.into(),
            strategy: strategy.into(),
            pipeline: format!("cms/{environment}"),
            parameters: vec!["version".into()],
            after: None,
        }
    }

    fn cms(deployments: Vec<Deployment>) -> App {
        App { name: "cms".into(), title: "Content Management System".into(), deployments }
    }

    #[test]
    fn an_environment_without_a_deployment_is_answered_with_those_that_have_one() {
        let app = cms(vec![deployment("staging", "pipeline"), deployment("production", "pipeline")]);
        let failure = Target::of(app, "qa").unwrap_err();
        assert_eq!(failure.code, "invalid");
        assert_eq!(
            failure.message,
            "Content Management System is not deployed to `qa`; it is to `staging`, `production`"
        );
        let failure = Target::of(cms(vec![]), "qa").unwrap_err();
        assert_eq!(failure.message, "Content Management System has no deployment that you may see");
    }

    #[test]
    fn an_unknown_strategy_is_named_and_nothing_starts() {
        let target = Target::of(cms(vec![deployment("staging", "canary")]), "staging").unwrap();
        let failure = target.run("1.0.2").unwrap_err();
        assert_eq!(
            failure.message,
            "Content Management System goes to staging by the strategy `canary`, which this plugin does not know; \
             it knows `pipeline`"
        );
    }
}
