//! Reads one table of the configuration, key by key; a key that nobody read is a problem.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    duration::parse_duration,
    problem::{At, Problems},
    secret::SecretRef,
    text::nearest,
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

/// One table while it is being read. Call [`Table::finish`] at the end: it reports keys nobody read.
#[derive(Debug)]
pub struct Table {
    path: String,
    at: At,
    fields: BTreeMap<String, Field>,
    known: BTreeSet<String>,
    problems: Problems,
    folder: Arc<PathBuf>,
}

impl Table {
    /// A table out of a tree. `folder` is what paths in it are relative to. A node that is no table is a problem and reads as an empty one.
    pub fn new(path: impl Into<String>, node: Node, problems: &Problems, folder: Arc<PathBuf>) -> Self {
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
        Self { path, at: node.at, fields, known: BTreeSet::new(), problems: problems.clone(), folder }
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

    fn take(&mut self, key: &str) -> Option<Field> {
        self.known.insert(key.to_owned());
        self.fields.remove(key)
    }

    fn wrong(&self, key: &str, node: &Node, wanted: &str, example: &str) {
        let message = format!("`{}.{key}` is {}, and must be {wanted}", self.path, node.value.kind());
        self.problems.add(&node.at, message, Some(format!("{key} = {example}")));
    }

    /// The text under a key.
    pub fn string(&mut self, key: &str) -> Option<Located<String>> {
        let node = self.take(key)?.node;
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

    /// Reports that a key is missing; `example` is the TOML value to suggest.
    pub fn missing(&mut self, key: &str, example: &str) {
        self.known.insert(key.to_owned());
        let message = format!("[{}] has no `{key}`", self.path);
        self.problems.add(&self.at, message, Some(format!("{key} = {example}")));
    }

    /// True or false under a key.
    pub fn boolean(&mut self, key: &str) -> Option<Located<bool>> {
        let node = self.take(key)?.node;
        match node.value {
            Value::Boolean(value) => Some(Located { value, at: node.at }),
            _ => {
                self.wrong(key, &node, "true or false", "true");
                None
            }
        }
    }

    /// A whole number under a key, within bounds.
    pub fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<Located<i64>> {
        let node = self.take(key)?.node;
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

    /// A span of time such as `"90s"`, `"10m"` or `"1d12h"`.
    pub fn duration(&mut self, key: &str) -> Option<Located<Duration>> {
        let text = self.string(key)?;
        match parse_duration(&text.value) {
            Some(value) => Some(Located { value, at: text.at }),
            None => {
                let message = format!("`{}.{key}` is `{}`, which is no span of time", self.path, text.value);
                self.problems.add(&text.at, message, Some(format!("{key} = \"10m\"")));
                None
            }
        }
    }

    /// A list of texts; a single text is read as a list of one.
    pub fn strings(&mut self, key: &str) -> Option<Located<Vec<Located<String>>>> {
        let node = self.take(key)?.node;
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
        let field = self.take(key)?;
        Some(self.below(key, field))
    }

    /// All tables of a table of tables (`[app.*]`), in the order of the file.
    pub fn tables(&mut self, key: &str) -> Vec<(Located<String>, Table)> {
        self.table(key).map(Table::into_tables).unwrap_or_default()
    }

    /// All fields of this table as tables, in the order of the file.
    pub fn into_tables(mut self) -> Vec<(Located<String>, Table)> {
        let mut fields: Vec<_> = std::mem::take(&mut self.fields).into_iter().collect();
        fields.sort_by(|(_, a), (_, b)| a.at.cmp(&b.at));
        fields
            .into_iter()
            .map(|(name, field)| {
                let at = field.at.clone();
                let table = self.below(&name, field);
                (Located { value: name, at }, table)
            })
            .collect()
    }

    fn below(&self, key: &str, field: Field) -> Table {
        // A table that no header of its own names begins where its first key does; the key's line says more.
        let node = Node { at: field.at, value: field.node.value };
        Table::new(
            format!("{}{}{key}", self.path, if self.path.is_empty() { "" } else { "." }),
            node,
            &self.problems,
            self.folder.clone(),
        )
    }

    /// The tables of an array of tables (`[[plugin.x.allow]]`).
    pub fn array(&mut self, key: &str) -> Vec<Table> {
        let Some(field) = self.take(key) else { return Vec::new() };
        let path = format!("{}{}{key}", self.path, if self.path.is_empty() { "" } else { "." });
        match field.node.value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| Table::new(path.clone(), item, &self.problems, self.folder.clone()))
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
        let field = self.take(key)?;
        let example = format!("{key} = {{ env = \"{}\" }}", key.to_uppercase());
        if !matches!(field.node.value, Value::Table(_)) {
            let message =
                format!("`{}.{key}` must say where the secret is kept; secrets are never written here", self.path);
            self.problems.add(&field.at, message, Some(example));
            return None;
        }
        let at = field.at.clone();
        let mut table = self.below(key, field);
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

    /// Counts a key among those that this table may have, without reading it.
    pub fn expect(&mut self, key: &str) {
        self.known.insert(key.to_owned());
    }

    /// Reports every key that nobody read.
    pub fn finish(self) {
        for (key, field) in &self.fields {
            let place = if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", self.path) };
            let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
            let fix = match nearest(key, known.iter().copied()) {
                Some(name) => format!("{name} = ...   (instead of `{key}`)"),
                None if known.is_empty() => "nothing; it takes no keys".to_owned(),
                None => format!("one of: {}", known.join(", ")),
            };
            self.problems.add(&field.at, format!("{place} takes no key `{key}`"), Some(fix));
        }
    }
}
