//! A provider in the test's own process, and the host's side of it with short delays.

use std::{path::Path, sync::Arc, time::Duration};

use wardroom::{
    adapter::{DeviceLogin, IdentityFactory as _, IdentityProvider, VerifiedAccount},
    base::{Table, TableKeys},
};
use wardroom_fake_oidc::{Behaviour, Server};
use wardroom_oidc::{OidcFactory, Timing};

static NO_KEYS: TableKeys = TableKeys { path: "", about: "The top level of the tests.", keys: &[] };

/// Configuration problems: the message and the fix of each.
type Found = Vec<(String, String)>;

/// Reads tables. Returns the provider `corp`, and the problems.
pub(crate) fn read(text: &str) -> (Option<Arc<dyn IdentityProvider>>, Found) {
    let mut timing = Timing::default();
    timing.min_interval = Duration::from_millis(10);
    timing.slow_down = Duration::from_millis(100);
    let factory = OidcFactory::default().timing(timing);
    let (mut table, problems) = Table::parse("", text, &NO_KEYS, Path::new("/"));
    table.add_keys(factory.keys());
    let mut providers = factory.read(&mut table);
    table.finish();
    let problems = problems.sorted().into_iter().map(|problem| (problem.message, problem.fix.unwrap_or_default()));
    (providers.remove("corp").flatten(), problems.collect())
}

/// A provider and the host's side of it.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) provider: Arc<dyn IdentityProvider>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// Creates a provider whose table has more keys.
    pub(crate) async fn with(keys: &str) -> Self {
        let server = Server::start().await.unwrap();
        let text = format!("[identity.corp]\nissuer = '{}'\nclient_id = 'wardroom'\n{keys}", server.issuer());
        let (provider, problems) = read(&text);
        assert_eq!(problems, []);
        Self { server, provider: provider.unwrap() }
    }

    /// Starts a login, and logs a person in who types its code.
    pub(crate) async fn begin(&self) -> DeviceLogin {
        let login = self.provider.begin().await.unwrap();
        assert!(self.server.log_in(&login.code, "subject-1", &["team-sre", "team-web"]), "{}", login.code);
        login
    }

    /// Logs a person in while the provider behaves in this way.
    pub(crate) async fn log_in(&self, change: impl FnOnce(&mut Behaviour)) -> Result<VerifiedAccount, String> {
        let login = self.begin().await;
        self.server.set(change);
        login.end.await
    }
}

pub(crate) fn account() -> Result<VerifiedAccount, String> {
    Ok(VerifiedAccount { subject: "subject-1".into(), groups: vec!["team-sre".into(), "team-web".into()] })
}

pub(crate) fn refused(why: &str) -> Result<VerifiedAccount, String> {
    Err(why.to_owned())
}
