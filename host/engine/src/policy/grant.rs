//! What the operator grants a plugin: its `allow` rules, sorted by the calls they name.

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

/// One `[[plugin.NAME.allow]]`.
#[derive(Debug)]
pub struct Allow {
    /// Where it stands.
    pub at: At,
    /// The calls that it names, as patterns over the table's names.
    pub calls: Vec<Pattern>,
    /// The commands that it is for, as patterns; `None` for all of the plugin's.
    pub commands: Option<Vec<Pattern>>,
    /// What it limits.
    pub limits: Scope,
    /// The attributes in which an effect may differ from what was typed.
    pub beyond: BTreeSet<Attribute>,
    /// `plugin.deploy, plugins.toml line 61`: for the journal.
    pub text: Arc<str>,
}

impl Allow {
    /// Whether it is for a command at all: for one that it is not, it is as if it were not there.
    pub fn is_for(&self, command: &str) -> bool {
        self.commands.as_ref().is_none_or(|commands| commands.iter().any(|pattern| pattern.matches(command)))
    }
}

/// All that one plugin is granted.
#[derive(Debug, Default)]
pub struct Grants {
    rules: Vec<Allow>,
    // For each call, the rules that name it: what a call costs must not grow with the file.
    by_call: HashMap<&'static str, Vec<usize>>,
}

impl Grants {
    /// Sorts rules by call.
    pub fn new(rules: Vec<Allow>, calls: &CallTable) -> Self {
        let naming = |name: &str| {
            let named = |(_, rule): &(usize, &Allow)| rule.calls.iter().any(|call| call.matches(name));
            rules.iter().enumerate().filter(named).map(|(index, _)| index).collect()
        };
        let by_call = calls.iter().map(|call| (call.name, naming(call.name))).collect();
        Self { rules, by_call }
    }

    /// All rules, in the order of the file.
    pub fn rules(&self) -> &[Allow] {
        &self.rules
    }

    /// The rules that name a call.
    pub fn naming(&self, call: &str) -> impl Iterator<Item = &Allow> {
        self.by_call.get(call).into_iter().flatten().map(|index| &self.rules[*index])
    }

    /// The rules for a call and a command that match, and why the others do not.
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
