//! The target of a deployment: an app in an environment, read from the catalog.

use wardroom_guest::Failure;
use wardroom_guest::catalog::{self, App, AppQuery, Deployment, Release, ReleaseQuery};

use crate::{Ended, pipeline};

/// The maximum number of releases that one call of `catalog.releases` returns.
pub const MAX_RELEASES: u32 = 200;

/// The number of releases that [`Target::last_good`] reads. More than one, because it skips the releases of the job
/// itself.
const LAST_GOOD_LIMIT: u32 = 10;

/// One app in one environment.
#[derive(Debug, Clone)]
pub struct Target {
    /// The app's name, for example `cms`.
    pub app: String,
    /// The app's display name, for example `Content Management System`.
    pub title: String,
    /// The app's deployment to the environment, from the catalog.
    pub deployment: Deployment,
}

impl Target {
    /// Reads a target from the catalog.
    ///
    /// # Errors
    /// `invalid` if the caller may not see the app, or if the app is not deployed to the environment; the errors of
    /// `catalog.apps`.
    pub fn find(app: &str, environment: &str) -> Result<Self, Failure> {
        let found = catalog::apps(&AppQuery { app: Some(app.to_owned()) })?;
        match found.into_iter().find(|candidate| candidate.name == app) {
            Some(known) => Self::of(known, environment),
            None => Err(Failure::invalid(format!("the app `{app}` does not exist or you may not see it"))),
        }
    }

    /// Returns the target for an app that the catalog returned.
    ///
    /// # Errors
    /// `invalid` if the app has no deployment to the environment that the caller may see.
    pub fn of(app: App, environment: &str) -> Result<Self, Failure> {
        let App { name, title, deployments } = app;
        let known = deployments.iter().map(|one| format!("`{}`", one.environment)).collect::<Vec<_>>();
        match deployments.into_iter().find(|one| one.environment == environment) {
            Some(deployment) => Ok(Self { app: name, title, deployment }),
            None if known.is_empty() => Err(Failure::invalid(format!("{title} has no deployment that you may see"))),
            None => Err(Failure::invalid(format!(
                "{title} is not deployed to `{environment}`, only to {}",
                known.join(", ")
            ))),
        }
    }

    /// Replaces the pipeline by the one that rolls the app back, if the operator has configured one.
    ///
    /// # Errors
    /// The errors of `catalog.rollbacks`.
    pub fn for_rollback(mut self) -> Result<Self, Failure> {
        let known = catalog::rollbacks(&AppQuery { app: Some(self.app.clone()) })?;
        if let Some(rollback) = known.into_iter().find(|known| known.environment == self.environment()) {
            self.deployment.pipeline = rollback.pipeline;
            self.deployment.parameters = rollback.parameters;
        }
        Ok(self)
    }

    /// Returns the environment's name, for example `staging`.
    pub fn environment(&self) -> &str {
        &self.deployment.environment
    }

    /// Returns the last version that another job than `job` deployed to the target with success, if any.
    ///
    /// Other jobs can deploy to the target while this job waits for the deployment lock or for an approval. Read the
    /// version again after the pipeline run has ended: this job then still holds the lock.
    ///
    /// # Errors
    /// The errors of `catalog.releases`.
    pub fn last_good(&self, job: &str) -> Result<Option<String>, Failure> {
        let good = self.query(None, Some("succeeded"), LAST_GOOD_LIMIT)?;
        Ok(good.into_iter().find(|release| release.job != job).map(|release| release.version))
    }

    /// Returns the releases of the target by other jobs than `job`, newest first, at most [`MAX_RELEASES`]. Includes
    /// failed deployments.
    ///
    /// # Errors
    /// The errors of `catalog.releases`.
    pub fn releases(&self, job: &str) -> Result<Vec<Release>, Failure> {
        let mut releases = self.query(None, None, MAX_RELEASES)?;
        releases.retain(|release| release.job != job);
        Ok(releases)
    }

    /// Returns the newest release with this version and the outcome `succeeded`, of any age.
    ///
    /// # Errors
    /// The errors of `catalog.releases`.
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

    /// Deploys a version with the strategy that the catalog names, and waits for the end of the deployment.
    ///
    /// # Errors
    /// The deployment was not started: `denied` with the host's message, `invalid` if the strategy is not supported or
    /// its pipeline has no parameter `version`, or another error of `pipelines.trigger`.
    pub fn run(&self, version: &str) -> Result<Ended, Failure> {
        match self.deployment.strategy.as_str() {
            "pipeline" => pipeline::run(self, version),
            other => Err(Failure::invalid(format!(
                "{} is deployed to {} with the strategy `{other}`, but this plugin supports only the strategy \
                 `pipeline`",
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
    fn a_missing_environment_is_refused_with_the_existing_ones() {
        let app = cms(vec![deployment("staging", "pipeline"), deployment("production", "pipeline")]);
        let failure = Target::of(app, "qa").unwrap_err();
        assert_eq!(failure.code, "invalid");
        assert_eq!(
            failure.message,
            "Content Management System is not deployed to `qa`, only to `staging`, `production`"
        );
        let failure = Target::of(cms(vec![]), "qa").unwrap_err();
        assert_eq!(failure.message, "Content Management System has no deployment that you may see");
    }

    #[test]
    fn an_unsupported_strategy_is_refused() {
        let target = Target::of(cms(vec![deployment("staging", "canary")]), "staging").unwrap();
        let failure = target.run("1.0.2").unwrap_err();
        assert_eq!(
            failure.message,
            "Content Management System is deployed to staging with the strategy `canary`, \
             but this plugin supports only the strategy `pipeline`"
        );
    }
}
