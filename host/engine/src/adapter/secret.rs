//! Secrets: where one is kept, and its value, which never prints itself.

use std::{fmt, path::PathBuf};

/// Where a secret is kept. The configuration holds references only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable of the host.
    Env(String),
    /// A file; one line end at its end is not part of the secret.
    File(PathBuf),
}

/// A secret's value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
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
    /// Reads the secret.
    ///
    /// # Errors
    /// Says which variable is not set or which file cannot be read, never what was in it.
    pub fn resolve(&self) -> anyhow::Result<Secret> {
        let value = match self {
            Self::Env(name) => std::env::var(name)
                .map_err(|_| anyhow::anyhow!("the environment variable `{name}` is not set (or not text)"))?,
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    anyhow::anyhow!("the secret's file `{}` cannot be read: {error}", path.display())
                })?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                text.strip_suffix('\r').unwrap_or(text).to_owned()
            }
        };
        anyhow::ensure!(!value.is_empty(), "{self} is empty");
        Ok(Secret(value))
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
