//! What a command is: its names, its parameters, who does it. Made from what a plugin describes, checked once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use super::builtin::Builtin;
use crate::base::clean;

/// Who does a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The host itself.
    Host(Builtin),
    /// A plugin, by its name in the configuration.
    Plugin(Arc<str>),
}

impl Target {
    /// Whether everybody may run it; it then shows only what the asker may see.
    pub fn is_open(&self) -> bool {
        // Who may not lift a freeze is not shown how. `freeze` itself shows what is frozen.
        matches!(self, Self::Host(builtin) if *builtin != Builtin::Unfreeze) && !self.is_for_admins()
    }

    /// Whether admins alone may run it, whatever roles say.
    pub fn is_for_admins(&self) -> bool {
        matches!(self, Self::Host(Builtin::Release))
    }
}

/// Whether a command acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandKind {
    /// Answers at once.
    Query,
    /// A job.
    Action,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// A word, or several in quotes.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A span of time.
    Duration,
    /// An app of the configuration.
    App,
    /// An environment of the configuration.
    Environment,
    /// A version.
    Version,
    /// Somebody in the room.
    Person,
    /// The rest of the line.
    Rest,
    /// A role that people can be added to in chat.
    Role,
}

impl ParameterType {
    /// Whether it says what an effect touches: an app, an environment or a version.
    pub fn is_target(self) -> bool {
        matches!(self, Self::App | Self::Environment | Self::Version)
    }
}

/// One argument that a command takes.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// One line for `help`.
    pub summary: String,
    /// What it takes.
    pub kind: ParameterType,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it is only ever given by name.
    pub named: bool,
    /// The values it takes; empty for any.
    pub choices: Vec<String>,
}

/// A command.
#[derive(Debug)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Other words for it.
    pub aliases: Vec<String>,
    /// One line for `help`.
    pub summary: String,
    /// Lines that a person could type.
    pub examples: Vec<String>,
    /// Whether it acts.
    pub kind: CommandKind,
    /// What it takes, in the order of typing.
    pub parameters: Vec<Parameter>,
    /// Who does it.
    pub target: Target,
    // Built once; parsing needs it for itself for a moment.
    pub(crate) flags: Mutex<clap::Command>,
}

/// What is wrong with a described command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command `{command}`: {message}")]
pub struct SpecError {
    /// Its name as described.
    pub command: String,
    /// What is wrong.
    pub message: String,
}

/// The longest line of text that a description may show.
const LONGEST_LINE: usize = 300;
/// The host's own flag of every action: stand in line for a place that another job holds.
pub(crate) const WAIT: &str = "wait";
/// And: do nothing, and tell what would be done.
pub(crate) const DRY_RUN: &str = "dry-run";
/// And: go without the approval that the rules ask for, for a reason.
pub(crate) const OVERRIDE: &str = "override";
const LONGEST_NAME: usize = 32;
const MOST_PARAMETERS: usize = 32;
const MOST_CHOICES: usize = 64;

impl Spec {
    /// Checks a description and builds its parser.
    ///
    /// # Errors
    /// [`SpecError`] with the first thing that is wrong.
    pub fn new(
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
            // Two words are a command below another one (`auth revoke`), which its plugin must have too.
            if !word.split(' ').all(is_name) || word.len() > LONGEST_NAME || word.matches(' ').count() > 1 {
                return wrong(format!(
                    "`{}` is no name: lower case letters, digits and dashes, at most 32",
                    line(word)
                ));
            }
        }
        if parameters.len() > MOST_PARAMETERS {
            return wrong(format!("it has {} parameters, at most {MOST_PARAMETERS} are taken", parameters.len()));
        }
        let mut seen = BTreeSet::new();
        let mut optional_before = false;
        for (index, parameter) in parameters.iter().enumerate() {
            let hosts = kind == CommandKind::Action && [WAIT, DRY_RUN, OVERRIDE].contains(&parameter.name.as_str());
            if !is_name(&parameter.name) || parameter.name == "help" || parameter.name.starts_with("no-") || hosts {
                return wrong(format!("`{}` is no name for a parameter", line(&parameter.name)));
            }
            if !seen.insert(parameter.name.as_str()) {
                return wrong(format!("it has two parameters `{}`", parameter.name));
            }
            if !parameter.choices.is_empty() && !matches!(parameter.kind, ParameterType::Text | ParameterType::Version)
            {
                return wrong(format!("`{}` has choices, which only texts and versions can have", parameter.name));
            }
            if parameter.kind == ParameterType::Rest && (index + 1 != parameters.len() || parameter.named) {
                return wrong(format!("`{}` takes the rest of the line, and is not the last", parameter.name));
            }
            if !parameter.named {
                if parameter.required && optional_before {
                    return wrong(format!("`{}` is required and stands behind one that is not", parameter.name));
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

    /// `deploy APP ENVIRONMENT VERSION`
    pub fn usage(&self) -> String {
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

/// One clean line, cut where it is long: a description is a plugin's own words.
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

/// Every parameter can be given by name; words without one are collected and given their places later,
/// so that `deploy --environment staging cms 1.0.2` means what it says.
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
