//! Types that describe which keys a configuration table can have. [`Table`](super::Table) checks each table against its
//! description, and the configuration reference is generated from the descriptions.

use std::time::Duration;

use super::duration::written_duration;

/// The description of one configuration table: its path and the keys that it can have.
#[derive(Debug)]
pub struct TableKeys {
    /// The dotted path of the table, with placeholders in capitals: `bot.NAME.matrix`. Empty for the top level of the
    /// file.
    pub path: &'static str,
    /// The description of the table for operators, in one or two sentences: the purpose of the table, and what happens
    /// if the configuration does not have the table.
    pub about: &'static str,
    /// The descriptions of the keys, in the order in which the configuration reference lists the keys.
    pub keys: &'static [Key],
}

impl TableKeys {
    /// The description of a table that accepts no keys.
    pub const NONE: Self = Self { path: "", about: "", keys: &[] };

    /// Returns the description of the key `name` in this table. If no description has this name, returns the
    /// description that applies to any name ([`Key::any_name`]). Returns `None` if the table has no such description
    /// either.
    pub fn find(&self, name: &str) -> Option<Key> {
        find(self.keys, name)
    }
}

/// Returns the description of the key `name` from the list `keys`. If no description has this name, returns the
/// description that applies to any name ([`Key::any_name`]). Returns `None` if the list has no such description either.
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

/// The description of a key that a configuration table can have.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name of the key, or a placeholder in capitals if the table accepts any name.
    pub name: &'static str,
    /// Whether this description applies to keys of any name. If `true`, `name` is only a placeholder, which the
    /// configuration reference shows.
    pub any_name: bool,
    /// The type of the value and its bounds.
    pub kind: KeyKind,
    /// The default value as text, for example `10m`; `None` if the key has no default. The default of a string key
    /// has no quotation marks.
    pub default: Option<&'static str>,
    /// Whether the table must have the key.
    pub presence: Presence,
    /// The description of the key for operators, in one or two sentences: the meaning, the unit, and what happens if
    /// the table does not have the key.
    pub about: &'static str,
}

/// Whether a configuration table must have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The key can be left out.
    Optional,
    /// The key is required.
    Required,
    /// The key is required, with one exception. The text names the exception, for example "with `token`".
    RequiredUnless(&'static str),
}

