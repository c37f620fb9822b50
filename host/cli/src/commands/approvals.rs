//! What a reviewer is told of approvals: who went without one, which rules ask for them, and which of these nobody can meet.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wardroom::{
    access::Access,
    approval::Approval,
    port::store::{JobQuery, JobRow},
};

/// No more jobs than this are listed, the newest.
const MOST: u32 = 200;

/// The jobs that went without the approval that the rules ask for.
pub(super) fn overridden() -> JobQuery {
    JobQuery { overrides: true, limit: Some(MOST), ..JobQuery::default() }
}

/// One of them in a line.
pub(super) fn overridden_line(job: &JobRow) -> String {
    let reason = job.overrides.as_deref().unwrap_or_default();
    let outcome = job.end.as_ref().map_or("open", |end| end.outcome.as_str());
    format!("override: job {} `{}` by {} at {}: {reason} ({outcome})", job.id, job.line, job.caller.id, job.opened)
}

/// The same for programs.
pub(super) fn overridden_fact(job: &JobRow) -> Value {
    json!({
        "job": job.id, "line": job.line, "caller": job.caller.id, "opened": job.opened.to_string(),
        "reason": job.overrides, "outcome": job.end.as_ref().map(|end| end.outcome.as_str()),
    })
}

/// A rule in a line.
pub(super) fn rule_line(rule: &Approval) -> String {
    let mut line = format!("approval: {}: {} of {}", rule.text, rule.count, rule.from.join(" or "));
    if !rule.calls.is_empty() {
        let calls: Vec<&str> = rule.calls.iter().map(wardroom::access::Pattern::as_str).collect();
        line.push_str(&format!(", for {}", calls.join(", ")));
    }
    // That of an environment says so in its name.
    let named = rule.text.starts_with("environment");
    for (attribute, patterns) in rule.limits.iter().filter(|_| !named) {
        let patterns: Vec<&str> = patterns.iter().map(wardroom::access::Pattern::as_str).collect();
        line.push_str(&format!(", {} {}", attribute.as_str(), patterns.join(", ")));
    }
    line.push_str(&format!(", within {}", span(rule.within.as_secs())));
    if rule.known_good {
        line.push_str(", not for a version that succeeded there before");
    }
    if let Some(glass) = &rule.break_glass {
        line.push_str(&format!(", overridden by {} (told to {})", glass.role, glass.tell));
    }
    line
}

/// So many seconds as the file has them: `5m`.
fn span(seconds: u64) -> String {
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// The rules that nobody can meet: they ask for more people than the file names.
pub(super) fn unmet(approvals: &[Approval], access: &Access) -> Vec<String> {
    let mut warnings = Vec::new();
    for rule in approvals {
        let people: BTreeSet<String> = rule.from.iter().flat_map(|role| access.named_in(role)).collect();
        let open = rule.from.iter().any(|role| access.names_a_room(role));
        let count = usize::try_from(rule.count).unwrap_or(usize::MAX);
        if !open && people.len() < count {
            warnings.push(format!(
                "{}: it asks for {count} of {}, who are {} by name",
                rule.text,
                rule.from.join(" or "),
                people.len()
            ));
        } else if !open && people.len() == count {
            warnings.push(format!("{}: whoever is one of {} needs all the others", rule.text, rule.from.join(" or ")));
        }
    }
    warnings
}
