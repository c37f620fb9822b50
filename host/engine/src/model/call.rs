//! Host calls as data: what rules, journal, reports and metrics know of each.
//!
//! Not here: what a call does (`hostcall`).

use std::{collections::BTreeSet, sync::Arc};

use super::attribute::Attribute;

/// What a call can do, and so how it is checked and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// Changes nothing. In a job its answer is journaled, in a query it is counted.
    Reads,
    /// Log lines and words in the job's own thread. Needs no rule.
    Notes,
    /// The operator's own words for this plugin, or the time. Reads, and needs no rule.
    Given,
    /// Changes the plugin's own keys. Denied in a query.
    Keeps,
    /// Waits. Denied in a query.
    Waits,
    /// Changes something outside. Denied in a query; its intent is on disk before it happens.
    Acts,
}

impl CallKind {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Notes => "notes",
            Self::Given => "given",
            Self::Keeps => "keeps",
            Self::Waits => "waits",
            Self::Acts => "acts",
        }
    }

    /// Whether a call of this kind needs an `allow` that names it.
    pub fn needs_rule(self) -> bool {
        !matches!(self, Self::Notes | Self::Given)
    }

    /// Whether a query may make it.
    pub fn in_query(self) -> bool {
        matches!(self, Self::Reads | Self::Notes | Self::Given)
    }
}

/// Where the environment that a call touches comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentFrom {
    /// What the host knows of the target.
    Target,
    /// What was typed.
    Command,
    /// It touches none.
    Nothing,
}

/// The rule of a call that needs none.
pub(crate) const NO_RULE: &str = "no rule needed";

/// How much harm a call can do, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// It changes nothing outside the plugin.
    Low,
    /// It changes something that can be changed back.
    Medium,
    /// It changes what runs, or who may do what.
    High,
}

impl Risk {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// The package and version of the contract.
pub const CONTRACT: &str = "wardroom:plugin@0.1.0";

/// One host call: a row of the call table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallSpec {
    /// `interface.function`, as in rules, journal and reports.
    pub name: &'static str,
    /// Its WIT package with the version, such as `wardroom:plugin@0.1.0`.
    pub package: &'static str,
    /// What it can do.
    pub kind: CallKind,
    /// The attributes that a rule can match.
    pub attributes: &'static [Attribute],
    /// Where its environment comes from.
    pub environment: EnvironmentFrom,
    /// How much harm it can do.
    pub risk: Risk,
    /// Whether an effect takes the deployment locks of the apps and environments that it touches.
    pub locks: bool,
    /// Whether an effect of it only takes rights away. No approval rule, freeze or promotion order holds such an effect.
    pub only_revokes: bool,
    /// What it does, for reports: one line without a full stop.
    pub summary: &'static str,
}

impl CallSpec {
    /// A call of a package. It has no attributes and no environment; an acting call has a medium risk and takes deployment
    /// locks.
    pub const fn new(package: &'static str, name: &'static str, kind: CallKind, summary: &'static str) -> Self {
        let acts = matches!(kind, CallKind::Acts);
        let risk = if acts { Risk::Medium } else { Risk::Low };
        let environment = EnvironmentFrom::Nothing;
        Self { name, package, kind, attributes: &[], environment, risk, locks: acts, only_revokes: false, summary }
    }

    /// The attributes that a rule can match, and where the environment comes from.
    #[must_use]
    pub const fn on(self, attributes: &'static [Attribute], environment: EnvironmentFrom) -> Self {
        Self { attributes, environment, ..self }
    }

    /// How much harm it can do.
    #[must_use]
    pub const fn risk(self, risk: Risk) -> Self {
        Self { risk, ..self }
    }

    /// An effect of it takes no deployment lock.
    #[must_use]
    pub const fn without_lock(self) -> Self {
        Self { locks: false, ..self }
    }

    /// An effect of it only takes rights away.
    #[must_use]
    pub const fn only_revokes(self) -> Self {
        Self { only_revokes: true, ..self }
    }

    /// The interface's name in its package.
    pub fn interface(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(interface, _)| interface)
    }

    /// The function's name in its interface.
    pub fn function(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(_, function)| function)
    }
}

/// All host calls of a host, by name.
#[derive(Debug, Clone)]
pub struct CallTable(Arc<[CallSpec]>);

impl CallTable {
    /// Sorts rows by name. Of two with one name the first is kept; who makes the rows refuses that before.
    pub(crate) fn new(mut rows: Vec<CallSpec>) -> Self {
        rows.sort_by_key(|row| row.name);
        rows.dedup_by_key(|row| row.name);
        Self(rows.into())
    }

    /// The rows, by name.
    pub fn iter(&self) -> impl Iterator<Item = &CallSpec> + Clone {
        self.0.iter()
    }

    /// The row of a name.
    pub fn get(&self, name: &str) -> Option<&CallSpec> {
        let index = self.0.binary_search_by_key(&name, |row| row.name).ok()?;
        Some(&self.0[index])
    }

    /// The attribute that a key of a rule names, if there is one.
    pub(crate) fn attribute(&self, name: &str) -> Option<Attribute> {
        let known = || self.iter().flat_map(|row| row.attributes).copied();
        Attribute::parse(name).or_else(|| known().find(|attribute| attribute.as_str() == name))
    }

    /// Every attribute that a rule can name, each once.
    pub(crate) fn attributes(&self) -> BTreeSet<Attribute> {
        self.iter().flat_map(|row| row.attributes).copied().chain(Attribute::ALL).collect()
    }
}
