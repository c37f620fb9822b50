//! A Kubernetes API server with Tekton and the Manual Approval Gate, in the process of the test.
//!
//! The code follows the documentation and the sources, and shares none with a client. [`Server`] is the server, [`Faults`]
//! the faults.
//!
//! Invariant: only a test switches a fault on. Without faults the server behaves like a real one.
//!
//! | route | fields and statuses | source |
//! |---|---|---|
//! | every route | without credentials 403 as `system:anonymous`; with a wrong token 401 `Unauthorized` | measured on an API server 1.36 |
//! | every route | 403 `Forbidden` with user, verb, resource, API group and namespace in the message | measured; apiserver `pkg/endpoints/handlers/responsewriters/errors.go` |
//! | every route | 404 and the plain text `404 page not found` for a group or version that is not installed | measured |
//! | every route | 429 `TooManyRequests` with `Retry-After: 1` | "API Priority and Fairness"; apiserver `pkg/server/filters/maxinflight.go` |
//! | every route | `Date` | net/http |
//! | `GET …/pipelines/NAME` | `spec.params[name,type,default,enum,properties]`, `spec.workspaces[name,optional]`, `spec.tasks`, `spec.finally`; 404 `NotFound` | `tektoncd/pipeline` `pkg/apis/pipeline/v1/{pipeline,param}_types.go` |
//! | `GET …/{pipelineruns,taskruns,approvaltasks}?labelSelector=` | `a=b`, `a in (b,c)`; a namespace that does not exist has an empty list | "Labels and Selectors"; measured |
//! | `POST …/pipelineruns?fieldValidation=Strict` | 201 with `uid` and `resourceVersion`; 400 for an unknown field, which is dropped with a `Warning` header without `Strict`; 404 `namespaces "x" not found`; 409 `AlreadyExists`; 422 `Invalid` for a wrong name | measured |
//! | `POST …/pipelineruns` | 400 `admission webhook "…" denied the request: …`; 500 `failed calling webhook "…"` | apiserver `pkg/admission/plugin/webhook/errors/statuserror.go`, `…/validating/dispatcher.go` |
//! | `POST …/pipelineruns` | 504 `Timeout`, although the object was created | apiserver `pkg/endpoints/handlers/finisher` |
//! | `PATCH …/pipelineruns/NAME` | 415 without `application/merge-patch+json`; 409 `Conflict` for another `uid` or `resourceVersion`; 400 of the webhook after the end of the run | measured; `pkg/apis/pipeline/v1/pipelinerun_validation.go` (`ValidateUpdate`) |
//! | PipelineRun `status` | `conditions[type=Succeeded]`, `startTime`, `completionTime`, `childReferences`, `skippedTasks`, `pipelineSpec` | `pkg/apis/pipeline/v1/pipelinerun_types.go` |
//! | TaskRun | labels `tekton.dev/pipelineRun`, `tekton.dev/pipelineTask`; `status.podName`, `status.steps[name,container,running,terminated,terminationReason]` | `docs/labels.md`, `pkg/apis/pipeline/v1/taskrun_types.go`, `pkg/pod/status.go` |
//! | `GET …/pods/NAME/log` | `container`, `tailLines` (of the whole output), `sinceTime` (whole seconds), `limitBytes`, `timestamps` (nine digits); 400 `is waiting to start`; 404; 500 of a node that does not answer | kubelet `pkg/kubelet/kuberuntime/logs/logs.go`, `pkg/registry/core/pod/strategy.go` |
//! | `PATCH …/approvaltasks/NAME` | 400 for a user who is no approver, another one's input, a decided task; one `reject` rejects | `openshift-pipelines/manual-approval-gate` `pkg/reconciler/webhook/webhook.go`, `…/approvaltask/utils.go` |
//! | `POST /apis/authentication.k8s.io/v1/selfsubjectreviews` | `status.userInfo[username,groups]`; 404 before Kubernetes 1.28 | KEP 3325 |
//! | `POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews` | `status.allowed` | Kubernetes API reference |
//!
//! Not here: watches, which the adapter does not use; TLS and client certificates; other kinds of objects.

mod data;
mod faults;
mod routes;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wardroom_fake_server::{ConnectionCut, Connections, CuttableListener};

pub use faults::Faults;

use data::{Data, User, push};

/// The state that request handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    data: Mutex<Data>,
    faults: Mutex<Faults>,
    /// The method and the path with the query of each request.
    requests: Mutex<Vec<(String, String)>>,
    connections: Connections,
}

