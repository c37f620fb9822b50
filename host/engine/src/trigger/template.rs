//! A command with gaps, as the operator writes it: `deploy cms staging {VERSION}`.
//!
//! Invariant: a gap is a whole argument (`{HOST}`, `version={VERSION}`, `--version={VERSION}`), so that nothing that fills it
//! can become a flag, another argument or part of a word.

use std::collections::BTreeMap;

use crate::{command::words, store::GivenArgument};

/// A command with gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    words: Vec<Piece>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Written(String),
    Gap { before: String, name: String },
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is no command in it, or a quote is not closed.
    #[error("`{0}` is no command")]
    NoCommand(String),
    /// A gap is part of a word.
    #[error("in `{0}` a gap is part of a word; it is a whole argument, or stands behind `name=` or `--name=`")]
    Part(String),
    /// A gap has no name that is one.
    #[error("in `{0}` a gap has no name; write it as `{{NAME}}`, in letters, digits and `_`")]
    Name(String),
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        let no_command = || TemplateError::NoCommand(crate::base::clean(text));
        let split = words(text).ok_or_else(no_command)?;
        let mut pieces = Vec::with_capacity(split.len());
        for word in split {
            pieces.push(piece(word)?);
        }
        match pieces.first() {
            Some(Piece::Written(_)) => Ok(Self { words: pieces, text: text.trim().to_owned() }),
            _ => Err(no_command()),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its gaps.
    pub fn gaps(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter_map(|piece| match piece {
            Piece::Written(_) => None,
            Piece::Gap { name, .. } => Some(name.as_str()),
        })
    }

    /// The command with its gaps filled. What has no value stays empty, which no command takes.
    pub fn filled(&self, values: &BTreeMap<String, String>) -> Vec<GivenArgument> {
        let fill = |piece: &Piece| match piece {
            Piece::Written(word) => GivenArgument::Written(word.clone()),
            Piece::Gap { before, name } => {
                GivenArgument::Given { before: before.clone(), text: values.get(name).cloned().unwrap_or_default() }
            }
        };
        self.words.iter().map(fill).collect()
    }
}

fn piece(word: String) -> Result<Piece, TemplateError> {
    let Some(open) = word.find('{') else {
        return if word.contains('}') { Err(TemplateError::Name(word)) } else { Ok(Piece::Written(word)) };
    };
    let (before, rest) = word.split_at(open);
    let Some(name) = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return Err(TemplateError::Part(word));
    };
    if name.contains(['{', '}']) {
        return Err(TemplateError::Part(word));
    }
    if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(TemplateError::Name(word));
    }
    // `version=` or `--version=`, and nothing else.
    let flag = before.strip_suffix('=').map(|key| key.strip_prefix("--").unwrap_or(key));
    let named = flag.is_some_and(|key| !key.is_empty() && !key.contains('=') && !key.starts_with('-'));
    match before.is_empty() || named {
        true => Ok(Piece::Gap { before: before.to_owned(), name: name.to_owned() }),
        false => Err(TemplateError::Part(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_whole_arguments() {
        let template = Template::new("deploy cms \"two words\" version={VERSION} --app={app} {x}").unwrap();
        assert_eq!(template.gaps().collect::<Vec<_>>(), ["VERSION", "app", "x"]);
        for part in ["deploy a{x}", "deploy {x}b", "deploy {x}{y}", "deploy =x={y}", "deploy -v{x}", "deploy a=b={x}"] {
            assert!(matches!(Template::new(part), Err(TemplateError::Part(_))), "{part}");
        }
        for nameless in ["deploy {}", "deploy {a b}", "deploy x}", "deploy {a-b}"] {
            assert!(Template::new(nameless).is_err(), "{nameless}");
        }
        assert!(Template::new("{x} cms").is_err() && Template::new("").is_err());
    }

    #[test]
    fn what_fills_a_gap_stays_one_word() {
        let template = Template::new("deploy {app} staging").unwrap();
        let words = template.filled(&BTreeMap::from([("app".to_owned(), "cms production --wait".to_owned())]));
        assert_eq!(words[1], GivenArgument::Given { before: String::new(), text: "cms production --wait".into() });
        assert_eq!(words.len(), 3);
    }
}
