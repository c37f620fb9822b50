//! The description of a command: names, parameters, target. It is created from a plugin's description and validated
//! once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use super::builtin::Builtin;
use crate::base::clean;

/// The owner of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The host.
    Host(Builtin),
    /// A plugin, by its name in the configuration.
    Plugin(Arc<str>),
}

impl Target {
    /// Whether everybody may run it. It then shows only what the person may see.
    pub(crate) fn is_open(&self) -> bool {
        // `unfreeze` is not open. `freeze` without an argument only lists the freezes.
        matches!(self, Self::Host(builtin) if *builtin != Builtin::Unfreeze) && !self.is_for_admins()
    }

    /// Whether only admins may run it, regardless of roles.
    pub(crate) fn is_for_admins(&self) -> bool {
        matches!(self, Self::Host(Builtin::Release))
    }
}

/// Whether a command changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// It only reads, and is answered at once.
    Query,
    /// It changes something, and becomes a job.
    Action,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParameterType {
    /// A word, or several in quotes.
    Text,
    /// An integer.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A duration.
    Duration,
    /// An app of the configuration.
    App,
    /// An environment of the configuration.
    Environment,
    /// A version, for example `1.0.2`.
    Version,
    /// A person in the room.
    Person,
    /// The rest of the line.
    Rest,
    /// A role that can be granted in chat.
    Role,
}

impl ParameterType {
    /// Whether it names the target of an effect: an app, an environment or a version.
    pub(crate) fn is_target(self) -> bool {
        matches!(self, Self::App | Self::Environment | Self::Version)
    }
}

/// A parameter of a command.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// The parameter's name.
    pub name: String,
    /// One line for `help`.
    pub summary: String,
    /// The type of its values.
    pub kind: ParameterType,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it can be given only as a flag.
    pub named: bool,
    /// The allowed values; empty for any.
    pub choices: Vec<String>,
}

/// The description of a command.
#[derive(Debug)]
pub(crate) struct Spec {
    /// The full name, for example `auth revoke`.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// One line for `help`.
    pub summary: String,
    /// Example lines.
    pub examples: Vec<String>,
    /// Whether the command reads or changes something.
    pub kind: CommandKind,
    /// The parameters, in the order of typing.
    pub parameters: Vec<Parameter>,
    /// The owner of the command.
    pub target: Target,
    // The flag parser. It is built once, and parsing needs exclusive access.
    pub(crate) flags: Mutex<clap::Command>,
}

/// The reason why a description is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command `{command}`: {message}")]
pub(crate) struct SpecError {
    /// The command's name in the description.
    pub command: String,
    /// The problem.
    pub message: String,
}

/// The maximum length of a text in a description, in bytes.
const LONGEST_LINE: usize = 300;
/// The host's flag of every action to queue for a deployment lock.
pub(crate) const WAIT: &str = "wait";
/// The host's flag of every action to only show the plan.
pub(crate) const DRY_RUN: &str = "dry-run";
/// The host's flag of every action to override a required approval, with a reason.
pub(crate) const OVERRIDE: &str = "override";
const LONGEST_NAME: usize = 32;
const MOST_PARAMETERS: usize = 32;
const MOST_CHOICES: usize = 64;

