//! Parses a TOML file into a tree of values. Every key and value in the tree has its position in the file.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{At, Problems};

/// A TOML value with its position in the file.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The line on which the value starts.
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// A TOML value by its type.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    String(String),
    /// A whole number, written in any radix.
    Integer(i64),
    Boolean(bool),
    /// A value that no configuration key accepts, for example a date. The text describes the type: `a date`.
    Other(&'static str),
    /// A list of values, for example `["a", "b"]` or several `[[name]]` tables.
    Array(Vec<Node>),
    /// A table. The map contains each key and its value by the key's name.
    Table(BTreeMap<String, Field>),
}

/// A key of a table, with its position and its value.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// The line on which the key starts.
    pub(crate) at: At,
    /// The value of the key, with the value's own position.
    pub(crate) node: Node,
}

impl Value {
    /// Returns the type of the value as text for messages, for example `a whole number`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false",
            Self::Other(kind) => kind,
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

struct Lines {
    file: Arc<str>,
    starts: Vec<usize>,
}

impl Lines {
    fn new(file: &Path, text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.display().to_string().into(), starts }
    }

    fn at(&self, offset: usize) -> At {
        At { file: self.file.clone(), line: self.starts.partition_point(|start| *start <= offset).max(1) }
    }
}

/// Parses the text of the file `file`. Adds every syntax error to `problems` and returns the valid part of the file as
/// a table.
pub(crate) fn parse(file: &Path, text: &str, problems: &Problems) -> Node {
    let lines = Lines::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = lines.at(error.span().map_or(0, |span| span.start));
        problems.add(&at, format!("invalid TOML: {}", error.message().replace('\n', ", ")), None);
    }
    Node { at: lines.at(0), value: table_value(table.into_inner(), &lines) }
}

fn table_value(table: DeTable<'_>, lines: &Lines) -> Value {
    let fields = table.into_iter().map(|(key, value)| {
        let at = lines.at(key.span().start);
        (key.into_inner().into_owned(), Field { at, node: node(value, lines) })
    });
    Value::Table(fields.collect())
}

fn node(value: Spanned<DeValue<'_>>, lines: &Lines) -> Node {
    let at = lines.at(value.span().start);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number that is too large"), Value::Integer),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::Array(items.into_iter().map(|item| node(item, lines)).collect()),
        DeValue::Table(table) => table_value(table, lines),
    };
    Node { at, value }
}
