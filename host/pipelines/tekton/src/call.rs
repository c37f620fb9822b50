//! The requests to the Kubernetes API: their paths, queries and bodies.
//!
//! Invariant: names in a path are names of Kubernetes objects, checked by `names`.
//! Source: the Kubernetes API reference, "API concepts".

use http::{
    Method, Request,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};
use kube::client::Body;
use wardroom_remote::RemoteError;

use crate::names::{is_label, is_name};

/// The maximum size of one object, in bytes. etcd stores objects of up to 1.5 MiB.
const MAX_OBJECT: usize = 4 << 20;
/// The maximum size of a list, in bytes.
const MAX_LIST: usize = 64 << 20;
/// The `User-Agent` header of every request.
const AGENT: &str = concat!("wardroom/", env!("CARGO_PKG_VERSION"));

/// A kind of objects.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The API group; empty for the core group.
    pub(crate) group: &'static str,
    version: &'static str,
    pub(crate) plural: &'static str,
    /// The software that installs the group, for people.
    pub(crate) software: &'static str,
}

pub(crate) static PIPELINES: Kind = tekton("pipelines");
pub(crate) static PIPELINE_RUNS: Kind = tekton("pipelineruns");
pub(crate) static TASK_RUNS: Kind = tekton("taskruns");
pub(crate) static PODS: Kind = Kind { group: "", version: "v1", plural: "pods", software: "Kubernetes" };
pub(crate) static APPROVAL_TASKS: Kind = Kind {
    group: "openshift-pipelines.org",
    version: "v1alpha1",
    plural: "approvaltasks",
    software: "the Manual Approval Gate",
};
pub(crate) static ACCESS_REVIEWS: Kind =
    Kind { group: "authorization.k8s.io", version: "v1", plural: "selfsubjectaccessreviews", software: "Kubernetes" };
pub(crate) static USER_REVIEWS: Kind =
    Kind { group: "authentication.k8s.io", version: "v1", plural: "selfsubjectreviews", software: "Kubernetes 1.28" };

const fn tekton(plural: &'static str) -> Kind {
    Kind { group: "tekton.dev", version: "v1", plural, software: "Tekton Pipelines" }
}

impl Kind {
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call<'c> {
    /// The verb of a Role.
    pub(crate) verb: &'static str,
    pub(crate) kind: &'static Kind,
    /// Empty for an object without a namespace.
    pub(crate) namespace: &'c str,
    name: Option<&'c str>,
    subresource: Option<&'static str>,
    query: Vec<(&'static str, String)>,
    body: Option<(&'static str, Vec<u8>)>,
    /// The maximum size of the response, in bytes.
    pub(crate) max: usize,
    /// Whether the beginning of a larger response is returned, instead of an error.
    pub(crate) may_be_cut: bool,
    /// The object of the request for people: ``PipelineRun `x` in the namespace `ci` ``.
    pub(crate) what: String,
}

impl<'c> Call<'c> {
    fn new(verb: &'static str, kind: &'static Kind, namespace: &'c str, what: String) -> Self {
        Self {
            verb,
            kind,
            namespace,
            name: None,
            subresource: None,
            query: Vec::new(),
            body: None,
            max: MAX_OBJECT,
            may_be_cut: false,
            what,
        }
    }

    pub(crate) fn get(kind: &'static Kind, namespace: &'c str, name: &'c str, what: String) -> Self {
        Self { name: Some(name), ..Self::new("get", kind, namespace, what) }
    }

    /// Lists the objects that a label selector selects.
    pub(crate) fn list(kind: &'static Kind, namespace: &'c str, selector: String, what: String) -> Self {
        let query = vec![("labelSelector", selector)];
        Self { query, max: MAX_LIST, ..Self::new("list", kind, namespace, what) }
    }

    /// Creates an object. A field that the cluster does not know is an error.
    pub(crate) fn create(kind: &'static Kind, namespace: &'c str, body: Vec<u8>, what: String) -> Self {
        let query = vec![("fieldValidation", "Strict".to_owned())];
        Self { query, body: Some(("application/json", body)), ..Self::new("create", kind, namespace, what) }
    }

    /// Changes an object by a merge patch.
    pub(crate) fn patch(
        kind: &'static Kind,
        namespace: &'c str,
        name: &'c str,
        patch: &serde_json::Value,
        what: String,
    ) -> Self {
        let body = Some(("application/merge-patch+json", patch.to_string().into_bytes()));
        Self { name: Some(name), body, ..Self::new("patch", kind, namespace, what) }
    }

    /// Reads the output of a container.
    pub(crate) fn log(
        namespace: &'c str,
        pod: &'c str,
        query: Vec<(&'static str, String)>,
        max: usize,
        what: String,
    ) -> Self {
        let subresource = Some("log");
        Self { subresource, query, max, may_be_cut: true, ..Self::get(&PODS, namespace, pod, what) }
    }

    /// Reads which resources an API group has. `what` is the group for people.
    pub(crate) fn discover(kind: &'static Kind) -> Self {
        Self::new("get", kind, "", format!("the API `{}`", kind.api_version()))
    }

    /// A permission that is only asked for, for [`missing_rule`](crate::error::missing_rule).
    pub(crate) fn permission(
        verb: &'static str,
        kind: &'static Kind,
        subresource: Option<&'static str>,
        namespace: &'c str,
    ) -> Self {
        Self { subresource, ..Self::new(verb, kind, namespace, String::new()) }
    }

    /// Returns the resource of a Role: `pods/log`.
    pub(crate) fn resource(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.kind.plural),
            None => self.kind.plural.to_owned(),
        }
    }

    pub(crate) fn subresource(&self) -> Option<&'static str> {
        self.subresource
    }

    pub(crate) fn is_read(&self) -> bool {
        matches!(self.verb, "get" | "list")
    }

    fn method(&self) -> Method {
        match self.verb {
            "create" => Method::POST,
            "patch" => Method::PATCH,
            _ => Method::GET,
        }
    }

    /// Builds the request. The client adds the address of the cluster.
    pub(crate) fn request(&self) -> Result<Request<Body>, RemoteError> {
        let is_valid = (self.namespace.is_empty() || is_label(self.namespace)) && self.name.is_none_or(is_name);
        if !is_valid {
            return Err(RemoteError::rejected(format!("{} has a name that Kubernetes does not allow", self.what)));
        }
        let mut path = if self.kind.group.is_empty() { "/api/".to_owned() } else { "/apis/".to_owned() };
        path.push_str(&self.kind.api_version());
        let is_discovery = self.verb == "get" && self.name.is_none();
        if !self.namespace.is_empty() {
            path.push_str(&format!("/namespaces/{}", self.namespace));
        }
        if !is_discovery {
            path.push_str(&format!("/{}", self.kind.plural));
        }
        for segment in self.name.into_iter().chain(self.subresource) {
            path.push_str(&format!("/{segment}"));
        }
        if !self.query.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
            path.push_str(&format!("?{query}"));
        }
        let accepts = if self.subresource == Some("log") { "*/*" } else { "application/json" };
        let mut request =
            Request::builder().method(self.method()).uri(path).header(ACCEPT, accepts).header(USER_AGENT, AGENT);
        let mut bytes = Vec::new();
        if let Some((kind, body)) = &self.body {
            request = request.header(CONTENT_TYPE, *kind);
            bytes.clone_from(body);
        }
        let request = request.body(Body::from(bytes));
        request.map_err(|error| RemoteError::not_sent(format!("the request for {} is not valid: {error}", self.what)))
    }
}
