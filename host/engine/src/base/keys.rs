//! The keys of a table as plain data: [`Table`](super::Table) parses by them, and the reference page is generated from them.

use std::time::Duration;

use super::duration::written_duration;

/// The keys of one table.
#[derive(Debug)]
pub struct TableKeys {
    /// The dotted path with placeholders in capitals: `bot.NAME.matrix`. Empty for the file itself.
    pub path: &'static str,
    /// One or two sentences for operators: what the table is, and what holds without it.
    pub about: &'static str,
    /// The keys, in the order of the page.
    pub keys: &'static [Key],
}

/// A table that takes no keys.
pub static NO_KEYS: TableKeys = TableKeys { path: "", about: "", keys: &[] };

impl TableKeys {
    /// The key of this name: one that is listed, or the placeholder for any name.
    pub fn find(&self, name: &str) -> Option<Key> {
        find(self.keys, name)
    }
}

/// The key of this name in a list. A listed name comes before a placeholder.
pub(crate) fn find<'k>(keys: impl IntoIterator<Item = &'k Key>, name: &str) -> Option<Key> {
    let mut any = None;
    for key in keys {
        if key.any_name {
            any = Some(*key);
        } else if key.name == name {
            return Some(*key);
        }
    }
    any
}

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name, or a placeholder in capitals if the table takes any name.
    pub name: &'static str,
    /// Whether `name` is a placeholder.
    pub any_name: bool,
    /// The type and the bounds of the value.
    pub kind: KeyKind,
    /// The value without the key: text without its quotes.
    pub default: Option<&'static str>,
    /// Whether the key must be there.
    pub presence: Presence,
    /// One or two sentences for operators: the meaning, the unit, and what holds without the key.
    pub about: &'static str,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It can be left out.
    Optional,
    /// It must be there.
    Required,
    /// It must be there, with this exception; the text completes "required".
    RequiredUnless(&'static str),
}

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind {
    /// A string.
    String,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number within these bounds.
    Integer {
        /// The lowest value.
        least: i64,
        /// The highest value.
        most: i64,
    },
    /// A span of time within these bounds.
    Duration {
        /// The shortest value.
        least: Duration,
        /// The longest value.
        most: Duration,
    },
    /// A list of strings. One string alone is a list of one.
    Strings,
    /// A reference to a secret.
    Secret,
    /// A string, or a reference to a secret.
    StringOrSecret,
    /// One table.
    Table(&'static TableKeys),
    /// Tables by name: `[app.NAME]`.
    Tables(&'static TableKeys),
    /// A list of tables: `[[approval]]`.
    Array(&'static TableKeys),
}

impl KeyKind {
    /// The keys of the table or tables below.
    pub const fn below(self) -> Option<&'static TableKeys> {
        match self {
            Self::Table(keys) | Self::Tables(keys) | Self::Array(keys) => Some(keys),
            _ => None,
        }
    }

    /// The type and its bounds, as the page shows them; without the table below.
    pub fn describe(self) -> String {
        match self {
            Self::String => "string".to_owned(),
            Self::Choice(words) => alternatives(words, |word| format!("`\"{word}\"`")),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Integer { least, most } => format!("integer from {least} to {most}"),
            Self::Duration { least, most } => match bounds(least, most) {
                Some(bounds) => format!("duration {bounds}"),
                None => "duration".to_owned(),
            },
            Self::Strings => "list of strings".to_owned(),
            Self::Secret => "secret".to_owned(),
            Self::StringOrSecret => "string or secret".to_owned(),
            Self::Table(_) => "table".to_owned(),
            Self::Tables(_) => "tables by name".to_owned(),
            Self::Array(_) => "list of tables".to_owned(),
        }
    }
}

/// The bounds of a duration in words, `None` if it has none.
pub(super) fn bounds(least: Duration, most: Duration) -> Option<String> {
    match (least.is_zero(), most == Duration::MAX) {
        (true, true) => None,
        (false, true) => Some(format!("of at least {}", written_duration(least))),
        (true, false) => Some(format!("of at most {}", written_duration(most))),
        (false, false) => Some(format!("from {} to {}", written_duration(least), written_duration(most))),
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn alternatives(words: &[&str], show: impl Fn(&str) -> String) -> String {
    let shown: Vec<String> = words.iter().map(|word| show(word)).collect();
    match shown.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

impl Key {
    /// An optional key of any kind.
    pub const fn new(name: &'static str, kind: KeyKind, about: &'static str) -> Self {
        Self { name, any_name: false, kind, default: None, presence: Presence::Optional, about }
    }

    /// Any number of keys, each with any name. `placeholder` stands for the names on the page.
    pub const fn any(placeholder: &'static str, kind: KeyKind, about: &'static str) -> Self {
        Self { any_name: true, ..Self::new(placeholder, kind, about) }
    }

    /// A string.
    pub const fn string(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::String, about)
    }

    /// One of some words.
    pub const fn choice(name: &'static str, words: &'static [&'static str], about: &'static str) -> Self {
        Self::new(name, KeyKind::Choice(words), about)
    }

    /// `true` or `false`.
    pub const fn boolean(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::Boolean, about)
    }

    /// A whole number within bounds.
    pub const fn integer(name: &'static str, least: i64, most: i64, about: &'static str) -> Self {
        Self::new(name, KeyKind::Integer { least, most }, about)
    }

    /// A span of time; see [`Key::between`] for bounds.
    pub const fn duration(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::Duration { least: Duration::ZERO, most: Duration::MAX }, about)
    }

    /// A list of strings.
    pub const fn strings(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::Strings, about)
    }

    /// A reference to a secret.
    pub const fn secret(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::Secret, about)
    }

    /// One table.
    pub const fn table(name: &'static str, keys: &'static TableKeys, about: &'static str) -> Self {
        Self::new(name, KeyKind::Table(keys), about)
    }

    /// Tables by name.
    pub const fn tables(name: &'static str, keys: &'static TableKeys, about: &'static str) -> Self {
        Self::new(name, KeyKind::Tables(keys), about)
    }

    /// A list of tables.
    pub const fn array(name: &'static str, keys: &'static TableKeys, about: &'static str) -> Self {
        Self::new(name, KeyKind::Array(keys), about)
    }

    /// The key with bounds for its span of time.
    #[must_use]
    pub const fn between(self, least: Duration, most: Duration) -> Self {
        Self { kind: KeyKind::Duration { least, most }, ..self }
    }

    /// The key with the value that holds without it: text without quotes.
    #[must_use]
    pub const fn default(self, value: &'static str) -> Self {
        Self { default: Some(value), ..self }
    }

    /// The key as one that must be there.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { presence: Presence::Required, ..self }
    }

    /// The key as one that must be there, with an exception. The text completes "required".
    #[must_use]
    pub const fn required_unless(self, exception: &'static str) -> Self {
        Self { presence: Presence::RequiredUnless(exception), ..self }
    }
}
