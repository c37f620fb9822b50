//! Reads one secret: a key-value secret of version 1 or 2, a secret with a lease, or a certificate.
//!
//! Invariant: an error names the path of the request and what to change. It contains no value of a secret, only the names
//! of its fields.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use wardroom::base::Secret;

use crate::{
    client::{Answer, Client},
    error::{DeletedVersion, VaultError},
    reference::{PEM, Source},
};

/// The maximum length of a value, in bytes.
const MAX_VALUE: usize = 64 << 10;

/// The mount of a secret: where its path begins, and what answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The path of the mount without its last slash.
    path: String,
    pub(crate) kind: MountKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// Key-value version 1.
    Kv1,
    /// Key-value version 2, with versions and another path for the data.
    Kv2,
    Pki,
    /// Another secrets engine, or one whose kind the server does not tell.
    Other,
}

/// The fields of a secret, and how long they are valid.
pub(crate) struct Fields {
    values: Map<String, Value>,
    pub(crate) lease: Option<Lease>,
    /// The rest of the lifetime of a certificate.
    pub(crate) lifetime: Option<Duration>,
}

/// The lease of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: String,
    pub(crate) duration: Duration,
    pub(crate) renewable: bool,
}

/// A secret that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The server does not answer.
    Outage { reason: String, retry_after: Option<Duration> },
    /// The server answers 403, because of the token or because of a policy. The reason is for the second case.
    Denied { reason: String },
    /// The secret does not exist, or the server rejects the request.
    Failed { reason: String },
}

impl From<VaultError> for ReadError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Outage { reason, retry_after } => Self::Outage { reason, retry_after },
            VaultError::Denied => Self::Denied { reason: "permission denied".to_owned() },
            VaultError::Missing { .. } => Self::Failed { reason: "not found".to_owned() },
            VaultError::Rejected { text } => Self::Failed { reason: text },
        }
    }
}

/// Finds the mount of a secret. Every token may ask for the mounts that its policies name.
pub(crate) async fn find_mount(client: &Client, token: &Secret, source: &Source) -> Result<Mount, ReadError> {
    let path = &source.path;
    match client.get(&format!("sys/internal/ui/mounts/{path}"), Some(token)).await {
        Ok(Answer { data, .. }) => {
            let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
            let version = data.get("options").and_then(|options| options.get("version")).and_then(Value::as_str);
            let kind = match (text("type"), version) {
                ("kv" | "generic", Some("2")) => MountKind::Kv2,
                ("kv" | "generic", _) => MountKind::Kv1,
                ("pki", _) => MountKind::Pki,
                _ => MountKind::Other,
            };
            let mount = text("path").trim_matches('/').to_owned();
            // In a namespace, the path of the mount can begin with the namespace, which the request names already.
            let mount = if path.starts_with(&format!("{mount}/")) { mount } else { first_segment(path) };
            Ok(Mount { path: mount, kind })
        }
        Err(VaultError::Denied) => {
            let mount = first_segment(path);
            let rest = path.strip_prefix(&format!("{mount}/")).unwrap_or_default();
            Err(ReadError::Denied {
                reason: format!(
                    "permission denied for `{path}`: the token's policies allow nothing there, or there is no mount \
                     `{mount}/`; add to a policy of the token: {} (without `data/` for a key-value engine of version 1)",
                    rule(&format!("{mount}/data/{rest}"), "read")
                ),
            })
        }
        Err(error @ VaultError::Outage { .. }) => Err(error.into()),
        // A proxy in front of the server does not let the request pass.
        Err(VaultError::Missing { .. } | VaultError::Rejected { .. }) => {
            Ok(Mount { path: first_segment(path), kind: MountKind::Other })
        }
    }
}

