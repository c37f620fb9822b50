//! Rules that forbid an effect that grants and roles permit: freezes, the promotion order, and apps that do not accept
//! actions from direct messages.
//!
//! Invariant: a freeze does not apply to an effect on an app and environment in which the job has an open effect. An
//! effect that failed, or whose pipeline run has ended, is not open. No freeze can begin between this check and the
//! time when the effect's intent is stored.
//! Not here: starting and ending freezes, which is in `engine/builtin/freeze.rs`; grants and roles, which are checked
//! in `authorize.rs`.

use super::{
    direct_message::{refuses, shown_in_room_of},
    invocation::{GuestStop, Invocation},
};
use crate::{
    job::Reason,
    model::{Attribute, Attributes, CallKind, CallSpec, Catalog, Outcome},
    policy::{Frozen, OutOfOrder, unknown_version},
    store::{ReleaseQuery, StoreError, Write},
};

impl Invocation {
    /// Returns the reasons to forbid an effect. Empty for calls that are not effects. Freezes and the promotion order
    /// do not apply to a call that only revokes rights.
    ///
    /// # Errors
    /// Fails if the releases cannot be read from the store.
    pub(crate) async fn forbidden(&mut self, row: &CallSpec, attributes: &Attributes) -> wasmtime::Result<Vec<Reason>> {
        if row.kind != CallKind::Acts || self.replay_state().is_none() {
            return Ok(Vec::new());
        }
        if row.only_revokes {
            return Ok(self.refused_by_apps(row, attributes).await);
        }
        // A dry run lists refusals, but does not block new freezes.
        if self.job().is_some() {
            self.freeze_guard = Some(self.context().freezes.guard().await);
        }
        let mut reasons = self.frozen(attributes).await;
        reasons.extend(self.out_of_order(row, attributes).await.map_err(GuestStop::StoreFailed)?);
        reasons.extend(self.refused_by_apps(row, attributes).await);
        Ok(reasons)
    }

    /// Returns a reason for each freeze of an effect's environments. Ignores the freezes of an environment in which
    /// this job has an open effect on the same app. An effect with an unknown environment matches every freeze.
    async fn frozen(&self, attributes: &Attributes) -> Vec<Reason> {
        let context = self.context();
        let (now, wall) = (context.monotonic.now(), context.clock.now());
        let known = attributes.get(&Attribute::Environment).map(Vec::as_slice).unwrap_or_default();
        let environments: Vec<&str> = match known {
            // An effect with an unknown environment matches every environment.
            [] => context.freezes.environments().collect(),
            known => known.iter().map(String::as_str).collect(),
        };
        let forbidding = |environment: &&str| context.freezes.forbidding(environment, now, wall);
        let frozen: Vec<Frozen> = environments.iter().flat_map(forbidding).collect();
        let mut reasons = Vec::new();
        for frozen in &frozen {
            let line = context.freezes.line(frozen);
            let text = match known {
                [] => format!("{line}; the environment of this effect is unknown, so every freeze applies to it"),
                _ if self.has_open_effects(attributes, &frozen.environment).await => continue,
                _ => line,
            };
            reasons.push(Reason { kind: "freeze".to_owned(), text, add: None });
        }
        reasons
    }

    /// Returns a reason for each version that an effect would deploy against the promotion order. A version may go to
    /// an environment if it was deployed successfully before, either to the preceding environment of the order or, as
    /// in a rollback, to the environment itself. An effect that deploys an unknown version violates the order.
    async fn out_of_order(&self, row: &CallSpec, attributes: &Attributes) -> Result<Vec<Reason>, StoreError> {
        let catalog = &self.context().catalog;
        let environments = known_or_all(row, attributes, Attribute::Environment, || catalog.environments().collect());
        let apps = known_or_all(row, attributes, Attribute::App, || names(catalog));
        let versions = attributes.get(&Attribute::Version).map(Vec::as_slice).unwrap_or_default();
        let deploys = row.locks && row.attributes.contains(&Attribute::Version);
        let mut reasons = Vec::new();
        for environment in environments {
            for app in &apps {
                let Some((before, rule)) = catalog.required_before(app, environment) else { continue };
                if versions.is_empty() && deploys {
                    let text = unknown_version(app, environment, rule);
                    reasons.push(Reason { kind: "order".to_owned(), text, add: None });
                }
                for version in versions {
                    if self.succeeded(app, before, Some(version)).await?.is_some()
                        || self.succeeded(app, environment, Some(version)).await?.is_some()
                    {
                        continue;
                    }
                    // The version in the earlier environment is shown only to a caller who may see that environment.
                    let sees = self.context().access.sees(self.request().asker(), Some(app), Some(before));
                    let runs = if sees { Some(self.succeeded(app, before, None).await?) } else { None };
                    let line = self.request().command().line_for(before);
                    let runs = runs.as_ref().map(Option::as_deref);
                    let missing = OutOfOrder { app, version, environment, before, rule, runs, line };
                    reasons.push(Reason { kind: "order".to_owned(), text: missing.to_string(), add: None });
                }
            }
        }
        Ok(reasons)
    }

