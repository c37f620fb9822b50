//! Reads the tables `[vault.NAME]` of `plugins.toml`.
//!
//! Invariant: reading a table opens no connection and resolves no secret. The secrets of these tables are variables or
//! files, because a secret store reads its tables before the others (`SecretsFactory::read`).

use std::{path::PathBuf, time::Duration};

use reqwest::Url;
use wardroom::base::{Key, KeyKind, SecretRef, SecretScope, Table, TableKeys};
use wardroom_account::read_server_url;

/// The shortest and the longest timeout of a request.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// The shortest and the longest interval between two reads of a secret.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
/// Where Kubernetes mounts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The top-level keys of the file.
pub(crate) const FILE_KEYS: &[Key] =
    &[Key::tables("vault", &SERVER_KEYS, "The servers of Vault or OpenBao whose secrets the file refers to.")];

pub(crate) static SERVER_KEYS: TableKeys = TableKeys {
    path: "vault.NAME",
    about: "A server of Vault or OpenBao. A reference to one of its secrets is `{ vault = \"NAME:PATH#FIELD\" }`. Exactly \
            one login is required: `token`, `approle`, `kubernetes` or `cert`. The secrets of this table are variables or \
            files. The table requires a host that is built with the feature `vault`.",
    keys: &[
        Key::string("url", "The URL of the server, http or https, without `/v1`.").required(),
        Key::string("namespace", "The namespace of all paths and of the login."),
        Key::string("ca", "A PEM file with certificates that are trusted in addition to the system's certificates."),
        Key::duration("timeout", "The timeout of each request.").between(TIMEOUTS.0, TIMEOUTS.1).default("10s"),
        Key::duration(
            "refresh",
            "The interval after which a secret without a lease is read again. A secret with a lease is renewed at two \
             thirds of its lease.",
        )
        .between(INTERVALS.0, INTERVALS.1)
        .default("5m"),
        Key::strings(
            "environments",
            "The environments whose pipelines may use the secrets of this server, also through a `[pipelines.NAME]`. \
             Without this key, every pipeline may.",
        ),
        Key::secret("token", "A token, for example a file that an agent rewrites.")
            .required_unless("with another login"),
        Key::table("approle", &APPROLE_KEYS, "The login with AppRole."),
        Key::table("kubernetes", &KUBERNETES_KEYS, "The login with the service account of a Kubernetes pod."),
        Key::table("cert", &CERT_KEYS, "The login with a TLS client certificate."),
    ],
};

static APPROLE_KEYS: TableKeys = TableKeys {
    path: "vault.NAME.approle",
    about: "The login with AppRole. Exactly one of `secret_id` and `wrapped_secret_id` is required.",
    keys: &[
        Key::new("role_id", KeyKind::StringOrSecret, "The id of the role.").required(),
        Key::secret("secret_id", "The secret id.").required_unless("with `wrapped_secret_id`"),
        Key::secret(
            "wrapped_secret_id",
            "A wrapping token whose content is the secret id. It can be used once: the host keeps the secret id in memory, \
             and needs a new wrapping token after a restart.",
        ),
        Key::string("mount", "The path of the auth method.").default("approle"),
    ],
};

static KUBERNETES_KEYS: TableKeys = TableKeys {
    path: "vault.NAME.kubernetes",
    about: "The login with the service account of a Kubernetes pod.",
    keys: &[
        Key::string("role", "The role of the auth method.").required(),
        Key::string("token_file", "The token of the service account. The file is read again for each login.")
            .default(SERVICE_ACCOUNT),
        Key::string("mount", "The path of the auth method.").default("kubernetes"),
    ],
};

static CERT_KEYS: TableKeys = TableKeys {
    path: "vault.NAME.cert",
    about: "The login with a TLS client certificate. The files are read again for each login.",
    keys: &[
        Key::string("cert", "The PEM file with the certificate and its chain.").required(),
        Key::string("key", "The PEM file with the private key.").required(),
        Key::string("role", "The name of the role. Without this key, the server tries each role."),
        Key::string("mount", "The path of the auth method.").default("cert"),
    ],
};

/// A `[vault.NAME]` table.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// The path of the table: `vault.NAME`.
    pub(crate) name: String,
    pub(crate) url: Url,
    pub(crate) namespace: Option<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) timeout: Duration,
    pub(crate) refresh: Duration,
    pub(crate) scope: Option<SecretScope>,
    pub(crate) login: Login,
}

/// How the host logs in.
#[derive(Debug, Clone)]
pub(crate) enum Login {
    Token(SecretRef),
    AppRole { mount: String, role: RoleId, secret: SecretId },
    Kubernetes { mount: String, role: String, token_file: PathBuf },
    Cert { mount: String, cert: PathBuf, key: PathBuf, role: Option<String> },
}

#[derive(Debug, Clone)]
pub(crate) enum RoleId {
    Text(String),
    Secret(SecretRef),
}

#[derive(Debug, Clone)]
pub(crate) enum SecretId {
    Plain(SecretRef),
    Wrapped(SecretRef),
}

