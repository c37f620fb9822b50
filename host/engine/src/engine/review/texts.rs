//! Texts that several reports contain.

use crate::{
    base::{At, Pattern},
    policy::Access,
};

/// Returns the report of a group that cannot be read; `None` if the group can be read.
pub(super) fn unavailable_group(access: &Access, group: &str) -> Option<String> {
    let why = access.group(group).err()?;
    Some(format!("group {group} is treated as empty, because it is unavailable: {why}"))
}

/// Returns a position with the name of the file, without the path to it: `apps.toml line 3`.
pub(super) fn position(at: &At) -> String {
    format!("{} line {}", at.file.rsplit('/').next().unwrap_or(&at.file), at.line)
}

/// Returns patterns as a list with commas.
pub(crate) fn pattern_list(patterns: &[Pattern]) -> String {
    patterns.iter().map(Pattern::as_str).collect::<Vec<_>>().join(", ")
}

/// Returns patterns in quotes as a list with commas, as `plugins.toml` has them: `"cms", "web"`.
pub(super) fn quoted_patterns(patterns: &[Pattern]) -> String {
    patterns.iter().map(|pattern| format!("\"{}\"", pattern.as_str())).collect::<Vec<_>>().join(", ")
}