impl Shared {
    pub(crate) fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server. Names of runs are names of PipelineRuns, which are unique in a test.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server with Tekton and without objects.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let mut data = Data::default();
        data.groups.insert("tekton.dev".to_owned());
        let shared = Arc::new(Shared {
            data: Mutex::new(data),
            faults: Mutex::default(),
            requests: Mutex::default(),
            connections: Connections::default(),
        });
        let listener = CuttableListener::bind(shared.connections.clone()).await?;
        let address = listener.address()?;
        let service = routes::router(shared.clone()).into_make_service_with_connect_info::<ConnectionCut>();
        let task = tokio::spawn(async move {
            // Ignore the error: the server ends when its task is dropped.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { shared, address, task })
    }

    /// Returns the URL, for example `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the faults. The change takes effect at once.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.shared.faults();
        change(&mut faults);
        self.shared.data().clock_skew = faults.clock_skew;
    }

    /// Cuts all connections, as a restart of the API server does.
    pub fn restart(&self) {
        self.shared.connections.cut();
    }

    /// Adds a token of a user with its groups.
    pub fn token(&self, token: &str, user: &str, groups: &[&str]) {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.shared.data().tokens.insert(token.to_owned(), User { name: user.to_owned(), groups });
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        self.shared.data().tokens.remove(token);
    }

    /// Takes a permission from all users: `create`, `pipelineruns`, and the namespace or `*`.
    pub fn deny(&self, verb: &str, resource: &str, namespace: &str) {
        self.shared.data().denied.insert((verb.to_owned(), resource.to_owned(), namespace.to_owned()));
    }

    /// Gives a permission back.
    pub fn allow(&self, verb: &str, resource: &str, namespace: &str) {
        self.shared.data().denied.remove(&(verb.to_owned(), resource.to_owned(), namespace.to_owned()));
    }

    /// Lets the cluster have no `SelfSubjectReview`, as before Kubernetes 1.28.
    pub fn without_user_reviews(&self) {
        self.deny("create", "selfsubjectreviews", "");
    }

    /// Installs an API group, for example `openshift-pipelines.org`.
    pub fn install(&self, group: &str) {
        self.shared.data().groups.insert(group.to_owned());
    }

    /// Removes an API group with its objects, as the deletion of its definitions does.
    pub fn uninstall(&self, group: &str) {
        let mut data = self.shared.data();
        data.groups.remove(group);
        data.objects.clear();
    }

    /// Adds a namespace.
    pub fn namespace(&self, name: &str) {
        self.shared.data().namespaces.insert(name.to_owned());
    }

    /// Deletes a namespace with its objects.
    pub fn delete_namespace(&self, name: &str) {
        let mut data = self.shared.data();
        data.namespaces.remove(name);
        data.objects.retain(|(_, namespace, _), _| namespace != name);
    }

    /// Adds a Pipeline with this specification, and its namespace.
    pub fn pipeline(&self, namespace: &str, name: &str, spec: Value) {
        let mut data = self.shared.data();
        data.namespaces.insert(namespace.to_owned());
        let id = ("pipelines".to_owned(), namespace.to_owned(), name.to_owned());
        data.put(id, json!({ "spec": spec }));
    }

    /// Lets new runs of a Pipeline end at once with this status and reason.
    pub fn ends_with(&self, pipeline: &str, status: &str, reason: &str) {
        self.shared.data().ends_with.insert(pipeline.to_owned(), (status.to_owned(), reason.to_owned()));
    }

    /// Lets runs end only after this `spec.status`, for example `Cancelled`.
    pub fn ends_after(&self, status: &str) {
        self.shared.data().ends_after = Some(status.to_owned());
    }

    /// Stops Tekton's controller: new PipelineRuns get no status.
    pub fn hold(&self) {
        self.shared.data().is_held = true;
    }

    /// Lets Tekton's controller begin a run.
    pub fn begin(&self, run: &str) {
        self.shared.data().begin(run);
    }

    /// Sets the condition of a run that goes on.
    pub fn reason(&self, run: &str, reason: &str, message: &str) {
        self.shared.data().change_run(run, |object| Data::condition(&mut object["status"], "Unknown", reason, message));
    }

    /// Changes a PipelineRun as another client does.
    pub fn change(&self, run: &str, change: impl FnOnce(&mut Value)) {
        self.shared.data().change_run(run, change);
    }

    /// Ends a run: `True` or `False`, the reason and the message.
    pub fn end(&self, run: &str, status: &str, reason: &str, message: &str) {
        self.shared.data().end(run, status, reason, message);
    }

    /// Ends all runs that have not ended.
    pub fn end_all(&self, status: &str, reason: &str) {
        for run in self.runs() {
            if run["status"]["completionTime"].is_null() {
                self.end(run["metadata"]["name"].as_str().unwrap_or_default(), status, reason, "");
            }
        }
    }

    /// Adds a task to a run, or sets its condition: `Unknown`, `True` or `False`, the reason and the message.
    pub fn task(&self, run: &str, task: &str, status: &str, reason: &str, message: &str) {
        self.shared.data().task(run, task, |object| Data::condition(&mut object["status"], status, reason, message));
    }

