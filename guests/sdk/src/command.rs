//! Commands, parameters and settings, written as constants.
//!
//! Invariant: a [`Command`] contains its handler, so the plugin can run each command that it describes.
//! Not here: parsing of typed commands and help texts, which are in the host.

use crate::Arguments;
use crate::bindings::exports::wardroom::plugin::commands::{self as wit, Failure, Kind, ParameterType, Reply};

/// The function that runs a command.
pub type Handler = fn(&Arguments) -> Result<Reply, Failure>;

/// A command: its description and its handler.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    name: &'static str,
    aliases: &'static [&'static str],
    summary: &'static str,
    examples: &'static [&'static str],
    kind: Kind,
    parameters: &'static [Parameter],
    handler: Handler,
}

impl Command {
    /// Creates a command that replies at once and changes nothing. `summary` is one line for `help`.
    pub const fn query(name: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Kind::Query, name, summary, handler)
    }

    /// Creates a command that runs as a job, whose host calls are recorded. `summary` is one line for `help`.
    pub const fn action(name: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Kind::Action, name, summary, handler)
    }

    const fn new(kind: Kind, name: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self { name, aliases: &[], summary, examples: &[], kind, parameters: &[], handler }
    }

    /// Sets the alternative names of the command.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets the examples for `help`: complete lines that a person could type, such as `deploy cms staging 1.0.2`.
    pub const fn examples(mut self, examples: &'static [&'static str]) -> Self {
        self.examples = examples;
        self
    }

    /// Sets the parameters in the order in which people type them.
    pub const fn parameters(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    pub(crate) fn run(&self, arguments: &Arguments) -> Result<Reply, Failure> {
        (self.handler)(arguments)
    }

    pub(crate) fn describe(&self) -> wit::Command {
        wit::Command {
            name: self.name.to_owned(),
            aliases: owned(self.aliases),
            summary: self.summary.to_owned(),
            examples: owned(self.examples),
            kind: self.kind,
            parameters: self.parameters.iter().map(Parameter::describe).collect(),
        }
    }
}

/// A parameter of a command. A parameter is required unless it is [`Parameter::optional`].
///
/// People type the name in `--name VALUE`. `help` prints the summary after the name, so the summary is a phrase in
/// lower case without a full stop: `the environment to deploy to`.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    name: &'static str,
    summary: &'static str,
    takes: ParameterType,
    required: bool,
    named: bool,
    source: bool,
    choices: &'static [&'static str],
}

impl Parameter {
    /// Creates a parameter for one word, or for several words in quotes.
    pub const fn text(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Text, name, summary)
    }

    /// Creates a parameter for a whole number.
    pub const fn integer(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Integer, name, summary)
    }

    /// Creates a flag `--name` without a value. A flag is optional and false by default.
    pub const fn flag(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Boolean, name, summary).optional().named()
    }

    /// Creates a parameter for a duration such as `90s` or `1d12h`.
    pub const fn duration(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Duration, name, summary)
    }

    /// Creates a parameter for the name of an app. The host compares the app of each effect with the argument.
    pub const fn app(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::App, name, summary)
    }

    /// Creates a parameter for the name of an environment. The host compares the environment of each effect with the
    /// argument.
    pub const fn environment(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Environment, name, summary)
    }

    /// Creates a parameter for a version. The host compares the version of each effect with the argument.
    pub const fn version(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Version, name, summary)
    }

    /// Creates a parameter for a person: an id, a handle or an unambiguous display name.
    pub const fn person(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Person, name, summary)
    }

    /// Creates a parameter for the name of a role with `grant_in_chat`.
    pub const fn role(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Role, name, summary)
    }

    /// Creates a parameter for everything up to the end of the message. Only the last parameter can be of this type.
    pub const fn rest(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Rest, name, summary)
    }

    const fn new(takes: ParameterType, name: &'static str, summary: &'static str) -> Self {
        Self { name, summary, takes, required: true, named: false, source: false, choices: &[] }
    }

    /// Makes the parameter optional.
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Allows the parameter only by name (`--name VALUE`), and not by position.
    pub const fn named(mut self) -> Self {
        self.named = true;
        self
    }

    /// Marks an app, environment, version, person or role that the command only reads, such as the first environment of
    /// `copy APP FROM TO`. The host compares no effect with it. An action can have one other parameter of each type.
    pub const fn source(mut self) -> Self {
        self.source = true;
        self
    }

    /// Sets the allowed values of a text or version parameter.
    pub const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    fn describe(&self) -> wit::Parameter {
        wit::Parameter {
            name: self.name.to_owned(),
            summary: self.summary.to_owned(),
            type_: self.takes,
            required: self.required,
            named: self.named,
            source: self.source,
            choices: owned(self.choices),
        }
    }
}

/// A setting of the plugin, which operators configure under `[plugin.NAME.config]` in `plugins.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    name: &'static str,
    summary: &'static str,
    required: bool,
    pattern: &'static str,
    many: bool,
}

impl Setting {
    /// Creates an optional setting with one value. `summary` is one line for the operator.
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        Self { name, summary, required: false, pattern: "", many: false }
    }

    /// Makes the setting required. The plugin does not load if the operator has not configured a required setting.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Sets a regular expression that each value of the setting must match as a whole.
    pub const fn pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = pattern;
        self
    }

    /// Allows several values for the setting.
    pub const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    pub(crate) fn describe(&self) -> wit::Setting {
        wit::Setting {
            name: self.name.to_owned(),
            summary: self.summary.to_owned(),
            required: self.required,
            pattern: self.pattern.to_owned(),
            many: self.many,
        }
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
