//! What forbids an effect that the rules permit: a freeze, the order of environments, an app that takes no actions from a
//! direct message.
//!
//! Invariant: a freeze is judged at a job's first effect on an environment, so that nothing is left half done: where it acts
//! already it holds a place, by the intent in its journal, and goes on. From this check to the intent nobody freezes anything.
//! Not here: who freezes what (`approval::freeze`), and what a plugin is granted (`judge`).

use super::{
    direct_message::{refuses, shown_in_room_of},
    invocation::{GuestStop, Invocation},
};
use crate::{
    job::Reason,
    model::{Attribute, Attributes, CallKind, CallSpec, Outcome},
    policy::{Frozen, OutOfOrder},
    store::{ReleaseQuery, StoreError, Write},
};

impl Invocation {
    /// All that forbids a call that the rules permit; nothing for one that does not act.
    ///
    /// # Errors
    /// What ran where cannot be read now.
    pub(crate) async fn forbidden(&mut self, row: &CallSpec, attributes: &Attributes) -> wasmtime::Result<Vec<Reason>> {
        if row.kind != CallKind::Acts || self.replay_state().is_none() {
            return Ok(Vec::new());
        }
        if row.only_revokes {
            return Ok(self.not_from_here(attributes).await);
        }
        // A dry run tells what would be refused, and keeps nobody from freezing.
        if self.job().is_some() {
            self.freeze_guard = Some(self.context().freezes.guard().await);
        }
        let mut reasons = self.frozen(attributes);
        reasons.extend(self.out_of_order(attributes).await.map_err(GuestStop::Unkept)?);
        reasons.extend(self.not_from_here(attributes).await);
        Ok(reasons)
    }

    /// The freezes of what an effect would touch, where this job does not act already.
    fn frozen(&self, attributes: &Attributes) -> Vec<Reason> {
        let context = self.context();
        let now = context.monotonic.now();
        let known = attributes.get(&Attribute::Environment).map(Vec::as_slice).unwrap_or_default();
        let frozen: Vec<Frozen> = match known {
            // Nobody knows where: that is everywhere.
            [] => context.freezes.all(now),
            known => known.iter().flat_map(|environment| context.freezes.of(environment, now)).collect(),
        };
        let touched = |name: &String| self.replay_state().is_some_and(|replay| replay.touched.contains(name));
        let acts = |name: &String| touched(name) || context.locks.is_held_in(self.job_id(), name);
        let new = frozen.iter().filter(|frozen| !acts(&frozen.environment));
        new.map(|frozen| {
            let line = context.freezes.line(frozen);
            let text = match known {
                [] => format!("{line}; where this effect takes place is not known, so it counts as everywhere"),
                _ => line,
            };
            Reason { kind: "freeze".to_owned(), text, add: None }
        })
        .collect()
    }

    /// The versions that did not succeed yet where they have to before they come to what this effect touches. One that
    /// succeeded there itself was there already, and can come back.
    async fn out_of_order(&self, attributes: &Attributes) -> Result<Vec<Reason>, StoreError> {
        let values = |attribute| attributes.get(&attribute).map(Vec::as_slice).unwrap_or_default();
        let catalog = &self.context().catalog;
        let mut reasons = Vec::new();
        for environment in values(Attribute::Environment) {
            for app in values(Attribute::App) {
                let Some((before, rule)) = catalog.required_before(app, environment) else { continue };
                for version in values(Attribute::Version) {
                    if self.succeeded(app, before, Some(version)).await?.is_some()
                        || self.succeeded(app, environment, Some(version)).await?.is_some()
                    {
                        continue;
                    }
                    // What runs there is for those who may see it.
                    let sees = self.context().access.sees(self.request().asker(), Some(app), Some(before));
                    let runs = if sees { self.succeeded(app, before, None).await? } else { None };
                    let line = self.request().command().line_for(before);
                    let missing = OutOfOrder { app, version, environment, before, rule, runs: runs.as_deref(), line };
                    reasons.push(Reason { kind: "order".to_owned(), text: missing.to_string(), add: None });
                }
            }
        }
        Ok(reasons)
    }

    /// The apps that take no actions from where the command was typed: also those that it did not name.
    async fn not_from_here(&self, attributes: &Attributes) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for app in attributes.get(&Attribute::App).into_iter().flatten() {
            let refused = refuses(self.context(), self.request().message(), app).await;
            reasons.extend(refused.map(|text| Reason { kind: "direct".to_owned(), text, add: None }));
        }
        reasons
    }

    /// The rooms of apps that an effect touches and nobody typed: they are told, with the intent.
    pub(crate) async fn shown(&self, attributes: &Attributes) -> Vec<Write> {
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

    /// The version that succeeded somewhere last, of all or if it is this one.
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
        };
        Ok(self.context().store.releases(&query).await?.into_iter().next().map(|release| release.version))
    }
}
