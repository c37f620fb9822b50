//! Reads one table of the configuration by its [`TableKeys`]; a key that they do not list is a problem.
//!
//! Invariant: an accessor reads a listed key only, of the kind that is listed, and takes bounds and defaults from there. Another
//! use is a mistake of the code, and fails in a debug build.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    duration::{parse_duration, written_duration},
    keys::{self, Key, KeyKind, NO_KEYS, Presence, TableKeys},
    problem::{At, Problems},
    secret::SecretRef,
    text::{clean, nearest},
    tree::{Field, Node, Value},
};

/// A value together with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: At,
}

/// The keys of a reference to a secret.
static SECRET: TableKeys = TableKeys {
    path: "SECRET",
    about: "A reference to a secret. Exactly one key is needed.",
    keys: &[
        Key::string("env", "The environment variable of the host that holds the secret."),
        Key::string("file", "The file that holds the secret, relative to the file that names it."),
    ],
};

/// One table while it is being read. Call [`Table::finish`] at the end: it reports keys that the table does not take.
///
/// ```
/// use wardroom::prelude::*;
///
/// /// Reads the URL of a table `[tracker]`, whose static keys have `url` as a required string.
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
}

impl Table {
    /// A table out of a tree, with the keys that it takes. `folder` is what paths in it are relative to. A node that is no table
    /// is a problem and reads as an empty one.
    pub fn new(
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
        Self { path, at: node.at, fields, keys, more: Vec::new(), problems: problems.clone(), folder }
    }

