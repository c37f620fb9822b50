//! Commands with placeholders, as the operator writes them in the configuration: `deploy cms staging {VERSION}`.
//!
//! Invariant: a placeholder stands for the value of a whole argument (`{HOST}`, `version={VERSION}`,
//! `--version={VERSION}`). The value cannot become a flag, another argument or part of a word.

use std::collections::BTreeMap;

use crate::{
    base::{Template, TemplatePart},
    command::words,
    store::GivenArgument,
};

/// A command with placeholders: `deploy cms staging {VERSION}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    words: Vec<Word>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Written(String),
    Placeholder { before: String, name: String },
}

/// The reason why a text is not a [`CommandTemplate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandTemplateError {
    /// The text is empty or begins with a placeholder, or a quote is not closed.
    #[error("`{0}` is not a command: begin with the name of a command, and close every quote")]
    NoCommand(String),
    /// A placeholder is only part of a word: `a{X}`.
    #[error("the placeholder in `{0}` is only part of a word; write `{{NAME}}`, `name={{NAME}}` or `--name={{NAME}}`")]
    PartOfWord(String),
    /// A placeholder has no valid name, or a brace is not part of a placeholder: `{}`, `{a-b}`, `x}`.
    #[error("the placeholder in `{0}` has no valid name; write `{{NAME}}`, with letters, digits and `_`")]
    Name(String),
}

impl CommandTemplate {
    /// Parses a command with placeholders.
    ///
    /// # Errors
    /// [`CommandTemplateError`].
    pub fn new(text: &str) -> Result<Self, CommandTemplateError> {
        let no_command = || CommandTemplateError::NoCommand(crate::base::clean(text));
        let split = words(text).ok_or_else(no_command)?;
        let words = split.into_iter().map(parse_word).collect::<Result<Vec<_>, _>>()?;
        match words.first() {
            Some(Word::Written(_)) => Ok(Self { words, text: text.trim().to_owned() }),
            _ => Err(no_command()),
        }
    }

    /// Returns the command as the operator wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the names of the placeholders, in the order of the command.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter_map(|word| match word {
            Word::Written(_) => None,
            Word::Placeholder { name, .. } => Some(name.as_str()),
        })
    }

    /// Returns the words of the command. Replaces each placeholder by its value in `values`, whose keys are the names
    /// of the placeholders. A placeholder without a value becomes an empty argument, which every command refuses.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Vec<GivenArgument> {
        let fill = |word: &Word| match word {
            Word::Written(word) => GivenArgument::Written(word.clone()),
            Word::Placeholder { before, name } => {
                GivenArgument::Given { before: before.clone(), text: values.get(name).cloned().unwrap_or_default() }
            }
        };
        self.words.iter().map(fill).collect()
    }
}

/// Parses one word. A word cannot contain literal braces, not even doubled braces.
fn parse_word(word: String) -> Result<Word, CommandTemplateError> {
    if !word.contains(['{', '}']) {
        return Ok(Word::Written(word));
    }
    let Ok(template) = Template::parse(&word) else { return Err(CommandTemplateError::Name(word)) };
    let (before, name) = match template.parts() {
        [TemplatePart::Placeholder(name)] => ("", name),
        [TemplatePart::Text(before), TemplatePart::Placeholder(name)] if is_key(before) => (before.as_str(), name),
        _ => return Err(CommandTemplateError::PartOfWord(word)),
    };
    if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(CommandTemplateError::Name(word));
    }
    Ok(Word::Placeholder { before: before.to_owned(), name: name.clone() })
}

/// Returns whether a text is `name=` or `--name=`.
fn is_key(text: &str) -> bool {
    let key = text.strip_suffix('=').map(|key| key.strip_prefix("--").unwrap_or(key));
    key.is_some_and(|key| !key.is_empty() && !key.contains(['=', '{', '}']) && !key.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_whole_arguments() {
        let template = CommandTemplate::new("deploy cms \"two words\" version={VERSION} --app={app} {x}").unwrap();
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["VERSION", "app", "x"]);
        for part in [
            "deploy a{x}",
            "deploy {x}b",
            "deploy {x}{y}",
            "deploy =x={y}",
            "deploy -v{x}",
            "deploy a=b={x}",
            "deploy {{x}}",
            "deploy {{a}}={x}",
        ] {
            assert!(matches!(CommandTemplate::new(part), Err(CommandTemplateError::PartOfWord(_))), "{part}");
        }
        for nameless in ["deploy {}", "deploy {a b}", "deploy x}", "deploy {x", "deploy {x}}", "deploy {a-b}"] {
            assert!(CommandTemplate::new(nameless).is_err(), "{nameless}");
        }
        assert!(CommandTemplate::new("{x} cms").is_err() && CommandTemplate::new("").is_err());
    }

    #[test]
    fn a_value_stays_one_word() {
        let template = CommandTemplate::new("deploy {app} staging").unwrap();
        let words = template.fill(&BTreeMap::from([("app".to_owned(), "cms production --wait".to_owned())]));
        assert_eq!(words[1], GivenArgument::Given { before: String::new(), text: "cms production --wait".into() });
        assert_eq!(words.len(), 3);
    }
}
