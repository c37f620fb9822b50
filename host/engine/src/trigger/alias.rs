//! Triggers that a person types: `[[alias]]`, a short form of a command, and `[[say]]`, a fixed answer.

use super::command_template::CommandTemplate;
use crate::{
    base::At,
    command::quoted,
    store::{GivenArgument, TriggerSource},
};

/// An `[[alias]]` table: a short form of a longer command, for example `restart HOST`.
#[derive(Debug, Clone)]
pub(crate) struct Alias {
    pub at: At,
    /// Whether the alias is in the main file or in a file of `trusted_include`.
    pub trusted: bool,
    /// The words that a person types; words in capitals are placeholders.
    pub typed: Vec<String>,
    /// The command that the alias runs, with the same placeholders.
    pub command: CommandTemplate,
}

/// The command that an alias runs, with the values that the person typed for the alias's placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpandedAlias {
    pub(crate) words: Vec<GivenArgument>,
    /// The host's options that were typed after the alias.
    pub(crate) options: Vec<GivenArgument>,
}

/// Returns the words of an alias before the first placeholder.
pub(crate) fn leading_words(alias: &Alias) -> impl Iterator<Item = &String> {
    alias.typed.iter().take_while(|word| !is_placeholder(word))
}

/// Returns whether a word of an alias is a placeholder, for example `HOST`: a capital letter, followed by capitals,
/// digits and `_`.
pub(crate) fn is_placeholder(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

pub(crate) fn eq_ignoring_case(known: &str, word: &str) -> bool {
    known.to_lowercase() == word.to_lowercase()
}

impl TriggerSource {
    /// Returns the triggered command as one line, only for messages; the host never parses this line.
    pub(crate) fn line(&self) -> String {
        line(&self.words)
    }
}

fn line(words: &[GivenArgument]) -> String {
    let shown = |word: &GivenArgument| match word {
        GivenArgument::Written(word) => quoted(word).into_owned(),
        GivenArgument::Given { before, text } => format!("{before}{}", quoted(&crate::base::clean(text))),
    };
    words.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// A `[[say]]` table: the answer of the bot to a message with exactly the configured words.
#[derive(Debug, Clone)]
pub(crate) struct FixedAnswer {
    pub at: At,
    /// All words of the line that a person types.
    pub typed: Vec<String>,
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::Listener as _;
    use crate::{
        base::At,
        trigger::{Listen, Triggers, command_template::CommandTemplate},
    };
    use regex::Regex;

    fn at() -> At {
        At { file: "plugins.toml".into(), line: 1 }
    }

    fn triggers() -> Triggers {
        let alias = |typed: &str, command: &str| Alias {
            at: at(),
            trusted: true,
            typed: typed.split(' ').map(str::to_owned).collect(),
            command: CommandTemplate::new(command).unwrap(),
        };
        Triggers {
            aliases: vec![
                alias("restart HOST", "deploy {HOST} staging 1.0.0"),
                alias("restart HOST VERSION", "deploy {HOST} staging {VERSION}"),
                alias("ship it", "deploy cms staging 1.0.1"),
            ],
            fixed_answers: vec![FixedAnswer { at: at(), typed: vec!["lunch".into()], text: "At noon.".into() }],
            listens: vec![Listen {
                at: at(),
                pattern: Regex::new(r"(?i)is (?P<app>\S+) up\?").unwrap(),
                command: CommandTemplate::new("where {app}").unwrap(),
                rooms: None,
            }],
            ..Triggers::default()
        }
    }

    #[test]
    fn an_alias_passes_its_arguments() {
        let triggers = triggers();
        let ExpandedAlias { words, options } =
            triggers.alias("Restart \"a --wait b\" --dry-run", |_| true).unwrap().unwrap();
        assert_eq!(options, [GivenArgument::Written("--dry-run".into())]);
        assert_eq!(words[1], GivenArgument::Given { before: String::new(), text: "a --wait b".into() });
        assert_eq!(line(&words), "deploy 'a --wait b' staging 1.0.0");
        // If two aliases have the same first words, the one with the typed number of words runs.
        let words = |line: &str| triggers.alias(line, |_| true).unwrap().unwrap().words;
        assert_eq!(line(&words("restart a b")), "deploy a staging b");
        assert_eq!(line(&words("restart a")), "deploy a staging 1.0.0");
        assert!(triggers.alias("restart", |_| true).is_err() && triggers.alias("restart a b c", |_| true).is_err());
        assert!(
            triggers.alias("ship it", |_| true).unwrap().is_some()
                && triggers.alias("ship", |_| true).unwrap().is_none()
        );
        assert!(triggers.alias("deploy cms", |_| true).unwrap().is_none());
        assert!(
            triggers.alias("restart", |_| false).unwrap().is_none(),
            "nobody learns a command without the right to it"
        );
        // A quotation mark that is not closed is an error of the alias, not an unknown command.
        assert!(triggers.alias("restart it's", |_| true).unwrap_err().contains("begins like the alias `restart HOST"));
    }

    #[test]
    fn a_fixed_answer_needs_its_exact_words() {
        assert_eq!(triggers().fixed_answer("Lunch").unwrap().plain(), "At noon.");
        assert!(triggers().fixed_answer("lunch today").is_none());
    }

    #[test]
    fn a_listen_rule_passes_only_its_captures() {
        let triggered = triggers().matched("hey, is cms up? my password is x", &|_| true).unwrap();
        assert_eq!(triggered.line(), "where cms");
        assert!(triggers().matched("is it raining", &|_| true).is_none());
        let long = format!("is {} up?", "x".repeat(300));
        assert!(triggers().matched(&long, &|_| true).is_none());
    }
}