    /// Adds a step to a task, or sets its state: `waiting`, `running` or `terminated` with an exit code and a reason.
    pub fn step(&self, run: &str, task: &str, step: &str, state: Value) {
        let mut data = self.shared.data();
        let is_waiting = !state["waiting"].is_null();
        let container = format!("step-{step}");
        data.task(run, task, |object| {
            let steps = &mut object["status"]["steps"];
            let mut new = state;
            (new["name"], new["container"]) = (json!(step), json!(container));
            let known = steps.as_array_mut().and_then(|steps| steps.iter_mut().find(|known| known["name"] == step));
            match known {
                Some(known) => *known = new,
                None => push(steps, new),
            }
        });
        let output = data.output.entry((format!("{run}-{task}-pod"), container)).or_default();
        if !is_waiting && output.is_none() {
            *output = Some(Vec::new());
        }
    }

    /// Appends to the output of a step, and to its last line if that is incomplete.
    pub fn log(&self, run: &str, task: &str, step: &str, text: &[u8]) {
        let mut data = self.shared.data();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let time = data.line_time();
            let key = (format!("{run}-{task}-pod"), format!("step-{step}"));
            let lines = data.output.entry(key).or_default().get_or_insert_default();
            match lines.last_mut().filter(|(_, last)| !last.ends_with(b"\n")) {
                Some((_, last)) => last.extend_from_slice(line),
                None => lines.push((time, line.to_vec())),
            }
        }
    }

    /// Deletes the pod of a task.
    pub fn delete_pod(&self, run: &str, task: &str) {
        let pod = format!("{run}-{task}-pod");
        self.shared.data().output.retain(|(found, _), _| *found != pod);
    }

    /// Adds a PipelineRun as another client does.
    pub fn create(&self, namespace: &str, name: &str, labels: Value) {
        let id = ("pipelineruns".to_owned(), namespace.to_owned(), name.to_owned());
        self.shared.data().put(id, json!({ "metadata": { "labels": labels }, "spec": {} }));
    }

    /// Deletes a PipelineRun.
    pub fn delete(&self, run: &str) {
        self.shared.data().objects.retain(|(_, _, name), _| name != run);
    }

    /// Adds an ApprovalTask to a run. `approvers` are the names of users.
    pub fn approval(&self, run: &str, task: &str, approvers: &[&str], required: u64, description: &str) {
        let mut data = self.shared.data();
        let Some((_, namespace, _)) = data.run_id(run) else { return };
        let name = format!("{run}-{task}");
        let child = json!({ "kind": "CustomRun", "name": name, "pipelineTaskName": task });
        data.change_run(run, |object| push(&mut object["status"]["childReferences"], child));
        let approvers: Vec<Value> =
            approvers.iter().map(|name| json!({ "name": name, "type": "User", "input": "pending" })).collect();
        let labels = json!({ "tekton.dev/pipelineRun": run, "tekton.dev/pipelineTask": task });
        let spec = json!({
            "approvers": approvers, "numberOfApprovalsRequired": required, "description": description,
        });
        let object = json!({ "metadata": { "labels": labels }, "spec": spec, "status": { "state": "pending" } });
        data.put(("approvaltasks".to_owned(), namespace, name), object);
    }

    /// Rejects an ApprovalTask, as one of its approvers does.
    pub fn reject(&self, run: &str, task: &str) {
        let name = format!("{run}-{task}");
        let mut data = self.shared.data();
        let is_task = |(id, _): &(&data::Id, &mut Value)| id.0 == "approvaltasks" && id.2 == name;
        if let Some((_, object)) = data.objects.iter_mut().find(is_task) {
            object["status"]["state"] = json!("rejected");
        }
    }

    /// Returns the ApprovalTask of a run.
    pub fn approval_of(&self, run: &str, task: &str) -> Value {
        let name = format!("{run}-{task}");
        let data = self.shared.data();
        let found = data.objects.iter().find(|((kind, _, found), _)| kind == "approvaltasks" && *found == name);
        found.map(|(_, object)| object.clone()).unwrap_or_default()
    }

    /// Returns the PipelineRuns, sorted by namespace and name.
    pub fn runs(&self) -> Vec<Value> {
        let data = self.shared.data();
        data.objects.iter().filter(|((kind, _, _), _)| kind == "pipelineruns").map(|(_, run)| run.clone()).collect()
    }

    /// Returns the values of `spec.status` that were patched, with the names of the runs.
    pub fn stops(&self) -> Vec<(String, String)> {
        self.shared.data().stops.clone()
    }

    /// Returns the requests since the start or since the last call of [`Server::clear_requests`]: the method and the
    /// path with its query.
    pub fn requests(&self) -> Vec<(String, String)> {
        self.shared.requests().clone()
    }

    /// Forgets the requests.
    pub fn clear_requests(&self) {
        self.shared.requests().clear();
    }

    /// Returns the number of requests with this method whose path contains a text.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.shared.requests().iter().filter(|(by, path)| by == method && path.contains(part)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.connections.cut();
    }
}
