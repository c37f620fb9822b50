//! When somebody should look: rules for Prometheus, beside the metrics that they lean on.

/// One rule.
#[derive(Debug)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// What is wrong where it gives anything, in PromQL.
    pub expr: &'static str,
    /// For how long that must be so.
    pub lasts: &'static str,
    /// How soon somebody should look.
    pub severity: Severity,
    /// What it means, and what to look at. May name labels: `{{ $labels.bot }}`.
    pub summary: &'static str,
}

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Now.
    Critical,
    /// In working hours.
    Warning,
}

impl Severity {
    /// The word for it in a rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}
