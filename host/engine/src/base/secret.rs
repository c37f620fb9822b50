//! Secrets: the reference to a secret in the configuration, and the value of a secret, which is never printed.

use std::{fmt, path::PathBuf};

use super::{
    At,
    keys::{self, Key, KeyKind, TableKeys},
    redact,
    secret_slot::SecretSlot,
    secret_sources::{SecretSource, SecretSources, SecretUse},
    table::{Located, Table},
    tree::Value,
};

/// The keys of a reference to a secret: `{ env = "NAME" }` or `{ file = "path" }`. Each secret store adds a key.
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
    /// The path of a file. Blanks and line ends around the text are not part of the secret.
    File(PathBuf),
    /// A secret of a secret store, for example of Vault.
    Stored {
        /// The key of the reference, for example `vault`.
        key: &'static str,
        /// The text of the reference, for example `prod:secret/ci/jenkins#token`.
        text: String,
        /// The current value, which the store fetches ahead.
        slot: SecretSlot,
    },
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
    /// Reads the secret from its environment variable or file, or returns the value that its store has fetched. Never
    /// waits for a network. Blanks and line ends around it come from an editor or a
    /// shell and are removed, with a warning if they are more than one line end at the end of a file. From then on the
    /// host redacts the secret in all text that leaves it ([`redactor`](super::redactor)).
    ///
    /// # Errors
    /// Fails if the variable is not set or is not valid UTF-8, the file cannot be read, the store has no value, or the
    /// value is empty. The message never contains the value.
    pub fn resolve(&self) -> anyhow::Result<Secret> {
        let text = match self {
            Self::Env(name) => std::env::var(name)
                .map_err(|_| anyhow::anyhow!("the environment variable `{name}` is not set or is not valid UTF-8"))?,
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| anyhow::anyhow!("the secret file `{}` cannot be read: {error}", path.display()))?,
            Self::Stored { slot, .. } => {
                let value = slot.get().map_err(|why| anyhow::anyhow!("the secret `{self}` has no value: {why}"))?;
                value.expose().to_owned()
            }
        };
        let value = text.trim();
        anyhow::ensure!(!value.is_empty(), "the secret `{self}` is empty");
        let secret = Secret::new(value);
        let is_new = redact::remember(&self.to_string(), &secret);
        if is_new && self.has_more_than_a_line_end(&text) {
            tracing::warn!(
                secret = %self,
                "the secret has blanks or line ends before or after it, which were removed; hint: remove them from the secret"
            );
        }
        Ok(secret)
    }

    /// Returns the slot of a secret of a store.
    pub(crate) fn slot(&self) -> Option<&SecretSlot> {
        match self {
            Self::Env(_) | Self::File(_) => None,
            Self::Stored { slot, .. } => Some(slot),
        }
    }

    /// Returns whether there are blanks around a secret, or line ends other than the one at the end of a file.
    fn has_more_than_a_line_end(&self, text: &str) -> bool {
        let text = match self {
            Self::Env(_) => text,
            Self::File(_) | Self::Stored { .. } => {
                let text = text.strip_suffix('\n').unwrap_or(text);
                text.strip_suffix('\r').unwrap_or(text)
            }
        };
        text.trim() != text
    }
}

impl Table {
    /// Reads the secret reference of `key`: `{ env = "NAME" }`, `{ file = "path" }`, or a reference to a secret store
    /// that the program registered. Returns `None` if the key is missing. If the value is not a valid reference, adds a configuration problem and returns `None`. If the value
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
        let sources = self.sources().clone();
        let mut table = self.below(key, field, &SECRET);
        let given = table.keys().len();
        table.add_keys(sources.iter().filter(|source| source.refer.is_some()).map(|source| &source.key));
        let stored = sources.iter().find(|source| table.has(source.key.name));
        let secret = match (stored, given) {
            (Some(source), 1) => {
                table.add_keys([&source.key]);
                let text = table.string(source.key.name);
                text.and_then(|text| table.stored(source, text.value, &sources, &at))
            }
            (None, _) => match (table.string("env"), table.string("file")) {
                (Some(name), None) => Some(SecretRef::Env(name.value)),
                (None, Some(file)) => Some(SecretRef::File(self.folder().join(file.value))),
                _ => {
                    self.report_reference(key, &sources, &at, example);
                    None
                }
            },
            (Some(_), _) => {
                self.report_reference(key, &sources, &at, example);
                return None;
            }
        };
        table.finish();
        secret.map(|value| Located { value, at })
    }

    fn report_reference(&self, key: &str, sources: &SecretSources, at: &At, example: String) {
        let mut names: Vec<&str> = sources.iter().filter(|source| source.refer.is_some()).map(|s| s.key.name).collect();
        names.splice(..0, ["env", "file"]);
        let listed = keys::alternatives(&names, |name| format!("`{name}`")).replace(" or ", " and ");
        let message = format!("`{}.{key}` needs exactly one of {listed}", self.path());
        self.problems().add(at, message, Some(example));
    }

    /// Returns the reference to a secret of a store. This table is the reference's own.
    fn stored(&self, source: &SecretSource, text: String, sources: &SecretSources, at: &At) -> Option<SecretRef> {
        let key = source.key.name;
        let Some(refer) = &source.refer else {
            let message = format!("`{}` is a secret of {key}, which this build does not include", self.path());
            self.problems().add(at, message, Some(format!("cargo build -p wardroom-cli --features {key}")));
            return None;
        };
        match refer(&text) {
            Ok(secret) => {
                let slot = secret.slot.clone();
                sources.add_use(SecretUse { path: self.path().to_owned(), at: at.clone(), secret });
                Some(SecretRef::Stored { key, text, slot })
            }
            Err(invalid) => {
                self.problems().add(at, format!("`{}`: {}", self.path(), invalid.message), invalid.fix);
                None
            }
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{ env = {name:?} }}"),
            Self::File(path) => write!(f, "{{ file = {:?} }}", path.display().to_string()),
            Self::Stored { key, text, .. } => write!(f, "{{ {key} = {text:?} }}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_line_ends_around_a_secret_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let secret = SecretRef::File(folder.path().join("secret"));
        let SecretRef::File(path) = &secret else { unreachable!() };
        for (text, is_reported) in [
            ("two words", false),
            ("two words\n", false),
            ("two words\r\n", false),
            ("two words\n\n", true),
            ("two words \n", true),
            ("\t two words", true),
            ("\ntwo words\r\n\r\n", true),
        ] {
            std::fs::write(path, text).unwrap();
            assert_eq!(secret.resolve().unwrap().expose(), "two words", "{text:?}");
            assert_eq!(secret.has_more_than_a_line_end(text), is_reported, "{text:?}");
        }
        assert!(SecretRef::Env("TOKEN".into()).has_more_than_a_line_end("two words\n"));
        std::fs::write(path, "a\nb\n").unwrap();
        assert_eq!(secret.resolve().unwrap().expose(), "a\nb", "the lines of a key stay");
        std::fs::write(path, " \r\n\n").unwrap();
        assert!(secret.resolve().unwrap_err().to_string().ends_with("is empty"));
    }
}
