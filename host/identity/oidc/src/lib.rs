//! Accounts of people at OpenID Connect providers. A person logs in with the device flow, and the host verifies the ID
//! token.
//!
//! ```toml
//! [identity.corp]
//! issuer        = "https://id.example.org/realms/corp"
//! client_id     = "wardroom"
//! client_secret = { file = "oidc-secret" }        # without it, the client is a public one
//!
//! [group.sre]
//! identity = "corp"
//! claim    = "team-sre"
//! ```
//!
//! Modules in reading order:
//!
//! - `config` (the tables of `plugins.toml`), `timing` (delays).
//! - `client` (the wire and its errors), `metadata` (discovery), `keys` (the key set).
//! - `device` (RFC 8628), `verify` (the ID token), `provider` (joins them).
//!
//! The sources are OpenID Connect Core 1.0, OpenID Connect Discovery 1.0, RFC 8628 (device flow), RFC 7517 (keys), RFC
//! 7519 (tokens) and RFC 8725 (the safe use of tokens).
//!
//! Invariant: a login fails unless each check of its ID token succeeds. No token and no code is logged or is a part of an
//! error.
//! Not here: the command `link` and the stored links (`host/engine`).

mod client;
mod config;
mod device;
mod keys;
mod metadata;
mod provider;
mod timing;
mod verify;

use std::{collections::BTreeMap, sync::Arc};

use wardroom::{
    adapter::{IdentityFactory, IdentityProvider},
    base::{Key, Table},
};

pub use timing::Timing;

use crate::{config::Settings, provider::Provider};

/// Creates the providers of the tables `[identity.NAME]`.
#[derive(Debug, Clone, Default)]
pub struct OidcFactory {
    timing: Timing,
}

impl OidcFactory {
    /// Replaces the default delays.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }
}

impl IdentityFactory for OidcFactory {
    fn keys(&self) -> &'static [Key] {
        config::FILE_KEYS
    }

    fn read(&self, table: &mut Table) -> BTreeMap<String, Option<Arc<dyn IdentityProvider>>> {
        let mut providers = BTreeMap::new();
        for (name, table) in table.tables("identity") {
            let settings = Settings::read(table);
            let provider =
                settings.map(|settings| Arc::new(Provider::new(settings, self.timing)) as Arc<dyn IdentityProvider>);
            providers.insert(name.value, provider);
        }
        providers
    }
}
