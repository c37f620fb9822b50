//! Reads one configuration table and checks the table against its [`TableKeys`]. A key that the [`TableKeys`] do not
//! list is a configuration problem.
//!
//! Invariant: the code reads only the keys that the [`TableKeys`] list, each with the listed type, bounds and default.
//! A debug build panics if the code reads a key that is not listed, or reads a key as another type.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    duration::{parse_duration, written_duration},
    keys::{self, Key, KeyKind, Presence, TableKeys},
    problem::{At, Problems},
    secret_sources::SecretSources,
    text::{clean, nearest},
    tree::{Field, Node, Value, parse},
};

/// A value with its line in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The parsed value.
    pub value: T,
    /// The line of the value.
    pub at: At,
}

/// A configuration table whose keys the code reads one after the other. Call [`Table::finish`] after the last key to
/// report unknown keys.
///
/// ```
/// use wardroom::prelude::*;
///
/// /// Reads the required key `url` of a table `[tracker]`. The table's `TableKeys` list this key.
/// fn url(mut table: Table) -> Option<String> {
///     let url = table.required_string("url", "\"https://tracker.example.org\"");
///     table.finish();
///     url.map(|url| url.value)
/// }
/// # let _ = url;
/// ```
#[derive(Debug)]
pub struct Table {
    path: String,
    at: At,
    fields: BTreeMap<String, Field>,
    keys: &'static TableKeys,
    more: Vec<Key>,
    problems: Problems,
    folder: Arc<PathBuf>,
    sources: SecretSources,
}

impl Table {
    /// Parses TOML text as one table, for the tests of an adapter. `path` is the dotted name of the table, for example
    /// `bot.marvin.matrix`. Paths in the table are relative to `folder`. Also returns the list that collects the
    /// configuration problems; each problem names the file `plugins.toml`.
    pub fn parse(
        path: impl Into<String>,
        text: &str,
        keys: &'static TableKeys,
        folder: impl Into<PathBuf>,
    ) -> (Self, Problems) {
        let problems = Problems::default();
        let node = parse(Path::new("plugins.toml"), text, &problems);
        (Self::new(path, node, keys, &problems, Arc::new(folder.into())), problems)
    }

    /// Creates a table from a node of a parsed file. `path` is the dotted name of the table, and `keys` are the keys
    /// that the table can have. Paths in the table are relative to `folder`. If the node is not a table, adds a
    /// configuration problem and creates an empty table.
    pub(crate) fn new(
        path: impl Into<String>,
        node: Node,
        keys: &'static TableKeys,
        problems: &Problems,
        folder: Arc<PathBuf>,
    ) -> Self {
        let path = path.into();
        let fields = match node.value {
            Value::Table(fields) => fields,
            other => {
                problems.add(
                    &node.at,
                    format!("`{path}` is {}, and must be a table", other.kind()),
                    Some(format!("[{path}]")),
                );
                BTreeMap::new()
            }
        };
        let sources = SecretSources::default();
        Self { path, at: node.at, fields, keys, more: Vec::new(), problems: problems.clone(), folder, sources }
    }

    /// Allows references to secrets of these sources in this table and in the tables below it.
    #[must_use]
    pub(crate) fn with_sources(self, sources: SecretSources) -> Self {
        Self { sources, ..self }
    }

    /// Returns the kinds of references to secrets of stores that the table can have.
    pub(super) fn sources(&self) -> &SecretSources {
        &self.sources
    }

