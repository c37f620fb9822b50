//! The audit report: the host calls that each plugin can make, the rules that permit these calls, and the number of
//! calls that were made.

use std::fmt;

use serde::Serialize;

use super::{Review, approval_rules, findings, trigger_rows, warnings};
use crate::{
    hostcall::OVERRIDDEN,
    store::{CallCount, Entry, EntryKind, HashedEntry, JobQuery, JobRow, Store, StoreError},
};

/// The maximum number of overridden approvals in a report, newest first.
const MAX_OVERRIDES: usize = 200;

/// The audit report, as `wardroom audit` prints it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AuditReport {
    plugins: Vec<findings::PluginFindings>,
    not_loaded: Vec<NotLoadedRow>,
    /// The host calls that a plugin made in the past and no longer imports.
    past: Vec<findings::PastUse>,
    /// Whether a lock file pins the plugin files.
    locked: bool,
    warnings: Vec<String>,
    /// The newest jobs with an effect that needed an approval and ran without it, because of `--override`.
    overrides: Vec<OverrideRow>,
    /// The number of older such jobs.
    older_overrides: usize,
    approvals: Vec<String>,
    triggers: Vec<trigger_rows::TriggerRow>,
}

/// A plugin that failed to load.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NotLoadedRow {
    name: String,
    error: String,
}

/// A job with an effect that needed an approval and ran without it, because of `--override`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OverrideRow {
    job: String,
    line: String,
    caller: String,
    opened: String,
    /// The reason that the person typed after `--override`.
    reason: Option<String>,
    outcome: Option<&'static str>,
}

fn override_row(job: &JobRow) -> OverrideRow {
    OverrideRow {
        job: job.id.clone(),
        line: job.line.clone(),
        caller: job.caller.id.clone(),
        opened: job.opened.to_string(),
        reason: job.overrides.clone(),
        outcome: job.end.as_ref().map(|end| end.outcome.as_str()),
    }
}

/// Returns whether the flag `--override` lifted a required approval in a job with these journal entries. The flag alone
/// changes nothing.
fn lifts_approval(entries: &[HashedEntry]) -> bool {
    let lifts = |entry: &Entry| entry.kind == EntryKind::Intent && entry.rule.contains(OVERRIDDEN);
    entries.iter().any(|entry| lifts(&entry.entry))
}

impl fmt::Display for OverrideRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, line, caller, opened, .. } = self;
        let (reason, outcome) = (self.reason.as_deref().unwrap_or_default(), self.outcome.unwrap_or("open"));
        write!(f, "override: job {job} `{line}` by {caller} at {opened}: {reason} ({outcome})")
    }
}

impl AuditReport {
    pub(super) async fn new(review: &Review, store: Option<&dyn Store>) -> Result<Self, StoreError> {
        let (usage, overridden): (Vec<(String, CallCount)>, Vec<JobRow>) = match store {
            Some(store) => {
                let typed = JobQuery { overrides: true, ..JobQuery::default() };
                let mut overridden = Vec::new();
                for job in store.jobs(&typed).await? {
                    if lifts_approval(&store.entries(&job.id).await?) {
                        overridden.push(job);
                    }
                }
                (store.usage().await?, overridden)
            }
            None => (Vec::new(), Vec::new()),
        };
        let Review { config, access, plugins, .. } = review;
        let not_loaded = plugins.not_loaded().iter();
        let mut warnings = warnings::warnings(plugins, &config.bots);
        warnings.extend(approval_rules::unmet(&config.approvals, access));
        Ok(Self {
            plugins: plugins.loaded().iter().map(|plugin| findings::PluginFindings::new(plugin, &usage)).collect(),
            not_loaded: not_loaded
                .map(|plugin| NotLoadedRow { name: plugin.name.clone(), error: plugin.error.to_string() })
                .collect(),
            past: findings::past(plugins, &usage),
            locked: plugins.locked(),
            warnings,
            overrides: overridden.iter().take(MAX_OVERRIDES).map(override_row).collect(),
            older_overrides: overridden.len().saturating_sub(MAX_OVERRIDES),
            approvals: config.approvals.iter().map(approval_rules::rule_text).collect(),
            triggers: trigger_rows::rows(config),
        })
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.overrides.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        if self.older_overrides > 0 {
            writeln!(f, "override: {} older jobs are not listed", self.older_overrides)?;
        }
        self.approvals.iter().try_for_each(|rule| writeln!(f, "{rule}"))?;
        self.triggers.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        self.plugins.iter().try_for_each(|plugin| plugin.fmt(f))?;
        self.past.iter().try_for_each(|past| writeln!(f, "{past}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
