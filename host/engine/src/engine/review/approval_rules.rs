//! Approval rules in reports, and rules that cannot be met.

use std::collections::BTreeSet;

use crate::policy::{Access, Approval, Pattern};

/// An approval rule in one line.
pub(super) fn rule_text(rule: &Approval) -> String {
    let mut line = format!("approval: {}: {} of {}", rule.text, rule.count, rule.from.join(" or "));
    if !rule.calls.is_empty() {
        let calls: Vec<&str> = rule.calls.iter().map(Pattern::as_str).collect();
        line.push_str(&format!(", for {}", calls.join(", ")));
    }
    // The name of an environment's own rule includes its environment.
    let is_environments = rule.text.starts_with("environment");
    for (attribute, patterns) in rule.limits.iter().filter(|_| !is_environments) {
        let patterns: Vec<&str> = patterns.iter().map(Pattern::as_str).collect();
        line.push_str(&format!(", {} {}", attribute.as_str(), patterns.join(", ")));
    }
    line.push_str(&format!(", within {}", config_duration(rule.within.as_secs())));
    if rule.known_good {
        line.push_str(", not for a version that succeeded there before");
    }
    if let Some(glass) = &rule.break_glass {
        line.push_str(&format!(", can be overridden by {} (reported to {})", glass.role, glass.tell));
    }
    line
}

/// A duration as it is written in the configuration: `5m`.
fn config_duration(seconds: u64) -> String {
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// Warnings for rules that need more approvals than the named members of their roles can give. A role whose members are a
/// room has no such limit.
pub(super) fn unmet(approvals: &[Approval], access: &Access) -> Vec<String> {
    let mut warnings = Vec::new();
    for rule in approvals {
        let people: BTreeSet<String> = rule.from.iter().flat_map(|role| access.known_members(role)).collect();
        let has_room = rule.from.iter().any(|role| access.has_room_members(role));
        let count = usize::try_from(rule.count).unwrap_or(usize::MAX);
        let roles = rule.from.join(" or ");
        if !has_room && people.len() < count {
            let known = people.len();
            warnings.push(format!(
                "{}: it needs {count} approvals from {roles}, which has {known} known members",
                rule.text
            ));
        } else if !has_room && people.len() == count {
            // The person who asks cannot approve.
            warnings.push(format!(
                "{}: a member of {roles} who asks cannot get {count} approvals from the others",
                rule.text
            ));
        }
    }
    warnings
}
