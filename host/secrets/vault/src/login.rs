//! Logs in to a Vault server with each kind of login.
//!
//! Invariant: a wrapping token is unwrapped once, and only if it was made for a secret id. Its secret id is then kept in
//! memory for later logins.
//! Invariant: each token and secret id is redacted before it is used.

use std::path::PathBuf;

use serde_json::{Value, json};
use wardroom::base::{Secret, SecretRef, remember_secret};

use crate::{
    client::{Auth, Client},
    config::{Login, RoleId, SecretId, Server},
    error::VaultError,
};

/// A login that failed. The reason is one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginError {
    pub(crate) reason: String,
    /// Whether the server did not answer, so that the same login can succeed later.
    pub(crate) is_outage: bool,
    pub(crate) retry_after: Option<std::time::Duration>,
}

/// The token of a login, and what the server says about it.
pub(crate) struct Granted {
    pub(crate) token: Secret,
    /// Whether the host logged in by itself, so that it also logs out.
    pub(crate) is_own: bool,
    /// The lifetime in seconds; 0 if the token does not expire.
    pub(crate) ttl: u64,
    pub(crate) renewable: bool,
    pub(crate) policies: Vec<String>,
}

/// The secret id of a wrapping token that was unwrapped.
#[derive(Default)]
pub(crate) struct Unwrapped {
    /// The wrapping token, and its secret id.
    known: Option<(Secret, Secret)>,
}

impl LoginError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_outage: false, retry_after: None }
    }

    fn outage(reason: String, retry_after: Option<std::time::Duration>) -> Self {
        Self { reason, is_outage: true, retry_after }
    }
}

/// Logs in.
///
/// # Errors
/// A secret of the login cannot be read, or the server rejects the login or does not answer.
pub(crate) async fn log_in(server: &Server, client: &Client, unwrapped: &mut Unwrapped) -> Result<Granted, LoginError> {
    let (path, body) = match &server.login {
        Login::Token(reference) => return given_token(client, &resolve(reference)?).await,
        Login::AppRole { mount, role, secret } => {
            let role_id = match role {
                RoleId::Text(text) => text.clone(),
                RoleId::Secret(reference) => resolve(reference)?.expose().to_owned(),
            };
            let secret_id = match secret {
                SecretId::Plain(reference) => resolve(reference)?,
                SecretId::Wrapped(reference) => unwrap(server, client, mount, reference, unwrapped).await?,
            };
            (format!("auth/{mount}/login"), json!({ "role_id": role_id, "secret_id": secret_id.expose() }))
        }
        Login::Kubernetes { mount, role, token_file } => {
            let jwt = resolve(&SecretRef::File(token_file.clone()))?;
            (format!("auth/{mount}/login"), json!({ "role": role, "jwt": jwt.expose() }))
        }
        Login::Cert { mount, role, .. } => {
            let body = role.as_ref().map_or_else(|| json!({}), |role| json!({ "name": role }));
            (format!("auth/{mount}/login"), body)
        }
    };
    let answer = client.post(&path, None, &body).await.map_err(|error| refused(server, client, &path, error))?;
    let auth = answer.auth.ok_or_else(|| {
        LoginError::new(format!("the login at `{path}` returned no token; multi-factor logins are not supported"))
    })?;
    Ok(granted(server, auth))
}

/// Returns the secrets of the login as they are now, to find out whether they have changed. Leaves out what cannot be
/// read.
pub(crate) fn credentials(server: &Server) -> Vec<Secret> {
    let read = |path: &PathBuf| SecretRef::File(path.clone()).resolve().ok();
    let secret = |reference: &SecretRef| reference.resolve().ok();
    let found = match &server.login {
        Login::Token(reference) => [secret(reference), None],
        Login::AppRole { role, secret: SecretId::Plain(id) | SecretId::Wrapped(id), .. } => match role {
            RoleId::Text(_) => [secret(id), None],
            RoleId::Secret(role) => [secret(role), secret(id)],
        },
        Login::Kubernetes { token_file, .. } => [read(token_file), None],
        Login::Cert { cert, key, .. } => [read(cert), read(key)],
    };
    found.into_iter().flatten().collect()
}

fn granted(server: &Server, auth: Auth) -> Granted {
    let token = Secret::new(auth.client_token);
    remember_secret(&format!("the token of {}", server.name), &token);
    let Auth { policies, lease_duration, renewable, .. } = auth;
    Granted { token, is_own: true, ttl: lease_duration, renewable, policies }
}

/// Looks up a token that somebody else created.
async fn given_token(client: &Client, token: &Secret) -> Result<Granted, LoginError> {
    let answer = client.get("auth/token/lookup-self", Some(token)).await.map_err(|error| match error {
        VaultError::Outage { reason, retry_after } => LoginError::outage(reason, retry_after),
        _ => LoginError::new(
            "the token is not valid: it has expired, was revoked or belongs to another server or namespace; put a new token \
             into `token`",
        ),
    })?;
    let number = |name: &str| answer.data.get(name).and_then(Value::as_u64).unwrap_or(0);
    let policies = answer.data.get("policies").and_then(Value::as_array).into_iter().flatten();
    Ok(Granted {
        token: token.clone(),
        is_own: false,
        ttl: number("ttl"),
        renewable: answer.data.get("renewable").and_then(Value::as_bool).unwrap_or(false),
        policies: policies.filter_map(|policy| policy.as_str().map(str::to_owned)).collect(),
    })
}