/// The type of a key's value, with its bounds or its possible values.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind {
    /// Any string.
    String,
    /// A string that is one of the listed words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number within inclusive bounds.
    Integer {
        /// The lowest valid number.
        least: i64,
        /// The highest valid number.
        most: i64,
    },
    /// A duration such as `10m`, within inclusive bounds.
    Duration {
        /// The shortest valid duration.
        least: Duration,
        /// The longest valid duration.
        most: Duration,
    },
    /// A list of strings. A single string is read as a list with one string.
    Strings,
    /// A reference to a secret: `{ env = "NAME" }`, `{ file = "path" }`, or a secret of a secret store.
    Secret,
    /// A string, or a reference to a secret such as `{ env = "NAME" }`.
    StringOrSecret,
    /// A string, or a nested table.
    StringOrTable(&'static TableKeys),
    /// A string, a list of strings, or a nested table.
    StringsOrTable(&'static TableKeys),
    /// A nested table, for example `[http]`.
    Table(&'static TableKeys),
    /// Tables with names, for example `[app.NAME]`.
    Tables(&'static TableKeys),
    /// A list of tables, for example `[[approval]]`.
    Array(&'static TableKeys),
}

impl KeyKind {
    /// Returns the keys that a nested table under a key of this kind can have. Returns `None` if the kind has no nested
    /// tables: only [`KeyKind::StringOrTable`], [`KeyKind::StringsOrTable`], [`KeyKind::Table`], [`KeyKind::Tables`] and
    /// [`KeyKind::Array`] have them.
    pub const fn below(self) -> Option<&'static TableKeys> {
        match self {
            Self::StringOrTable(keys)
            | Self::StringsOrTable(keys)
            | Self::Table(keys)
            | Self::Tables(keys)
            | Self::Array(keys) => Some(keys),
            _ => None,
        }
    }

    /// Returns the type and its bounds as text for the configuration reference, for example `integer from 1 to 10`.
    /// Omits the keys of a nested table.
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
            Self::StringOrTable(_) => "string or table".to_owned(),
            Self::StringsOrTable(_) => "string, list of strings, or table".to_owned(),
            Self::Table(_) => "table".to_owned(),
            Self::Tables(_) => "named tables".to_owned(),
            Self::Array(_) => "list of tables".to_owned(),
        }
    }
}

/// Returns the bounds of a duration as text, for example `of at least 1m`. Returns `None` if `least` is zero and `most`
/// is [`Duration::MAX`], which means that the duration has no bounds.
pub(super) fn bounds(least: Duration, most: Duration) -> Option<String> {
    match (least.is_zero(), most == Duration::MAX) {
        (true, true) => None,
        (false, true) => Some(format!("of at least {}", written_duration(least))),
        (true, false) => Some(format!("of at most {}", written_duration(most))),
        (false, false) => Some(format!("from {} to {}", written_duration(least), written_duration(most))),
    }
}

/// Joins words as alternatives: `a`, `a or b`, `a, b or c`. `show` formats each word.
pub(super) fn alternatives(words: &[&str], show: impl Fn(&str) -> String) -> String {
    let shown: Vec<String> = words.iter().map(|word| show(word)).collect();
    match shown.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

impl Key {
    /// Creates an optional key of any kind. `about` describes the key in the configuration reference.
    pub const fn new(name: &'static str, kind: KeyKind, about: &'static str) -> Self {
        Self { name, any_name: false, kind, default: None, presence: Presence::Optional, about }
    }

    /// Creates one description for all keys of a table in which the operator chooses the names of the keys. The
    /// configuration reference shows `placeholder` in place of the names.
    pub const fn any(placeholder: &'static str, kind: KeyKind, about: &'static str) -> Self {
        Self { any_name: true, ..Self::new(placeholder, kind, about) }
    }

    /// Creates an optional key whose value is a string.
    pub const fn string(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::String, about)
    }

    /// Creates an optional key whose value is one of `words`.
    pub const fn choice(name: &'static str, words: &'static [&'static str], about: &'static str) -> Self {
        Self::new(name, KeyKind::Choice(words), about)
    }

    /// Creates an optional key whose value is `true` or `false`.
    pub const fn boolean(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::Boolean, about)
    }

    /// Creates an optional key whose value is a whole number from `least` to `most`, both included.
    pub const fn integer(name: &'static str, least: i64, most: i64, about: &'static str) -> Self {
        Self::new(name, KeyKind::Integer { least, most }, about)
    }

    /// Creates an optional key whose value is a duration such as `10m`. [`Key::between`] adds bounds.
    pub const fn duration(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::Duration { least: Duration::ZERO, most: Duration::MAX }, about)
    }

    /// Creates an optional key whose value is a list of strings.
    pub const fn strings(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::Strings, about)
    }

    /// Creates an optional key whose value is a reference to a secret.
    pub const fn secret(name: &'static str, about: &'static str) -> Self {
        Self::new(name, KeyKind::Secret, about)
    }

    /// Creates an optional key whose value is a nested table.
    pub const fn table(name: &'static str, keys: &'static TableKeys, about: &'static str) -> Self {
        Self::new(name, KeyKind::Table(keys), about)
    }

    /// Creates an optional key whose value is a set of named tables, for example `[app.NAME]`.
    pub const fn tables(name: &'static str, keys: &'static TableKeys, about: &'static str) -> Self {
        Self::new(name, KeyKind::Tables(keys), about)
    }

    /// Creates an optional key whose value is a list of tables, for example `[[approval]]`.
    pub const fn array(name: &'static str, keys: &'static TableKeys, about: &'static str) -> Self {
        Self::new(name, KeyKind::Array(keys), about)
    }

    /// Sets the shortest and the longest valid duration of the key.
    #[must_use]
    pub const fn between(self, least: Duration, most: Duration) -> Self {
        Self { kind: KeyKind::Duration { least, most }, ..self }
    }

    /// Sets the default value as text, for example `10m`. The default of a string key has no quotation marks.
    #[must_use]
    pub const fn default(self, value: &'static str) -> Self {
        Self { default: Some(value), ..self }
    }

    /// Makes the key required.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { presence: Presence::Required, ..self }
    }

    /// Makes the key required, with one exception. `exception` names the exception, for example "with `token`". The
    /// configuration reference prints the text after the words "required, except".
    #[must_use]
    pub const fn required_unless(self, exception: &'static str) -> Self {
        Self { presence: Presence::RequiredUnless(exception), ..self }
    }
}
