//! What a person sets off by typing: `[[alias]]`, `[[say]]` and `[[listen]]`.

use std::collections::BTreeMap;

use regex::Regex;

use super::{Hook, Schedule, Template};
use crate::{
    command::{quoted, words},
    config::{At, RoomName},
    port::store::{Started, Word},
    reply::Text,
};

/// A short form of a longer command: `restart HOST`.
#[derive(Debug, Clone)]
pub struct Alias {
    /// Where it stands.
    pub at: At,
    /// Its words; those in capitals are gaps.
    pub typed: Vec<String>,
    /// What it stands for.
    pub command: Template,
}

/// A fixed answer.
#[derive(Debug, Clone)]
pub struct Said {
    /// Where it stands.
    pub at: At,
    /// The words that ask for it.
    pub typed: Vec<String>,
    /// The answer.
    pub text: String,
}

/// A pattern that is looked for in what people say to each other.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Where it stands.
    pub at: At,
    /// The pattern.
    pub pattern: Regex,
    /// The query that it sets off.
    pub command: Template,
    /// The rooms where it is looked for; `None` for all.
    pub rooms: Option<Vec<RoomName>>,
}

/// The options of the host that can be typed behind an alias.
const OPTIONS: [&str; 3] = ["--wait", "--dry-run", "--help"];
/// No more of a message than this is looked through, in bytes.
const LONGEST_HEARD: usize = 4_096;
/// A captured text that is longer sets nothing off, in characters.
const LONGEST_GIVEN: usize = 256;

/// All starters of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Starters {
    /// Short forms, in the order of the file.
    pub aliases: Vec<Alias>,
    /// Fixed answers.
    pub said: Vec<Said>,
    /// Patterns that are listened for.
    pub listens: Vec<Listen>,
    /// Schedules.
    pub schedules: Vec<Schedule>,
    /// Hooks.
    pub hooks: Vec<Hook>,
}

impl Starters {
    /// The fixed answer to a line, if it has one.
    pub(crate) fn said(&self, line: &str) -> Option<Text> {
        let typed = words(line)?;
        let said = self.said.iter().find(|said| {
            said.typed.len() == typed.len() && said.typed.iter().zip(&typed).all(|(known, word)| same(known, word))
        })?;
        Some(Text::lines(&said.text))
    }

    /// The command that a line is a short form of, if it is one.
    ///
    /// # Errors
    /// It begins as one and has other words; how it is typed.
    pub(crate) fn alias(&self, line: &str) -> Result<Option<Vec<Word>>, String> {
        let Some(typed) = words(line) else { return Ok(None) };
        // Of two that begin alike the longer one.
        let begins = |alias: &&Alias| {
            fixed(alias).zip(&typed).all(|(known, word)| same(known, word)) && fixed(alias).count() <= typed.len()
        };
        let Some(alias) = self.aliases.iter().filter(begins).max_by_key(|alias| fixed(alias).count()) else {
            return Ok(None);
        };
        let (options, given): (Vec<&String>, Vec<&String>) =
            typed.iter().partition(|word| OPTIONS.contains(&word.as_str()));
        let usage = || format!("`{}` stands for `{}`.", alias.typed.join(" "), alias.command.as_str());
        if given.len() != alias.typed.len() {
            return Err(usage());
        }
        let mut values = BTreeMap::new();
        for (known, word) in alias.typed.iter().zip(given) {
            if is_gap(known) {
                values.insert(known.clone(), word.clone());
            } else if !same(known, word) {
                return Err(usage());
            }
        }
        let mut filled = alias.command.filled(&values);
        // Behind the command's own word, so that no argument swallows them.
        let options = options.into_iter().map(|option| Word::Written(option.clone()));
        let place = filled.len().min(1);
        filled.splice(place..place, options);
        Ok(Some(filled))
    }