    /// If the command was sent in a direct message, returns a reason for each app of the effect that does not accept
    /// actions from direct messages. Includes apps that the command does not name. For other messages, returns no
    /// reason.
    async fn refused_by_apps(&self, row: &CallSpec, attributes: &Attributes) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for app in known_or_all(row, attributes, Attribute::App, || names(&self.context().catalog)) {
            let refused = refuses(self.context(), self.request().message(), app).await;
            reasons.extend(refused.map(|text| Reason { kind: "direct".to_owned(), text, add: None }));
        }
        reasons
    }

    /// If the command was sent in a direct message, returns announcements for the rooms of the apps that the effect
    /// changes and that the command does not name. For other messages, returns nothing. The caller stores the
    /// announcements together with the effect's intent.
    pub(crate) async fn app_room_messages(&self, attributes: &Attributes) -> Vec<Write> {
        let (context, command, message) = (self.context(), self.request().command(), self.request().message());
        let Some(job) = self.job().filter(|_| message.direct) else { return Vec::new() };
        let mut writes = Vec::new();
        for app in attributes.get(&Attribute::App).into_iter().flatten().filter(|app| command.app() != Some(app)) {
            let Some(app) = context.catalog.app(app) else { continue };
            let room = shown_in_room_of(context, message, app).await;
            writes.extend(room.map(|room| room.touches(job.row(), &app.name)));
        }
        writes
    }

    /// Returns the version of the last successful release of an app in an environment, if there is one. If `version` is
    /// set, considers only releases of this version.
    async fn succeeded(
        &self,
        app: &str,
        environment: &str,
        version: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let query = ReleaseQuery {
            app: Some(app.to_owned()),
            environment: Some(environment.to_owned()),
            version: version.map(str::to_owned),
            outcome: Some(Outcome::Succeeded),
            latest: true,
            limit: Some(1),
        };
        Ok(self.context().store.releases(&query).await?.into_iter().next().map(|release| release.version))
    }
}

/// Returns the values of an attribute that a rule which forbids must check. If a call changes a target and the value is
/// unknown, the value could be any of `all`.
pub(super) fn known_or_all<'a>(
    row: &CallSpec,
    attributes: &'a Attributes,
    attribute: Attribute,
    all: impl FnOnce() -> Vec<&'a str>,
) -> Vec<&'a str> {
    if is_unknown(row, attributes, attribute) {
        return all();
    }
    attributes.get(&attribute).into_iter().flatten().map(String::as_str).collect()
}

/// Returns whether a call changes a target of which this attribute is unknown.
pub(super) fn is_unknown(row: &CallSpec, attributes: &Attributes, attribute: Attribute) -> bool {
    row.locks && row.attributes.contains(&attribute) && attributes.get(&attribute).is_none_or(Vec::is_empty)
}

/// Returns the names of all apps of the configuration.
pub(super) fn names(catalog: &Catalog) -> Vec<&str> {
    catalog.apps().map(|app| app.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CONTRACT, EnvironmentFrom};

    #[test]
    fn a_value_that_is_unknown_could_be_any_value_for_a_call_that_changes_a_target() {
        let spec = CallSpec::new(CONTRACT, "ship", CallKind::Acts, "ships")
            .on(&[Attribute::App, Attribute::Environment], EnvironmentFrom::Target);
        let apps = |row: &CallSpec, attributes: &Attributes| {
            known_or_all(row, attributes, Attribute::App, || vec!["cms", "shop"]).join(" ")
        };
        let of = |app: &str| Attributes::from([(Attribute::App, vec![app.to_owned()])]);
        assert_eq!(apps(&spec, &of("cms")), "cms");
        assert_eq!(apps(&spec, &Attributes::new()), "cms shop");
        assert_eq!(apps(&spec, &Attributes::from([(Attribute::App, Vec::new())])), "cms shop");
        assert_eq!(apps(&spec.without_lock(), &Attributes::new()), "", "the call changes no target");
    }
}
