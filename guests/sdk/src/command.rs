//! Commands, parameters and settings as a plugin's author writes them: constants.
//!
//! Invariant: a [`Command`] holds its handler, so no command is described that cannot be run.
//! Not here: parsing and help; the host makes both from the description.

use crate::Arguments;
use crate::bindings::exports::wardroom::plugin::commands::{self as wit, Failure, Kind, ParameterType, Reply};

/// What does the work of one command.
pub type Handler = fn(&Arguments) -> Result<Reply, Failure>;

/// A command: what the room is told about it, and what does its work.
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
    /// A command that answers at once and changes nothing.
    pub const fn query(name: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Kind::Query, name, summary, handler)
    }

    /// A command that acts: a job, recorded call by call.
    pub const fn action(name: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Kind::Action, name, summary, handler)
    }

    const fn new(kind: Kind, name: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self { name, aliases: &[], summary, examples: &[], kind, parameters: &[], handler }
    }

    /// Other words for the same.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Whole lines a person could type.
    pub const fn examples(mut self, examples: &'static [&'static str]) -> Self {
        self.examples = examples;
        self
    }

    /// What it takes, in the order in which people type it.
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

/// One argument that a command takes. Required unless made [`Parameter::optional`].
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    name: &'static str,
    summary: &'static str,
    takes: ParameterType,
    required: bool,
    named: bool,
    choices: &'static [&'static str],
}

impl Parameter {
    /// One word, or several in quotes.
    pub const fn text(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Text, name, summary)
    }

    /// A whole number.
    pub const fn integer(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Integer, name, summary)
    }

    /// `--name` and nothing behind it. Never required.
    pub const fn flag(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Boolean, name, summary).optional().named()
    }

    /// A span of time such as `90s` or `1d12h`.
    pub const fn duration(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Duration, name, summary)
    }

    /// The name of an app. The host compares an effect's app with it.
    pub const fn app(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::App, name, summary)
    }

    /// The name of an environment. The host compares an effect's environment with it.
    pub const fn environment(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Environment, name, summary)
    }

    /// A version. The host compares an effect's version with it.
    pub const fn version(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Version, name, summary)
    }

    /// Somebody in the room.
    pub const fn person(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Person, name, summary)
    }

    /// The name of a role that people can be added to in chat.
    pub const fn role(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Role, name, summary)
    }

    /// All that is left of the line. Only the last parameter can take it.
    pub const fn rest(name: &'static str, summary: &'static str) -> Self {
        Self::new(ParameterType::Rest, name, summary)
    }

    const fn new(takes: ParameterType, name: &'static str, summary: &'static str) -> Self {
        Self { name, summary, takes, required: true, named: false, choices: &[] }
    }

    /// The command makes sense without it.
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Only ever given by its name, never by its place in the line.
    pub const fn named(mut self) -> Self {
        self.named = true;
        self
    }

    /// The only values it takes.
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
            choices: owned(self.choices),
        }
    }
}

/// A setting that the operator may give under `[plugin.NAME.config]`.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    name: &'static str,
    summary: &'static str,
    required: bool,
    pattern: &'static str,
    many: bool,
}

impl Setting {
    /// A setting with one value that may be left out.
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        Self { name, summary, required: false, pattern: "", many: false }
    }

    /// The plugin cannot do without it.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// A regular expression that a whole value must match.
    pub const fn pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = pattern;
        self
    }

    /// Several values may be given.
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