impl Server {
    /// Reads a table. Returns `None` if a key is missing or invalid; the configuration problems are added to the table.
    pub(crate) fn read(mut table: Table) -> Option<Self> {
        let before = table.problems().count();
        let url = read_server_url(&mut table, "url", "https://vault.example.org:8200", |url| {
            let path = url.path().trim_end_matches('/');
            let is_page =
                path.ends_with("/v1") || path.contains("/v1/") || path.ends_with("/ui") || path.contains("/ui/");
            is_page.then_some("is the URL of the API or of a page; write the URL of the server itself")
        });
        let namespace = table.string("namespace");
        if let Some(namespace) = namespace.as_ref().filter(|text| !is_header_text(&text.value)) {
            let message = format!("`{}.namespace` is not a namespace", table.path());
            table.problem(&namespace.at, message, "namespace = \"team1\"".to_owned());
        }
        let ca = table.string("ca").map(|path| table.folder().join(path.value));
        let (timeout, refresh) = (table.duration_or_default("timeout"), table.duration_or_default("refresh"));
        let scope = table.strings("environments").map(|list| SecretScope {
            table: table.path().to_owned(),
            environments: list.value.into_iter().map(|name| name.value).collect(),
            at: list.at,
        });
        if let Some(scope) = scope.as_ref().filter(|scope| scope.environments.is_empty()) {
            let message = format!("`{}.environments` is empty, so no pipeline may use the secrets", table.path());
            table.problem(&scope.at, message, "environments = [\"production\"]".to_owned());
        }
        let login = read_login(&mut table);
        let name = table.path().to_owned();
        let problems = table.problems().clone();
        table.finish();
        let namespace = namespace.map(|text| text.value.trim_matches('/').to_owned());
        let server = Self { name, url: url?, namespace, ca, timeout, refresh, scope, login: login? };
        (problems.count() == before).then_some(server)
    }
}

fn read_login(table: &mut Table) -> Option<Login> {
    let kinds = ["token", "approle", "kubernetes", "cert"];
    let given: Vec<&str> = kinds.into_iter().filter(|kind| table.has(kind)).collect();
    if given.len() != 1 {
        if given.is_empty() {
            let message = format!("[{}] has no login: `token`, `approle`, `kubernetes` or `cert`", table.path());
            table.problem(table.at(), message, "token = { file = \"/run/vault-agent/token\" }".to_owned());
        } else {
            let message = format!("[{}] has several logins: {}; only one is allowed", table.path(), given.join(", "));
            table.problem(table.at(), message, "nothing; remove all but one of them".to_owned());
        }
    }
    // Read every login, so that none is reported as unknown.
    let token = table.secret("token").map(|secret| Login::Token(secret.value));
    let approle = table.table("approle").and_then(read_approle);
    let kubernetes = table.table("kubernetes").and_then(read_kubernetes);
    let cert = table.table("cert").and_then(read_cert);
    token.or(approle).or(kubernetes).or(cert)
}

fn read_approle(mut table: Table) -> Option<Login> {
    let mount = read_mount(&mut table);
    let role = if table.is_table("role_id") {
        table.secret("role_id").map(|secret| RoleId::Secret(secret.value))
    } else {
        let example = "\"4a1c9a66-7b1e-8f6b-dd37-60f3ff3bd6a0\"";
        table.required_string("role_id", example).map(|text| RoleId::Text(text.value))
    };
    let secret = match (table.has("secret_id"), table.has("wrapped_secret_id")) {
        (true, true) => {
            let _ = (table.secret("secret_id"), table.secret("wrapped_secret_id"));
            let message =
                format!("[{}] has both `secret_id` and `wrapped_secret_id`; only one is allowed", table.path());
            table.problem(table.at(), message, "secret_id = { file = \"/etc/wardroom/vault-secret-id\" }".to_owned());
            None
        }
        (false, true) => table.secret("wrapped_secret_id").map(|secret| SecretId::Wrapped(secret.value)),
        (true, false) => table.secret("secret_id").map(|secret| SecretId::Plain(secret.value)),
        (false, false) => {
            table.missing("secret_id", "{ file = \"/etc/wardroom/vault-secret-id\" }");
            None
        }
    };
    table.finish();
    Some(Login::AppRole { mount: mount?, role: role?, secret: secret? })
}

fn read_kubernetes(mut table: Table) -> Option<Login> {
    let mount = read_mount(&mut table);
    let role = table.required_string("role", "\"wardroom\"").map(|text| text.value);
    let token_file = table.string_or_default("token_file");
    let token_file = table.folder().join(token_file);
    table.finish();
    Some(Login::Kubernetes { mount: mount?, role: role?, token_file })
}

fn read_cert(mut table: Table) -> Option<Login> {
    let mount = read_mount(&mut table);
    let folder = table.folder().to_owned();
    let cert = table.required_string("cert", "\"client.pem\"").map(|path| folder.join(path.value));
    let key = table.required_string("key", "\"client-key.pem\"").map(|path| folder.join(path.value));
    let role = table.string("role").map(|text| text.value);
    table.finish();
    Some(Login::Cert { mount: mount?, cert: cert?, key: key?, role })
}

/// Reads the path of an auth method. Slashes around it do not matter.
fn read_mount(table: &mut Table) -> Option<String> {
    let at = table.at_key("mount");
    let mount = table.string_or_default("mount");
    let mount = mount.trim_matches('/');
    let mount = mount.strip_prefix("auth/").unwrap_or(mount);
    let is_valid = |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && is_header_text(segment);
    if mount.split('/').all(is_valid) {
        return Some(mount.to_owned());
    }
    let message = format!("`{}.mount` is not the path of an auth method", table.path());
    table.problem(&at, message, "mount = \"approle\"".to_owned());
    None
}

fn is_header_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
