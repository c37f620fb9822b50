//! Finds the aliases and fixed answers that the host does not use.
//!
//! Invariants: a command takes precedence over an alias and over a fixed answer, also while its plugin is not loaded. An
//! alias of an untrusted file sets no flag of the host, changes nothing in the host itself and gives nobody a right: its
//! author would act with the rights of the person who types the alias.

use crate::{
    base::At,
    command::{CommandKind, HOST_FLAGS, Target},
    hostcall::Plugins,
    model::{CallKind, CallSpec},
    store::GivenArgument,
    trigger::{Alias, CommandTemplate, Triggers},
};

/// The interface of the contract with the host calls that grant and revoke roles.
const RIGHTS: &str = "access";
/// The end of the message about an alias that only a trusted file may contain.
const MOVE: &str = "move the alias to the main file or to a file of its `trusted_include`";

/// Returns the position of each alias and fixed answer that the host does not use, with the reason.
pub(super) fn refused(triggers: &Triggers, plugins: &Plugins) -> Vec<(At, String)> {
    let aliases = triggers.aliases.iter().filter_map(|alias| Some((alias.at.clone(), refused_alias(alias, plugins)?)));
    let answers = triggers.fixed_answers.iter();
    let answers = answers.filter_map(|answer| Some((answer.at.clone(), hidden(&answer.typed, plugins)?)));
    aliases.chain(answers).collect()
}

/// Removes each alias and fixed answer that the host does not use, and logs the reason.
pub(super) fn remove(triggers: &mut Triggers, plugins: &Plugins) {
    let is_used = |at: &At, refusal: Option<String>| match refusal {
        None => true,
        Some(reason) => {
            tracing::error!(%at, reason, "ignoring an alias or a fixed answer of the configuration");
            false
        }
    };
    triggers.aliases.retain(|alias| is_used(&alias.at, refused_alias(alias, plugins)));
    triggers.fixed_answers.retain(|answer| is_used(&answer.at, hidden(&answer.typed, plugins)));
}

fn refused_alias(alias: &Alias, plugins: &Plugins) -> Option<String> {
    let untrusted = || (!alias.trusted).then(|| beyond_untrusted(&alias.command, plugins)).flatten();
    hidden(&alias.typed, plugins).or_else(untrusted)
}

/// Returns the reason why the line `typed` cannot start an alias or a fixed answer: a message with these words is a
/// command.
fn hidden(typed: &[String], plugins: &Plugins) -> Option<String> {
    let command = plugins.command_at(typed)?;
    let typed = typed.join(" ");
    Some(format!(
        "`{typed}` would replace the command `{command}`, because both begin with the same words; choose other words"
    ))
}

/// Returns the reason why an alias of an untrusted file cannot run a command.
fn beyond_untrusted(command: &CommandTemplate, plugins: &Plugins) -> Option<String> {
    let words = command.fill(&Default::default());
    let mut flags = words.iter().filter_map(|word| {
        let (GivenArgument::Written(text) | GivenArgument::Given { before: text, .. }) = word;
        text.strip_prefix("--")?.split('=').next()
    });
    if let Some(flag) = flags.find(|flag| HOST_FLAGS.contains(flag)) {
        return Some(format!("an alias of an included file cannot set the flag `--{flag}`; {MOVE}"));
    }
    let spec = plugins.table().command_of_words(&words)?;
    let name = &spec.name;
    match &spec.target {
        Target::Host(builtin) if builtin.only_reads() => None,
        Target::Host(_) => {
            Some(format!("an alias of an included file cannot run `{name}`, which can change something; {MOVE}"))
        }
        Target::Plugin(plugin) => {
            let changes_rights = |call: &CallSpec| call.interface() == RIGHTS && call.kind == CallKind::Acts;
            let calls = &plugins.get(plugin)?.calls;
            (spec.kind == CommandKind::Action && calls.iter().any(changes_rights)).then(|| {
                format!(
                    "an alias of an included file cannot run `{name}`, because its plugin can change rights; {MOVE}"
                )
            })
        }
    }
}