/// Reads a secret, or issues a certificate.
pub(crate) async fn read(client: &Client, token: &Secret, source: &Source, mount: &Mount) -> Result<Fields, ReadError> {
    // A request that issues a certificate would write to a key-value engine.
    if source.certificate.is_some() && matches!(mount.kind, MountKind::Kv1 | MountKind::Kv2) {
        let reason = format!("`{}` is in a key-value engine, which issues no certificates", source.path);
        return Err(ReadError::Failed { reason });
    }
    let request = request_path(source, mount);
    let answer = match &source.certificate {
        Some(parameters) => {
            let mut body = json!({ "private_key_format": "pkcs8", "format": "pem" });
            for (name, value) in parameters {
                body[name.as_str()] = value.as_str().into();
            }
            client.post(&request, Some(token), &body).await
        }
        None if mount.kind == MountKind::Pki && source.path.contains("/issue/") => {
            let path = &source.path;
            let reason = format!(
                "`{path}` issues certificates, so the reference needs a name; write {path}?common_name=bot.example.org"
            );
            return Err(ReadError::Failed { reason });
        }
        None => client.get(&request, Some(token)).await,
    };
    let answer = answer.map_err(|error| explain(error, source, mount, &request))?;
    fields(answer, source, mount)
}

/// Returns the path of the request for a secret.
pub(crate) fn request_path(source: &Source, mount: &Mount) -> String {
    let path = &source.path;
    match (&mount.kind, path.strip_prefix(&format!("{}/", mount.path))) {
        (MountKind::Kv2, Some(rest)) => format!("{}/data/{rest}", mount.path),
        _ => path.clone(),
    }
}

/// Returns the capability that a request for a secret needs.
pub(crate) fn capability(source: &Source) -> &'static str {
    if source.certificate.is_some() { "update" } else { "read" }
}

/// Returns the line of a policy that allows a request.
pub(crate) fn rule(path: &str, capability: &str) -> String {
    format!("path \"{path}\" {{ capabilities = [\"{capability}\"] }}")
}

fn explain(error: VaultError, source: &Source, mount: &Mount, request: &str) -> ReadError {
    let path = &source.path;
    match error {
        VaultError::Denied => {
            let line = rule(request, capability(source));
            ReadError::Denied {
                reason: format!("permission denied for `{request}`; add to a policy of the token: {line}"),
            }
        }
        VaultError::Missing { version: Some(DeletedVersion { number, destroyed: true }), .. } => ReadError::Failed {
            reason: format!("the newest version ({number}) of `{path}` was destroyed; write a new version"),
        },
        VaultError::Missing { version: Some(DeletedVersion { number, .. }), .. } => ReadError::Failed {
            reason: format!(
                "the newest version ({number}) of `{path}` was deleted; write a new version, or run: vault kv undelete \
                 -versions={number} {path}"
            ),
        },
        VaultError::Missing { text, .. } => {
            let text = text.map(|text| format!(" ({text})")).unwrap_or_default();
            let data = format!("{}/data/", mount.path);
            let hint = match path.strip_prefix(&data) {
                Some(rest) if mount.kind == MountKind::Kv2 => format!("; write {}/{rest}, without `data/`", mount.path),
                _ => "; check the path".to_owned(),
            };
            ReadError::Failed { reason: format!("there is no secret at `{path}`{text}{hint}") }
        }
        VaultError::Rejected { text } => {
            ReadError::Failed { reason: format!("the server rejects the request for `{path}`: {text}") }
        }
        error @ VaultError::Outage { .. } => error.into(),
    }
}

