//! Alert rules for Prometheus, defined next to the metrics that they use.

#[derive(Debug)]
pub struct Alert {
    pub name: &'static str,
    /// The PromQL expression that is true while the alert fires.
    pub expr: &'static str,
    /// The time for which the expression must be true (`for`).
    pub lasts: &'static str,
    pub severity: Severity,
    /// The meaning and the first step to take. May contain labels: `{{ $labels.bot }}`.
    pub summary: &'static str,
}

/// The urgency of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Look at once.
    Critical,
    /// Look in working hours.
    Warning,
}

impl Severity {
    /// The value of the `severity` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}
