//! All triggers of a configuration.

use std::collections::BTreeMap;

use super::{
    alias::{Alias, FixedAnswer, LONGEST_GIVEN, LONGEST_MATCHED, OPTIONS, Short, fixed, is_placeholder, same},
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

/// All triggers of a configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Triggers {
    /// The aliases, in the order of the configuration.
    pub aliases: Vec<Alias>,
    /// The fixed answers.
    pub said: Vec<FixedAnswer>,
    /// The listen rules.
    pub listens: Vec<Listen>,
    /// The schedules, in the order of the configuration.
    pub schedules: Vec<Schedule>,
    /// The hooks, in the order of the configuration.
    pub hooks: Vec<Hook>,
}

impl Listener for Triggers {
    fn matched(&self, text: &str, is_here: &dyn Fn(&RoomName) -> bool) -> Option<TriggerSource> {
        if text.len() > LONGEST_MATCHED {
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
                values.get(name).is_some_and(|value| !value.is_empty() && value.chars().count() <= LONGEST_GIVEN)
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
    /// The fixed answer to a line, if there is one.
    pub(crate) fn said(&self, line: &str) -> Option<Text> {
        // Return early: most hosts have no fixed answers, and every command passes here.
        if self.said.is_empty() {
            return None;
        }
        let typed = words(line)?;
        let said = self.said.iter().find(|said| {
            said.typed.len() == typed.len() && said.typed.iter().zip(&typed).all(|(known, word)| same(known, word))
        })?;
        Some(Text::lines(&said.text))
    }

    /// The command that a line is an alias of; `None` if it is not an alias.
    ///
    /// # Errors
    /// The line begins as an alias but has other words; the message shows how to type it.
    pub(crate) fn alias(&self, line: &str) -> Result<Option<Short>, String> {
        if self.aliases.is_empty() {
            return Ok(None);
        }
        let Some(typed) = words(line) else { return Ok(None) };
        // Of two aliases with the same first words, the longer one is suggested.
        let begins = |alias: &&Alias| {
            fixed(alias).zip(&typed).all(|(known, word)| same(known, word)) && fixed(alias).count() <= typed.len()
        };
        let (options, given): (Vec<&String>, Vec<&String>) =
            typed.iter().partition(|word| OPTIONS.contains(&word.as_str()));
        let fits = |alias: &&Alias| {
            let word = |(known, word): (&String, &&String)| is_placeholder(known) || same(known, word);
            alias.typed.len() == given.len() && alias.typed.iter().zip(&given).all(word)
        };
        let most = |alias: &&Alias| fixed(alias).count();
        let Some(alias) = self.aliases.iter().filter(fits).max_by_key(most) else {
            let meant = self.aliases.iter().filter(begins).max_by_key(most);
            return meant.map_or(Ok(None), |alias| {
                Err(format!("`{}` is an alias of `{}`.", alias.typed.join(" "), alias.command.as_str()))
            });
        };
        let placeholders = alias.typed.iter().zip(given).filter(|(known, _)| is_placeholder(known));
        let values = placeholders.map(|(known, word)| (known.clone(), word.clone())).collect();
        let options = options.into_iter().map(|option| GivenArgument::Written(option.clone())).collect();
        Ok(Some(Short { words: alias.command.fill(&values), options }))
    }

    /// The aliases and fixed answers for `help`: the words to type, and a description.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (String, String)> {
        let alias = |alias: &Alias| (alias.typed.join(" "), format!("Alias of `{}`.", alias.command.as_str()));
        let said = |said: &FixedAnswer| (said.typed.join(" "), "Fixed answer.".to_owned());
        self.aliases.iter().map(alias).chain(self.said.iter().map(said))
    }
}
