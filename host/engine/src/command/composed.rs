//! Command lines of which some words come from outside: each such word is one typed argument, whatever it contains.
//!
//! Invariant: words from outside are replaced by placeholders while flags are parsed. They are therefore never read as
//! a flag, as `key=value`, or as more than one argument.

use std::sync::Arc;

use super::{
    parse::{self, Command, Misparse},
    spec::Spec,
    table::{CommandTable, Parsed},
    vocabulary::Vocabulary,
};
use crate::store::GivenArgument;

/// The first placeholder: a private-use character, which has no other meaning.
const FIRST_PLACEHOLDER: u32 = 0xF_0000;
/// The maximum number of words in a command line.
const MOST_WORDS: usize = 64;

/// Command words in which words from outside are replaced by placeholders.
struct Placeholders<'w> {
    words: Vec<String>,
    given: Vec<&'w str>,
}

impl<'w> Placeholders<'w> {
    fn replace(words: &'w [GivenArgument]) -> Result<Self, Misparse> {
        if words.len() > MOST_WORDS {
            return Err(Misparse::new(format!("The command has more than {MOST_WORDS} words.")));
        }
        let mut placeholders = Self { words: Vec::with_capacity(words.len()), given: Vec::new() };
        for word in words {
            match word {
                // Placeholders that the operator wrote are removed.
                GivenArgument::Written(word) => placeholders.words.push(word.replace(is_placeholder, "")),
                GivenArgument::Given { before, text } => {
                    let placeholder = u32::try_from(placeholders.given.len())
                        .ok()
                        .and_then(|number| char::from_u32(FIRST_PLACEHOLDER + number));
                    let placeholder = placeholder.ok_or_else(|| Misparse::new("The command has too many words."))?;
                    placeholders.given.push(text);
                    placeholders.words.push(format!("{before}{placeholder}"));
                }
            }
        }
        Ok(placeholders)
    }

    /// Replaces the placeholders of a text by the words from outside.
    fn restore(&self, text: &str) -> String {
        let mut back = String::with_capacity(text.len());
        for letter in text.chars() {
            let given =
                u32::from(letter).checked_sub(FIRST_PLACEHOLDER).and_then(|number| self.given.get(number as usize));
            match given {
                Some(given) => back.push_str(given),
                None => back.push(letter),
            }
        }
        back
    }

    /// The same for an error message.
    fn shown(&self, misparse: Misparse) -> Misparse {
        Misparse { message: self.restore(&misparse.message), hint: misparse.hint.map(|hint| self.restore(&hint)) }
    }
}

fn is_placeholder(letter: char) -> bool {
    (FIRST_PLACEHOLDER..FIRST_PLACEHOLDER + MOST_WORDS as u32).contains(&u32::from(letter))
}

impl CommandTable {
    /// The command that these words begin with.
    pub(crate) fn command_of_words(&self, words: &[GivenArgument]) -> Option<&Arc<Spec>> {
        let written = |word: &GivenArgument| match word {
            GivenArgument::Written(word) => Some(word.clone()),
            GivenArgument::Given { .. } => None,
        };
        let first = written(words.first()?)?;
        let second = words.get(1).and_then(written);
        self.longest(&first, second.as_deref()).map(|(spec, _)| spec)
    }

    /// Inserts options of the host after the command's name, before arguments that could take them as text.
    pub(crate) fn with_options(
        &self,
        mut words: Vec<GivenArgument>,
        options: Vec<GivenArgument>,
    ) -> Vec<GivenArgument> {
        let two = matches!(self.command_of_words(&words), Some(spec) if spec.name.contains(' '));
        let place = words.len().min(1 + usize::from(two));
        words.splice(place..place, options);
        words
    }

    /// Parses a command line of which some words come from outside.
    ///
    /// # Errors
    /// [`Misparse`].
    pub(crate) fn parse_words(&self, words: &[GivenArgument], vocabulary: &Vocabulary<'_>) -> Result<Parsed, Misparse> {
        let placeholders = Placeholders::replace(words)?;
        let (spec, rest) = self.begin(&placeholders)?;
        if rest.iter().any(|word| word == "--help") {
            return Ok(Parsed::Help(spec.clone()));
        }
        let back = |text: String| placeholders.restore(&text);
        let command: Result<Command, Misparse> = parse::arguments_with(spec, rest, vocabulary, &back);
        command.map(Parsed::Command).map_err(|misparse| placeholders.shown(misparse))
    }

    /// Checks a command line before the words from outside are known.
    ///
    /// # Errors
    /// [`Misparse`].
    pub(crate) fn check_words(
        &self,
        words: &[GivenArgument],
        vocabulary: &Vocabulary<'_>,
    ) -> Result<Arc<Spec>, Misparse> {
        let placeholders = Placeholders::replace(words)?;
        let (spec, rest) = self.begin(&placeholders)?;
        parse::check(spec, rest, vocabulary, is_placeholder).map_err(|misparse| placeholders.shown(misparse))?;
        Ok(spec.clone())
    }

    fn begin<'a>(&self, placeholders: &'a Placeholders<'_>) -> Result<(&Arc<Spec>, &'a [String]), Misparse> {
        let words = &placeholders.words;
        let first = words.first().ok_or_else(|| Misparse::new("The line has no command."))?;
        let found = self.longest(first, words.get(1).map(String::as_str));
        let (spec, length) =
            found.ok_or_else(|| placeholders.shown(crate::command::hint::unknown_command(first, &words[1..], self)))?;
        Ok((spec, &words[length..]))
    }
}
