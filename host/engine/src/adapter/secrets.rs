//! The traits that a secret store implements, for example Vault, and the secret stores of a configuration.
//!
//! Invariant: a reader of a secret never waits for a store. The store fetches each referenced secret ahead, into a
//! [`SecretSlot`](crate::base::SecretSlot).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::link::LinkState;
use crate::base::{InvalidReference, Key, SecretSlot, SecretSource, SecretUse, StoredSecret, Table};

/// How long the first fetch of all secrets may take. After this time, the host starts with the secrets that it has.
const FIRST_FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the secret stores may take to log out at a shutdown.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(3);

/// Creates the secret stores of one kind from the configuration.
///
/// ```
/// use wardroom::prelude::*;
///
/// let factory = MemorySecrets::default();
/// assert_eq!(factory.reference_key().name, "memory");
/// ```
pub trait SecretsFactory: Send + Sync + 'static {
    /// Returns the key of a reference to a secret of these stores, with a string as its value: `vault` in
    /// `{ vault = "prod:secret/ci/jenkins#token" }`.
    fn reference_key(&self) -> Key;

    /// Returns the top-level keys of `plugins.toml` that configure the stores, for example the tables `[vault.NAME]`.
    /// The default has none.
    fn keys(&self) -> &'static [Key] {
        &[]
    }

    /// Reads the keys of [`SecretsFactory::keys`] from the top level of `plugins.toml`, and adds a configuration problem
    /// for each invalid value. The secrets in these keys are references to variables and files only. Must not connect.
    fn read(&self, table: &mut Table) -> Arc<dyn Secrets>;
}

/// The secret stores of one kind.
#[async_trait]
pub trait Secrets: Send + Sync + 'static {
    /// Returns the secret for the text of a reference in the configuration. Called while the configuration is read, once
    /// for each reference. Must not connect.
    ///
    /// # Errors
    /// The text is not a valid reference.
    fn refer(&self, reference: &str) -> Result<StoredSecret, InvalidReference>;

    /// Removes a reference that this process does not use: it belongs to a bot that another process runs. Called before
    /// [`Secrets::serve`].
    fn forget(&self, slot: &SecretSlot);

    /// Fetches each referenced secret into its slot, and keeps it current, until `stop` is cancelled. Then logs out.
    async fn serve(&self, stop: CancellationToken);

    /// Waits until [`Secrets::serve`] has tried to fetch each referenced secret once.
    async fn until_tried(&self);

    /// Logs in, reads each referenced secret once into its slot, and logs out. Changes nothing in the store. Returns one
    /// line for each login and each reference: `Ok` for a success, `Err` for a failure.
    async fn probe(&self) -> Vec<Result<String, String>>;

    /// Returns the state of each store, from memory and without waiting.
    fn health(&self) -> Vec<SecretStoreHealth>;
}

/// The state of a secret store, for example of a Vault server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretStoreHealth {
    /// The name of the store in the configuration, for example `vault.prod`.
    pub name: String,
    /// Whether the store answers.
    pub link: LinkState,
    /// The referenced secrets that cannot be read now.
    pub problems: Vec<SecretProblem>,
    /// The number of referenced secrets with a current value.
    pub current: usize,
}

/// A secret that cannot be read from its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretProblem {
    /// The reference in the configuration, for example `prod:secret/ci/jenkins#token`.
    pub reference: String,
    /// The reason as one line for people.
    pub reason: String,
    /// Whether an earlier value is still in use.
    pub has_value: bool,
}

impl SecretStoreHealth {
    /// Returns whether each referenced secret has a value. The value can be an earlier one.
    pub fn is_ready(&self) -> bool {
        self.problems.iter().all(|problem| problem.has_value)
    }

    /// Sets the metrics of this store to the values of this report.
    pub fn record(&self) {
        let kept = self.problems.iter().filter(|problem| problem.has_value).count();
        crate::metrics::secret_store(&self.name, self.current, kept, self.problems.len() - kept);
    }
}

/// The secret stores of a configuration, and the references to their secrets.
#[derive(Default)]
pub(crate) struct SecretStores {
    stores: Vec<Arc<dyn Secrets>>,
    uses: Vec<SecretUse>,
    stop: CancellationToken,
    /// The tasks that serve the stores; `None` before the start.
    tasks: Mutex<Option<JoinSet<()>>>,
}

/// Returns the kind of references of a store.
pub(crate) fn source(key: Key, store: &Arc<dyn Secrets>) -> SecretSource {
    let store = store.clone();
    SecretSource { key, refer: Some(Arc::new(move |text: &str| store.refer(text))) }
}

impl SecretStores {
    pub(crate) fn new(stores: Vec<Arc<dyn Secrets>>, uses: Vec<SecretUse>) -> Self {
        Self { stores, uses, ..Self::default() }
    }

    /// Starts to fetch the secrets. Waits until each was tried once, at most [`FIRST_FETCH_TIMEOUT`]. Later calls do
    /// nothing.
    pub(crate) async fn start(&self) {
        {
            let mut tasks = self.tasks.lock();
            if tasks.is_some() {
                return;
            }
            let set = tasks.insert(JoinSet::new());
            for store in &self.stores {
                let (store, stop) = (store.clone(), self.stop.clone());
                set.spawn(async move { store.serve(stop).await });
            }
        }
        let tried = async {
            for store in &self.stores {
                store.until_tried().await;
            }
        };
        let _ = tokio::time::timeout(FIRST_FETCH_TIMEOUT, tried).await;
    }

    /// Logs out of the stores. Waits at most [`LOGOUT_TIMEOUT`].
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let tasks = self.tasks.lock().take();
        if let Some(mut tasks) = tasks {
            let ended = async { while tasks.join_next().await.is_some() {} };
            if tokio::time::timeout(LOGOUT_TIMEOUT, ended).await.is_err() {
                tracing::warn!("a secret store did not log out in time; its token stays valid until it expires");
            }
        }
    }

    /// Returns the secrets that the table with this path refers to, for example `bot.marvin.matrix`.
    pub(crate) fn used_by(&self, table: &str) -> Vec<SecretSlot> {
        let prefix = format!("{table}.");
        let uses = self.uses.iter().filter(|used| used.path.starts_with(&prefix));
        uses.map(|used| used.secret.slot.clone()).collect()
    }

    /// Keeps only the references that `is_used` accepts. A secret with another reference that is used stays.
    pub(crate) fn keep(&mut self, is_used: impl Fn(&SecretUse) -> bool) {
        let (used, unused): (Vec<_>, Vec<_>) = std::mem::take(&mut self.uses).into_iter().partition(is_used);
        for slot in unused.into_iter().map(|unused| unused.secret.slot) {
            if used.iter().all(|used| used.secret.slot != slot) {
                self.stores.iter().for_each(|store| store.forget(&slot));
            }
        }
        self.uses = used;
    }

    pub(crate) async fn probe(&self) -> Vec<Result<String, String>> {
        let mut lines = Vec::new();
        for store in &self.stores {
            lines.extend(store.probe().await);
        }
        lines
    }

    pub(crate) fn health(&self) -> Vec<SecretStoreHealth> {
        self.stores.iter().flat_map(|store| store.health()).collect()
    }
}
