//! Words of which some were given by somebody else: each becomes one typed argument, whatever is in it.
//!
//! Invariant: what was given stands aside while flags are taken apart, so it is never read as a flag, as `key=value`, or as
//! more than one argument.

use std::sync::Arc;

use super::{
    parse::{self, Command, Misparse},
    spec::Spec,
    table::{CommandTable, Parsed},
    vocabulary::Vocabulary,
};
use crate::store::GivenArgument;

/// The first of the signs that stand for what was given: private, so that nobody means anything by them.
const FIRST: u32 = 0xF_0000;
/// How many words there can be.
const MOST: usize = 64;

/// What was given, and the words with signs in their places.
struct Aside<'w> {
    words: Vec<String>,
    given: Vec<&'w str>,
}

impl<'w> Aside<'w> {
    fn put(words: &'w [GivenArgument]) -> Result<Self, Misparse> {
        if words.len() > MOST {
            return Err(Misparse::new(format!("That command has more than {MOST} words.")));
        }
        let mut aside = Self { words: Vec::with_capacity(words.len()), given: Vec::new() };
        for word in words {
            match word {
                // The operator has no use for these signs either.
                GivenArgument::Written(word) => aside.words.push(word.replace(is_sign, "")),
                GivenArgument::Given { before, text } => {
                    let sign = u32::try_from(aside.given.len()).ok().and_then(|number| char::from_u32(FIRST + number));
                    let sign = sign.ok_or_else(|| Misparse::new("That command has too many words."))?;
                    aside.given.push(text);
                    aside.words.push(format!("{before}{sign}"));
                }
            }
        }
        Ok(aside)
    }

    /// A text with what was given in its place again.
    fn back(&self, text: &str) -> String {
        let mut back = String::with_capacity(text.len());
        for letter in text.chars() {
            let given = u32::from(letter).checked_sub(FIRST).and_then(|number| self.given.get(number as usize));
            match given {
                Some(given) => back.push_str(given),
                None => back.push(letter),
            }
        }
        back
    }

    /// What is wrong, with what was given in its place again.
    fn shown(&self, misparse: Misparse) -> Misparse {
        Misparse { message: self.back(&misparse.message), hint: misparse.hint.map(|hint| self.back(&hint)) }
    }
}

fn is_sign(letter: char) -> bool {
    (FIRST..FIRST + MOST as u32).contains(&u32::from(letter))
}

impl CommandTable {
    /// The command that these words begin with, whatever follows.
    pub(crate) fn command_of_words(&self, words: &[GivenArgument]) -> Option<&Arc<Spec>> {
        let written = |word: &GivenArgument| match word {
            GivenArgument::Written(word) => Some(word.clone()),
            GivenArgument::Given { .. } => None,
        };
        let first = written(words.first()?)?;
        let second = words.get(1).and_then(written);
        self.longest(&first, second.as_deref()).map(|(spec, _)| spec)
    }

    /// Words with options of the host behind the command's own, where no argument swallows them.
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

    /// Reads words of which some were given by somebody else.
    ///
    /// # Errors
    /// [`Misparse`].
    pub(crate) fn parse_words(&self, words: &[GivenArgument], vocabulary: &Vocabulary<'_>) -> Result<Parsed, Misparse> {
        let aside = Aside::put(words)?;
        let (spec, rest) = self.begin(&aside)?;
        if rest.iter().any(|word| word == "--help") {
            return Ok(Parsed::Help(spec.clone()));
        }
        let back = |text: String| aside.back(&text);
        let command: Result<Command, Misparse> = parse::arguments_with(spec, rest, vocabulary, &back);
        command.map(Parsed::Command).map_err(|misparse| aside.shown(misparse))
    }

    /// What is wrong with words before anybody gave anything, if something is.
    ///
    /// # Errors
    /// [`Misparse`].
    pub(crate) fn check_words(
        &self,
        words: &[GivenArgument],
        vocabulary: &Vocabulary<'_>,
    ) -> Result<Arc<Spec>, Misparse> {
        let aside = Aside::put(words)?;
        let (spec, rest) = self.begin(&aside)?;
        parse::check(spec, rest, vocabulary, is_sign).map_err(|misparse| aside.shown(misparse))?;
        Ok(spec.clone())
    }

    fn begin<'a>(&self, aside: &'a Aside<'_>) -> Result<(&Arc<Spec>, &'a [String]), Misparse> {
        let words = &aside.words;
        let first = words.first().ok_or_else(|| Misparse::new("There is no command in that."))?;
        let found = self.longest(first, words.get(1).map(String::as_str));
        let (spec, length) =
            found.ok_or_else(|| aside.shown(crate::command::hint::unknown_command(first, &words[1..], self)))?;
        Ok((spec, &words[length..]))
    }
}
