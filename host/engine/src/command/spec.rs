//! The description of a command: its names, parameters and owner. The host validates each description once, when it
//! creates the description.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;

use super::builtin::Builtin;
use crate::{base::one_line, model::Attribute};

/// The owner of a command: the host or a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The host, for a built-in command.
    Host(Builtin),
    /// A plugin, by its name in the configuration.
    Plugin(Arc<str>),
}

impl Target {
    /// Returns whether everybody may run the command. The reply to such a command contains only what its sender may
    /// see.
    pub(crate) fn is_open(&self) -> bool {
        // Everybody may run `freeze`: without arguments, it only lists the freezes. With arguments, it needs a right
        // (`Command::target_of_right`).
        matches!(self, Self::Host(builtin) if *builtin != Builtin::Unfreeze) && !self.is_for_admins()
    }

    /// Returns whether only admins may run the command, regardless of roles.
    pub(crate) fn is_for_admins(&self) -> bool {
        matches!(self, Self::Host(Builtin::Release | Builtin::Hook))
    }
}

/// The kind of a command: whether it changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// A command that only reads. The host runs it at once, without a job.
    Query,
    /// A command that changes something. The host runs it as a job.
    Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParameterType {
    /// One word, or several words in quotes.
    Text,
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A duration, for example `1d12h`.
    Duration,
    /// The name of an app in the configuration.
    App,
    /// The name of an environment in the configuration.
    Environment,
    /// A version, for example `1.0.2`.
    Version,
    /// A person: an id, a handle, a display name, or `me` for the sender.
    Person,
    /// Everything up to the end of the message, as one text.
    Rest,
    /// The name of a role that can be granted in chat.
    Role,
    /// The id of a job. A word that does not have the form of an id is left to a parameter of type `Rest`.
    Job,
}

