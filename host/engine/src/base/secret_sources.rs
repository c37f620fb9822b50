//! The kinds of references to secrets of stores that a configuration can use, and the references that it does use.
//!
//! Not here: the secret stores themselves ([`Secrets`](crate::adapter::Secrets)).

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use super::{At, Key, SecretSlot, keys::KeyKind};

/// What a secret store returns for a reference in the configuration.
#[derive(Debug, Clone)]
pub struct StoredSecret {
    /// The slot with the current value. The same reference has the same slot.
    pub slot: SecretSlot,
    /// The environments whose pipelines may use the secret; `None` if every pipeline may.
    pub scope: Option<SecretScope>,
}

impl StoredSecret {
    /// Creates the answer to a reference.
    pub fn new(slot: SecretSlot, scope: Option<SecretScope>) -> Self {
        Self { slot, scope }
    }
}

/// The environments whose pipelines may use the secrets of a store, for example of a Vault server for production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretScope {
    /// The path of the table that sets the limit, for example `vault.prod`.
    pub table: String,
    /// The names of the environments.
    pub environments: Vec<String>,
    /// The line of the list in the configuration.
    pub at: At,
}

/// A reference that is not valid, for the list of configuration problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidReference {
    /// The description of the error, in one line.
    pub message: String,
    /// The line to write instead.
    pub fix: Option<String>,
}

/// Returns the secret for the text of a reference.
pub(crate) type Refer = dyn Fn(&str) -> Result<StoredSecret, InvalidReference> + Send + Sync;

/// A kind of references, for example `{ vault = "..." }`.
#[derive(Clone)]
pub(crate) struct SecretSource {
    /// The key in the table of a reference.
    pub(crate) key: Key,
    /// `None` if this build does not include the store.
    pub(crate) refer: Option<Arc<Refer>>,
}

/// A reference in the configuration.
#[derive(Debug, Clone)]
pub(crate) struct SecretUse {
    /// The path of the key that has the reference, for example `app.cms.deploy.staging.env.TOKEN`.
    pub(crate) path: String,
    pub(crate) at: At,
    pub(crate) secret: StoredSecret,
}

/// The kinds of references that a table can have. All clones share the list of uses.
#[derive(Clone, Default)]
pub(crate) struct SecretSources {
    sources: Arc<Vec<SecretSource>>,
    uses: Arc<Mutex<Vec<SecretUse>>>,
}

impl SecretSources {
    pub(crate) fn new(sources: Vec<SecretSource>) -> Self {
        Self { sources: Arc::new(sources), uses: Arc::default() }
    }

    /// Creates the kind of references of a store that this build does not include.
    pub(crate) fn left_out(name: &'static str) -> SecretSource {
        let about = "A secret of a store that this build does not include.";
        SecretSource { key: Key::new(name, KeyKind::String, about), refer: None }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SecretSource> {
        self.sources.iter()
    }

    pub(crate) fn add_use(&self, added: SecretUse) {
        self.uses.lock().push(added);
    }

    /// Returns the references that were read so far.
    pub(crate) fn uses(&self) -> Vec<SecretUse> {
        self.uses.lock().clone()
    }
}

impl fmt::Debug for SecretSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|source| source.key.name)).finish()
    }
}
