//! Secrets: the reference to a secret in the configuration, and the value of a secret, which is never printed.

use std::{fmt, path::PathBuf};

use super::{
    keys::{Key, KeyKind, TableKeys},
    redact,
    table::{Located, Table},
    tree::Value,
};

/// The keys of a reference to a secret: `{ env = "NAME" }` or `{ file = "path" }`.
static SECRET: TableKeys = TableKeys {
    path: "SECRET",
    about: "A reference to a secret. Exactly one of the keys is required.",
    keys: &[
        Key::string("env", "The name of the environment variable that contains the secret."),
        Key::string("file", "The file that contains the secret. The path is relative to the main file."),
    ],
};

/// A reference to a secret. The configuration contains only such references and never the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// The name of an environment variable of the host, for example `MATRIX_TOKEN`.
    Env(String),
    /// The path of a file. A line feed at the end of the file is not part of the secret.
    File(PathBuf),
}

/// The value of a secret. Its `Debug` output is `Secret(***)`.
///
/// ```
/// use wardroom::prelude::*;
///
/// let secret = Secret::new("hunter2");
/// assert!(!format!("{secret:?}").contains("hunter2"));
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the plain value of a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the plain value. Call this only where the value is used, for example to sign in to a network.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl SecretRef {
    /// Reads the secret from its environment variable or file. From then on the host redacts the secret in all text that
    /// leaves it ([`redactor`](super::redactor)).
    ///
    /// # Errors
    /// Fails if the variable is not set or is not valid UTF-8, the file cannot be read, or the value is empty. The
    /// message never contains the value.
    pub fn resolve(&self) -> anyhow::Result<Secret> {
        let value = match self {
            Self::Env(name) => std::env::var(name)
                .map_err(|_| anyhow::anyhow!("the environment variable `{name}` is not set or is not valid UTF-8"))?,
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| anyhow::anyhow!("the secret file `{}` cannot be read: {error}", path.display()))?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                text.strip_suffix('\r').unwrap_or(text).to_owned()
            }
        };
        anyhow::ensure!(!value.is_empty(), "the secret `{self}` is empty");
        let secret = Secret(value);
        redact::remember_secret(&self.to_string(), &secret);
        Ok(secret)
    }
}

impl Table {
    /// Reads the secret reference of `key`: `{ env = "NAME" }` or `{ file = "path" }`. Returns `None` if the key is
    /// missing. If the value is not a valid reference, adds a configuration problem and returns `None`. If the value
    /// is a string, the message does not repeat it, because the string can be the secret itself.
    pub fn secret(&mut self, key: &str) -> Option<Located<SecretRef>> {
        let field = self.take(key, |kind| matches!(kind, KeyKind::Secret | KeyKind::StringOrSecret))?;
        let example = format!("{key} = {{ env = \"{}\" }}", key.to_uppercase());
        if !matches!(field.node.value, Value::Table(_)) {
            let message = format!(
                "`{}.{key}` must be a reference to a secret, because the configuration never contains secrets",
                self.path()
            );
            self.problems().add(&field.at, message, Some(example));
            return None;
        }
        let at = field.at.clone();
        let mut table = self.below(key, field, &SECRET);
        let secret = match (table.string("env"), table.string("file")) {
            (Some(name), None) => Some(SecretRef::Env(name.value)),
            (None, Some(file)) => Some(SecretRef::File(self.folder().join(file.value))),
            _ => {
                let message = format!("`{}.{key}` needs exactly one of `env` and `file`", self.path());
                self.problems().add(&at, message, Some(example));
                None
            }
        };
        table.finish();
        secret.map(|value| Located { value, at })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{ env = {name:?} }}"),
            Self::File(path) => write!(f, "{{ file = {:?} }}", path.display().to_string()),
        }
    }
}
