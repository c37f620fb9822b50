//! The host calls `catalog.apps`, `catalog.rollbacks` and `catalog.releases`.

use crate::{
    hostcall::{
        clock::instant as clock_instant,
        host_call::{HostCall, unavailable},
        invocation::Invocation,
    },
    model::{App as ConfiguredApp, Attribute, Attributes, Deployment as Deployed, Outcome},
    plugin::bindings::{
        catalog::{App, AppQuery, Deployment, Release, ReleaseQuery, Rollback},
        types,
    },
};

/// The maximum number of releases in one answer of `catalog.releases`.
const MAX_RELEASES: u32 = 200;
/// The factor by which `catalog.releases` reads more releases if the caller may see too few of those that it read.
const READ_MORE: u32 = 4;

/// The host call `catalog.apps`, which returns the configured apps and their deployments.
pub(crate) struct Apps;

impl HostCall for Apps {
    type Params = (AppQuery,);
    type Answer = Vec<App>;
    type Error = types::Error;

    async fn attributes(&self, _: &Invocation, (query,): &(AppQuery,)) -> Attributes {
        query.app.iter().map(|app| (Attribute::App, vec![app.clone()])).collect()
    }

    async fn perform(&self, invocation: &mut Invocation, (query,): &(AppQuery,)) -> Result<Vec<App>, types::Error> {
        let wanted = |app: &&ConfiguredApp| query.app.as_ref().is_none_or(|name| *name == app.name);
        let apps = invocation.context().catalog.apps().filter(wanted);
        Ok(apps.filter_map(|app| visible(invocation, app)).collect())
    }
}

/// Returns an app with the deployments that the caller may see. Returns `None` if the caller may see no deployment of
/// the app.
fn visible(invocation: &Invocation, app: &ConfiguredApp) -> Option<App> {
    let catalog = &invocation.context().catalog;
    let deployments: Vec<Deployment> = app
        .deployments
        .iter()
        .filter(|deployment| invocation.may_see(&app.name, &deployment.environment))
        .map(|deployment| Deployment {
            environment: deployment.environment.clone(),
            strategy: "pipeline".to_owned(),
            pipeline: deployment.pipeline.clone(),
            parameters: deployment.parameters.keys().cloned().collect(),
            after: catalog.required_before(&app.name, &deployment.environment).map(|(before, _)| before.to_owned()),
        })
        .collect();
    (!deployments.is_empty()).then(|| App { name: app.name.clone(), title: app.title.clone(), deployments })
}

/// The host call `catalog.rollbacks`, which returns the pipelines that roll apps back.
pub(crate) struct Rollbacks;

impl HostCall for Rollbacks {
    type Params = (AppQuery,);
    type Answer = Vec<Rollback>;
    type Error = types::Error;

    async fn attributes(&self, _: &Invocation, (query,): &(AppQuery,)) -> Attributes {
        query.app.iter().map(|app| (Attribute::App, vec![app.clone()])).collect()
    }

    async fn perform(
        &self,
        invocation: &mut Invocation,
        (query,): &(AppQuery,),
    ) -> Result<Vec<Rollback>, types::Error> {
        let wanted = |app: &&ConfiguredApp| query.app.as_ref().is_none_or(|name| *name == app.name);
        let rollbacks = invocation.context().catalog.apps().filter(wanted).flat_map(|app| &app.rollbacks);
        let seen = rollbacks.filter(|rollback| invocation.may_see(&rollback.app, &rollback.environment));
        let convert = |rollback: &Deployed| Rollback {
            app: rollback.app.clone(),
            environment: rollback.environment.clone(),
            pipeline: rollback.pipeline.clone(),
            parameters: rollback.parameters.keys().cloned().collect(),
        };
        Ok(seen.map(convert).collect())
    }
}

/// The host call `catalog.releases`, which returns the releases: the deployments that have ended.
pub(crate) struct Releases;

impl HostCall for Releases {
    type Params = (ReleaseQuery,);
    type Answer = Vec<Release>;
    type Error = types::Error;

    async fn attributes(&self, _: &Invocation, (query,): &(ReleaseQuery,)) -> Attributes {
        let app = query.app.iter().map(|app| (Attribute::App, vec![app.clone()]));
        let environment = query.environment.iter().map(|name| (Attribute::Environment, vec![name.clone()]));
        app.chain(environment).collect()
    }

    async fn perform(
        &self,
        invocation: &mut Invocation,
        (query,): &(ReleaseQuery,),
    ) -> Result<Vec<Release>, types::Error> {
        let limit = query.limit.clamp(1, MAX_RELEASES);
        let mut wanted = crate::store::ReleaseQuery {
            app: query.app.clone(),
            environment: query.environment.clone(),
            version: query.version.clone(),
            outcome: query.outcome.as_deref().map(Outcome::parse),
            latest: query.latest,
            limit: Some(limit),
        };
        if let (Some(app), Some(environment)) = (&query.app, &query.environment)
            && !invocation.may_see(app, environment)
        {
            return Ok(Vec::new());
        }
        // The answer omits releases that the caller may not see. If it is then too short, read more releases.
        loop {
            let releases = invocation.context().store.releases(&wanted).await.map_err(unavailable)?;
            let are_all = releases.len() < count(wanted.limit);
            let seen = releases.into_iter().filter(|release| invocation.may_see(&release.app, &release.environment));
            let seen: Vec<crate::store::Release> = seen.take(count(Some(limit))).collect();
            if are_all || seen.len() == count(Some(limit)) {
                return Ok(seen.into_iter().filter_map(convert).collect());
            }
            wanted.limit = wanted.limit.map(|most| most.saturating_mul(READ_MORE));
        }
    }
}

fn count(limit: Option<u32>) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

fn convert(release: crate::store::Release) -> Option<Release> {
    Some(Release {
        app: release.app,
        environment: release.environment,
        version: release.version,
        person: types::Person { id: release.person.id, name: release.person.name },
        job: release.job,
        started: clock_instant(release.started)?,
        ended: clock_instant(release.ended)?,
        outcome: release.outcome.as_str().to_owned(),
        recorded: release.recorded,
    })
}
