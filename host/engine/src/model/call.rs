//! What kinds of host calls there are.

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