fn fields(answer: Answer, source: &Source, mount: &Mount) -> Result<Fields, ReadError> {
    let Answer { mut data, lease_id, lease_duration, renewable, .. } = answer;
    if mount.kind == MountKind::Kv2 {
        data = data.get_mut("data").map(Value::take).unwrap_or_default();
    }
    let Value::Object(mut values) = data else {
        return Err(ReadError::Failed { reason: format!("the answer for `{}` has no fields", source.path) });
    };
    let mut lifetime = None;
    if source.certificate.is_some() {
        values.insert(PEM.to_owned(), pem(&values).into());
        let expires = values.get("expiration").and_then(Value::as_i64).unwrap_or(0);
        let rest = expires.saturating_sub(Timestamp::now().as_second());
        // A clock that is ahead of the server's has no lifetime left; the certificate is then issued again after `refresh`.
        lifetime = u64::try_from(rest).ok().filter(|rest| *rest > 0).map(Duration::from_secs);
    }
    // A key-value engine of version 1 has a lease duration without a lease.
    let lease = (!lease_id.is_empty() && lease_duration > 0).then(|| Lease {
        id: lease_id,
        duration: Duration::from_secs(lease_duration),
        renewable,
    });
    Ok(Fields { values, lease, lifetime })
}

/// Returns a certificate, its chain and its private key as one PEM text.
fn pem(values: &Map<String, Value>) -> String {
    let text = |name: &str| values.get(name).and_then(Value::as_str).map(str::to_owned);
    let chain: Vec<String> = match values.get("ca_chain").and_then(Value::as_array) {
        Some(chain) => chain.iter().filter_map(|part| part.as_str().map(str::to_owned)).collect(),
        None => text("issuing_ca").into_iter().collect(),
    };
    let parts = text("certificate").into_iter().chain(chain).chain(text("private_key"));
    parts.map(|part| part.trim().to_owned() + "\n").collect()
}

impl Fields {
    /// Returns a field as text.
    ///
    /// # Errors
    /// The secret has no such field. The error is one line for people, with the names of the fields.
    pub(crate) fn get(&self, source: &Source, field: &str) -> Result<Secret, String> {
        match self.values.get(field) {
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err(format!("the field `{field}` of `{}` is empty", source.path))
            }
            // Each form of a value is searched in every text that leaves the host.
            Some(value) if value.to_string().len() > MAX_VALUE => {
                Err(format!("the field `{field}` of `{}` is larger than {} KiB", source.path, MAX_VALUE >> 10))
            }
            Some(Value::String(text)) => Ok(Secret::new(text.clone())),
            Some(Value::Array(items)) if source.certificate.is_some() => {
                let parts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                Ok(Secret::new(parts.join("\n")))
            }
            Some(value) if !value.is_null() => Ok(Secret::new(value.to_string())),
            _ => {
                let names: BTreeMap<&String, ()> = self.values.keys().map(|name| (name, ())).collect();
                let names: Vec<&str> = names.into_keys().map(String::as_str).collect();
                let has =
                    if names.is_empty() { "no fields".to_owned() } else { format!("the fields {}", names.join(", ")) };
                Err(wardroom::base::clean(&format!("`{}` has no field `{field}`; it has {has}", source.path)))
            }
        }
    }
}

/// Renews a lease. Returns its new duration; `None` if it cannot be renewed, so that the secret must be read again.
///
/// # Errors
/// The server does not answer.
pub(crate) async fn renew(client: &Client, token: &Secret, lease: &Lease) -> Result<Option<Duration>, ReadError> {
    if !lease.renewable {
        return Ok(None);
    }
    let body = json!({ "lease_id": lease.id, "increment": lease.duration.as_secs() });
    match client.post("sys/leases/renew", Some(token), &body).await {
        Ok(answer) => {
            let duration = Duration::from_secs(answer.lease_duration);
            // Near its maximum lifetime, a lease is renewed for less time than requested.
            Ok((duration.saturating_mul(2) >= lease.duration).then_some(duration))
        }
        Err(error @ VaultError::Outage { .. }) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn first_segment(path: &str) -> String {
    path.split('/').next().unwrap_or_default().to_owned()
}

/// The time of two thirds of a lifetime from now, and the time of its end.
pub(crate) fn schedule(lifetime: Duration, floor: Duration) -> (Instant, Instant) {
    let now = Instant::now();
    (now + crate::session::two_thirds(lifetime).max(floor), now + lifetime)
}
