//! A real OpenBao server in development mode, with an administrator's requests, for tests.
//!
//! `cargo xtask test` installs the program and sets the variable `WARDROOM_OPENBAO` to its path.
//!
//! Invariant: dropping a [`Bao`] kills the process, also after a failed test.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

/// Timeout of each wait. It is much longer than a wait, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The token of the administrator.
pub const ROOT: &str = "root-token-of-the-tests";
/// The policy of the tests: what the host may read.
const POLICY: &str = r#"
path "secret/data/ci/*" { capabilities = ["read"] }
path "kv1/ci/*" { capabilities = ["read"] }
path "pki/issue/gate" { capabilities = ["update"] }
path "rabbitmq/creds/*" { capabilities = ["read"] }
"#;

/// A running server, or one that was killed.
pub struct Bao {
    child: Option<Child>,
    port: u16,
    unseal_key: String,
    tls: Option<tempfile::TempDir>,
    http: reqwest::Client,
}

impl Bao {
    /// Starts a server with the policy `ci`, and a key-value engine of version 2 at `secret/`.
    pub async fn start() -> Self {
        Self::started(None).await
    }

    /// Starts a server with a certificate of its own authority.
    pub async fn start_with_tls() -> Self {
        Self::started(Some(tempfile::tempdir().unwrap())).await
    }

    async fn started(tls: Option<tempfile::TempDir>) -> Self {
        let http = reqwest::Client::new();
        let mut bao = Self { child: None, port: 0, unseal_key: String::new(), tls, http };
        // Another process can take a free port before the server does.
        while bao.child.is_none() {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            bao.launch(free);
        }
        if let Some(tls) = &bao.tls {
            let ca = fs::read(tls.path().join("vault-ca.pem")).unwrap();
            let ca = reqwest::Certificate::from_pem(&ca).unwrap();
            bao.http = reqwest::Client::builder().tls_certs_merge([ca]).build().unwrap();
        }
        bao.set_up().await;
        bao
    }

