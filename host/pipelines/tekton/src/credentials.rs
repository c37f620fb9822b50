//! The credentials of a cluster: a kubeconfig file, or the service account of the host's pod.
//!
//! Invariant: no program is started to get credentials, so a kubeconfig with an `exec` plugin or an `auth-provider` is
//! refused.
//! Invariant: no error contains text of the kubeconfig, because it contains secrets.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Config,
    config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use wardroom::base::{Secret, SecretRef, clean, remember_secret};
use wardroom_account::error_chain;

/// The folder that Kubernetes mounts into each pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The maximum time for opening a connection.
const MAX_CONNECT: Duration = Duration::from_secs(10);

/// Where the credentials are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A kubeconfig file.
    Kubeconfig {
        path: PathBuf,
        /// The context; `None` for the current one.
        context: Option<String>,
    },
    /// The service account of the pod.
    InCluster,
}

/// Credentials as they were read from their files.
pub(crate) struct Loaded {
    /// Without the token, because kube does not remove the line end of a token file.
    pub(crate) config: Config,
    pub(crate) token: Option<Token>,
    /// The content of the files. If it is the same after the server refused the credentials, a retry does not help.
    pub(crate) content: Vec<Vec<u8>>,
}

/// Checks a kubeconfig file that exists. A file that cannot be read is no problem, because it can appear later.
///
/// # Errors
/// The host cannot use the file: the reason for people.
pub(crate) fn check(path: &Path, context: Option<&str>) -> Result<(), String> {
    if fs::metadata(path).is_err() {
        return Ok(());
    }
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unreadable(path, &error))?;
    user_of(&kubeconfig, path, context).map(|_| ())
}

/// A bearer token.
#[derive(Debug, Clone)]
pub(crate) enum Token {
    /// A file, which is read for each request, because a token of a service account is replaced every hour.
    File(SecretRef),
    Value(Secret),
}

impl Token {
    /// Returns the token, and redacts it from now on.
    ///
    /// # Errors
    /// The file cannot be read: the reason for people.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        match self {
            Self::File(file) => file.resolve().map_err(|error| clean(&error.to_string())),
            Self::Value(token) => Ok(token.clone()),
        }
    }
}

impl Source {
    /// Reads the credentials. `timeout` is the timeout of a request.
    ///
    /// # Errors
    /// A file is missing or cannot be used: the reason for people.
    pub(crate) async fn load(&self, timeout: Duration) -> Result<Loaded, String> {
        let mut loaded = match self {
            Self::Kubeconfig { path, context } => load_kubeconfig(path, context.as_deref()).await?,
            Self::InCluster => {
                let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
                let address = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"));
                load_in_cluster(Path::new(SERVICE_ACCOUNT), address)?
            }
        };
        let config = &mut loaded.config;
        config.connect_timeout = Some(MAX_CONNECT.min(timeout * 3 / 4));
        // A request that starts a run must not be repeated by the client.
        config.default_retry = false;
        Ok(loaded)
    }
}

async fn load_kubeconfig(path: &Path, context: Option<&str>) -> Result<Loaded, String> {
    // 1. Read the file and its user.
    let text = fs::read(path).map_err(|error| cannot_read(path, &error.to_string()))?;
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unreadable(path, &error))?;
    let (user, cluster) = user_of(&kubeconfig, path, context)?;
    // 2. Redact its secrets from now on, and note what the other files contain.
    let shown = path.display();
    let mut content = vec![text];
    let mut token = user.token_file.as_ref().map(|file| Token::File(SecretRef::File(file.into())));
    for file in [&user.client_certificate, &user.client_key, &cluster.certificate_authority].into_iter().flatten() {
        content.push(fs::read(file).map_err(|error| cannot_read(Path::new(file), &error.to_string()))?);
    }
    // The types of kube hide secrets from `Debug`, but serialize them.
    if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(&user) {
        for key in ["token", "password"] {
            if let Some(secret) = fields.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty()) {
                let secret = Secret::new(secret.trim());
                remember_secret(&format!("`{key}` in {shown}"), &secret);
                if key == "token" {
                    token = Some(Token::Value(secret));
                }
            }
        }
    }
    if let Some(token) = &token {
        content.push(token.read()?.expose().as_bytes().to_vec());
    }
    // 3. Build the configuration.
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| unreadable(path, &error))?;
    // kube also reads a proxy from the environment, but compares the proxy's own address with `NO_PROXY`.
    config.proxy_url = match cluster.proxy_url.filter(|proxy| !proxy.is_empty()) {
        Some(proxy) => Some(proxy.parse().map_err(|_| format!("`proxy-url` in the kubeconfig {shown} is not a URL"))?),
        None => None,
    };
    (config.auth_info.token, config.auth_info.token_file) = (None, None);
    Ok(Loaded { config, token, content })
}

