//! Suggestions for a line that is not a valid command: typos, near values, words in another order.

use std::sync::Arc;

use super::{
    parse::{self, Misparse},
    spec::Spec,
    table::CommandTable,
    vocabulary::Vocabulary,
};
use crate::base::nearest;

/// Words that people put between arguments and that can be ignored.
const FILLERS: [&str; 4] = ["to", "in", "on", "at"];
/// The longest line, in words, whose words are also tried in another order for a suggestion.
const MOST_WORDS: usize = 5;

pub(crate) fn unknown_command(word: &str, rest: &[String], table: &CommandTable) -> Misparse {
    let shown: String = word.chars().take(40).collect();
    let names = table.specs().iter().flat_map(|spec| std::iter::once(&spec.name).chain(&spec.aliases));
    match nearest(word, names.map(String::as_str)) {
        Some(meant) => {
            let line: Vec<&str> = std::iter::once(meant).chain(rest.iter().map(String::as_str)).collect();
            Misparse::new(format!("Unknown command `{shown}`. Did you mean `{meant}`?"))
                .with_hint(shell_words::join(line))
        }
        None => Misparse::new(format!("Unknown command `{shown}`.")).with_hint("help"),
    }
}

pub(crate) fn unknown_value<'a>(what: &str, value: &str, known: impl Iterator<Item = &'a str> + Clone) -> Misparse {
    let shown: String = value.chars().take(40).collect();
    match nearest(value, known.clone()) {
        Some(meant) => Misparse::new(format!("Unknown {what} `{shown}`. Did you mean `{meant}`?")),
        None => {
            let known: Vec<&str> = known.take(20).collect();
            if known.is_empty() {
                return Misparse::new(format!("Unknown {what} `{shown}`."));
            }
            Misparse::new(format!("Unknown {what} `{shown}`. Known: {}.", known.join(", ")))
        }
    }
}

/// Adds the line that was probably meant: the same words in another order, or with a corrected value.
pub(crate) fn improve(misparse: Misparse, spec: &Arc<Spec>, words: &[String], vocabulary: &Vocabulary<'_>) -> Misparse {
    if let Some(line) = reordered(spec, words, vocabulary) {
        return Misparse::new(format!(
            "The arguments of `{}` are in the wrong order; use `{}`.",
            spec.name,
            spec.usage()
        ))
        .with_hint(line);
    }
    if let Some(line) = mended(spec, words, vocabulary) {
        return misparse.with_hint(line);
    }
    match misparse.hint {
        Some(_) => misparse,
        None => misparse.with_hint(spec.usage()),
    }
}

/// The only order of the words, without fillers, that is a valid command. `None` if two orders are valid: no guess is
/// made.
fn reordered(spec: &Arc<Spec>, words: &[String], vocabulary: &Vocabulary<'_>) -> Option<String> {
    let kept: Vec<String> =
        words.iter().filter(|word| !FILLERS.contains(&word.to_lowercase().as_str())).cloned().collect();
    if kept.is_empty() || kept.len() > MOST_WORDS || kept.iter().any(|word| word.starts_with('-')) {
        return None;
    }
    let mut found: Option<String> = None;
    let mut good = true;
    permutations(&mut kept.clone(), 0, &mut |order| {
        if let Ok(command) = parse::arguments(spec, order, vocabulary) {
            match &found {
                None => found = Some(command.line().to_owned()),
                Some(line) if line == command.line() => {}
                Some(_) => good = false,
            }
        }
    });
    found.filter(|_| good)
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

/// The line with each misspelled app or environment corrected.
fn mended(spec: &Arc<Spec>, words: &[String], vocabulary: &Vocabulary<'_>) -> Option<String> {
    let names: Vec<&str> =
        vocabulary.apps().map(|app| app.name.as_str()).chain(vocabulary.seen_environments()).collect();
    if words.len() > MOST_WORDS {
        return None;
    }
    let mended: Vec<String> = words
        .iter()
        .map(|word| {
            if names.contains(&word.as_str()) {
                word.clone()
            } else {
                nearest(word, names.iter().copied()).unwrap_or(word).to_owned()
            }
        })
        .collect();
    if mended == words {
        return None;
    }
    match parse::arguments(spec, &mended, vocabulary) {
        Ok(command) => Some(command.line().to_owned()),
        Err(_) => reordered(spec, &mended, vocabulary),
    }
}
