//! A Spinnaker for tests, seen through Gate.
//!
#![doc = include_str!("../README.md")]

mod data;
mod faults;
mod routes;
mod tls;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wardroom_fake_server::{Connections, CuttableListener, Peer};

pub use faults::Faults;
pub use tls::{Authority, Issued};

use data::{Data, Pipeline, is_complete, with};

/// The state that request handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    data: Mutex<Data>,
    faults: Mutex<Faults>,
    /// The method and the path with the query of each request.
    requests: Mutex<Vec<(String, String)>>,
    /// The certificates that Gate does not accept, although it trusts their issuer, because they lack a role.
    without_role: Mutex<BTreeSet<Vec<u8>>>,
    connections: Connections,
    /// The path of the server, for example `/gate`.
    pub(crate) prefix: String,
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

    pub(crate) fn without_role(&self) -> MutexGuard<'_, BTreeSet<Vec<u8>>> {
        self.without_role.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    is_tls: bool,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server without TLS whose URL has the path `prefix`, for example `/gate`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start_at(prefix: &str) -> Result<Self> {
        Self::serve(prefix, None).await
    }

    /// Starts a server with TLS that accepts the clients of an authority.
    ///
    /// # Errors
    /// No port is free, or no certificate can be created.
    pub async fn start_tls(authority: &Authority) -> Result<Self> {
        Self::serve("", Some(authority)).await
    }

    async fn serve(prefix: &str, authority: Option<&Authority>) -> Result<Self> {
        let shared = Arc::new(Shared {
            data: Mutex::default(),
            faults: Mutex::new(Faults { judgement_delay: Duration::from_millis(20), ..Faults::default() }),
            requests: Mutex::default(),
            without_role: Mutex::default(),
            connections: Connections::default(),
            prefix: prefix.to_owned(),
        });
        let mut listener = CuttableListener::bind(shared.connections.clone()).await?;
        if let Some(authority) = authority {
            listener = listener.tls(authority.server()?);
        }
        let address = listener.address()?;
        let service = routes::router(shared.clone()).into_make_service_with_connect_info::<Peer>();
        let task = tokio::spawn(async move {
            // Ignore the error: the server ends when its task is dropped.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { shared, address, is_tls: authority.is_some(), task })
    }

    /// Returns the URL, for example `http://127.0.0.1:40123/gate`.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address, self.shared.prefix)
    }

    /// Changes the faults. The change takes effect at once.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.shared.faults();
        change(&mut faults);
        self.shared.data().clock_skew = faults.clock_skew;
    }

    /// Cuts every connection, as a restart does.
    pub fn cut_connections(&self) {
        self.shared.connections.cut();
    }

    /// Adds an access token.
    pub fn token(&self, token: &str) {
        self.shared.data().tokens.insert(token.to_owned());
    }

    /// Revokes an access token.
    pub fn revoke(&self, token: &str) {
        self.shared.data().tokens.remove(token);
    }

    /// Sets the password of a user.
    pub fn password(&self, user: &str, password: &str) {
        self.shared.data().passwords.insert(user.to_owned(), password.to_owned());
    }

    /// Takes the required role from a certificate.
    pub fn take_role(&self, issued: &Issued) {
        self.shared.without_role().insert(issued.der().to_vec());
    }

    /// Gives the account a role for judgements.
    pub fn role(&self, role: &str) {
        self.shared.data().roles.insert(role.to_owned());
    }

    /// Takes a permission on an application from the account: `READ` or `EXECUTE`.
    pub fn deny(&self, application: &str, permission: &str) {
        self.shared.data().lacks.insert((application.to_owned(), permission.to_owned()));
    }

    /// Adds a pipeline, and its application if there is none. Returns the id of the pipeline.
    pub fn pipeline(&self, application: &str, name: &str) -> String {
        let mut data = self.shared.data();
        let pipelines = data.applications.entry(application.to_owned()).or_default();
        let id = format!("4399e00d-3749-4418-b432-{:012}", pipelines.len());
        pipelines.push(Pipeline { id: id.clone(), name: name.to_owned(), ..Pipeline::default() });
        id
    }

    /// Adds a parameter to a pipeline. `fields` are added to its name, for example `{"required": true}`.
    pub fn parameter(&self, application: &str, pipeline: &str, name: &str, fields: Value) {
        let parameter = with(json!({ "name": name, "label": "", "required": false, "default": "" }), &fields);
        self.change(application, pipeline, |pipeline| pipeline.parameters.push(parameter));
    }

    /// Adds a stage to the new executions of a pipeline. `fields` are added to its name.
    pub fn stage(&self, application: &str, pipeline: &str, name: &str, fields: Value) {
        let stage = with(
            json!({ "name": name, "type": "wait", "status": "NOT_STARTED", "startTime": null, "endTime": null,
                "context": {}, "outputs": {}, "tasks": [], "parentStageId": null, "syntheticStageOwner": null }),
            &fields,
        );
        self.change(application, pipeline, |pipeline| pipeline.stages.push(stage));
    }

    /// Disables a pipeline.
    pub fn disable(&self, application: &str, pipeline: &str) {
        self.change(application, pipeline, |pipeline| pipeline.is_disabled = true);
    }

    /// Lets a pipeline take its parameters from a template.
    pub fn template(&self, application: &str, pipeline: &str) {
        self.change(application, pipeline, |pipeline| pipeline.is_templated = true);
    }

    /// Gives a pipeline another name.
    pub fn rename(&self, application: &str, pipeline: &str, name: &str) {
        self.change(application, pipeline, |pipeline| name.clone_into(&mut pipeline.name));
    }

    /// Lets each new execution of a pipeline end at once with this status.
    pub fn ends_with(&self, application: &str, pipeline: &str, status: &str) {
        self.change(application, pipeline, |pipeline| pipeline.ends_with = Some(status.to_owned()));
    }

    /// Lets new executions of a pipeline wait.
    pub fn hold(&self, application: &str, pipeline: &str) {
        self.change(application, pipeline, |pipeline| pipeline.is_held = true);
    }

    /// Lets the executions of a pipeline end only after a cancellation with force.
    pub fn needs_force(&self, application: &str, pipeline: &str) {
        self.change(application, pipeline, |pipeline| pipeline.needs_force = true);
    }

    fn change(&self, application: &str, pipeline: &str, change: impl FnOnce(&mut Pipeline)) {
        if let Some(pipeline) = self.shared.data().pipeline(application, pipeline) {
            change(pipeline);
        }
    }

    /// Deletes a pipeline. Its executions stay.
    pub fn delete(&self, application: &str, pipeline: &str) {
        let mut data = self.shared.data();
        if let Some(pipelines) = data.applications.get_mut(application) {
            pipelines.retain(|known| known.name != pipeline);
        }
    }

    /// Starts an execution as another user or program does. Returns its id.
    pub fn start_by(&self, application: &str, pipeline: &str, trigger: Value) -> String {
        self.shared.data().start(application, pipeline, trigger, None)
    }

    /// Returns the ids of the executions, oldest first.
    pub fn executions(&self) -> Vec<String> {
        self.shared.data().executions.keys().cloned().collect()
    }

    /// Returns an execution as JSON; null if there is none.
    pub fn execution(&self, id: &str) -> Value {
        self.shared.data().executions.get(id).cloned().unwrap_or_default()
    }

    /// Deletes an execution.
    pub fn delete_execution(&self, id: &str) {
        self.shared.data().executions.remove(id);
    }

    /// Sets the status of an execution, for example `SUCCEEDED`.
    pub fn set_status(&self, id: &str, status: &str) {
        self.shared.data().set_status(id, status);
    }

    /// Adds fields to an execution.
    pub fn change_execution(&self, id: &str, fields: Value) {
        if let Some(execution) = self.shared.data().executions.get_mut(id) {
            *execution = with(execution.take(), &fields);
        }
    }

    /// Adds fields to a stage of an execution. `stage` is its name or its id.
    pub fn change_stage(&self, id: &str, stage: &str, fields: Value) {
        if let Some(stage) = self.shared.data().stage(id, stage) {
            *stage = with(stage.take(), &fields);
        }
    }

    /// Sets the status of all executions that have not ended.
    pub fn end_all(&self, status: &str) {
        let mut data = self.shared.data();
        let open = data.executions.iter().filter(|(_, execution)| !is_complete(execution));
        let open: Vec<String> = open.map(|(id, _)| id.clone()).collect();
        open.iter().for_each(|id| data.set_status(id, status));
    }

    /// Returns the requests to cancel an execution: whether they were forced.
    pub fn cancellations(&self, id: &str) -> Vec<bool> {
        self.shared.data().cancellations.get(id).cloned().unwrap_or_default()
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
