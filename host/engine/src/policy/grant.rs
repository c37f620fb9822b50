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
    /// Its position in the configuration.
    pub at: At,
    /// The calls that it allows, as patterns over the names of the call table.
    pub calls: Vec<Pattern>,
    /// The commands that it applies to, as patterns; `None` for all commands of the plugin.
    pub commands: Option<Vec<Pattern>>,
    /// The attribute values that it allows.
    pub limits: Scope,
    /// The attributes in which an effect may differ from the typed command.
    pub beyond: BTreeSet<Attribute>,
    /// `plugin.deploy, plugins.toml line 61`: for the journal.
    pub text: Arc<str>,
}

impl Allow {
    /// Whether the rule applies to a command. For other commands it is ignored.
    pub(crate) fn is_for(&self, command: &str) -> bool {
        self.commands.as_ref().is_none_or(|commands| commands.iter().any(|pattern| pattern.matches(command)))
    }
}

/// All grants of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    rules: Vec<Allow>,
    // The rules of each call: the cost of a check must not grow with the size of the configuration.
    by_call: HashMap<&'static str, Vec<usize>>,
}

impl Grants {
    /// Indexes rules by call.
    pub(crate) fn new(rules: Vec<Allow>, calls: &CallTable) -> Self {
        let naming = |name: &str| {
            let named = |(_, rule): &(usize, &Allow)| rule.calls.iter().any(|call| call.matches(name));
            rules.iter().enumerate().filter(named).map(|(index, _)| index).collect()
        };
        let by_call = calls.iter().map(|call| (call.name, naming(call.name))).collect();
        Self { rules, by_call }
    }

    /// All rules, in the order of the configuration.
    pub(crate) fn rules(&self) -> &[Allow] {
        &self.rules
    }

    /// The rules that name a call.
    pub(crate) fn naming(&self, call: &str) -> impl Iterator<Item = &Allow> {
        self.by_call.get(call).into_iter().flatten().map(|index| &self.rules[*index])
    }

    /// The rules that allow a call of a command; if there are none, the rules that name the call, each with its
    /// mismatch.
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
