//! The effects of a job that happened or may have happened. They decide which deployment locks the job keeps, and which
//! freezes do not apply to the job.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::invocation::Invocation;
use crate::{
    adapter::RunState,
    job::may_have_happened,
    model::{Attribute, Attributes, RunKey},
    store::DeploymentLock,
};

/// The duration for which an effect counts as open if no backend reports its end: an effect that starts no pipeline
/// run, or a pipeline run whose state is unknown.
const MAX_OPEN: Duration = Duration::from_secs(3600);

/// The timeout of the query for the state of a pipeline run. It is short, because a `freeze` command waits for the query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The effects of a job that happened or may have happened, in order. Contains only effects that change their target,
/// which are those that need a deployment lock.
#[derive(Debug, Default)]
pub(crate) struct PerformedEffects(Vec<PerformedEffect>);

#[derive(Debug)]
pub(crate) struct PerformedEffect {
    /// The idempotency key of the effect, which is also the key of its pipeline run.
    key: RunKey,
    apps: Vec<String>,
    environments: Vec<String>,
    /// The time of the effect's intent; once the effect is answered, the time of the answer.
    at: Timestamp,
}

impl PerformedEffect {
    /// Creates an effect. `values` returns the values of an attribute of the effect.
    pub(crate) fn new(key: RunKey, at: Timestamp, values: impl Fn(Attribute) -> Vec<String>) -> Self {
        Self { key, apps: values(Attribute::App), environments: values(Attribute::Environment), at }
    }
}

impl PerformedEffects {
    /// Adds an effect with this answer. Ignores an effect that failed.
    pub(crate) fn add(&mut self, effect: PerformedEffect, answer: &Value) {
        if may_have_happened(answer) {
            self.0.push(effect);
        }
    }

    /// Returns whether an effect changed, or may have changed, the app and environment of a lock.
    pub(crate) fn changed(&self, lock: &DeploymentLock) -> bool {
        self.on(Some(&lock.app), &lock.environment).next().is_some()
    }

    /// Returns the effects on an app in an environment. Without `app`, returns the effects on no app.
    fn on<'a>(&'a self, app: Option<&'a str>, environment: &'a str) -> impl Iterator<Item = &'a PerformedEffect> {
        let is_on = move |effect: &&PerformedEffect| match app {
            Some(app) => effect.apps.iter().any(|known| known == app),
            None => effect.apps.is_empty(),
        };
        self.0.iter().filter(is_on).filter(move |effect| effect.environments.iter().any(|known| known == environment))
    }
}

impl Invocation {
    /// Returns whether this job has an open effect in an environment on each app of an effect with these attributes. An
    /// effect is open while its pipeline run is running. See also [`MAX_OPEN`].
    pub(crate) async fn has_open_effects(&self, attributes: &Attributes, environment: &str) -> bool {
        let apps = attributes.get(&Attribute::App).map(Vec::as_slice).unwrap_or_default();
        if apps.is_empty() {
            return self.has_open_effect(None, environment).await;
        }
        for app in apps {
            if !self.has_open_effect(Some(app), environment).await {
                return false;
            }
        }
        true
    }

    async fn has_open_effect(&self, app: Option<&str>, environment: &str) -> bool {
        let Some(replay) = self.replay_state() else { return false };
        for effect in replay.performed.on(app, environment) {
            if self.is_open(effect).await {
                return true;
            }
        }
        false
    }

    async fn is_open(&self, effect: &PerformedEffect) -> bool {
        let context = self.context();
        let recent = context.clock.now().duration_since(effect.at).unsigned_abs() < MAX_OPEN;
        let Some(Some(run)) = self.replay_state().and_then(|replay| replay.runs.get(&effect.key)) else {
            return recent;
        };
        let backend = context.backends.get(run.backend);
        match tokio::time::timeout(QUERY_TIMEOUT, backend.state(&run.key, &run.pipeline)).await {
            Ok(Ok(RunState::Running)) => true,
            Ok(Ok(RunState::Ended(_) | RunState::Absent)) => false,
            Ok(Ok(RunState::Unknowable(_)) | Err(_)) | Err(_) => recent,
        }
    }
}
