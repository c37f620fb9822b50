//! A provider: its discovery document and key set, which are fetched at the first login and cached, and its logins.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::{sync::Mutex, time::Instant};
use wardroom::{
    adapter::{DeviceLogin, IdentityProvider, VerifiedAccount},
    base::Secret,
};

use crate::{
    client::{Client, ClientError},
    config::Settings,
    device::Flow,
    keys::KeySet,
    metadata::Metadata,
    timing::Timing,
    verify::{Expected, header, verify},
};

/// How long the discovery document is used.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// A provider. Its clones share the cache.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Inner>);

struct Inner {
    settings: Settings,
    timing: Timing,
    session: Mutex<Option<Session>>,
    keys: Mutex<KeySet>,
}

/// The client and the discovery document.
#[derive(Clone)]
struct Session {
    client: Arc<Client>,
    metadata: Arc<Metadata>,
    at: Instant,
}

impl Provider {
    pub(crate) fn new(settings: Settings, timing: Timing) -> Self {
        Self(Arc::new(Inner { settings, timing, session: Mutex::default(), keys: Mutex::default() }))
    }

    async fn session(&self) -> Result<Session, ClientError> {
        let mut session = self.0.session.lock().await;
        if let Some(session) = session.as_ref().filter(|session| session.at.elapsed() < MAX_AGE) {
            return Ok(session.clone());
        }
        let client = Client::new(&self.0.settings)?;
        let metadata = Metadata::fetch(&client, &self.0.settings).await?;
        let new = Session { client: Arc::new(client), metadata: Arc::new(metadata), at: Instant::now() };
        *session = Some(new.clone());
        // A key that the provider has withdrawn is not used for longer than its discovery document.
        *self.0.keys.lock().await = KeySet::default();
        Ok(new)
    }

    async fn fetch_keys(session: &Session) -> Result<KeySet, ClientError> {
        let set = session.client.get(session.metadata.keys.clone()).await?;
        KeySet::read(&set).ok_or_else(|| {
            ClientError::Wrong(format!("the answer of {} for `jwks_uri` is not a key set", session.client.server()))
        })
    }

    /// Verifies an ID token. If the cached key set does not have its key, fetches the set once: the provider can have
    /// rotated its keys (OpenID Connect Core, section 10.1.1).
    async fn verified(&self, session: &Session, token: &Secret, began: Timestamp) -> Result<VerifiedAccount, String> {
        let header = header(token.expose())?;
        let find = |keys: &KeySet| keys.find(header.algorithm, header.key_id.as_deref());
        let mut keys = self.0.keys.lock().await;
        let key = match find(&keys) {
            Some(key) => key,
            None => {
                *keys = Self::fetch_keys(session).await.map_err(|error| error.to_string())?;
                find(&keys).ok_or("the key set of the provider does not have the key of the ID token")?
            }
        };
        drop(keys);
        let expected = Expected {
            issuer: &session.metadata.issuer,
            client_id: &self.0.settings.client_id,
            groups_claim: &self.0.settings.groups_claim,
            began,
            now: Timestamp::now(),
        };
        verify(token.expose(), header.algorithm, &key, &expected)
    }
}

#[async_trait]
impl IdentityProvider for Provider {
    fn issuer(&self) -> &str {
        &self.0.settings.issuer
    }

    fn keep(&self) -> Duration {
        self.0.settings.keep
    }

    async fn begin(&self) -> Result<DeviceLogin, String> {
        let (settings, timing) = (&self.0.settings, self.0.timing);
        let session = self.session().await.map_err(|error| error.to_string())?;
        let began = Timestamp::now();
        let flow = Flow::start(&session.client, settings, &session.metadata, timing).await?;
        let (url, code, expires) = (flow.url.clone(), flow.user_code.clone(), flow.expires);
        let provider = self.clone();
        let end = Box::pin(async move {
            let settings = &provider.0.settings;
            let token = flow.wait(&session.client, settings, &session.metadata, timing).await?;
            provider.verified(&session, &token, began).await
        });
        Ok(DeviceLogin { url, code, expires, end })
    }

    async fn probe(&self) -> Result<String, String> {
        let name = &self.0.settings.name;
        let probed = async {
            let session = self.session().await?;
            let keys = Self::fetch_keys(&session).await?;
            if keys.len() == 0 {
                let server = session.client.server();
                return Err(ClientError::Wrong(format!("{server} has no key for RS256, ES256 or EdDSA")));
            }
            Ok(keys.len())
        };
        match probed.await {
            Ok(count) => Ok(format!("{name}: the device flow is available, keys: {count}")),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }
}
