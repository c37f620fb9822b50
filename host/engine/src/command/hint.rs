//! Suggestions for a line that is not a valid command: a corrected name, or the words in another order.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    parse::{ParseError, arguments_of_words},
    spec::{Parameter, Spec, in_backquotes},
    table::CommandTable,
    vocabulary::Vocabulary,
};
use crate::base::nearest;

/// The filler words that a suggestion leaves out, such as `to` in `deploy cms to staging 1.0.2`.
const FILLERS: [&str; 4] = ["to", "in", "on", "at"];
/// The maximum number of arguments of a line that the host reorders or corrects. The host tries all orders of the
/// arguments, and n arguments have n! orders.
const MAX_WORDS: usize = 5;

/// The maximum number of names or choices that an error message lists.
const MAX_LISTED: usize = 20;

/// Returns the error for a line whose first word `word` is not a command. `rest` are the other words, and `line_from`
/// returns the line from the word of `rest` with an index, as the person typed it.
pub(crate) fn unknown_command(
    word: &str,
    rest: &[String],
    line_from: impl Fn(usize) -> String,
    table: &CommandTable,
) -> ParseError {
    let shown: String = word.chars().take(40).collect();
    let unknown = |message: String| ParseError { is_unknown: true, ..ParseError::new(message) };
    // A known command inside the line is what the person means: `please deploy cms staging 1.0.2`.
    let mut inside = (0..rest.len()).filter(|at| table.get(&rest[*at]).is_some());
    if let (Some(at), None) = (inside.next(), inside.next()) {
        return unknown(format!("Unknown command `{shown}`. A line begins with its command.")).with_hint(line_from(at));
    }
    let names = table.specs().iter().flat_map(|spec| std::iter::once(&spec.name).chain(&spec.aliases));
    match nearest(word, names.map(String::as_str)).filter(|meant| is_typing_error(word, meant)) {
        Some(meant) => unknown(format!("Unknown command `{shown}`. Did you mean `{meant}`?"))
            .with_hint(format!("{meant} {}", line_from(0)).trim_end()),
        None => unknown(format!("Unknown command `{shown}`.")).with_hint("help"),
    }
}

/// Returns whether a word is a mistyped name of a command. A wrong suggestion of a command is worse than none, so the
/// distance must be smaller than for other names.
fn is_typing_error(word: &str, name: &str) -> bool {
    let distance = strsim::damerau_levenshtein(&word.to_lowercase(), name);
    distance <= 1 || (distance == 2 && name.len() >= 8)
}

pub(crate) fn unknown_value<'a>(what: &str, value: &str, known: impl Iterator<Item = &'a str> + Clone) -> ParseError {
    let shown: String = value.chars().take(40).collect();
    let listed: Vec<&str> = known.clone().take(MAX_LISTED).collect();
    ParseError::new(match nearest(value, known) {
        Some(meant) => format!("Unknown {what} `{shown}`. Did you mean `{meant}`?"),
        None if listed.is_empty() => format!("Unknown {what} `{shown}`."),
        None => format!("Unknown {what} `{shown}`. Use one of: {}.", listed.join(", ")),
    })
}

/// Returns the error for a value that is not one of the parameter's choices. The choices are words of a plugin, so they
/// stand in backquotes.
pub(crate) fn unknown_choice(parameter: &Parameter, value: &str) -> ParseError {
    let shown: String = value.chars().take(40).collect();
    let name = &parameter.name;
    ParseError::new(match nearest(value, parameter.choices.iter().map(String::as_str)) {
        Some(meant) => format!("Unknown {name} `{shown}`. Did you mean {}?", in_backquotes(meant)),
        None => format!("Unknown {name} `{shown}`. Use one of: {}.", parameter.choices_text(MAX_LISTED)),
    })
}

/// Adds a suggestion to a parse error. The host tries these suggestions, and takes the first that exists: the typed
/// arguments in a valid order, the line with corrected names, the suggestion that the error already has, the command's
/// usage. `words` are the typed words after the command's name.
pub(crate) fn improve(
    error: ParseError,
    spec: &Arc<Spec>,
    words: &[String],
    vocabulary: &Vocabulary<'_>,
) -> ParseError {
    if let Some(line) = reordered(spec, words, vocabulary) {
        return ParseError::new(format!(
            "The arguments of `{}` are in the wrong order; use `{}`.",
            spec.name,
            spec.usage()
        ))
        .with_hint(line);
    }
    if let Some(line) = corrected(spec, words, vocabulary) {
        return error.with_hint(line);
    }
    if error.hint.is_none() { error.with_hint(spec.usage()) } else { error }
}

/// Leaves out the filler words and tries all orders of the other arguments. If exactly one order gives a valid command,
/// returns the command line. Otherwise returns `None`.
fn reordered(spec: &Arc<Spec>, words: &[String], vocabulary: &Vocabulary<'_>) -> Option<String> {
    let mut kept: Vec<String> =
        words.iter().filter(|word| !FILLERS.contains(&word.to_lowercase().as_str())).cloned().collect();
    if kept.is_empty() || kept.len() > MAX_WORDS || kept.iter().any(|word| word.starts_with('-')) {
        return None;
    }
    let mut lines = BTreeSet::new();
    permutations(&mut kept, 0, &mut |order| {
        if let Ok(command) = arguments_of_words(spec, order, vocabulary) {
            lines.insert(command.line().to_owned());
        }
    });
    let line = lines.pop_first()?;
    lines.is_empty().then_some(line)
}

fn permutations(words: &mut Vec<String>, from: usize, found: &mut impl FnMut(&[String])) {
    if from == words.len() {
        found(words);
        return;
    }
    for index in from..words.len() {
        words.swap(from, index);
        permutations(words, from + 1, found);
        words.swap(from, index);
    }
}

/// Returns the command line with corrected names of apps and environments. Returns `None` if no name is misspelled.
/// Also returns `None` if the corrected line is not valid.
fn corrected(spec: &Arc<Spec>, words: &[String], vocabulary: &Vocabulary<'_>) -> Option<String> {
    let names: Vec<&str> =
        vocabulary.apps().map(|app| app.name.as_str()).chain(vocabulary.seen_environments()).collect();
    if words.len() > MAX_WORDS {
        return None;
    }
    let corrected: Vec<String> = words
        .iter()
        .map(|word| {
            if names.contains(&word.as_str()) {
                word.clone()
            } else {
                nearest(word, names.iter().copied()).unwrap_or(word).to_owned()
            }
        })
        .collect();
    if corrected == words {
        return None;
    }
    match arguments_of_words(spec, &corrected, vocabulary) {
        Ok(command) => Some(command.line().to_owned()),
        Err(_) => reordered(spec, &corrected, vocabulary),
    }
}