/// Returns the user and the cluster of a context.
fn user_of(kubeconfig: &Kubeconfig, path: &Path, context: Option<&str>) -> Result<(AuthInfo, Cluster), String> {
    let shown = path.display();
    let name = context.or(kubeconfig.current_context.as_deref()).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("the kubeconfig {shown} has no `current-context`; set `context`"))?;
    let found = kubeconfig.contexts.iter().find(|found| found.name == name).and_then(|found| found.context.as_ref());
    let found = found.ok_or_else(|| format!("the kubeconfig {shown} has no context `{}`", clean(name)))?;
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == found.cluster);
    let cluster = cluster.and_then(|cluster| cluster.cluster.as_ref());
    let cluster =
        cluster.ok_or_else(|| format!("the kubeconfig {shown} has no cluster `{}`", clean(&found.cluster)))?;
    let user_name = found.user.as_deref().unwrap_or_default();
    let user = kubeconfig.auth_infos.iter().find(|user| user.name == user_name);
    let user = user.and_then(|user| user.auth_info.clone());
    let user =
        user.ok_or_else(|| format!("the kubeconfig {shown} has no user `{}` with credentials", clean(user_name)))?;
    let plugin = match (&user.exec, &user.auth_provider) {
        (Some(_), _) => Some("an `exec` plugin"),
        (None, Some(_)) => Some("an `auth-provider`"),
        (None, None) => None,
    };
    if let Some(plugin) = plugin {
        return Err(format!(
            "the user `{}` of the kubeconfig {shown} has {plugin}, and the host starts no program to get credentials; \
             use a token file or a client certificate",
            clean(user_name)
        ));
    }
    Ok((user, cluster.clone()))
}

