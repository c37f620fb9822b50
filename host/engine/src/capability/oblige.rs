//! What forbids an effect that the rules permit: a freeze, and the order of environments.
//!
//! Invariant: a freeze is judged at a job's first effect on an environment, so that nothing is left half done: where it acted
//! already, by an intent in its journal, it goes on. From this check to the intent nobody freezes anything.
//! Not here: who freezes what (`approval::freeze`), and what a plugin is granted (`judge`).

use std::collections::BTreeSet;

use super::{Attributes, Invocation, Kind, Reason, Row, invocation::Stop};
use crate::{
    access::Attribute,
    approval::OutOfOrder,
    port::{
        Outcome, StoreError,
        store::{Entry, ReleaseQuery},
    },
};

/// The environments that effects touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Touched {
    environments: BTreeSet<String>,
    // One of which the host does not know where it is, or that is nowhere, counts as everywhere.
    everywhere: bool,
}

impl Touched {
    /// What an effect with these attributes touches.
    pub(super) fn by(attributes: &Attributes) -> Self {
        Self::of(attributes.get(&Attribute::Environment))
    }

    /// What an intent in a journal touched.
    pub(super) fn recorded(intent: &Entry) -> Self {
        Self::of(intent.attributes.get(Attribute::Environment.as_str()))
    }

    fn of(environments: Option<&Vec<String>>) -> Self {
        let environments: BTreeSet<String> = environments.into_iter().flatten().cloned().collect();
        Self { everywhere: environments.is_empty(), environments }
    }

    fn has(&self, environment: &str) -> bool {
        self.everywhere || self.environments.contains(environment)
    }
}

impl Invocation {
    /// All that forbids a call that the rules permit; nothing for one that does not act.
    ///
    /// # Errors
    /// What ran where cannot be read now.
    pub(super) async fn forbidden(&mut self, row: &Row, attributes: &Attributes) -> wasmtime::Result<Vec<Reason>> {
        if row.kind != Kind::Acts || self.job().is_none() {
            return Ok(Vec::new());
        }
        self.still = Some(self.shared().freezes.still().await);
        let mut reasons = self.frozen(&Touched::by(attributes));
        reasons.extend(self.out_of_order(attributes).await.map_err(Stop::Unkept)?);
        Ok(reasons)
    }

    /// It acted there, or is about to. What is left for later, or called off again, happens nowhere yet.
    pub(super) fn acted(&mut self, row: &Row, touched: Touched) {
        let Some(life) = self.life().filter(|_| row.takes_place()) else { return };
        life.acted.everywhere |= touched.everywhere;
        life.acted.environments.extend(touched.environments);
    }

    /// The freezes of what an effect would touch, where this job did not act yet.
    fn frozen(&mut self, touched: &Touched) -> Vec<Reason> {
        let shared = self.shared().clone();
        let Some(life) = self.life() else { return Vec::new() };
        let all = shared.freezes.all(shared.steady.now());
        let acted = |environment| {
            life.acted.environments.contains(environment) || (touched.everywhere && life.acted.everywhere)
        };
        let new = all.iter().filter(|frozen| touched.has(&frozen.environment) && !acted(&frozen.environment));
        new.map(|frozen| {
            let line = shared.freezes.line(frozen);
            let text = match touched.everywhere {
                true => format!("{line}; where this effect takes place is not known, so it counts as everywhere"),
                false => line,
            };
            Reason { kind: "freeze".to_owned(), text, add: None }
        })
        .collect()
    }

    /// The versions that did not succeed yet where they have to before they come to what this effect touches. One that
    /// succeeded there itself was there already, and can come back.
    async fn out_of_order(&self, attributes: &Attributes) -> Result<Vec<Reason>, StoreError> {
        let values = |attribute| attributes.get(&attribute).map(Vec::as_slice).unwrap_or_default();
        let catalog = &self.shared().catalog;
        let mut reasons = Vec::new();
        for environment in values(Attribute::Environment) {
            for app in values(Attribute::App) {
                let Some((before, rule)) = catalog.before(app, environment) else { continue };
                for version in values(Attribute::Version) {
                    if self.succeeded(app, before, Some(version)).await?.is_some()
                        || self.succeeded(app, environment, Some(version)).await?.is_some()
                    {
                        continue;
                    }
                    let runs = self.succeeded(app, before, None).await?;
                    let line = self.authorized().command().line_for(before);
                    let missing = OutOfOrder { app, version, environment, before, rule, runs: runs.as_deref(), line };
                    reasons.push(Reason { kind: "order".to_owned(), text: missing.to_string(), add: None });
                }
            }
        }
        Ok(reasons)
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
        Ok(self.shared().store.releases(&query).await?.into_iter().next().map(|release| release.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(environments: &[&str]) -> Attributes {
        Attributes::from([(Attribute::Environment, environments.iter().map(|name| (*name).to_owned()).collect())])
    }

    #[test]
    fn what_is_not_known_to_be_somewhere_is_everywhere() {
        let staging = Touched::by(&attributes(&["staging"]));
        assert!(staging.has("staging") && !staging.has("production"));
        let both = Touched::by(&attributes(&["staging", "production"]));
        assert!(both.has("staging") && both.has("production") && !both.has("test"));
        assert!(Touched::by(&Attributes::new()).has("production"));
        assert!(Touched::by(&attributes(&[])).has("production"));
        assert!(!Touched::default().has("production"), "who did nothing was nowhere");
    }
}
