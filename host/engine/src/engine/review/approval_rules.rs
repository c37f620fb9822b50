//! Describes approval rules in reports, and finds approval rules that nobody can meet.

use std::collections::BTreeSet;

use super::texts::pattern_list;
use crate::{
    base::written_duration,
    policy::{Access, Approval},
};

/// Describes an approval rule in one line, for example `approval: environment production: 1 from leads, within 1h`.
pub(super) fn rule_text(rule: &Approval) -> String {
    let mut line = format!("approval: {}: {} from {}", rule.text, rule.count, rule.from.join(" or "));
    if !rule.calls.is_empty() {
        line.push_str(&format!(", for {}", pattern_list(&rule.calls)));
    }
    // The text of a rule from `[environment.NAME]` already contains the environment.
    let is_of_environment = rule.text.starts_with("environment");
    for (attribute, patterns) in rule.limits.iter().filter(|_| !is_of_environment) {
        line.push_str(&format!(", {} {}", attribute.as_str(), pattern_list(patterns)));
    }
    line.push_str(&format!(", within {}", written_duration(rule.within)));
    if rule.known_good {
        line.push_str(", except for a version that has already succeeded in this environment");
    }
    if let Some(glass) = &rule.break_glass {
        line.push_str(&format!(", role {} can override the rule (reported to {})", glass.role, glass.tell));
    }
    line
}

/// Returns a warning for each approval rule that requires more approvals than its roles have members. Skips a rule if a
/// room is a member of one of its roles, because the number of the room's members is unknown.
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
                "{}: the rule requires {count} approvals from {roles}, but only {known} members of these roles are \
                 known",
                rule.text
            ));
        } else if !has_room && people.len() == count {
            // Nobody can approve their own command.
            warnings.push(format!(
                "{}: if a member of {roles} runs the command, fewer than the {count} required people can approve it",
                rule.text
            ));
        }
    }
    warnings
}
