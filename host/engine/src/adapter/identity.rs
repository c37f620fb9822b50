//! The traits of identity providers, whose accounts people link to their ids on chat networks.
//!
//! Not here: the command `link` (`engine/builtin`), and the links that people have made (`policy`).

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::base::{Key, Table};

/// Creates the identity providers of a configuration.
pub trait IdentityFactory: Send + Sync + 'static {
    /// Returns the top-level keys of `plugins.toml` that configure the providers: the tables `[identity.NAME]`.
    fn keys(&self) -> &'static [Key];

    /// Reads the keys of [`IdentityFactory::keys`] from the top level of `plugins.toml`, and adds a configuration problem
    /// for each invalid value. Returns each provider by its name; `None` for a table with problems. Must not connect.
    fn read(&self, table: &mut Table) -> BTreeMap<String, Option<Arc<dyn IdentityProvider>>>;
}

/// An identity provider.
#[async_trait]
pub trait IdentityProvider: Send + Sync + 'static {
    /// The issuer of the provider's ID tokens. Accounts of two issuers are different accounts.
    fn issuer(&self) -> &str;

    /// How long a verified account counts.
    fn keep(&self) -> Duration;

    /// Starts a login. The person completes it in a browser.
    ///
    /// # Errors
    /// The reason, as one line for people, without a final period.
    async fn begin(&self) -> Result<DeviceLogin, String>;

    /// Connects to the provider, and reads what a login needs. Returns one line for people.
    async fn probe(&self) -> Result<String, String>;
}

/// A login that a person completes in a browser on any device.
pub struct DeviceLogin {
    /// The page on which the person types the code.
    pub url: String,
    /// The code. Whoever types it and logs in links their account to the person who asked for the code.
    pub code: String,
    /// How long the code is valid.
    pub expires: Duration,
    /// Waits until the person has logged in, and verifies the result. The error is one line for people, without a final
    /// period.
    pub end: Pin<Box<dyn Future<Output = Result<VerifiedAccount, String>> + Send>>,
}

/// An account that the provider has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAccount {
    /// The unchanging id of the account within the issuer.
    pub subject: String,
    /// The groups of the account.
    pub groups: Vec<String>,
}

impl std::fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceLogin").field("url", &self.url).field("expires", &self.expires).finish_non_exhaustive()
    }
}
