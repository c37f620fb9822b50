//! Secrets: the reference to a secret in the configuration, and the value of a secret, which is never printed.

use std::{fmt, path::PathBuf};

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
    /// Reads the secret from its environment variable or file.
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
