//! The operator's grants to a plugin: its `allow` rules, indexed by call.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    pattern::Pattern,
    scope::{Mismatch, Scope},
};
use crate::{
    base::At,
    model::{Attribute, CallTable},
};

/// A `[[plugin.NAME.allow]]` table.
#[derive(Debug)]
pub(crate) struct Allow {
    pub at: At,
    /// The host calls that the rule allows, as patterns over the names of the call table: `pipelines.*`.
    pub calls: Vec<Pattern>,
    /// The commands of the plugin that the rule applies to, as patterns; `None` for all commands.
    pub commands: Option<Vec<Pattern>>,
    /// The attribute values that the rule allows.
    pub limits: Scope,
    /// The attributes in which an effect may differ from the typed command.
    pub beyond: BTreeSet<Attribute>,
    /// The rule as text for the journal: `plugin.deploy, plugins.toml line 61`.
    pub text: Arc<str>,
}

impl Allow {
    /// Returns whether the rule applies to a command. For other commands the rule is ignored.
    pub(crate) fn is_for(&self, command: &str) -> bool {
        self.commands.as_ref().is_none_or(|commands| commands.iter().any(|pattern| pattern.matches(command)))
    }
}

/// All `allow` rules of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    rules: Vec<Allow>,
    // The indexes of the rules that name a call. The cost of a check must not grow with the size of the configuration.
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

    /// Returns the rules that name a call.
    pub(crate) fn naming(&self, call: &str) -> impl Iterator<Item = &Allow> {
        self.by_call.get(call).into_iter().flatten().map(|index| &self.rules[*index])
    }

    /// Returns the rules that allow a call of a command.
    ///
    /// # Errors
    /// If no rule allows the call, the rules that name it, each with the attribute that does not match.
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
