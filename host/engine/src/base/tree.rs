//! A TOML file as a tree in which every key and value has its position.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{At, Problems};

/// A value with its position.
#[derive(Debug, Clone)]
pub struct Node {
    /// The position of its start.
    pub at: At,
    /// The value.
    pub value: Value,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string.
    String(String),
    /// An integer.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// A value of a type that the configuration does not use, by a description of the type.
    Other(&'static str),
    /// A list.
    Array(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Field>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Field {
    /// The position of the key.
    pub at: At,
    /// The value of the key.
    pub node: Node,
}

impl Value {
    /// A description of its type, for messages.
    pub fn kind(&self) -> &'static str {
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

/// Parses a file. Every syntax error is added to `problems`; the valid part is returned.
pub fn parse(file: &Path, text: &str, problems: &Problems) -> Node {
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