    /// What is set off by something that somebody said in a room to others. `is` tells whether the room has a name.
    pub(crate) fn heard(&self, text: &str, is: impl Fn(&RoomName) -> bool) -> Option<Started> {
        if text.len() > LONGEST_HEARD {
            return None;
        }
        self.listens.iter().enumerate().find_map(|(number, listen)| {
            if listen.rooms.as_ref().is_some_and(|rooms| !rooms.iter().any(&is)) {
                return None;
            }
            let captures = listen.pattern.captures(text)?;
            let names = listen.pattern.capture_names().flatten();
            let values: BTreeMap<String, String> =
                names.filter_map(|name| Some((name.to_owned(), captures.name(name)?.as_str().to_owned()))).collect();
            let fits = |name: &str| {
                values.get(name).is_some_and(|value| !value.is_empty() && value.chars().count() <= LONGEST_GIVEN)
            };
            listen
                .command
                .gaps()
                .all(fits)
                .then(|| Started { by: format!("listen {}", number + 1), words: listen.command.filled(&values) })
        })
    }

    /// What there is besides commands, for help: how it is typed, and what it stands for.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (String, String)> {
        let alias = |alias: &Alias| (alias.typed.join(" "), format!("Stands for `{}`.", alias.command.as_str()));
        let said = |said: &Said| (said.typed.join(" "), "Has a fixed answer.".to_owned());
        self.aliases.iter().map(alias).chain(self.said.iter().map(said))
    }
}

/// The words of an alias before its first gap.
fn fixed(alias: &Alias) -> impl Iterator<Item = &String> {
    alias.typed.iter().take_while(|word| !is_gap(word))
}

/// Whether a word of an alias is a gap: it is written in capitals.
pub(crate) fn is_gap(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

fn same(known: &str, word: &str) -> bool {
    known.to_lowercase() == word.to_lowercase()
}

impl Started {
    /// The command as one line, for people; it is never read again.
    pub(crate) fn line(&self) -> String {
        line(&self.words)
    }
}

/// Words as one line, for people.
fn line(words: &[Word]) -> String {
    let shown = |word: &Word| match word {
        Word::Written(word) => quoted(word).into_owned(),
        Word::Given { before, text } => format!("{before}{}", quoted(&crate::reply::clean(text))),
    };
    words.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> At {
        At { file: "plugins.toml".into(), line: 1 }
    }

    fn starters() -> Starters {
        let alias = |typed: &str, command: &str| Alias {
            at: at(),
            typed: typed.split(' ').map(str::to_owned).collect(),
            command: Template::new(command).unwrap(),
        };
        Starters {
            aliases: vec![
                alias("restart HOST", "deploy {HOST} staging 1.0.0"),
                alias("ship it", "deploy cms staging 1.0.1"),
            ],
            said: vec![Said { at: at(), typed: vec!["lunch".into()], text: "At noon.".into() }],
            listens: vec![Listen {
                at: at(),
                pattern: Regex::new(r"(?i)is (?P<app>\S+) up\?").unwrap(),
                command: Template::new("where {app}").unwrap(),
                rooms: None,
            }],
            ..Starters::default()
        }
    }

    #[test]
    fn an_alias_hands_over_arguments() {
        let starters = starters();
        let words = starters.alias("Restart \"a --wait b\" --dry-run").unwrap().unwrap();
        assert_eq!(words[1], Word::Written("--dry-run".into()));
        assert_eq!(words[2], Word::Given { before: String::new(), text: "a --wait b".into() });
        assert_eq!(line(&words), "deploy --dry-run 'a --wait b' staging 1.0.0");
        assert!(starters.alias("restart").is_err() && starters.alias("restart a b").is_err());
        assert!(starters.alias("ship it").unwrap().is_some() && starters.alias("ship").unwrap().is_none());
        assert!(starters.alias("deploy cms").unwrap().is_none());
    }

    #[test]
    fn a_fixed_answer_is_for_its_very_words() {
        assert_eq!(starters().said("Lunch").unwrap().plain(), "At noon.");
        assert!(starters().said("lunch today").is_none());
    }

    #[test]
    fn only_captures_are_handed_over() {
        let started = starters().heard("hey, is cms up? my password is x", |_| true).unwrap();
        assert_eq!(started.line(), "where cms");
        assert!(starters().heard("is it raining", |_| true).is_none());
        let long = format!("is {} up?", "x".repeat(300));
        assert!(starters().heard(&long, |_| true).is_none());
    }
}
