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
/// A longer message is not looked through, in bytes.
const LONGEST_HEARD: usize = 4_096;
/// A captured text that is longer sets nothing off, in characters.
const LONGEST_GIVEN: usize = 256;

/// What a short form stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Short {
    /// The words of the command.
    pub(crate) words: Vec<Word>,
    /// The options of the host that were typed with it.
    pub(crate) options: Vec<Word>,
}

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
        // Most hosts have none, and every command comes by here.
        if self.said.is_empty() {
            return None;
        }
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
    pub(crate) fn alias(&self, line: &str) -> Result<Option<Short>, String> {
        if self.aliases.is_empty() {
            return Ok(None);
        }
        let Some(typed) = words(line) else { return Ok(None) };
        // Of two that begin alike the longer one.
        let begins = |alias: &&Alias| {
            fixed(alias).zip(&typed).all(|(known, word)| same(known, word)) && fixed(alias).count() <= typed.len()
        };
        let (options, given): (Vec<&String>, Vec<&String>) =
            typed.iter().partition(|word| OPTIONS.contains(&word.as_str()));
        let fits = |alias: &&Alias| {
            let word = |(known, word): (&String, &&String)| is_gap(known) || same(known, word);
            alias.typed.len() == given.len() && alias.typed.iter().zip(&given).all(word)
        };
        let most = |alias: &&Alias| fixed(alias).count();
        let Some(alias) = self.aliases.iter().filter(fits).max_by_key(most) else {
            let meant = self.aliases.iter().filter(begins).max_by_key(most);
            return meant.map_or(Ok(None), |alias| {
                Err(format!("`{}` stands for `{}`.", alias.typed.join(" "), alias.command.as_str()))
            });
        };
        let gaps = alias.typed.iter().zip(given).filter(|(known, _)| is_gap(known));
        let values = gaps.map(|(known, word)| (known.clone(), word.clone())).collect();
        let options = options.into_iter().map(|option| Word::Written(option.clone())).collect();
        Ok(Some(Short { words: alias.command.filled(&values), options }))
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
                alias("restart HOST VERSION", "deploy {HOST} staging {VERSION}"),
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
        let Short { words, options } = starters.alias("Restart \"a --wait b\" --dry-run").unwrap().unwrap();
        assert_eq!(options, [Word::Written("--dry-run".into())]);
        assert_eq!(words[1], Word::Given { before: String::new(), text: "a --wait b".into() });
        assert_eq!(line(&words), "deploy 'a --wait b' staging 1.0.0");
        // Of two that begin alike the one that fits.
        let words = |line: &str| starters.alias(line).unwrap().unwrap().words;
        assert_eq!(line(&words("restart a b")), "deploy a staging b");
        assert_eq!(line(&words("restart a")), "deploy a staging 1.0.0");
        assert!(starters.alias("restart").is_err() && starters.alias("restart a b c").is_err());
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
