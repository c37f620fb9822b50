//! The texts that the built-in command `help` shows: the list of commands, and the explanation of one command.

use std::fmt::Write as _;

use super::spec::{CommandKind, ParameterType, Spec, Target};
use crate::base::PREFIX;

/// Returns the reply to `help`: one line per command, grouped by plugin.
pub(crate) fn help_all<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> String {
    let specs: Vec<&Spec> = specs.into_iter().collect();
    let width = specs.iter().map(|spec| spec.usage().len()).max().unwrap_or(0).min(48);
    let mut text = String::new();
    let mut last = None;
    for spec in specs {
        let group = match &spec.target {
            Target::Host(_) => "built in",
            Target::Plugin(name) => name,
        };
        if last != Some(group) {
            let _ = writeln!(text, "{group}");
            last = Some(group);
        }
        let _ = writeln!(text, "  {:width$}  {}", spec.usage(), spec.summary);
    }
    let _ = write!(text, "For more about a command, type: {PREFIX}help COMMAND");
    text
}

/// Returns the reply to `help COMMAND`: usage, parameters, other names and examples. The reply ends with `who`, a
/// sentence about the people who may run the command.
pub(crate) fn help_one(spec: &Spec, who: &str) -> String {
    // The summary stands behind the usage, because the words of a plugin must not begin a line of the host.
    let mut text = format!("{}  {}", spec.usage(), spec.summary);
    for parameter in &spec.parameters {
        let takes = match parameter.kind {
            ParameterType::Integer => " (an integer)",
            ParameterType::Boolean => " (true or false)",
            ParameterType::Duration => " (for example 90s, 2h or 1d12h)",
            _ => "",
        };
        let optional = if parameter.required { "" } else { ", optional" };
        let _ = write!(text, "\n  {}: {}{takes}{optional}", parameter.name.to_uppercase(), parameter.summary);
        if !parameter.choices.is_empty() {
            let _ = write!(text, ": one of {}", parameter.choices_text(usize::MAX));
        }
    }
    if !spec.aliases.is_empty() {
        let _ = write!(text, "\nOther names: {}", spec.aliases.join(", "));
    }
    for example in &spec.examples {
        let _ = write!(text, "\nExample: {PREFIX}{example}");
    }
    let does = match (&spec.target, spec.kind) {
        // The summary of a built-in command already says what the command changes.
        (Target::Host(_), _) => "",
        (_, CommandKind::Query) => "This command changes nothing. ",
        (_, CommandKind::Action) => {
            "This command starts a job. If another job holds a deployment lock, `--wait` queues this job. "
        }
    };
    let _ = write!(text, "\n{does}{who}");
    text
}