impl ParameterType {
    /// Returns the attribute of effects that the host compares with arguments of this type; `None` for a type that says
    /// nothing about the target of an effect.
    pub(crate) fn attribute(self) -> Option<Attribute> {
        match self {
            Self::App => Some(Attribute::App),
            Self::Environment => Some(Attribute::Environment),
            Self::Version => Some(Attribute::Version),
            Self::Person => Some(Attribute::Person),
            Self::Role => Some(Attribute::Role),
            Self::Text | Self::Integer | Self::Boolean | Self::Duration | Self::Rest | Self::Job => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub name: String,
    /// The one-line description of the parameter in `help`.
    pub summary: String,
    pub kind: ParameterType,
    pub required: bool,
    /// Whether the value can be given only as a flag (`--tail 100`), and not by its position.
    pub named: bool,
    /// Whether the command only reads from what the value names. Effects are compared with the other parameters.
    pub source: bool,
    /// The allowed values. If the list is empty, every value of the type is allowed.
    pub choices: Vec<String>,
}

impl Parameter {
    /// Returns the allowed values as text for messages, each in backquotes: they are words of the plugin. `most` is the
    /// maximum number of listed values.
    pub(crate) fn choices_text(&self, most: usize) -> String {
        self.choices.iter().take(most).map(|choice| in_backquotes(choice)).collect::<Vec<_>>().join(", ")
    }
}

/// Returns a word of a plugin in backquotes. The word cannot end the quotation.
pub(crate) fn in_backquotes(word: &str) -> String {
    format!("`{}`", word.replace('`', "'"))
}

/// The validated description of a command.
#[derive(Debug)]
pub(crate) struct Spec {
    /// The full name of the command, for example `auth revoke`.
    pub name: String,
    /// The other names of the command.
    pub aliases: Vec<String>,
    /// The one-line description of the command in `help`.
    pub summary: String,
    /// Example command lines for `help`.
    pub examples: Vec<String>,
    pub kind: CommandKind,
    /// The parameters, in the order in which their values are typed.
    pub parameters: Vec<Parameter>,
    pub target: Target,
    // The clap parser of the command's flags, built once. The mutex is needed because clap parses with `&mut self`.
    pub(crate) flags: Mutex<clap::Command>,
}

/// The reason why the description of a command is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command `{command}`: {message}")]
pub(crate) struct SpecError {
    /// The command's name in the description. The name can itself be invalid.
    pub command: String,
    pub message: String,
}

const MAX_LINE_BYTES: usize = 300;
/// The flag `--wait`, which every action accepts. With the flag, the action's job waits in a queue for a deployment
/// lock that another job holds. Without the flag, the job fails at once.
pub(crate) const WAIT: &str = "wait";
/// The flag `--dry-run` of every action: the host shows the plan and changes nothing.
pub(crate) const DRY_RUN: &str = "dry-run";
/// The flag `--override REASON` of every action: the sender overrides a required approval.
pub(crate) const OVERRIDE: &str = "override";
/// The names of the flags that every action accepts in addition to its parameters.
pub(crate) const HOST_FLAGS: [&str; 3] = [WAIT, DRY_RUN, OVERRIDE];
const MAX_NAME_BYTES: usize = 32;
const MAX_PARAMETERS: usize = 32;
const MAX_CHOICES: usize = 64;

impl Spec {
    /// Returns the name and the aliases of the command.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(String::as_str)
    }

    /// Validates the description of a command, and builds the parser of the command's flags.
    ///
    /// # Errors
    /// [`SpecError`] with the first fault in the description.
    pub(crate) fn new(
        name: &str,
        aliases: Vec<String>,
        summary: &str,
        examples: &[String],
        kind: CommandKind,
        mut parameters: Vec<Parameter>,
        target: Target,
    ) -> Result<Self, SpecError> {
        let invalid = |message: String| Err(SpecError { command: line(name), message });
        for word in std::iter::once(name).chain(aliases.iter().map(String::as_str)) {
            // A name of two words is a subcommand (`auth revoke`). The plugin must also have a command whose name is
            // the first word.
            if !word.split(' ').all(is_name) || word.len() > MAX_NAME_BYTES || word.matches(' ').count() > 1 {
                return invalid(format!(
                    "`{}` is not a valid name of a command: begin with a lower case letter, and use at most 32 lower \
                     case letters, digits and dashes",
                    line(word)
                ));
            }
        }
        let count = parameters.len();
        if count > MAX_PARAMETERS {
            return invalid(format!("the command has {count} parameters; the maximum is {MAX_PARAMETERS}"));
        }
        let mut seen = BTreeSet::new();
        let mut targets = BTreeMap::new();
        let mut optional_before = false;
        for (index, parameter) in parameters.iter().enumerate() {
            let word = parameter.name.as_str();
            let hosts = kind == CommandKind::Action && HOST_FLAGS.contains(&word);
            if !is_name(word) || word == "help" || word.starts_with("no-") || hosts {
                return invalid(format!(
                    "`{}` is not a valid name of a parameter: use at most 32 lower case letters, digits and \
                     dashes; `help`, `no-...` and the host's flags are reserved",
                    line(word)
                ));
            }
            if !seen.insert(word) {
                return invalid(format!("the command has two parameters with the name `{word}`"));
            }
            if !parameter.choices.is_empty() && !matches!(parameter.kind, ParameterType::Text | ParameterType::Version)
            {
                return invalid(format!(
                    "the parameter `{word}` has choices, but only parameters of type text or version can have choices"
                ));
            }
            if parameter.kind == ParameterType::Rest && (index + 1 != count || parameter.named) {
                return invalid(format!(
                    "the parameter `{word}` takes the rest of the line, so it must be the last parameter, and its \
                     `named` must be false"
                ));
            }
            match parameter.kind.attribute() {
                None if parameter.source => {
                    return invalid(format!(
                        "the parameter `{word}` is a source, but only parameters of type app, environment, version, \
                         person or role can be sources"
                    ));
                }
                // With two targets of one type, a person cannot tell which of them an effect changes, and neither can
                // the host.
                Some(attribute) if kind == CommandKind::Action && !parameter.source => {
                    if let Some(other) = targets.insert(attribute, word) {
                        let attribute = attribute.as_str();
                        return invalid(format!(
                            "the parameters `{other}` and `{word}` both name the {attribute} that the action changes; \
                             mark the one that it only reads as `source`"
                        ));
                    }
                }
                _ => {}
            }
            if !parameter.named {
                if parameter.required && optional_before {
                    return invalid(format!("the required parameter `{word}` follows an optional parameter"));
                }
                optional_before |= !parameter.required;
            }
        }
        for parameter in &mut parameters {
            parameter.summary = line(&parameter.summary);
            parameter.choices = parameter.choices.iter().take(MAX_CHOICES).map(|choice| line(choice)).collect();
        }
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

    /// Returns the usage line of the command, for example `deploy APP ENVIRONMENT VERSION`.
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

/// Returns a plugin's text as one line, without control characters and of at most [`MAX_LINE_BYTES`] bytes.
fn line(text: &str) -> String {
    let mut line = one_line(text);
    line.truncate(line.floor_char_boundary(MAX_LINE_BYTES));
    line
}

fn is_name(word: &str) -> bool {
    word.len() <= MAX_NAME_BYTES
        && word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Builds the parser that separates a command's flags from the other words. Every parameter can be given as a flag. A
/// later step assigns the other words to the parameters without a flag, so `deploy --environment staging cms 1.0.2` is
/// valid.
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
