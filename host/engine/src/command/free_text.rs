//! Separates the free text of a command from the words before it. A parameter of type `rest` and the flag `--override`
//! take free text: everything from the first word of the text up to the end of the message.
//!
//! Invariant: in free text, nothing is a quotation mark, a flag, an escape or `key=value`.

use std::collections::VecDeque;

use super::{
    composed::is_placeholder,
    parse::ParseError,
    spec::{CommandKind, DRY_RUN, HOST_FLAGS, OVERRIDE, Parameter, ParameterType, Spec, WAIT},
    tokens::{Word, Words},
};
use crate::{
    base::clean_lines,
    model::{is_job_id, parse_job_argument},
};

/// What follows a command's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) words: Vec<String>,
    pub(crate) free_text: Option<FreeText>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FreeText {
    /// The value of the parameter of type `rest`.
    Rest(String),
    /// The reason after `--override`; can be empty.
    Override(String),
}

/// The place of the free text among the words after a command's name.
struct Place {
    /// The number of words before the free text, without `--override`.
    words: usize,
    /// The number of the word at which the free text begins; the number of all words if the text is empty.
    text: usize,
    new: fn(String) -> FreeText,
}

impl Arguments {
    /// Splits the words after a command's name. The free text is its words, joined by blanks.
    pub(crate) fn of_words(spec: &Spec, words: &[String]) -> Self {
        match place(spec, words.iter().map(|word| (word.as_str(), false))) {
            None => Self { words: words.to_vec(), free_text: None },
            Some(place) => Self {
                words: words[..place.words].to_vec(),
                free_text: Some((place.new)(words[place.text..].join(" "))),
            },
        }
    }

    /// Splits a typed line after the command's name, which has `name` words.
    ///
    /// # Errors
    /// A quotation mark before the free text is not closed, or a word before the free text is not on the first line.
    pub(crate) fn of_line(spec: &Spec, line: &str, typed: &Words, name: usize) -> Result<Self, ParseError> {
        let words = typed.iter().skip(name).map(|word| (word.text.as_str(), word.has_long_dash));
        let place = place(spec, words);
        let count = place.as_ref().map_or(typed.iter().count(), |place| name + place.words);
        if let Some(open) = typed.open.as_ref().filter(|_| count > typed.closed.len()) {
            return Err(ParseError::new(format!(
                "The quotation mark in `{}` is not closed. Close it, or put a backslash before it.",
                line[open.start..].lines().next().unwrap_or_default()
            )));
        }
        let (first, _) = line.split_once('\n').unwrap_or((line, ""));
        if typed.closed[..count].iter().any(|word| word.start > first.len()) {
            let message = format!("`{}` ends with its line, and takes no more lines.", spec.name);
            return Err(ParseError::new(message).with_hint(first.trim()));
        }
        let words = typed.closed[name..count].iter().map(|word| word.text.clone()).collect();
        let free_text = place.map(|place| {
            let begin = typed.iter().nth(name + place.text).map_or(line.len(), |word| word.start);
            (place.new)(clean_lines(line[begin..].trim()))
        });
        Ok(Self { words, free_text })
    }

    /// Returns whether a word before the free text is `--help` or `-h`.
    pub(crate) fn asks_for_help(&self) -> bool {
        self.words.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h")
    }

    /// Returns the words, and the free text as one more word.
    pub(crate) fn all_words(&self) -> Vec<String> {
        let text = match &self.free_text {
            Some(FreeText::Rest(text)) => Some(text.clone()),
            Some(FreeText::Override(reason)) => Some(format!("--{OVERRIDE}={reason}")),
            None => None,
        };
        self.words.iter().cloned().chain(text).collect()
    }
}

/// Checks a reason after `--override`.
///
/// # Errors
/// The reason is empty, or it contains an option of the host, which would have no effect there. A person who adds
/// `--dry-run` at the end of the line expects that nothing happens.
pub(crate) fn check_reason(reason: &str) -> Result<(), ParseError> {
    if reason.trim().is_empty() {
        return Err(ParseError::new("`--override` needs a reason."));
    }
    let is_option = |word: &Word, flag: &str| {
        let letters = word.text.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '-');
        letters.strip_prefix("--").is_some_and(|name| name.split('=').next() == Some(flag))
    };
    let words = Words::of(reason);
    let swallowed = [WAIT, DRY_RUN].into_iter().find(|flag| words.iter().any(|word| is_option(word, flag)));
    match swallowed {
        None => Ok(()),
        Some(flag) => Err(ParseError::new(format!(
            "The reason after `--override` contains `--{flag}`. Write `--{flag}` before `--override`."
        ))),
    }
}

/// Finds the free text among the words after a command's name; `None` if the words contain no free text. The flag of each
/// word is [`Word::has_long_dash`].
fn place<'w>(spec: &Spec, words: impl Iterator<Item = (&'w str, bool)>) -> Option<Place> {
    let is_rest = |parameter: &Parameter| parameter.kind == ParameterType::Rest;
    let mut takes_rest = spec.parameters.iter().any(is_rest);
    // The parameters that still take one word each before the free text begins.
    let mut open: VecDeque<&Parameter> =
        spec.parameters.iter().filter(|parameter| !parameter.named && !is_rest(parameter)).collect();
    let (mut is_raw, mut is_flag_value) = (false, false);
    for (index, (word, has_long_dash)) in words.enumerate() {
        if std::mem::take(&mut is_flag_value) {
            continue;
        }
        // Where free text can begin, a long dash is a part of the text, unless it stands for the dashes of a flag.
        if has_long_dash && !is_raw && takes_rest && open.is_empty() && !is_flag(spec, word) {
            return Some(Place { words: index, text: index, new: FreeText::Rest });
        }
        if !is_raw && word == "--" {
            is_raw = true;
            continue;
        }
        let flag = word.strip_prefix("--").filter(|_| !is_raw);
        if flag == Some(OVERRIDE) && spec.kind == CommandKind::Action {
            return Some(Place { words: index, text: index + 1, new: FreeText::Override });
        }
        let pair = flag.unwrap_or(word).split_once('=').filter(|_| !is_raw);
        let key = pair.map(|(key, _)| key).or(flag);
        if let Some(named) = spec.parameters.iter().find(|parameter| Some(parameter.name.as_str()) == key) {
            is_flag_value = pair.is_none() && named.kind != ParameterType::Boolean;
            takes_rest &= !is_rest(named);
            open.retain(|parameter| parameter.name != named.name);
        } else if flag.is_none() {
            // The value of a placeholder is always one argument.
            let is_job = is_job_id(parse_job_argument(word).0) || word.contains(is_placeholder);
            if takes_rest && open.front().is_some_and(|parameter| parameter.kind == ParameterType::Job && !is_job) {
                open.pop_front();
            }
            if open.pop_front().is_none() && takes_rest {
                return Some(Place { words: index, text: index, new: FreeText::Rest });
            }
        }
    }
    None
}

/// Returns whether a word is a flag of the command.
fn is_flag(spec: &Spec, word: &str) -> bool {
    let Some(flag) = word.strip_prefix("--").map(|flag| flag.split_once('=').map_or(flag, |(name, _)| name)) else {
        return false;
    };
    let is_hosts = spec.kind == CommandKind::Action && HOST_FLAGS.contains(&flag);
    is_hosts || flag == "help" || spec.parameters.iter().any(|parameter| parameter.name == flag)
}