/// Returns the configuration of a pod. `folder` has the files of its service account, `address` the host and the port of
/// the API server.
fn load_in_cluster(folder: &Path, address: (Option<String>, Option<String>)) -> Result<Loaded, String> {
    let (Some(host), Some(port)) = address else {
        return Err("`in_cluster` is set, but the host runs in no pod of a cluster: `KUBERNETES_SERVICE_HOST` and \
                    `KUBERNETES_SERVICE_PORT` are not set; use `kubeconfig`"
            .to_owned());
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let url = format!("https://{host}:{port}");
    let url = url.parse().map_err(|_| format!("`{}` is not the address of an API server", clean(&url)))?;
    let (token_file, ca) = (folder.join("token"), folder.join("ca.crt"));
    let token = Token::File(SecretRef::File(token_file));
    let first = token.read()?;
    let certificates = fs::read(&ca).map_err(|error| cannot_read(&ca, &error.to_string()))?;
    let mut config = Config::new(url);
    // kube reads the file again when it is replaced.
    config.root_cert_file = Some(ca);
    Ok(Loaded { config, token: Some(token), content: vec![first.expose().as_bytes().to_vec(), certificates] })
}

fn cannot_read(path: &Path, reason: &str) -> String {
    format!("the file {} cannot be read: {reason}", path.display())
}

/// Returns the text for a kubeconfig that cannot be used. The error of a parser can contain a part of the file.
fn unreadable(path: &Path, error: &KubeconfigError) -> String {
    let shown = path.display();
    match error {
        KubeconfigError::Parse(_) => format!("the file {shown} is not a kubeconfig in YAML"),
        KubeconfigError::ReadConfig(cause, _) => cannot_read(path, &cause.to_string()),
        other => format!("the kubeconfig {shown} cannot be used: {}", clean(&error_chain(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTERS: &str = "clusters:\n- name: c\n  cluster: {server: 'https://k8s.example.org:6443'}\ncontexts:\n- name: \
                            dev\n  context: {cluster: c, user: u}\ncurrent-context: dev\n";

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kube.config");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_kubeconfig_that_needs_a_program_is_refused() {
        for (user, reason) in [
            ("exec: {apiVersion: v1, command: aws}", "an `exec` plugin"),
            ("auth-provider: {name: gcp, config: {}}", "an `auth-provider`"),
        ] {
            let (_folder, path) = written(&format!("{CLUSTERS}users:\n- name: u\n  user:\n    {user}\n"));
            let expected = format!(
                "the user `u` of the kubeconfig {} has {reason}, and the host starts no program to get credentials; use a \
                 token file or a client certificate",
                path.display()
            );
            assert_eq!(check(&path, None).unwrap_err(), expected);
        }
    }

    #[test]
    fn an_incomplete_kubeconfig_is_a_problem_that_shows_no_secret() {
        let user = "users:\n- name: u\n  user: {token: hunter2-hunter2}\n";
        for (text, context, reason) in [
            (format!("{CLUSTERS}{user}"), Some("prod"), "has no context `prod`"),
            (user.to_owned(), None, "has no `current-context`; set `context`"),
            (CLUSTERS.to_owned(), None, "has no user `u` with credentials"),
            (CLUSTERS.replace("cluster: c", "cluster: d") + user, None, "has no cluster `d`"),
            (format!("{user}  - ]: {{"), None, "is not a kubeconfig in YAML"),
        ] {
            let (_folder, path) = written(&text);
            let problem = check(&path, context).unwrap_err();
            assert!(problem.contains(reason) && !problem.contains("hunter2"), "{problem}");
        }
        assert_eq!(check(Path::new("/nowhere/kube.config"), None), Ok(()), "it can appear later");
    }

    #[tokio::test]
    async fn a_kubeconfig_is_loaded_with_its_proxy_and_without_retries() {
        let proxied = CLUSTERS.replace("6443'", "6443', proxy-url: 'http://proxy.example.org:3128'");
        let (folder, path) = written(&format!("{proxied}users:\n- name: u\n  user: {{tokenFile: token}}\n"));
        let source = Source::Kubeconfig { path: path.clone(), context: None };
        let load = async || source.load(Duration::from_secs(8)).await;
        let missing = load().await.err().unwrap();
        assert!(missing.contains("token` cannot be read"), "{missing}");
        fs::write(folder.path().join("token"), "token-1234567\n").unwrap();
        let first = load().await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(first.config.cluster_url.to_string(), "https://k8s.example.org:6443/");
        assert_eq!(first.config.proxy_url.unwrap().to_string(), "http://proxy.example.org:3128/");
        assert_eq!((first.config.default_retry, first.config.connect_timeout), (false, Some(Duration::from_secs(6))));
        fs::write(folder.path().join("token"), "token-7654321\n").unwrap();
        let second = load().await.unwrap_or_else(|error| panic!("{error}"));
        assert!(second.content != first.content, "another token");
        let token = second.token.unwrap().read().unwrap();
        assert_eq!(token.expose(), "token-7654321", "without the line end");
    }

    #[test]
    fn a_pod_uses_its_service_account() {
        let folder = tempfile::tempdir().unwrap();
        let load = |host: &str| load_in_cluster(folder.path(), (Some(host.to_owned()), Some("443".to_owned())));
        assert!(load("10.0.0.1").err().unwrap().contains("token` cannot be read"));
        fs::write(folder.path().join("token"), "token-1234567").unwrap();
        assert!(load("10.0.0.1").err().unwrap().contains("ca.crt cannot be read"));
        fs::write(folder.path().join("ca.crt"), "-----BEGIN CERTIFICATE-----").unwrap();
        let url = |host: &str| load(host).unwrap_or_else(|error| panic!("{error}")).config.cluster_url.to_string();
        assert_eq!(
            (url("10.0.0.1"), url("fd00::1")),
            ("https://10.0.0.1:443/".into(), "https://[fd00::1]:443/".into())
        );
        let outside = load_in_cluster(folder.path(), (None, None)).err().unwrap();
        assert!(outside.contains("the host runs in no pod"), "{outside}");
    }
}
