//! One configured server: its secrets, its state for people, and the reads of `check --connect`.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use wardroom::{
    adapter::{Link, LinkState, SecretProblem, SecretStoreHealth},
    base::SecretSlot,
};

use crate::{
    client::Client,
    config::{Login, SecretId, Server},
    entry::Entry,
    login::{LoginError, Unwrapped, check_wrapping, resolve},
    read::{MountKind, ReadError, capability, find_mount, read, request_path, rule},
    reference::{Reference, Source},
    session::Session,
    timing::Timing,
};

pub(crate) struct ServerState {
    pub(crate) config: Server,
    pub(crate) timing: Timing,
    pub(crate) link: Link,
    /// Whether each secret was tried once.
    pub(crate) tried: watch::Sender<bool>,
    entries: Mutex<BTreeMap<Source, Arc<Entry>>>,
}

impl ServerState {
    pub(crate) fn new(config: Server, timing: Timing) -> Self {
        let (tried, _) = watch::channel(false);
        Self { config, timing, link: Link::default(), tried, entries: Mutex::default() }
    }

    /// Returns the slot of a reference.
    pub(crate) fn slot(&self, text: &str, reference: &Reference) -> SecretSlot {
        let mut entries = self.entries.lock();
        let source = reference.source.clone();
        entries.entry(source.clone()).or_insert_with(|| Arc::new(Entry::new(source))).slot(text, reference)
    }

    /// Removes a reference.
    pub(crate) fn forget(&self, slot: &SecretSlot) {
        self.entries.lock().retain(|_, entry| !entry.forget(slot));
    }

    /// Returns the referenced secrets in the order of their paths.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().values().cloned().collect()
    }

    pub(crate) fn health(&self) -> SecretStoreHealth {
        let fields: Vec<_> = self.entries().iter().flat_map(|entry| entry.problems()).collect();
        let problems: Vec<SecretProblem> = fields.iter().filter_map(|(_, problem)| problem.clone()).collect();
        let link: LinkState = self.link.state();
        SecretStoreHealth { name: self.config.name.clone(), link, current: fields.len() - problems.len(), problems }
    }

    /// Logs in, reads each secret and logs out.
    pub(crate) async fn probe(&self) -> Vec<Result<String, String>> {
        let name = &self.config.name;
        match self.check_wrapping().await {
            Ok(true) => {
                return vec![Ok(format!(
                    "{name}: the wrapping token is valid; it can be used only once, so the login and the secrets are not \
                     checked"
                ))];
            }
            Ok(false) => {}
            Err(error) => return vec![Err(format!("{name}: {}", error.reason))],
        }
        let session = match Session::open(&self.config, &mut Unwrapped::default(), &self.timing).await {
            Ok(session) => session,
            Err(error) => {
                self.entries().iter().for_each(|entry| entry.fail(&error.reason));
                return vec![Err(format!("{name}: {}", error.reason))];
            }
        };
        let policies = session.policies.join(", ");
        let mut lines =
            vec![Ok(format!("{name}: logged in to {} with the policies {policies}", session.client.server()))];
        for entry in self.entries() {
            match self.probe_entry(&session, &entry).await {
                Ok(done) => lines.extend(entry.problems().into_iter().map(|(text, problem)| match problem {
                    Some(problem) if done == "can be read" => Err(format!("{name}: `{text}`: {}", problem.reason)),
                    _ => Ok(format!("{name}: `{text}` {done}")),
                })),
                Err(reason) => {
                    entry.fail(&reason);
                    lines.extend(
                        entry.problems().into_iter().map(|(text, _)| Err(format!("{name}: `{text}`: {reason}"))),
                    );
                }
            }
        }
        session.close().await;
        lines
    }

    /// Checks a wrapping token without using it. Returns whether the login has one.
    async fn check_wrapping(&self) -> Result<bool, LoginError> {
        let Login::AppRole { mount, secret: SecretId::Wrapped(reference), .. } = &self.config.login else {
            return Ok(false);
        };
        let client = Client::new(&self.config).map_err(LoginError::new)?;
        check_wrapping(&client, mount, &resolve(reference)?).await.map(|()| true)
    }

    /// Reads one key-value secret. Asks only for the permission of another one, because reading it would create
    /// credentials or a certificate. Returns what was found out.
    async fn probe_entry(&self, session: &Session, entry: &Entry) -> Result<&'static str, String> {
        let (client, token, source) = (&session.client, &session.token, &entry.source);
        let mount = find_mount(client, token, source).await.map_err(reason)?;
        if source.certificate.is_none() && matches!(mount.kind, MountKind::Kv1 | MountKind::Kv2) {
            entry.set(&read(client, token, source, &mount).await.map_err(reason)?);
            return Ok("can be read");
        }
        let path = request_path(source, &mount);
        let asked = client.post("sys/capabilities-self", Some(token), &json!({ "paths": [path] })).await;
        let answer = asked.map_err(|error| reason(error.into()))?;
        let needed = capability(source);
        let has = |value: &Value| matches!(value.as_str(), Some("root")) || value.as_str() == Some(needed);
        let granted = answer.data.get(&path).and_then(Value::as_array).is_some_and(|all| all.iter().any(has));
        if granted {
            return Ok("is allowed; it is created when the host starts");
        }
        Err(format!("permission denied for `{path}`; add to a policy of the token: {}", rule(&path, needed)))
    }
}

fn reason(error: ReadError) -> String {
    match error {
        ReadError::Outage { reason, .. } | ReadError::Denied { reason } | ReadError::Failed { reason } => reason,
    }
}
