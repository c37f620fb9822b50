//! Parses command lines with inserted values. An inserted value is text that a trigger takes from a message or a
//! webhook, or text that a person types after an alias. Each inserted value is a single argument, even if it contains
//! spaces or quotation marks.
//!
//! Invariant: while flags are parsed, each inserted value is replaced by a placeholder. An inserted value is therefore
//! never read as a flag, as `key=value`, or as more than one argument.

use std::sync::Arc;

use super::{
    free_text::Arguments,
    parse::{self, ParseError},
    spec::{ParameterType, Spec},
    table::{CommandTable, Parsed, check_length},
    tokens::quoted,
    vocabulary::Vocabulary,
};
use crate::store::GivenArgument;

/// The first placeholder character. Placeholders are private-use characters of Unicode, which have no standard meaning.
const FIRST_PLACEHOLDER: u32 = 0xF_0000;
const MAX_WORDS: usize = 64;

/// The words of a command, with a placeholder for each inserted value.
struct Placeholders<'w> {
    words: Vec<String>,
    given: Vec<&'w str>,
}

impl<'w> Placeholders<'w> {
    fn replace(words: &'w [GivenArgument]) -> Result<Self, ParseError> {
        if words.len() > MAX_WORDS {
            return Err(ParseError::new(format!("The command has more than {MAX_WORDS} words. Shorten the command.")));
        }
        // Count every inserted value, because a template can insert one value several times.
        let length = |word: &GivenArgument| match word {
            GivenArgument::Written(word) => word.len() + 1,
            GivenArgument::Given { before, text } => before.len() + text.len() + 1,
        };
        check_length(words.iter().map(length).sum())?;
        let mut placeholders = Self { words: Vec::with_capacity(words.len()), given: Vec::new() };
        for word in words {
            match word {
                // Placeholder characters in the operator's own text are removed.
                GivenArgument::Written(word) => placeholders.words.push(word.replace(is_placeholder, "")),
                GivenArgument::Given { before, text } => {
                    // The number is always valid, because a command has at most `MAX_WORDS` words.
                    let number = FIRST_PLACEHOLDER + placeholders.given.len() as u32;
                    let placeholder = char::from_u32(number).unwrap_or_default();
                    placeholders.given.push(text);
                    placeholders.words.push(format!("{before}{placeholder}"));
                }
            }
        }
        Ok(placeholders)
    }

    /// Replaces the placeholders in a text by the inserted values.
    fn restore(&self, text: &str) -> String {
        let mut restored = String::with_capacity(text.len());
        for letter in text.chars() {
            let given =
                u32::from(letter).checked_sub(FIRST_PLACEHOLDER).and_then(|number| self.given.get(number as usize));
            match given {
                Some(given) => restored.push_str(given),
                None => restored.push(letter),
            }
        }
        restored
    }

    /// Replaces the placeholders in an error message by the inserted values.
    fn restore_error(&self, error: ParseError) -> ParseError {
        ParseError {
            message: self.restore(&error.message),
            hint: error.hint.as_deref().map(|hint| self.restore(hint)),
            ..error
        }
    }
}

/// Returns whether a character stands for an inserted value.
pub(super) fn is_placeholder(letter: char) -> bool {
    (FIRST_PLACEHOLDER..FIRST_PLACEHOLDER + MAX_WORDS as u32).contains(&u32::from(letter))
}

impl CommandTable {
    /// Returns the command whose name is at the start of the words. An inserted value is never part of a command's
    /// name.
    pub(crate) fn command_of_words(&self, words: &[GivenArgument]) -> Option<&Arc<Spec>> {
        self.longest_of_words(words).map(|(spec, _)| spec)
    }