/// Returns the secret id in a wrapping token. A wrapping token that was unwrapped before is not sent again.
async fn unwrap(
    server: &Server,
    client: &Client,
    mount: &str,
    reference: &SecretRef,
    unwrapped: &mut Unwrapped,
) -> Result<Secret, LoginError> {
    // A host that has the secret id no longer needs the wrapping token, whose file may be gone.
    let wrapping = match (resolve(reference), &unwrapped.known) {
        (Ok(wrapping), Some((known, secret))) if wrapping == *known => return Ok(secret.clone()),
        (Ok(wrapping), _) => wrapping,
        (Err(_), Some((_, secret))) => return Ok(secret.clone()),
        (Err(error), None) => return Err(error),
    };
    check_wrapping(client, mount, &wrapping).await?;
    let answer = client
        .post("sys/wrapping/unwrap", Some(&wrapping), &json!({}))
        .await
        .map_err(|error| wrapping_error(reference, error))?;
    let secret = answer.data.get("secret_id").and_then(Value::as_str).map(Secret::new).ok_or_else(|| {
        LoginError::new(format!(
            "the wrapping token {reference} does not contain a secret id; wrap the secret id of the role"
        ))
    })?;
    remember_secret(&format!("the secret id of {}", server.name), &secret);
    unwrapped.known = Some((wrapping, secret.clone()));
    Ok(secret)
}

/// Returns whether a wrapping token that was made at `path` has a secret id of the mount. In a namespace, the path can begin
/// with the namespace.
fn is_secret_id(path: &str, namespace: Option<&str>, mount: &str) -> bool {
    let namespace = namespace.map(|namespace| format!("{}/", namespace.trim_matches('/')));
    let path = namespace.and_then(|namespace| path.strip_prefix(&namespace)).unwrap_or(path);
    let role = path.strip_prefix(&format!("auth/{mount}/role/")).and_then(|rest| rest.strip_suffix("/secret-id"));
    role.is_some_and(|role| !role.is_empty() && !role.contains('/'))
}

/// Checks a wrapping token without using it.
///
/// # Errors
/// The token was used, has expired, or was not made for a secret id. Somebody who intercepts a wrapping token can put
/// another one in its place.
pub(crate) async fn check_wrapping(client: &Client, mount: &str, wrapping: &Secret) -> Result<(), LoginError> {
    let looked_up = client.post("sys/wrapping/lookup", None, &json!({ "token": wrapping.expose() })).await;
    let answer = looked_up.map_err(|error| wrapping_error("`wrapped_secret_id`", error))?;
    let path = answer.data.get("creation_path").and_then(Value::as_str).unwrap_or_default();
    if is_secret_id(path, client.namespace(), mount) {
        return Ok(());
    }
    Err(LoginError::new(format!(
        "the wrapping token was made at `{}` and not at `auth/{mount}/role/ROLE/secret-id`, so somebody may have replaced it; \
         revoke the secret ids of the role, and deliver a new wrapping token",
        wardroom::base::clean(path)
    )))
}

fn wrapping_error(reference: impl std::fmt::Display, error: VaultError) -> LoginError {
    match error {
        VaultError::Outage { reason, retry_after } => LoginError::outage(reason, retry_after),
        _ => LoginError::new(format!(
            "the wrapping token {reference} was already used or has expired; if it was not this host that used it, somebody \
             may have intercepted it: revoke the secret ids of the role, and deliver a new wrapping token"
        )),
    }
}

fn refused(server: &Server, client: &Client, path: &str, error: VaultError) -> LoginError {
    let what = match &server.login {
        Login::Token(_) => "the token",
        Login::AppRole { .. } => "the role id or the secret id",
        Login::Kubernetes { .. } => "the service account or the role",
        Login::Cert { .. } => "the client certificate or the role",
    };
    let server = client.server();
    match error {
        VaultError::Outage { reason, retry_after } => LoginError::outage(reason, retry_after),
        VaultError::Denied => LoginError::new(format!(
            "{server} refuses the login at `{path}` (permission denied); check {what}, and that the auth method exists"
        )),
        VaultError::Missing { .. } => {
            LoginError::new(format!("{server} has no auth method at `{path}`; check `mount` and `namespace`"))
        }
        VaultError::Rejected { text } => {
            LoginError::new(format!("{server} refuses the login at `{path}` ({text}); check {what}"))
        }
    }
}

/// Resolves a secret of the login.
pub(crate) fn resolve(reference: &SecretRef) -> Result<Secret, LoginError> {
    reference.resolve().map_err(|error| LoginError::new(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_id_of_the_mount_is_accepted() {
        for (path, namespace) in [
            ("auth/approle/role/wardroom/secret-id", None),
            ("team1/auth/approle/role/wardroom/secret-id", Some("team1/")),
            ("auth/approle/role/wardroom/secret-id", Some("team1")),
        ] {
            assert!(is_secret_id(path, namespace, "approle"), "{path}");
        }
        for path in [
            "cubbyhole/auth/approle/role/x/secret-id",
            "auth/approle/role/x/y/secret-id",
            "auth/approle/role//secret-id",
            "auth/other/role/x/secret-id",
            "auth/approle/role/x/secret-id/lookup",
            "team2/auth/approle/role/x/secret-id",
        ] {
            assert!(!is_secret_id(path, Some("team1"), "approle"), "{path}");
        }
    }
}
