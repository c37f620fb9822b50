//! All triggers of a configuration. Compares typed lines and messages with the triggers.

use std::collections::BTreeMap;

use super::{
    alias::{
        Alias, ExpandedAlias, FixedAnswer, MAX_CAPTURE_CHARS, MAX_MATCHED_BYTES, OPTIONS, eq_ignoring_case,
        is_placeholder, leading_words,
    },
    hook::Hook,
    listen::Listen,
    schedule::Schedule,
};
use crate::{
    base::Text,
    command::words,
    messaging::Listener,
    model::RoomName,
    store::{GivenArgument, TriggerSource},
};

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
        // Most hosts have no fixed answers, and then need not split the line into words.
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

    /// If a typed line fits an alias, returns the command of the alias. If the line does not begin with the words of
    /// any alias, returns `None`.
    ///
    /// # Errors
    /// The line begins with the words of an alias, but does not fit the alias. The error is a message that shows the
    /// words to type.
    pub(crate) fn alias(&self, line: &str) -> Result<Option<ExpandedAlias>, String> {
        if self.aliases.is_empty() {
            return Ok(None);
        }
        let Some(typed) = words(line) else { return Ok(None) };
        // If several aliases match, the alias with the most leading words is used.
        let begins = |alias: &&Alias| {
            leading_words(alias).zip(&typed).all(|(known, word)| eq_ignoring_case(known, word))
                && leading_words(alias).count() <= typed.len()
        };
        let (options, given): (Vec<&String>, Vec<&String>) =
            typed.iter().partition(|word| OPTIONS.contains(&word.as_str()));
        let fits = |alias: &&Alias| {
            let word = |(known, word): (&String, &&String)| is_placeholder(known) || eq_ignoring_case(known, word);
            alias.typed.len() == given.len() && alias.typed.iter().zip(&given).all(word)
        };
        let most = |alias: &&Alias| leading_words(alias).count();
        let Some(alias) = self.aliases.iter().filter(fits).max_by_key(most) else {
            let meant = self.aliases.iter().filter(begins).max_by_key(most);
            return meant.map_or(Ok(None), |alias| {
                Err(format!(
                    "The line begins like the alias `{0}`, which runs `{1}`, but does not match it. Try: {0}",
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

    /// Returns the words to type and a description for each alias and each fixed answer. The built-in command `help`
    /// shows them.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (String, String)> {
        let alias = |alias: &Alias| (alias.typed.join(" "), format!("Runs `{}`.", alias.command.as_str()));
        let answer = |answer: &FixedAnswer| (answer.typed.join(" "), "Replies with a fixed text.".to_owned());
        self.aliases.iter().map(alias).chain(self.fixed_answers.iter().map(answer))
    }
}