    /// Makes the table accept more keys, for example the keys of an adapter.
    pub fn add_keys<'k>(&mut self, keys: impl IntoIterator<Item = &'k Key>) {
        self.more.extend(keys);
    }

    /// Moves the keys in `keys`, with their values, from this table to a new table with the same name. The new table
    /// accepts no other keys.
    pub fn split(&mut self, keys: &[Key]) -> Table {
        let listed = |name: &String| keys::find(keys, name).is_some();
        let names: Vec<String> = self.fields.keys().filter(|name| listed(name)).cloned().collect();
        let fields = names.into_iter().filter_map(|name| self.fields.remove_entry(&name)).collect();
        Self {
            path: self.path.clone(),
            at: self.at.clone(),
            fields,
            keys: &TableKeys::NONE,
            more: keys.to_vec(),
            problems: self.problems.clone(),
            folder: self.folder.clone(),
            sources: self.sources.clone(),
        }
    }

    /// Returns the dotted name of the table, for example `bot.marvin.matrix`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the line on which the table begins.
    pub fn at(&self) -> &At {
        &self.at
    }

    /// Returns the list to which the table adds configuration problems.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Returns the folder to which paths in this table are relative.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a configuration problem at the line `at`. `fix` is the line to write instead; `None` if the caller has no
    /// suggestion.
    pub fn problem(&self, at: &At, message: impl Into<String>, fix: impl Into<Option<String>>) {
        self.problems.add(at, message, fix.into());
    }

    /// Returns whether the table has the key and the key was not read yet. This call does not count as reading the key.
    pub fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Returns whether the value of a key is a list. This call does not count as reading the key.
    pub fn is_list(&self, key: &str) -> bool {
        matches!(self.fields.get(key), Some(Field { node: Node { value: Value::Array(_), .. }, .. }))
    }

    /// Returns whether the value of a key is a table. This call does not count as reading the key.
    pub fn is_table(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(|field| matches!(field.node.value, Value::Table(_)))
    }

    /// Returns the line of a key in the file. Returns the first line of the table if the key is missing or was already
    /// read.
    pub fn at_key(&self, key: &str) -> At {
        self.fields.get(key).map_or_else(|| self.at.clone(), |field| field.at.clone())
    }

    fn key(&self, name: &str) -> Option<Key> {
        let key = keys::find(self.keys.keys.iter().chain(&self.more), name);
        debug_assert!(key.is_some(), "the code reads `{name}` of [{}], but the keys do not list `{name}`", self.path);
        key
    }

    /// Removes a key from the table, so that it counts as read, and returns its value. Returns `None` if the table does
    /// not have the key. `fits` checks the type that the [`TableKeys`] give for the key. A debug build panics if `fits`
    /// returns `false`.
    pub(super) fn take(&mut self, name: &str, fits: impl Fn(KeyKind) -> bool) -> Option<Field> {
        if let Some(key) = self.key(name) {
            debug_assert!(fits(key.kind), "the code reads `{name}` of [{}] as the wrong kind: {key:?}", self.path);
        }
        self.fields.remove(name)
    }

    /// Returns the default of a key from the [`TableKeys`]. `parse` converts the default from text. A debug build
    /// panics if the key has no default or `parse` returns `None`.
    fn default_of<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.key(name).and_then(|key| key.default).and_then(parse);
        debug_assert!(value.is_some(), "the keys of [{}] list no default for `{name}`, or an invalid one", self.path);
        value
    }

    fn report_type(&self, key: &str, node: &Node, wanted: &str, example: &str) {
        let message = format!("`{}.{key}` is {}, and must be {wanted}", self.path, node.value.kind());
        self.problems.add(&node.at, message, Some(format!("{key} = {example}")));
    }

    /// Reads the string of `key`. Returns `None` if the key is missing. If the value is not a string, adds a
    /// configuration problem and returns `None`.
    pub fn string(&mut self, key: &str) -> Option<Located<String>> {
        let fits = |kind| {
            matches!(
                kind,
                KeyKind::String | KeyKind::StringOrSecret | KeyKind::StringOrTable(_) | KeyKind::StringsOrTable(_)
            )
        };
        let field = self.take(key, fits)?;
        self.text(key, field.node)
    }

    /// Reads the string of `key`. If the key is missing or invalid, returns the
    /// default of the table's [`TableKeys`].
    pub fn string_or_default(&mut self, key: &str) -> String {
        let default = self.default_of(key, |text| Some(text.to_owned()));
        self.string(key).map(|text| text.value).or(default).unwrap_or_default()
    }

    fn text(&self, key: &str, node: Node) -> Option<Located<String>> {
        match node.value {
            Value::String(value) => Some(Located { value, at: node.at }),
            _ => {
                self.report_type(key, &node, "a string", "\"...\"");
                None
            }
        }
    }

    /// Adds a configuration problem if a required key is missing. `example` is the TOML value that the problem
    /// suggests.
    pub(crate) fn require(&mut self, key: &str, example: &str) {
        if !self.has(key) {
            self.missing(key, example);
        }
    }

    /// Reads the string of a required key. If the key is missing, adds a configuration problem that suggests the TOML
    /// value `example`, and returns `None`.
    pub fn required_string(&mut self, key: &str, example: &str) -> Option<Located<String>> {
        self.require(key, example);
        self.string(key)
    }

    /// Reads the string of `key`, which must be one of the words that the [`TableKeys`] allow for the key. Returns
    /// `None` if the key is missing. For any other value, adds a configuration problem and returns `None`.
    pub fn choice(&mut self, key: &str) -> Option<Located<&'static str>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::Choice(_)))?.node;
        let listed = self.key(key)?;
        let KeyKind::Choice(words) = listed.kind else { return None };
        let text = self.text(key, node)?;
        if let Some(value) = words.iter().find(|word| **word == text.value) {
            return Some(Located { value, at: text.at });
        }
        let wanted = keys::alternatives(words, |word| format!("`{word}`"));
        let message = format!("`{}.{key}` is `{}`, and must be {wanted}", self.path, clean(&text.value));
        let meant = nearest(&text.value, words.iter().copied()).or(listed.default).or(words.first().copied());
        self.problems.add(&text.at, message, meant.map(|meant| format!("{key} = \"{meant}\"")));
        None
    }

    /// Adds the configuration problem that a required key is missing. `example` is the TOML value that the problem
    /// suggests.
    pub fn missing(&mut self, key: &str, example: &str) {
        if let Some(listed) = self.key(key) {
            debug_assert!(listed.presence != Presence::Optional, "`{key}` of [{}] is listed as optional", self.path);
        }
        let message = format!("[{}] has no `{key}`", self.path);
        self.problems.add(&self.at, message, Some(format!("{key} = {example}")));
    }

    /// Reads the `true` or `false` of `key`. Returns `None` if the key is missing. For any other value, adds a
    /// configuration problem and returns `None`.
    pub fn boolean(&mut self, key: &str) -> Option<Located<bool>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::Boolean))?.node;
        match node.value {
            Value::Boolean(value) => Some(Located { value, at: node.at }),
            _ => {
                self.report_type(key, &node, "true or false", "true");
                None
            }
        }
    }

    /// Reads the `true` or `false` of `key`. If the key is missing or invalid, returns the
    /// default of the table's [`TableKeys`].
    pub fn boolean_or_default(&mut self, key: &str) -> bool {
        let default = self.default_of(key, |text| text.parse().ok());
        self.boolean(key).map(|value| value.value).or(default).unwrap_or_default()
    }

    /// Reads the whole number of `key`. Returns `None` if the key is missing. For another type, or a number outside of
    /// the listed bounds, adds a configuration problem and returns `None`.
    pub fn integer(&mut self, key: &str) -> Option<Located<i64>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::Integer { .. }))?.node;
        let KeyKind::Integer { least, most } = self.key(key)?.kind else { return None };
        match node.value {
            Value::Integer(value) if (least..=most).contains(&value) => Some(Located { value, at: node.at }),
            Value::Integer(value) => {
                let message = format!("`{}.{key}` is {value}, and must be from {least} to {most}", self.path);
                self.problems.add(&node.at, message, Some(format!("{key} = {}", value.clamp(least, most))));
                None
            }
            _ => {
                self.report_type(key, &node, "a whole number", &least.to_string());
                None
            }
        }
    }

    /// Reads the whole number of `key`. If the key is missing or invalid, returns the
    /// default of the table's [`TableKeys`].
    pub fn integer_or_default(&mut self, key: &str) -> i64 {
        let default = self.default_of(key, |text| text.parse().ok());
        self.integer(key).map(|value| value.value).or(default).unwrap_or_default()
    }

    /// Reads the duration of `key`, such as `"90s"`, `"10m"` or `"1d12h"`. Returns `None` if the key is missing. For
    /// other text, or a duration outside of the listed bounds, adds a configuration problem and returns `None`.
    pub fn duration(&mut self, key: &str) -> Option<Located<Duration>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::Duration { .. }))?.node;
        let KeyKind::Duration { least, most } = self.key(key)?.kind else { return None };
        let text = self.text(key, node)?;
        let Some(value) = parse_duration(&text.value) else {
            let message = format!("`{}.{key}` is `{}`, which is not a duration", self.path, text.value);
            self.problems.add(&text.at, message, Some(format!("{key} = \"10m\"")));
            return None;
        };
        if !(least..=most).contains(&value) {
            let bounds = keys::bounds(least, most).unwrap_or_default();
            let wanted = bounds.trim_start_matches("of ");
            let message = format!("`{}.{key}` is `{}`, and must be {wanted}", self.path, text.value);
            let fix = format!("{key} = \"{}\"", written_duration(value.clamp(least, most)));
            self.problems.add(&text.at, message, Some(fix));
            return None;
        }
        Some(Located { value, at: text.at })
    }

    /// Reads the duration of `key`. If the key is missing or invalid, returns the
    /// default of the table's [`TableKeys`].
    pub fn duration_or_default(&mut self, key: &str) -> Duration {
        let default = self.default_of(key, parse_duration);
        self.duration(key).map(|value| value.value).or(default).unwrap_or_default()
    }

    /// Reads the list of strings of `key`. A single string is read as a list with one string. Returns `None` if the key
    /// is missing. If the value is not a list or a string, adds a configuration problem and returns `None`. If an item
    /// is not a string, adds a configuration problem and leaves out the item.
    pub fn strings(&mut self, key: &str) -> Option<Located<Vec<Located<String>>>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::Strings | KeyKind::StringsOrTable(_)))?.node;
        let at = node.at.clone();
        let items = match node.value {
            Value::Array(items) => items,
            Value::String(_) => vec![node],
            _ => {
                self.report_type(key, &node, "a list of strings", "[\"...\"]");
                return None;
            }
        };
        let mut texts = Vec::new();
        for item in items {
            match item.value {
                Value::String(value) => texts.push(Located { value, at: item.at }),
                _ => self.report_type(key, &item, "a list of strings", "[\"...\"]"),
            }
        }
        Some(Located { value: texts, at })
    }

    /// Reads the list of strings of a required key, like [`Table::strings`]. Returns an empty list if the key is
    /// missing or invalid. If the key is missing, adds a configuration problem that suggests the TOML value `example`.
    pub(crate) fn required_strings(&mut self, key: &str, example: &str) -> Vec<Located<String>> {
        self.require(key, example);
        self.strings(key).map(|list| list.value).unwrap_or_default()
    }

    /// Reads the nested table of `key`. Returns `None` if the key is missing. If the value is not a table, adds a
    /// configuration problem and returns an empty table.
    pub fn table(&mut self, key: &str) -> Option<Table> {
        let fits = |kind| matches!(kind, KeyKind::Table(_) | KeyKind::StringOrTable(_) | KeyKind::StringsOrTable(_));
        let field = self.take(key, fits)?;
        Some(self.below(key, field, self.keys_below(key)))
    }

    /// Reads the nested table of `key`, like [`Table::table`]. Returns an empty table if the key is missing.
    pub fn table_or_empty(&mut self, key: &str) -> Table {
        let field = self.take(key, |kind| matches!(kind, KeyKind::Table(_))).unwrap_or_else(|| Field {
            at: self.at.clone(),
            node: Node { at: self.at.clone(), value: Value::Table(BTreeMap::new()) },
        });
        self.below(key, field, self.keys_below(key))
    }

    /// Reads the named tables of `key`, such as all `[app.NAME]` tables. Returns each name with its table, in the order
    /// of the file.
    pub fn tables(&mut self, key: &str) -> Vec<(Located<String>, Table)> {
        let Some(field) = self.take(key, |kind| matches!(kind, KeyKind::Tables(_))) else { return Vec::new() };
        let keys = self.keys_below(key);
        let mut all = self.below(key, field, &TableKeys::NONE);
        let mut fields: Vec<_> = std::mem::take(&mut all.fields).into_iter().collect();
        fields.sort_by(|(_, a), (_, b)| a.at.cmp(&b.at));
        fields
            .into_iter()
            .map(|(name, field)| {
                let at = field.at.clone();
                let table = all.below(&name, field, keys);
                (Located { value: name, at }, table)
            })
            .collect()
    }

    /// Returns the keys that the table under `key` can have. If the value of `key` is several tables, the result
    /// applies to each of them.
    fn keys_below(&self, key: &str) -> &'static TableKeys {
        self.key(key).and_then(|key| key.kind.below()).unwrap_or(&TableKeys::NONE)
    }

    pub(super) fn below(&self, key: &str, field: Field, keys: &'static TableKeys) -> Table {
        // `field.at` is the line of the key. `field.node.at` can be the line of the first nested key.
        let node = Node { at: field.at, value: field.node.value };
        Table::new(self.path_below(key), node, keys, &self.problems, self.folder.clone())
            .with_sources(self.sources.clone())
    }

    fn path_below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reads the list of tables of `key`, such as all `[[plugin.x.allow]]` tables, in the order of the file.
    pub fn array(&mut self, key: &str) -> Vec<Table> {
        let Some(field) = self.take(key, |kind| matches!(kind, KeyKind::Array(_))) else { return Vec::new() };
        let keys = self.keys_below(key);
        let path = self.path_below(key);
        match field.node.value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| Table::new(path.clone(), item, keys, &self.problems, self.folder.clone()))
                .map(|table| table.with_sources(self.sources.clone()))
                .collect(),
            other => {
                let message = format!("`{path}` is {}, and must be a list of tables", other.kind());
                self.problems.add(&field.at, message, Some(format!("[[{path}]]")));
                Vec::new()
            }
        }
    }

    /// Returns the names of the keys that have not been read and whose values are tables.
    pub fn table_keys(&self) -> Vec<String> {
        let tables = self.fields.iter().filter(|(_, field)| matches!(field.node.value, Value::Table(_)));
        tables.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the names of the keys that have not been read, sorted by line.
    pub fn keys(&self) -> Vec<Located<String>> {
        let mut keys: Vec<_> =
            self.fields.iter().map(|(name, field)| Located { value: name.clone(), at: field.at.clone() }).collect();
        keys.sort_by(|a, b| a.at.cmp(&b.at));
        keys
    }

    /// Adds a configuration problem for every key that the table does not accept. If there are no problems so far, a
    /// debug build panics if the code did not read a key that the table accepts.
    pub fn finish(self) {
        let listed = self.keys.keys.iter().chain(&self.more);
        let known: BTreeSet<&str> = listed.filter(|key| !key.any_name).map(|key| key.name).collect();
        for (key, field) in &self.fields {
            debug_assert!(
                self.problems.count() > 0 || !known.contains(key.as_str()),
                "`{key}` of [{}] is listed, but the code does not read it",
                self.path
            );
            let place = if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", self.path) };
            let fix = match nearest(key, known.iter().copied()) {
                Some(name) => format!("{name} = ...   (instead of `{key}`)"),
                None if known.is_empty() => format!("nothing; {place} takes no keys"),
                None => format!("one of: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.problems.add(&field.at, format!("{place} takes no key `{key}`"), Some(fix));
        }
    }
}

#[cfg(test)]
mod tests;
