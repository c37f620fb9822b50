//! Descriptions of host calls, for rules, journals, reports and metrics.
//!
//! Not here: the implementation of each host call (`hostcall`).

use std::{collections::BTreeSet, sync::Arc};

use super::attribute::Attribute;

/// The kind of a host call, which decides how the host checks and records the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// Reads data. In a job, the journal stores the result of the call. In a query, the audit record stores only the
    /// number of calls.
    Reads,
    /// Writes a log line, a message in the job's own thread, or the job's status card. Needs no grant.
    Notes,
    /// Reads the plugin's own settings or the time, or sets a timer. Needs no grant.
    Given,
    /// Changes a value that the plugin stores. Denied in a query.
    Keeps,
    /// Waits for a time or for the end of a pipeline run. Denied in a query.
    Waits,
    /// Has an effect outside of the plugin. Denied in a query. Before the effect, the host writes the intent: a journal
    /// entry which says that the effect is about to happen.
    Acts,
}

impl CallKind {
    /// Returns the name of the kind in reports, for example `reads`.
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

    /// Returns whether a plugin needs an `allow` rule for a call of this kind.
    pub fn needs_rule(self) -> bool {
        !matches!(self, Self::Notes | Self::Given)
    }

    /// Returns whether a query may make a call of this kind.
    pub fn in_query(self) -> bool {
        matches!(self, Self::Reads | Self::Notes | Self::Given)
    }
}

/// Where the host takes the environment of a host call from, for example to check the call against the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentFrom {
    /// From the configuration of the call's target. The configuration gives each pipeline an environment, for example.
    Target,
    /// From the argument of the command that names an environment.
    Command,
    /// From nowhere: the call has no environment.
    Nothing,
}

/// The text that a journal entry has in its field `rule` if the recorded host call needs no grant.
pub(crate) const NO_RULE: &str = "no rule needed";

/// The potential harm of a host call. Shown in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// The call changes nothing outside of the plugin.
    Low,
    /// The call makes a change that can be reverted.
    Medium,
    /// The call changes a deployment or a person's rights.
    High,
}

impl Risk {
    /// Returns the name of the risk in reports, for example `low`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// The WIT package with its version that defines Wardroom's own interface between host and plugins.
pub(crate) const CONTRACT: &str = "wardroom:plugin@0.1.0";

/// A host call: one row of the call table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallSpec {
    /// The name of the call in rules, journals and reports, for example `pipelines.trigger`.
    pub name: &'static str,
    /// The WIT package that defines the call, with its version, for example `wardroom:plugin@0.1.0`.
    pub package: &'static str,
    /// The kind of the call, which decides how the host checks and records the call.
    pub kind: CallKind,
    /// The attributes that a rule can limit to certain values.
    pub attributes: &'static [Attribute],
    /// Where the host takes the call's environment from.
    pub environment: EnvironmentFrom,
    /// The potential harm of the call, for reports.
    pub risk: Risk,
    /// Whether the host takes the deployment locks of the call's apps and environments before the effect.
    pub locks: bool,
    /// Whether the call only takes something back: it revokes rights, or stops a run. Such a call needs no approval, and no
    /// freeze or promotion order stops it.
    pub only_revokes: bool,
    /// A description of the call for reports, in one line without a full stop: `starts a pipeline`.
    pub summary: &'static str,
}

impl CallSpec {
    /// Creates the row of a call without attributes and without an environment. A call of kind [`CallKind::Acts`] gets
    /// medium risk and takes deployment locks; a call of another kind gets low risk and takes no locks.
    pub const fn new(package: &'static str, name: &'static str, kind: CallKind, summary: &'static str) -> Self {
        let acts = matches!(kind, CallKind::Acts);
        let risk = if acts { Risk::Medium } else { Risk::Low };
        let environment = EnvironmentFrom::Nothing;
        Self { name, package, kind, attributes: &[], environment, risk, locks: acts, only_revokes: false, summary }
    }

    /// Sets the attributes that a rule can limit to certain values, and where the host takes the call's environment
    /// from.
    #[must_use]
    pub const fn on(self, attributes: &'static [Attribute], environment: EnvironmentFrom) -> Self {
        Self { attributes, environment, ..self }
    }

    /// Sets the potential harm of the call, for reports.
    #[must_use]
    pub const fn risk(self, risk: Risk) -> Self {
        Self { risk, ..self }
    }

    /// Makes the call take no deployment locks.
    #[must_use]
    pub const fn without_lock(self) -> Self {
        Self { locks: false, ..self }
    }

    /// Declares that the call only takes something back: it revokes rights, or stops a run. The call then needs no
    /// approval, and no freeze or promotion order stops it.
    #[must_use]
    pub const fn only_revokes(self) -> Self {
        Self { only_revokes: true, ..self }
    }

    /// Returns the interface part of the name: `pipelines` of `pipelines.trigger`.
    pub fn interface(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(interface, _)| interface)
    }

    /// Returns the function part of the name: `trigger` of `pipelines.trigger`.
    pub fn function(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(_, function)| function)
    }
}

/// The call table: all host calls that plugins can import, sorted by name.
#[derive(Debug, Clone)]
pub(crate) struct CallTable(Arc<[CallSpec]>);

impl CallTable {
    /// Creates a call table from rows that are sorted by name. The caller has already rejected duplicate names.
    pub(crate) fn new(rows: Vec<CallSpec>) -> Self {
        Self(rows.into())
    }

    /// Returns the rows, sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CallSpec> + Clone {
        self.0.iter()
    }

    /// Returns the row of the call `name`, for example `pipelines.trigger`; `None` if no call has this name.
    pub(crate) fn get(&self, name: &str) -> Option<&CallSpec> {
        let index = self.0.binary_search_by_key(&name, |row| row.name).ok()?;
        Some(&self.0[index])
    }

    /// Returns the attribute with this name in rules, including attributes that an embedder defines; `None` for an
    /// unknown name.
    pub(crate) fn attribute(&self, name: &str) -> Option<Attribute> {
        let known = || self.iter().flat_map(|row| row.attributes).copied();
        Attribute::parse(name).or_else(|| known().find(|attribute| attribute.as_str() == name))
    }

    /// Returns all attributes that rules can name, including attributes that an embedder defines.
    pub(crate) fn attributes(&self) -> BTreeSet<Attribute> {
        self.iter().flat_map(|row| row.attributes).copied().chain(Attribute::ALL).collect()
    }
}
