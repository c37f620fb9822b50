//! The table of all commands, by name and alias, and the parser of a typed line.

use std::{collections::HashMap, sync::Arc};

use super::{
    builtin::Builtin,
    free_text::Arguments,
    hint,
    parse::{self, ParseError},
    parsed::Command,
    spec::Spec,
    tokens::Words,
    vocabulary::Vocabulary,
};
use crate::base::one_line;

const MAX_LINE_BYTES: usize = 4_096;

/// All commands: the built-in commands and the commands of the loaded plugins.
#[derive(Debug)]
pub(crate) struct CommandTable {
    specs: Vec<Arc<Spec>>,
    by_word: HashMap<String, usize>,
}

/// The result of parsing a typed line.
#[derive(Debug)]
pub(crate) enum Parsed {
    Command(Command),
    /// A request for the explanation of a command: `deploy --help`.
    Help(Arc<Spec>),
}

/// Checks the length of a command line, in bytes.
///
/// # Errors
/// The line is longer than [`MAX_LINE_BYTES`].
pub(super) fn check_length(bytes: usize) -> Result<(), ParseError> {
    if bytes <= MAX_LINE_BYTES {
        return Ok(());
    }
    Err(ParseError::new(format!("The command line has {bytes} bytes; the maximum is {MAX_LINE_BYTES} bytes.")))
}

impl CommandTable {
    /// Creates a table that contains only the built-in commands. `optional` are the built-in commands that not
    /// every host has.
    pub(crate) fn new(optional: &[Builtin]) -> Self {
        let mut table = Self { specs: Vec::new(), by_word: HashMap::new() };
        for builtin in Builtin::ALL.iter().chain(optional) {
            table.add(Arc::new(builtin.spec()), |_| true);
        }
        table
    }

    /// Adds a command under those of its names for which `is_free` returns true.
    pub(crate) fn add(&mut self, spec: Arc<Spec>, is_free: impl Fn(&str) -> bool) {
        for word in spec.words().filter(|word| is_free(word)) {
            self.by_word.insert(word.to_owned(), self.specs.len());
        }
        self.specs.push(spec);
    }

    /// Returns the command with this name or alias, regardless of upper and lower case.
    pub(crate) fn get(&self, word: &str) -> Option<&Arc<Spec>> {
        let index = self.by_word.get(word).or_else(|| self.by_word.get(&word.to_lowercase()))?;
        Some(&self.specs[*index])
    }

    /// Returns the command whose name is at the start of a line, as [`Self::parse`] splits the line into words. Returns
    /// `None` if the line starts with another word.
    pub(crate) fn command_of(&self, text: &str) -> Option<&Arc<Spec>> {
        let typed = Words::of(text);
        self.longest(&typed.closed.first()?.text, typed.closed.get(1).map(|word| word.text.as_str()))
            .map(|(spec, _)| spec)
    }

    /// Returns the command with the name `first second`. If no command has this name, returns the command with the name
    /// `first`. Also returns the number of words in the name.
    pub(crate) fn longest(&self, first: &str, second: Option<&str>) -> Option<(&Arc<Spec>, usize)> {
        let two = second.and_then(|second| self.get(&format!("{first} {second}")));
        two.map(|spec| (spec, 2)).or_else(|| self.get(first).map(|spec| (spec, 1)))
    }

    /// Returns the subcommands of `spec`. For the command `auth`, one subcommand is `auth revoke`.
    pub(crate) fn below<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = &'a Arc<Spec>> {
        let below = |other: &&Arc<Spec>| other.name.split_once(' ').is_some_and(|(first, _)| first == spec.name);
        self.specs.iter().filter(below)
    }

    /// Returns all commands, in the order in which they were added.
    pub(crate) fn specs(&self) -> &[Arc<Spec>] {
        &self.specs
    }

    /// Parses a typed line.
    ///
    /// # Errors
    /// [`ParseError`], with a line that the person can type instead.
    pub(crate) fn parse(&self, text: &str, vocabulary: &Vocabulary<'_>) -> Result<Parsed, ParseError> {
        check_length(text.len())?;
        let typed = Words::of(text);
        let texts = typed.texts();
        let Some((first, rest)) = texts.split_first() else {
            return Err(ParseError::new("The line does not begin with a command.").with_hint("help"));
        };
        let Some((spec, length)) = self.longest(first, rest.first().map(String::as_str)) else {
            let line_from = |at: usize| {
                let begin = typed.iter().nth(at + 1).map_or(text.len(), |word| word.start);
                one_line(text[begin..].trim())
            };
            return Err(hint::unknown_command(first, rest, line_from, self));
        };
        let arguments = Arguments::of_line(spec, text, &typed, length)?;
        if arguments.asks_for_help() {
            return Ok(Parsed::Help(spec.clone()));
        }
        parse::arguments(spec, &arguments, vocabulary)
            .map(Parsed::Command)
            .map_err(|error| hint::improve(error, spec, &arguments.all_words(), vocabulary))
    }
}
