//! The operator's grants to a plugin: the plugin's `allow` rules, indexed by host call.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::scope::{Mismatch, Scope};
use crate::{
    base::{At, Pattern},
    model::{Attribute, CallTable},
};

/// A `[[plugin.NAME.allow]]` table, which grants host calls to a plugin.
#[derive(Debug)]
pub(crate) struct Allow {
    pub at: At,
    /// Patterns for the names of the host calls that the rule allows, such as `pipelines.*`.
    pub calls: Vec<Pattern>,
    /// Patterns for the commands of the plugin to which the rule applies; `None` for all commands.
    pub commands: Option<Vec<Pattern>>,
    /// The attribute values that the rule allows.
    pub limits: Scope,
    /// The attributes for which an effect may have values that the person did not type in the command.
    pub beyond: BTreeSet<Attribute>,
    /// The rule as text for the journal: `plugin.deploy, plugins.toml line 61`.
    pub text: Arc<str>,
}

impl Allow {
    /// Returns whether the rule applies while the plugin runs the command `command`.
    pub(crate) fn is_for(&self, command: &str) -> bool {
        self.commands.as_ref().is_none_or(|commands| commands.iter().any(|pattern| pattern.matches(command)))
    }
}

/// All `allow` rules of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    rules: Vec<Allow>,
    // The indexes of the rules that name a host call. With this index, the cost of a check does not grow with the size
    // of the configuration.
    by_call: HashMap<&'static str, Vec<usize>>,
}

impl Grants {
    pub(crate) fn new(rules: Vec<Allow>, calls: &CallTable) -> Self {
        let naming = |name: &str| {
            let named = |(_, rule): &(usize, &Allow)| rule.calls.iter().any(|call| call.matches(name));
            rules.iter().enumerate().filter(named).map(|(index, _)| index).collect()
        };
        let by_call = calls.iter().map(|call| (call.name, naming(call.name))).collect();
        Self { rules, by_call }
    }

    /// Returns all rules, in the order of the configuration.
    pub(crate) fn rules(&self) -> &[Allow] {
        &self.rules
    }

    /// Returns a rule that applies to the command `command` and not to the command `other`.
    pub(crate) fn only_for(&self, command: &str, other: &str) -> Option<&Allow> {
        self.rules.iter().find(|rule| rule.is_for(command) && !rule.is_for(other))
    }

    /// Returns the rules that name a host call, regardless of commands and attributes.
    pub(crate) fn naming(&self, call: &str) -> impl Iterator<Item = &Allow> {
        self.by_call.get(call).into_iter().flatten().map(|index| &self.rules[*index])
    }

    /// Returns the rules that allow the plugin's command `command` to make a host call with these attributes.
    ///
    /// # Errors
    /// If no rule allows the host call: the rules that name the host call and apply to the command, each with the
    /// attribute that does not match.
    pub(crate) fn permitting<'a>(
        &'a self,
        call: &str,
        command: &str,
        attributes: &crate::model::Attributes,
    ) -> Result<impl Iterator<Item = &'a Allow> + use<'a>, Vec<(&'a Allow, Mismatch)>> {
        let mut hits: Vec<&Allow> = Vec::new();
        let mut misses = Vec::new();
        for rule in self.naming(call).filter(|rule| rule.is_for(command)) {
            match rule.limits.permit(attributes) {
                Ok(()) => hits.push(rule),
                Err(miss) => misses.push((rule, miss)),
            }
        }
        if hits.is_empty() { Err(misses) } else { Ok(hits.into_iter()) }
    }
}