    /// Adds keys to those that the table takes: an adapter's own.
    pub fn add_keys<'k>(&mut self, keys: impl IntoIterator<Item = &'k Key>) {
        self.more.extend(keys);
    }

    /// Takes the fields of some keys out of this table, as a table that takes nothing else.
    pub fn split(&mut self, keys: &[Key]) -> Table {
        let listed = |name: &String| keys::find(keys, name).is_some();
        let names: Vec<String> = self.fields.keys().filter(|name| listed(name)).cloned().collect();
        let fields = names.into_iter().filter_map(|name| self.fields.remove_entry(&name)).collect();
        Self {
            path: self.path.clone(),
            at: self.at.clone(),
            fields,
            keys: &NO_KEYS,
            more: keys.to_vec(),
            problems: self.problems.clone(),
            folder: self.folder.clone(),
        }
    }

    /// The table's dotted name, for example `bot.marvin.matrix`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it begins.
    pub fn at(&self) -> &At {
        &self.at
    }

    /// The list that problems go to.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// The folder that paths in this file are relative to.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Adds a problem with this table.
    pub fn problem(&self, at: &At, message: impl Into<String>, fix: impl Into<Option<String>>) {
        self.problems.add(at, message, fix.into());
    }

    /// Whether a key is there; does not count as reading it.
    pub fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Whether a key holds a list, where a single value is possible too; does not count as reading it.
    pub fn is_list(&self, key: &str) -> bool {
        matches!(self.fields.get(key), Some(Field { node: Node { value: Value::Array(_), .. }, .. }))
    }

    /// Whether a key holds a table, where text is possible too; does not count as reading it.
    pub fn is_table(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(|field| matches!(field.node.value, Value::Table(_)))
    }

    /// Where a key stands, or the table where it does not.
    pub fn at_key(&self, key: &str) -> At {
        self.fields.get(key).map_or_else(|| self.at.clone(), |field| field.at.clone())
    }

    /// The listed key of a name.
    fn key(&self, name: &str) -> Option<Key> {
        let key = keys::find(self.keys.keys.iter().chain(&self.more), name);
        debug_assert!(key.is_some(), "the code reads `{name}` of [{}], and its keys do not list it", self.path);
        key
    }

    /// Takes the field of a key. `fits` is the kind that the accessor reads.
    fn take(&mut self, name: &str, fits: impl Fn(KeyKind) -> bool) -> Option<Field> {
        if let Some(key) = self.key(name) {
            debug_assert!(fits(key.kind), "the code reads `{name}` of [{}] as another kind than {key:?}", self.path);
        }
        self.fields.remove(name)
    }

    /// The default of a listed key.
    fn default_of<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.key(name).and_then(|key| key.default).and_then(parse);
        debug_assert!(value.is_some(), "the keys of [{}] list no default for `{name}`, or an invalid one", self.path);
        value
    }

    fn wrong(&self, key: &str, node: &Node, wanted: &str, example: &str) {
        let message = format!("`{}.{key}` is {}, and must be {wanted}", self.path, node.value.kind());
        self.problems.add(&node.at, message, Some(format!("{key} = {example}")));
    }

    /// The text under a key.
    pub fn string(&mut self, key: &str) -> Option<Located<String>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::String | KeyKind::StringOrSecret))?.node;
        self.text(key, node)
    }

    /// The text under a key, or its default.
    pub fn string_or_default(&mut self, key: &str) -> String {
        let default = self.default_of(key, |text| Some(text.to_owned()));
        self.string(key).map(|text| text.value).or(default).unwrap_or_default()
    }

    fn text(&self, key: &str, node: Node) -> Option<Located<String>> {
        match node.value {
            Value::String(value) => Some(Located { value, at: node.at }),
            _ => {
                self.wrong(key, &node, "a string", "\"...\"");
                None
            }
        }
    }

    /// The text under a key that must be there; `example` is the value to suggest.
    pub fn required_string(&mut self, key: &str, example: &str) -> Option<Located<String>> {
        if !self.has(key) {
            self.missing(key, example);
        }
        self.string(key)
    }

    /// One of the words that the keys list. Another one is a problem.
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

    /// Reports that a key is missing; `example` is the TOML value to suggest.
    pub fn missing(&mut self, key: &str, example: &str) {
        if let Some(listed) = self.key(key) {
            debug_assert!(listed.presence != Presence::Optional, "`{key}` of [{}] is listed as optional", self.path);
        }
        let message = format!("[{}] has no `{key}`", self.path);
        self.problems.add(&self.at, message, Some(format!("{key} = {example}")));
    }

    /// True or false under a key.
    pub fn boolean(&mut self, key: &str) -> Option<Located<bool>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::Boolean))?.node;
        match node.value {
            Value::Boolean(value) => Some(Located { value, at: node.at }),
            _ => {
                self.wrong(key, &node, "true or false", "true");
                None
            }
        }
    }

    /// True or false under a key, or its default.
    pub fn boolean_or_default(&mut self, key: &str) -> bool {
        let default = self.default_of(key, |text| text.parse().ok());
        self.boolean(key).map(|value| value.value).or(default).unwrap_or_default()
    }

    /// A whole number under a key, within the bounds that its keys list.
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
                self.wrong(key, &node, "a whole number", &least.to_string());
                None
            }
        }
    }

    /// A whole number under a key, or its default.
    pub fn integer_or_default(&mut self, key: &str) -> i64 {
        let default = self.default_of(key, |text| text.parse().ok());
        self.integer(key).map(|value| value.value).or(default).unwrap_or_default()
    }

    /// A span of time such as `"90s"`, `"10m"` or `"1d12h"`, within the bounds that its keys list.
    pub fn duration(&mut self, key: &str) -> Option<Located<Duration>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::Duration { .. }))?.node;
        let KeyKind::Duration { least, most } = self.key(key)?.kind else { return None };
        let text = self.text(key, node)?;
        let Some(value) = parse_duration(&text.value) else {
            let message = format!("`{}.{key}` is `{}`, which is no span of time", self.path, text.value);
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

    /// A span of time under a key, or its default.
    pub fn duration_or_default(&mut self, key: &str) -> Duration {
        let default = self.default_of(key, parse_duration);
        self.duration(key).map(|value| value.value).or(default).unwrap_or_default()
    }

    /// A list of texts; a single text is read as a list of one.
    pub fn strings(&mut self, key: &str) -> Option<Located<Vec<Located<String>>>> {
        let node = self.take(key, |kind| matches!(kind, KeyKind::Strings))?.node;
        let at = node.at.clone();
        let items = match node.value {
            Value::String(value) => vec![Located { value, at: node.at }],
            Value::Array(items) => {
                let mut texts = Vec::new();
                for item in items {
                    match item.value {
                        Value::String(value) => texts.push(Located { value, at: item.at }),
                        _ => self.wrong(key, &item, "a list of strings", "[\"...\"]"),
                    }
                }
                texts
            }
            _ => {
                self.wrong(key, &node, "a list of strings", "[\"...\"]");
                return None;
            }
        };
        Some(Located { value: items, at })
    }

    /// The table under a key.
    pub fn table(&mut self, key: &str) -> Option<Table> {
        let field = self.take(key, |kind| matches!(kind, KeyKind::Table(_)))?;
        Some(self.below(key, field, self.keys_below(key)))
    }

    /// The table under a key, or an empty one.
    pub fn table_or_empty(&mut self, key: &str) -> Table {
        let field = self.take(key, |kind| matches!(kind, KeyKind::Table(_))).unwrap_or_else(|| Field {
            at: self.at.clone(),
            node: Node { at: self.at.clone(), value: Value::Table(BTreeMap::new()) },
        });
        self.below(key, field, self.keys_below(key))
    }

    /// All tables of a table of tables (`[app.*]`), in the order of the file.
    pub fn tables(&mut self, key: &str) -> Vec<(Located<String>, Table)> {
        let Some(field) = self.take(key, |kind| matches!(kind, KeyKind::Tables(_))) else { return Vec::new() };
        let keys = self.keys_below(key);
        let mut all = self.below(key, field, &NO_KEYS);
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

    /// The keys of what is below a listed key.
    fn keys_below(&self, key: &str) -> &'static TableKeys {
        self.key(key).and_then(|key| key.kind.below()).unwrap_or(&NO_KEYS)
    }

    fn below(&self, key: &str, field: Field, keys: &'static TableKeys) -> Table {
        // A table that no header of its own names begins where its first key does; the key's line says more.
        let node = Node { at: field.at, value: field.node.value };
        Table::new(
            format!("{}{}{key}", self.path, if self.path.is_empty() { "" } else { "." }),
            node,
            keys,
            &self.problems,
            self.folder.clone(),
        )
    }

    /// The tables of an array of tables (`[[plugin.x.allow]]`).
    pub fn array(&mut self, key: &str) -> Vec<Table> {
        let Some(field) = self.take(key, |kind| matches!(kind, KeyKind::Array(_))) else { return Vec::new() };
        let keys = self.keys_below(key);
        let path = format!("{}{}{key}", self.path, if self.path.is_empty() { "" } else { "." });
        match field.node.value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| Table::new(path.clone(), item, keys, &self.problems, self.folder.clone()))
                .collect(),
            other => {
                let message = format!("`{path}` is {}, and must be a list of tables", other.kind());
                self.problems.add(&field.at, message, Some(format!("[[{path}]]")));
                Vec::new()
            }
        }
    }

    /// A reference to a secret: `{ env = "NAME" }` or `{ file = "path" }`. Text in its place is a
    /// problem whose message does not repeat it.
    pub fn secret(&mut self, key: &str) -> Option<Located<SecretRef>> {
        let field = self.take(key, |kind| matches!(kind, KeyKind::Secret | KeyKind::StringOrSecret))?;
        let example = format!("{key} = {{ env = \"{}\" }}", key.to_uppercase());
        if !matches!(field.node.value, Value::Table(_)) {
            let message =
                format!("`{}.{key}` must say where the secret is kept; secrets are never written here", self.path);
            self.problems.add(&field.at, message, Some(example));
            return None;
        }
        let at = field.at.clone();
        let mut table = self.below(key, field, &SECRET);
        let secret = match (table.string("env"), table.string("file")) {
            (Some(name), None) => Some(SecretRef::Env(name.value)),
            (None, Some(file)) => Some(SecretRef::File(self.folder.join(file.value))),
            _ => {
                let message = format!("`{}.{key}` needs exactly one of `env` and `file`", self.path);
                self.problems.add(&at, message, Some(example));
                None
            }
        };
        table.finish();
        secret.map(|value| Located { value, at })
    }

    /// The names of the keys that hold tables.
    pub fn table_keys(&self) -> Vec<String> {
        let tables = self.fields.iter().filter(|(_, field)| matches!(field.node.value, Value::Table(_)));
        tables.map(|(name, _)| name.clone()).collect()
    }

    /// The names of the keys that are left, with their places.
    pub fn keys(&self) -> Vec<Located<String>> {
        let mut keys: Vec<_> =
            self.fields.iter().map(|(name, field)| Located { value: name.clone(), at: field.at.clone() }).collect();
        keys.sort_by(|a, b| a.at.cmp(&b.at));
        keys
    }

    /// Reports every key that the table does not take.
    pub fn finish(self) {
        let listed = self.keys.keys.iter().chain(&self.more);
        let known: BTreeSet<&str> = listed.filter(|key| !key.any_name).map(|key| key.name).collect();
        for (key, field) in &self.fields {
            debug_assert!(
                self.problems.count() > 0 || !known.contains(key.as_str()),
                "`{key}` of [{}] is listed, and nothing reads it",
                self.path
            );
            let place = if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", self.path) };
            let fix = match nearest(key, known.iter().copied()) {
                Some(name) => format!("{name} = ...   (instead of `{key}`)"),
                None if known.is_empty() => "nothing; it takes no keys".to_owned(),
                None => format!("one of: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.problems.add(&field.at, format!("{place} takes no key `{key}`"), Some(fix));
        }
    }
}

#[cfg(test)]
mod tests;