    /// Also returns the number of words in the typed name, which can be an alias of the command.
    fn longest_of_words(&self, words: &[GivenArgument]) -> Option<(&Arc<Spec>, usize)> {
        let written = |word: &GivenArgument| match word {
            GivenArgument::Written(word) => Some(word.clone()),
            GivenArgument::Given { .. } => None,
        };
        let first = written(words.first()?)?;
        let second = words.get(1).and_then(written);
        self.longest(&first, second.as_deref())
    }

    /// Inserts options of the host, such as `--wait`, directly after the command's name. An option at the end of the
    /// line could become part of an argument that takes all words up to the end of the line.
    pub(crate) fn with_options(
        &self,
        mut words: Vec<GivenArgument>,
        options: Vec<GivenArgument>,
    ) -> Vec<GivenArgument> {
        let place = self.longest_of_words(&words).map_or(1, |(_, length)| length).min(words.len());
        words.splice(place..place, options);
        words
    }

    /// Parses the words of a command that a trigger started. Text from outside, such as a value of a webhook, is one
    /// argument, even if it contains spaces or quotation marks.
    ///
    /// # Errors
    /// [`ParseError`] if the line is not a valid command.
    pub(crate) fn parse_words(
        &self,
        words: &[GivenArgument],
        vocabulary: &Vocabulary<'_>,
    ) -> Result<Parsed, ParseError> {
        let placeholders = Placeholders::replace(words)?;
        let (spec, rest) = self.begin(&placeholders)?;
        let arguments = Arguments::of_words(spec, rest);
        if arguments.asks_for_help() {
            return Ok(Parsed::Help(spec.clone()));
        }
        parse::arguments_with(spec, &arguments, vocabulary, &|text| placeholders.restore(&text))
            .map(Parsed::Command)
            .map_err(|error| placeholders.restore_error(error))
    }

    /// Checks the command line of a trigger when the host checks the configuration. The values to insert do not exist
    /// yet, so an argument with an inserted value is not checked.
    ///
    /// # Errors
    /// [`ParseError`] if the line is not a valid command.
    pub(crate) fn check_words(
        &self,
        words: &[GivenArgument],
        vocabulary: &Vocabulary<'_>,
    ) -> Result<Arc<Spec>, ParseError> {
        let placeholders = Placeholders::replace(words)?;
        let (spec, rest) = self.begin(&placeholders)?;
        parse::check(spec, rest, vocabulary).map_err(|error| placeholders.restore_error(error))?;
        Ok(spec.clone())
    }

    /// Returns the type of the parameter that each inserted value fills, in the order of the words. Returns `None` for
    /// a value that fills no parameter, and an empty list if the words are not a command.
    pub(crate) fn types_of_given(&self, words: &[GivenArgument]) -> Vec<Option<ParameterType>> {
        let Ok(placeholders) = Placeholders::replace(words) else { return Vec::new() };
        let Ok((spec, rest)) = self.begin(&placeholders) else { return Vec::new() };
        let Ok(texts) = parse::texts(spec, rest) else { return Vec::new() };
        let type_of = |number: u32| {
            let of = |text: &String| text.chars().any(|letter| u32::from(letter) == FIRST_PLACEHOLDER + number);
            let found = spec.parameters.iter().zip(&texts).find(|(_, text)| text.as_ref().is_some_and(of));
            found.map(|(parameter, _)| parameter.kind)
        };
        (0..placeholders.given.len() as u32).map(type_of).collect()
    }

    fn begin<'a>(&self, placeholders: &'a Placeholders<'_>) -> Result<(&Arc<Spec>, &'a [String]), ParseError> {
        let words = &placeholders.words;
        let first = words.first().ok_or_else(|| ParseError::new("The command line is empty."))?;
        let found = self.longest(first, words.get(1).map(String::as_str));
        let (spec, length) = found.ok_or_else(|| {
            let line_from = |at: usize| words[at + 1..].iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            placeholders.restore_error(super::hint::unknown_command(first, &words[1..], line_from, self))
        })?;
        Ok((spec, &words[length..]))
    }
}
