//! An in-memory secret store for tests.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    adapter::{
        link::{Link, LinkState},
        secrets::{SecretProblem, SecretStoreHealth, Secrets, SecretsFactory},
    },
    base::{InvalidReference, Key, KeyKind, Secret, SecretScope, SecretSlot, StoredSecret, Table},
};

/// An in-memory secret store for tests. A reference is `{ memory = "NAME" }`. A secret has no value until a test sets it.
///
/// ```
/// use std::path::Path;
/// use wardroom::prelude::*;
///
/// let secrets = MemorySecrets::default();
/// secrets.set("token", Secret::new("hunter2"));
/// let builder = Engine::builder().chat(MemoryChat::new(ChatFeatures::PLAIN)).secrets(secrets);
/// builder.read_text("[bot.marvin.memory]", Path::new("."))?;
/// # Ok::<(), wardroom::engine::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemorySecrets {
    slots: Arc<Mutex<BTreeMap<String, SecretSlot>>>,
    scope: Option<SecretScope>,
}

impl MemorySecrets {
    /// Sets the value of a secret.
    pub fn set(&self, name: &str, value: Secret) {
        self.slot(name).set(value);
    }

    /// Limits the secrets to the pipelines of some environments.
    #[must_use]
    pub fn with_scope(self, scope: SecretScope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    fn slot(&self, name: &str) -> SecretSlot {
        let mut slots = self.slots.lock();
        slots.entry(name.to_owned()).or_insert_with(|| SecretSlot::new(format!("memory:{name}"))).clone()
    }
}

impl SecretsFactory for MemorySecrets {
    fn reference_key(&self) -> Key {
        Key::new("memory", KeyKind::String, "The name of a secret in memory.")
    }

    fn read(&self, _table: &mut Table) -> Arc<dyn Secrets> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Secrets for MemorySecrets {
    fn refer(&self, reference: &str) -> Result<StoredSecret, InvalidReference> {
        if reference.is_empty() {
            let message = "the name of the secret is empty".to_owned();
            return Err(InvalidReference { message, fix: Some("{ memory = \"token\" }".to_owned()) });
        }
        Ok(StoredSecret { slot: self.slot(reference), scope: self.scope.clone() })
    }

    fn forget(&self, slot: &SecretSlot) {
        self.slots.lock().retain(|_, known| known != slot);
    }

    async fn serve(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn until_tried(&self) {}

    async fn probe(&self) -> Vec<Result<String, String>> {
        let line = |(name, slot): (&String, &SecretSlot)| match slot.get() {
            Ok(_) => Ok(format!("memory: the secret `{name}` can be read")),
            Err(why) => Err(format!("memory: the secret `{name}` cannot be read: {why}")),
        };
        self.slots.lock().iter().map(line).collect()
    }

    fn health(&self) -> Vec<SecretStoreHealth> {
        let slots = self.slots.lock();
        let problem = |(name, slot): (&String, &SecretSlot)| {
            let reason = slot.get().err()?;
            Some(SecretProblem { reference: name.clone(), reason, has_value: false })
        };
        let problems: Vec<SecretProblem> = slots.iter().filter_map(problem).collect();
        let link = Link::default();
        link.up();
        let link: LinkState = link.state();
        vec![SecretStoreHealth { name: "memory".to_owned(), link, current: slots.len() - problems.len(), problems }]
    }
}