    /// Starts the process. Waits until it serves, or has ended.
    fn launch(&mut self, port: u16) {
        let program = std::env::var_os("WARDROOM_OPENBAO").expect("`cargo xtask test` sets WARDROOM_OPENBAO");
        let mut command = Command::new(program);
        command.args(["server", "-dev", "-dev-no-store-token", "-log-level=error"]);
        command.arg(format!("-dev-root-token-id={ROOT}")).arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        if let Some(tls) = &self.tls {
            command.arg("-dev-tls").arg(format!("-dev-tls-cert-dir={}", tls.path().display()));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (send, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| {
                let _ = send.send(line);
            });
        });
        let until = Instant::now() + PATIENCE;
        // The line with the root token is the last one of the start.
        while let Ok(line) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if let Some(key) = line.strip_prefix("Unseal Key: ") {
                self.unseal_key = key.to_owned();
            }
            if line.starts_with("Root Token: ") {
                (self.child, self.port) = (Some(child), port);
                return;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    async fn set_up(&self) {
        self.put("sys/policies/acl/ci", json!({ "policy": POLICY })).await;
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts a new server on the same port, whose storage is empty except for the policy.
    pub async fn restart(&mut self) {
        self.kill();
        let port = self.port;
        while self.child.is_none() {
            self.launch(port);
        }
        self.set_up().await;
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls.is_some() { "https" } else { "http" }, self.port)
    }

    /// Returns the path of the authority's certificate.
    pub fn ca(&self) -> String {
        self.tls.as_ref().unwrap().path().join("vault-ca.pem").display().to_string()
    }

    /// Seals the server.
    pub async fn seal(&self) {
        self.put("sys/seal", json!({})).await;
    }

    /// Unseals the server.
    pub async fn unseal(&self) {
        self.put("sys/unseal", json!({ "key": self.unseal_key })).await;
    }

    /// Sends an administrator's request and returns the answer, which must be a success.
    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Value {
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.url())).header("X-Vault-Token", ROOT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.timeout(Duration::from_secs(30)).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Sends a POST request.
    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.request(Method::POST, path, &[], Some(body)).await
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> Value {
        self.request(Method::GET, path, &[], None).await
    }

    /// Lists; an empty list is an answer with status 404.
    pub async fn get_if_any(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}/v1/{path}", self.url())).header("X-Vault-Token", ROOT);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Sends a DELETE request.
    pub async fn delete(&self, path: &str) {
        self.request(Method::DELETE, path, &[], None).await;
    }

    /// Writes a key-value secret of version 2.
    pub async fn write(&self, path: &str, fields: Value) {
        self.put(&format!("secret/data/{path}"), json!({ "data": fields })).await;
    }

    /// Creates a token with the policy `ci`.
    pub async fn token(&self, more: Value) -> String {
        let mut body = json!({ "policies": ["ci"], "ttl": "1h", "no_parent": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        text(&self.put("auth/token/create", body).await["auth"]["client_token"])
    }

    /// Returns the accessors of the tokens that logins at this path have created.
    pub async fn logins(&self, path: &str) -> Vec<String> {
        let listed = self.get("auth/token/accessors?list=true").await;
        let mut found = Vec::new();
        for accessor in listed["data"]["keys"].as_array().unwrap() {
            let request = self.http.post(format!("{}/v1/auth/token/lookup-accessor", self.url()));
            let request = request.header("X-Vault-Token", ROOT).json(&json!({ "accessor": accessor }));
            // A token can expire in between.
            let token: Value = request.send().await.unwrap().json().await.unwrap();
            if token["data"]["path"] == path {
                found.push(text(accessor));
            }
        }
        found
    }

    /// Revokes a token.
    pub async fn revoke(&self, token: &str) {
        self.put("auth/token/revoke", json!({ "token": token })).await;
    }

    /// Returns whether a token is valid.
    pub async fn is_valid(&self, token: &str) -> bool {
        let request = self.http.get(format!("{}/v1/auth/token/lookup-self", self.url())).header("X-Vault-Token", token);
        request.send().await.unwrap().status().is_success()
    }

    /// Enables AppRole with a role `host`. Returns the role id.
    pub async fn approle(&self, role: Value) -> String {
        self.put("sys/auth/approle", json!({ "type": "approle" })).await;
        let mut body = json!({ "token_policies": "ci", "token_ttl": "1h" });
        body.as_object_mut().unwrap().extend(role.as_object().unwrap().clone());
        self.put("auth/approle/role/host", body).await;
        text(&self.get("auth/approle/role/host/role-id").await["data"]["role_id"])
    }

    /// Returns a new secret id of the role `host`.
    pub async fn secret_id(&self) -> String {
        text(&self.put("auth/approle/role/host/secret-id", json!({})).await["data"]["secret_id"])
    }

    /// Returns a wrapping token for the answer to a request.
    pub async fn wrapped(&self, path: &str) -> String {
        let headers = [("X-Vault-Wrap-TTL", "60s")];
        let answer = self.request(Method::POST, path, &headers, Some(json!({}))).await;
        text(&answer["wrap_info"]["token"])
    }

    /// Enables an authority for the role `gate` below `example.org`. Returns its certificate.
    pub async fn pki(&self, role: Value) -> String {
        self.put("sys/mounts/pki", json!({ "type": "pki" })).await;
        let root = json!({ "common_name": "authority of the tests", "ttl": "8760h", "key_type": "ec" });
        let root = self.put("pki/root/generate/internal", root).await;
        let mut body =
            json!({ "allowed_domains": "example.org", "allow_subdomains": true, "key_type": "ec", "key_bits": 256 });
        body.as_object_mut().unwrap().extend(role.as_object().unwrap().clone());
        self.put("pki/roles/gate", body).await;
        text(&root["data"]["certificate"])
    }
}

/// Returns a JSON text. Panics if the value is not a text.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.kill();
    }
}