impl Spec {
    /// Validates a description and builds its parser.
    ///
    /// # Errors
    /// [`SpecError`] with the first problem.
    pub(crate) fn new(
        name: &str,
        aliases: Vec<String>,
        summary: &str,
        examples: &[String],
        kind: CommandKind,
        parameters: Vec<Parameter>,
        target: Target,
    ) -> Result<Self, SpecError> {
        let wrong = |message: String| Err(SpecError { command: line(name), message });
        for word in std::iter::once(name).chain(aliases.iter().map(String::as_str)) {
            // A name of two words is a subcommand (`auth revoke`). Its plugin must also have the first word as a
            // command.
            if !word.split(' ').all(is_name) || word.len() > LONGEST_NAME || word.matches(' ').count() > 1 {
                return wrong(format!(
                    "`{}` is not a valid name: use at most 32 lower case letters, digits and dashes",
                    line(word)
                ));
            }
        }
        if parameters.len() > MOST_PARAMETERS {
            return wrong(format!("it has {} parameters; the maximum is {MOST_PARAMETERS}", parameters.len()));
        }
        let mut seen = BTreeSet::new();
        let mut optional_before = false;
        for (index, parameter) in parameters.iter().enumerate() {
            let hosts = kind == CommandKind::Action && [WAIT, DRY_RUN, OVERRIDE].contains(&parameter.name.as_str());
            if !is_name(&parameter.name) || parameter.name == "help" || parameter.name.starts_with("no-") || hosts {
                return wrong(format!("`{}` is not a valid name of a parameter", line(&parameter.name)));
            }
            if !seen.insert(parameter.name.as_str()) {
                return wrong(format!("it has two parameters `{}`", parameter.name));
            }
            if !parameter.choices.is_empty() && !matches!(parameter.kind, ParameterType::Text | ParameterType::Version)
            {
                return wrong(format!(
                    "`{}` has choices, but only texts and versions can have choices",
                    parameter.name
                ));
            }
            if parameter.kind == ParameterType::Rest && (index + 1 != parameters.len() || parameter.named) {
                return wrong(format!(
                    "`{}` takes the rest of the line, so it must be the last parameter",
                    parameter.name
                ));
            }
            if !parameter.named {
                if parameter.required && optional_before {
                    return wrong(format!("`{}` is required, but follows an optional parameter", parameter.name));
                }
                optional_before |= !parameter.required;
            }
        }
        let parameters: Vec<Parameter> = parameters
            .into_iter()
            .map(|parameter| Parameter {
                summary: line(&parameter.summary),
                choices: parameter.choices.iter().take(MOST_CHOICES).map(|choice| line(choice)).collect(),
                ..parameter
            })
            .collect();
        let flags = Mutex::new(flags(&parameters, kind));
        Ok(Self {
            name: name.to_owned(),
            aliases,
            summary: line(summary),
            examples: examples.iter().take(8).map(|example| line(example)).collect(),
            kind,
            parameters,
            target,
            flags,
        })
    }

    /// The usage line: `deploy APP ENVIRONMENT VERSION`.
    pub(crate) fn usage(&self) -> String {
        let mut words = vec![self.name.clone()];
        for parameter in &self.parameters {
            let value = parameter.name.to_uppercase();
            let word = match (parameter.named, parameter.kind) {
                (true, ParameterType::Boolean) => format!("--{}", parameter.name),
                (true, _) => format!("--{} {value}", parameter.name),
                (false, ParameterType::Rest) => format!("{value}..."),
                (false, _) => value,
            };
            words.push(if parameter.required { word } else { format!("[{word}]") });
        }
        words.join(" ")
    }
}

/// A text of a plugin as one line: cleaned and truncated.
fn line(text: &str) -> String {
    let mut line = clean(&text.replace(['\n', '\r'], " "));
    line.truncate(line.floor_char_boundary(LONGEST_LINE));
    line
}

fn is_name(word: &str) -> bool {
    word.len() <= LONGEST_NAME
        && word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The flag parser. Every parameter can be given as a flag. Words without a flag are assigned to the remaining
/// parameters later, so `deploy --environment staging cms 1.0.2` works.
fn flags(parameters: &[Parameter], kind: CommandKind) -> clap::Command {
    let mut command = clap::Command::new("command")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .color(clap::ColorChoice::Never)
        .arg(clap::Arg::new("").num_args(0..).allow_negative_numbers(true));
    if kind == CommandKind::Action {
        for name in [WAIT, DRY_RUN] {
            command = command.arg(clap::Arg::new(name).long(name).action(clap::ArgAction::SetTrue));
        }
        command = command.arg(clap::Arg::new(OVERRIDE).long(OVERRIDE).num_args(1));
    }
    for parameter in parameters {
        let flag = clap::Arg::new(parameter.name.clone()).long(parameter.name.clone());
        command = command.arg(match parameter.kind {
            ParameterType::Boolean => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
            _ => flag.num_args(1).allow_negative_numbers(true),
        });
        if parameter.kind == ParameterType::Boolean {
            let no = format!("no-{}", parameter.name);
            let off = clap::Arg::new(no.clone()).long(no).action(clap::ArgAction::SetTrue);
            command = command.arg(off.conflicts_with(parameter.name.clone()));
        }
    }
    command.build();
    command
}
