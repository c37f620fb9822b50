//! All triggers of a configuration. Compares typed lines and messages with the triggers.

use std::collections::BTreeMap;

use regex::Regex;

use super::{
    alias::{Alias, ExpandedAlias, FixedAnswer, eq_ignoring_case, is_placeholder, leading_words},
    command_template::CommandTemplate,
    hook::Hook,
    schedule::Schedule,
};
use crate::{
    base::{At, PREFIX, Text},
    command::{Words, words},
    messaging::Listener,
    model::RoomName,
    store::{GivenArgument, TriggerSource},
};

/// The options of the host that can be typed after an alias.
const OPTIONS: [&str; 3] = ["--wait", "--dry-run", "--help"];
/// The maximum length, in bytes, of a message that is matched against `[[listen]]` patterns. A longer message triggers
/// nothing.
const MAX_MATCHED_BYTES: usize = 4_096;
/// The maximum length, in characters, of a text that a `[[listen]]` pattern captures. A message with a longer capture
/// triggers nothing.
const MAX_CAPTURE_CHARS: usize = 256;

/// A `[[listen]]` table: a pattern for messages that do not address the bot. A message that matches starts a query.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    pub at: At,
    /// The regular expression that matches a part of a message. Its named groups provide the values of the placeholders
    /// in `command`.
    pub pattern: Regex,
    /// The query that a matching message starts.
    pub command: CommandTemplate,
    /// The rooms in which messages are matched; `None` for all rooms.
    pub rooms: Option<Vec<RoomName>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Triggers {
    pub aliases: Vec<Alias>,
    pub fixed_answers: Vec<FixedAnswer>,
    pub listens: Vec<Listen>,
    pub schedules: Vec<Schedule>,
    pub hooks: Vec<Hook>,
}

impl Listener for Triggers {
    fn matched(&self, text: &str, is_here: &dyn Fn(&RoomName) -> bool) -> Option<TriggerSource> {
        if text.len() > MAX_MATCHED_BYTES {
            return None;
        }
        self.listens.iter().enumerate().find_map(|(number, listen)| {
            if listen.rooms.as_ref().is_some_and(|rooms| !rooms.iter().any(is_here)) {
                return None;
            }
            let captures = listen.pattern.captures(text)?;
            let names = listen.pattern.capture_names().flatten();
            let values: BTreeMap<String, String> =
                names.filter_map(|name| Some((name.to_owned(), captures.name(name)?.as_str().to_owned()))).collect();
            let fits = |name: &str| {
                values.get(name).is_some_and(|value| !value.is_empty() && value.chars().count() <= MAX_CAPTURE_CHARS)
            };
            listen
                .command
                .placeholders()
                .all(fits)
                .then(|| TriggerSource { by: format!("listen {}", number + 1), words: listen.command.fill(&values) })
        })
    }
}

impl Triggers {
    /// Returns the fixed answer to a typed line; `None` if no `[[say]]` table has this line.
    pub(crate) fn fixed_answer(&self, line: &str) -> Option<Text> {
        // Most hosts have no fixed answers. The line is then not split into words.
        if self.fixed_answers.is_empty() {
            return None;
        }
        let typed = words(line)?;
        let answer = self.fixed_answers.iter().find(|answer| {
            answer.typed.len() == typed.len()
                && answer.typed.iter().zip(&typed).all(|(known, word)| eq_ignoring_case(known, word))
        })?;
        Some(Text::lines(&answer.text))
    }

    /// If the line that a person typed matches an alias, returns the command of the alias. If the line does not begin
    /// with the words of any alias, returns `None`.
    ///
    /// # Errors
    /// Fails if the line begins with the words of an alias for whose command `may_run` returns true, but does not match
    /// the whole alias. The error is a message that shows the words to type.
    pub(crate) fn alias(&self, line: &str, may_run: impl Fn(&str) -> bool) -> Result<Option<ExpandedAlias>, String> {
        if self.aliases.is_empty() {
            return Ok(None);
        }
        let line = Words::of(line);
        let typed = line.texts();
        // If several aliases match, the alias with the most leading words is used.
        let begins = |alias: &&Alias| {
            leading_words(alias).zip(&typed).all(|(known, word)| eq_ignoring_case(known, word))
                && leading_words(alias).count() <= typed.len()
        };
        let (options, given): (Vec<&String>, Vec<&String>) =
            typed.iter().partition(|word| OPTIONS.contains(&word.as_str()));
        let fits = |alias: &&Alias| {
            let word = |(known, word): (&String, &&String)| is_placeholder(known) || eq_ignoring_case(known, word);
            line.open.is_none() && alias.typed.len() == given.len() && alias.typed.iter().zip(&given).all(word)
        };
        let most = |alias: &&Alias| leading_words(alias).count();
        let Some(alias) = self.aliases.iter().filter(fits).max_by_key(most) else {
            let may_see = |alias: &&Alias| may_run(alias.command.as_str());
            let meant = self.aliases.iter().filter(begins).filter(may_see).max_by_key(most);
            return meant.map_or(Ok(None), |alias| {
                Err(format!(
                    "The line begins like the alias `{0}`, which runs `{1}`, but does not match it. Try: {PREFIX}{0}",
                    alias.typed.join(" "),
                    alias.command.as_str()
                ))
            });
        };
        let placeholders = alias.typed.iter().zip(given).filter(|(known, _)| is_placeholder(known));
        let values = placeholders.map(|(known, word)| (known.clone(), word.clone())).collect();
        let options = options.into_iter().map(|option| GivenArgument::Written(option.clone())).collect();
        Ok(Some(ExpandedAlias { words: alias.command.fill(&values), options }))
    }

    /// Returns the words to type and a description for each fixed answer, and for each alias for whose command
    /// `may_run` returns true. The built-in command `help` shows them.
    pub(crate) fn shown(&self, may_run: impl Fn(&str) -> bool) -> impl Iterator<Item = (String, String)> {
        let aliases = self.aliases.iter().filter(move |alias| may_run(alias.command.as_str()));
        let alias = |alias: &Alias| (alias.typed.join(" "), format!("Runs `{}`.", alias.command.as_str()));
        let answer = |answer: &FixedAnswer| (answer.typed.join(" "), "Replies with a fixed text.".to_owned());
        aliases.map(alias).chain(self.fixed_answers.iter().map(answer))
    }
}
