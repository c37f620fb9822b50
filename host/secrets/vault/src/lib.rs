//! Secrets from servers of Vault or OpenBao.
//!
//! ```toml
//! [vault.prod]
//! url          = "https://vault.example.org:8200"
//! namespace    = "team1"
//! ca           = "vault-ca.pem"                    # trusted in addition to the system's certificates
//! environments = ["production"]                    # only pipelines of these environments may use the secrets
//! approle      = { role_id = "4a1c9a66-7b1e-8f6b-dd37-60f3ff3bd6a0", secret_id = { file = "secret-id" } }
//!
//! [pipelines.ci]
//! kind  = "jenkins"
//! token = { vault = "prod:secret/ci/jenkins#token" }
//! ```
//!
//! Modules in reading order:
//!
//! - `config` (the tables of `plugins.toml`), `reference` (the text of a reference), `timing` (delays).
//! - `error` (the error responses), `client` (the wire), `login` and `session` (the token), `read` (one secret).
//! - `entry` (the values and problems of a secret), `server` (a server with its secrets), `plan` (when a
//!   secret is read next), `worker` (the task of a server).
//!
//! The wire is written here and does not use the crate `vaultrs`: its calls drop the lease of an answer and the metadata
//! of a deleted version, log each failed request, and panic if a token is not valid in a header.
//!
//! Invariant: nobody who uses a secret waits for a server. A task for each server fetches the secrets ahead.
//! Not here: redaction and the slots of the values (`host/engine`).

mod client;
mod config;
mod entry;
mod error;
mod login;
mod plan;
mod read;
mod reference;
mod server;
mod session;
mod timing;
mod worker;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use wardroom::{
    CancellationToken,
    adapter::{SecretStoreHealth, Secrets, SecretsFactory},
    base::{InvalidReference, Key, KeyKind, SecretSlot, StoredSecret, Table},
};

pub use timing::Timing;

use crate::{config::Server, reference::Reference, server::ServerState, worker::Worker};

/// A reference for hints.
const EXAMPLE: &str = "{ vault = \"prod:secret/ci/jenkins#token\" }";

/// Creates the servers of the tables `[vault.NAME]`.
#[derive(Debug, Clone, Default)]
pub struct VaultFactory {
    timing: Timing,
}

impl VaultFactory {
    /// Replaces the default delays.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }
}

impl SecretsFactory for VaultFactory {
    fn reference_key(&self) -> Key {
        let about = "A secret of a `[vault.NAME]`, as `NAME:PATH#FIELD`.";
        Key::new("vault", KeyKind::String, about)
    }

    fn keys(&self) -> &'static [Key] {
        config::FILE_KEYS
    }

    fn read(&self, table: &mut Table) -> Arc<dyn Secrets> {
        let mut servers = BTreeMap::new();
        for (name, server) in table.tables("vault") {
            if name.value.is_empty() || name.value.contains([':', '.']) {
                let message = format!("`{}` is not a valid name for a Vault server", name.value);
                server.problem(&name.at, message, "a name without colons and dots".to_owned());
            }
            let server = Server::read(server).map(|config| Arc::new(ServerState::new(config, self.timing)));
            servers.insert(name.value, server);
        }
        Arc::new(Vault { servers })
    }
}

/// The configured servers. A server whose table has problems is `None`: its problems are reported once, and not again for
/// each reference.
struct Vault {
    servers: BTreeMap<String, Option<Arc<ServerState>>>,
}

impl Vault {
    /// Returns the servers that have a referenced secret.
    fn used(&self) -> impl Iterator<Item = &Arc<ServerState>> {
        self.servers.values().flatten().filter(|server| !server.entries().is_empty())
    }
}

#[async_trait]
impl Secrets for Vault {
    fn refer(&self, text: &str) -> Result<StoredSecret, InvalidReference> {
        let reference = Reference::parse(text).map_err(|why| InvalidReference {
            message: format!("the reference to a secret of Vault {why}"),
            fix: Some(EXAMPLE.to_owned()),
        })?;
        match self.servers.get(&reference.server) {
            Some(Some(server)) => {
                let slot = server.slot(text, &reference);
                Ok(StoredSecret::new(slot, server.config.scope.clone()))
            }
            Some(None) => Ok(StoredSecret::new(SecretSlot::new("vault"), None)),
            None => {
                let names: Vec<&str> = self.servers.keys().map(String::as_str).collect();
                let fix = match names.as_slice() {
                    [] => "[vault.prod]   (with `url` and a login)".to_owned(),
                    names => format!("one of: {}", names.join(", ")),
                };
                // What stands before the colon can be a part of a secret.
                let message = "the reference names a server that has no table [vault.NAME]".to_owned();
                Err(InvalidReference { message, fix: Some(fix) })
            }
        }
    }

    fn forget(&self, slot: &SecretSlot) {
        self.servers.values().flatten().for_each(|server| server.forget(slot));
    }

    async fn serve(&self, stop: CancellationToken) {
        let mut tasks = tokio::task::JoinSet::new();
        for server in self.used() {
            tasks.spawn(Worker::new(server.clone()).run(stop.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the task of a Vault server ended; its secrets are no longer renewed");
            }
        }
    }

    async fn until_tried(&self) {
        for server in self.used() {
            let _ = server.tried.subscribe().wait_for(|tried| *tried).await;
        }
    }

    async fn probe(&self) -> Vec<Result<String, String>> {
        let mut lines = Vec::new();
        for server in self.servers.values().flatten() {
            lines.extend(server.probe().await);
        }
        lines
    }

    fn health(&self) -> Vec<SecretStoreHealth> {
        self.used().map(|server| server.health()).collect()
    }
}
