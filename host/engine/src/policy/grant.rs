//! What the operator grants a plugin: its `allow` rules, sorted by the calls they name.

use std::{collections::BTreeSet, sync::Arc};

use super::{pattern::Pattern, scope::{Mismatch, Scope}};
use crate::{base::At, model::Attribute};

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
    // For each row of the call table, the rules that name it: what a call costs must not grow with the file.
    by_row: Vec<Vec<usize>>,
}

impl Grants {
    /// Sorts rules by call.
    pub fn new(rules: Vec<Allow>) -> Self {
        let naming = |name: &str| {
            let named = |(_, rule): &(usize, &Allow)| rule.calls.iter().any(|call| call.matches(name));
            rules.iter().enumerate().filter(named).map(|(index, _)| index).collect()
        };
        let by_row = crate::hostcall::TABLE.iter().map(|row| naming(row.name)).collect();
        Self { rules, by_row }
    }

    /// All rules, in the order of the file.
    pub fn rules(&self) -> &[Allow] {
        &self.rules
    }

    /// The rules that name a row of the call table.
    pub fn naming(&self, row: usize) -> impl Iterator<Item = &Allow> {
        self.by_row.get(row).into_iter().flatten().map(|index| &self.rules[*index])
    }

    /// The rules for a row and a command that match, and why the others do not.
    pub(crate) fn permitting<'a>(
        &'a self,
        row: usize,
        command: &str,
        attributes: &crate::model::Attributes,
    ) -> Result<impl Iterator<Item = &'a Allow> + use<'a>, Vec<(&'a Allow, Mismatch)>> {
        let mut hits: Vec<&Allow> = Vec::new();
        let mut misses = Vec::new();
        for rule in self.naming(row).filter(|rule| rule.is_for(command)) {
            match rule.limits.permit(attributes) {
                Ok(()) => hits.push(rule),
                Err(miss) => misses.push((rule, miss)),
            }
        }
        if hits.is_empty() { Err(misses) } else { Ok(hits.into_iter()) }
    }
}
