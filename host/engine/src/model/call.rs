//! Host calls as data, for rules, journals, reports and metrics.
//!
//! Not here: the implementation of a call (`hostcall`).

use std::{collections::BTreeSet, sync::Arc};

use super::attribute::Attribute;

/// The kind of a call. It decides how the call is checked and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// Reads. In a job its answer is recorded in the journal, in a query it is counted.
    Reads,
    /// Writes log lines, or messages in the job's own thread. Needs no grant.
    Notes,
    /// Reads the plugin's own settings, or the time. Needs no grant.
    Given,
    /// Changes the plugin's own values. Denied in a query.
    Keeps,
    /// Waits. Denied in a query.
    Waits,
    /// Changes something outside. Denied in a query. Its intent is on disk before the effect.
    Acts,
}

impl CallKind {
    /// The name in reports.
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

    /// Whether a call of this kind needs an `allow` rule that names it.
    pub fn needs_rule(self) -> bool {
        !matches!(self, Self::Notes | Self::Given)
    }

    /// Whether a query may make such a call.
    pub fn in_query(self) -> bool {
        matches!(self, Self::Reads | Self::Notes | Self::Given)
    }
}

/// The source of the environment of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentFrom {
    /// The host's data about the call's target.
    Target,
    /// The typed command.
    Command,
    /// The call has no environment.
    Nothing,
}

/// The rule that is recorded for a call that needs none.
pub(crate) const NO_RULE: &str = "no rule needed";

/// The potential harm of a call, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// It changes nothing outside of the plugin.
    Low,
    /// It makes a change that can be reverted.
    Medium,
    /// It changes a deployment or a person's rights.
    High,
}

impl Risk {
    /// The name in reports.
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

/// A row of the call table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallSpec {
    /// `interface.function`, as in rules, journals and reports.
    pub name: &'static str,
    /// The WIT package with its version, for example `wardroom:plugin@0.1.0`.
    pub package: &'static str,
    /// The kind, which decides how the call is checked.
    pub kind: CallKind,
    /// The attributes that a rule can match.
    pub attributes: &'static [Attribute],
    /// The source of its environment.
    pub environment: EnvironmentFrom,
    /// The potential harm.
    pub risk: Risk,
    /// Whether an effect takes the deployment locks of its apps and environments.
    pub locks: bool,
    /// Whether its effects only revoke rights. No approval rule, freeze or promotion order holds such an effect.
    pub only_revokes: bool,
    /// A description for reports, in one line without a full stop.
    pub summary: &'static str,
}

impl CallSpec {
    /// Creates a row without attributes and environment. An acting call has medium risk and takes deployment locks;
    /// other calls have low risk and take none.
    pub const fn new(package: &'static str, name: &'static str, kind: CallKind, summary: &'static str) -> Self {
        let acts = matches!(kind, CallKind::Acts);
        let risk = if acts { Risk::Medium } else { Risk::Low };
        let environment = EnvironmentFrom::Nothing;
        Self { name, package, kind, attributes: &[], environment, risk, locks: acts, only_revokes: false, summary }
    }

    /// Sets the attributes that a rule can match, and the source of the environment.
    #[must_use]
    pub const fn on(self, attributes: &'static [Attribute], environment: EnvironmentFrom) -> Self {
        Self { attributes, environment, ..self }
    }

    /// Sets the risk.
    #[must_use]
    pub const fn risk(self, risk: Risk) -> Self {
        Self { risk, ..self }
    }

    /// Makes the effects of an acting call take no deployment lock.
    #[must_use]
    pub const fn without_lock(self) -> Self {
        Self { locks: false, ..self }
    }

    /// Marks a call whose effects only revoke rights.
    #[must_use]
    pub const fn only_revokes(self) -> Self {
        Self { only_revokes: true, ..self }
    }

    /// The name of the interface in its package.
    pub fn interface(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(interface, _)| interface)
    }

    /// The name of the function in its interface.
    pub fn function(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(_, function)| function)
    }
}

/// The call table of a host, sorted by name.
#[derive(Debug, Clone)]
pub struct CallTable(Arc<[CallSpec]>);

impl CallTable {
    /// Sorts rows by name. Of two rows with the same name the first is kept; the caller rejects duplicates before.
    pub(crate) fn new(mut rows: Vec<CallSpec>) -> Self {
        rows.sort_by_key(|row| row.name);
        rows.dedup_by_key(|row| row.name);
        Self(rows.into())
    }

    /// The rows, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &CallSpec> + Clone {
        self.0.iter()
    }

    /// The row with this name.
    pub fn get(&self, name: &str) -> Option<&CallSpec> {
        let index = self.0.binary_search_by_key(&name, |row| row.name).ok()?;
        Some(&self.0[index])
    }

    /// The attribute with this key in rules, if there is one.
    pub(crate) fn attribute(&self, name: &str) -> Option<Attribute> {
        let known = || self.iter().flat_map(|row| row.attributes).copied();
        Attribute::parse(name).or_else(|| known().find(|attribute| attribute.as_str() == name))
    }

    /// All attributes that rules can name.
    pub(crate) fn attributes(&self) -> BTreeSet<Attribute> {
        self.iter().flat_map(|row| row.attributes).copied().chain(Attribute::ALL).collect()
    }
}
