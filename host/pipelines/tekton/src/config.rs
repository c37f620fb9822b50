//! Reads the configuration of a Tekton backend, `[pipelines.NAME]`.
//!
//! Invariant: reading a table opens no connection and keeps no secret. A kubeconfig that exists is read once, so that
//! `wardroom check` reports one that the host cannot use.
//! Not here: the table of a pipeline (`pipeline`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use wardroom::base::{Key, Table, TableKeys, Template};

use crate::{
    credentials::{self, Source},
    names::is_label,
};

/// The shortest and the longest timeout of a request.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(300));
/// The placeholders of `link`.
const LINK_PLACEHOLDERS: [&str; 2] = ["namespace", "run"];

/// The keys of a Tekton backend in `[pipelines.NAME]`.
pub(crate) static SYSTEM_KEYS: TableKeys = TableKeys {
    path: "pipelines.NAME",
    about: "Tekton in a Kubernetes cluster (`kind = \"tekton\"`). The table requires a host that is built with the \
            feature `tekton`.",
    keys: &[
        Key::string(
            "kubeconfig",
            "A kubeconfig file with the address of the cluster and the credentials: a token, a token file or a client \
             certificate. Relative paths in it are relative to its folder.",
        )
        .required_unless("with `in_cluster`"),
        Key::string("context", "The context of the kubeconfig. The default is its `current-context`."),
        Key::boolean(
            "in_cluster",
            "The host runs in a pod of the cluster and uses the service account of this pod. Its token is read again \
             when it is replaced.",
        ),
        Key::string("namespace", "The namespace of the pipelines and of their runs.").required(),
        Key::strings(
            "namespaces",
            "More namespaces. A pipeline selects one with `pipeline = \"SYSTEM:NAMESPACE/PIPELINE\"`.",
        ),
        Key::duration("timeout", "The timeout of each request to the cluster.")
            .between(TIMEOUTS.0, TIMEOUTS.1)
            .default("30s"),
        Key::string(
            "link",
            "The URL of a run in a web interface, for example of the Tekton dashboard: \
             `https://tekton.example.org/#/namespaces/{namespace}/pipelineruns/{run}`. Without it, a run has no link.",
        ),
    ],
};

/// A `[pipelines.NAME]` table.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The `NAME` of the table.
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) namespace: String,
    /// The namespaces that a pipeline can select, with `namespace`.
    pub(crate) namespaces: BTreeSet<String>,
    pub(crate) timeout: Duration,
    link: Option<Template>,
}

impl Settings {
    /// Reads every key of the table except `kind`. Returns `None` if a key is missing or invalid; the configuration
    /// problems are added to the table.
    pub(crate) fn read(table: &mut Table) -> Option<Self> {
        let before = table.problems().count();
        let name = table.path().strip_prefix("pipelines.").unwrap_or(table.path()).to_owned();
        let source = read_source(table);
        let namespace = table.required_string("namespace", "\"ci\"");
        let more = table.strings("namespaces").map(|names| names.value).unwrap_or_default();
        for name in namespace.iter().chain(&more) {
            if !is_label(&name.value) {
                let message = format!("`{}` is not the name of a Kubernetes namespace", name.value);
                table.problem(
                    &name.at,
                    message,
                    "namespace = \"ci\"   (lower-case letters, digits and `-`)".to_owned(),
                );
            }
        }
        let timeout = table.duration_or_default("timeout");
        let link = table.string("link").and_then(|text| {
            let is_url = text.value.starts_with("https://") || text.value.starts_with("http://");
            if !is_url {
                let message = format!("`{}.link` is not an http or https URL", table.path());
                let example = "https://tekton.example.org/#/namespaces/{namespace}/pipelineruns/{run}";
                table.problem(&text.at, message, format!("link = \"{example}\""));
                return None;
            }
            table.template(&text, &LINK_PLACEHOLDERS.map(str::to_owned))
        });
        let namespace = namespace?.value;
        let namespaces = more.into_iter().map(|name| name.value).chain([namespace.clone()]).collect();
        let settings = Self { name, source: source?, namespace, namespaces, timeout, link };
        (table.problems().count() == before).then_some(settings)
    }

    /// Returns the web page of a run.
    pub(crate) fn link(&self, namespace: &str, run: &str) -> Option<String> {
        let values = [("namespace", namespace), ("run", run)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.link.as_ref()?.fill(&BTreeMap::from(values)).ok()
    }
}

fn read_source(table: &mut Table) -> Option<Source> {
    let at = table.at_key("kubeconfig");
    let kubeconfig = table.has("kubeconfig");
    let example = "kubeconfig = \"kube.config\"   (or in_cluster = true)".to_owned();
    let path: Option<PathBuf> = table.string("kubeconfig").map(|path| table.folder().join(path.value));
    let context = table.string("context");
    let in_cluster = table.boolean("in_cluster").is_some_and(|in_cluster| in_cluster.value);
    match (path, in_cluster) {
        (Some(_), true) => {
            let message = format!("[{}] has both `kubeconfig` and `in_cluster`; only one is allowed", table.path());
            table.problem(&at, message, example);
            None
        }
        (None, true) => {
            if let Some(context) = context {
                let message = format!("[{}] has a `context`, but no `kubeconfig`", table.path());
                table.problem(&context.at, message, example);
            }
            Some(Source::InCluster)
        }
        (None, false) => {
            if !kubeconfig {
                let message = format!("[{}] has neither `kubeconfig` nor `in_cluster = true`", table.path());
                table.problem(table.at(), message, example);
            }
            None
        }
        (Some(path), false) => {
            let context = context.map(|context| context.value);
            if let Err(problem) = credentials::check(&path, context.as_deref()) {
                let fix = "kubeconfig = \"wardroom.config\"   (with a token file or a client certificate)";
                table.problem(&at, problem, fix.to_owned());
            }
            Some(Source::Kubeconfig { path, context })
        }
    }
}
