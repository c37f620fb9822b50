//! A Jenkins server in the process of the test: jobs in folders, the queue, builds, console output, crumbs and users.
//!
//! The code follows Jenkins' documentation and source and shares none with a client. [`Server`] is the server, [`Faults`]
//! the faults.
//!
//! Invariant: only a test switches a fault on. Without faults the server behaves like a real one.
//!
//! | route | fields and statuses | source |
//! |---|---|---|
//! | every route | 401 with `WWW-Authenticate` for wrong credentials; 403 without any | `hudson/security/BasicAuthenticationFilter`, `jenkins/security/BasicHeaderProcessor.java` |
//! | every route | 403 with `X-You-Are-Authenticated-As`, `X-Required-Permission` | `hudson/security/AccessDeniedException3.java` |
//! | every JSON route | `tree` with nesting and ranges; `_class` always | `hudson/model/Api.java`, stapler `export/TreePruner`, page "Remote Access API" |
//! | every `POST` with a password | 403 "No valid crumb was included in the request" without the crumb of its session | `hudson/security/csrf/{CrumbFilter,DefaultCrumbIssuer}.java`; not with a token: `jenkins/security/ApiCrumbExclusion.java` |
//! | `GET crumbIssuer/api/json` | `crumbRequestField`, `crumb`, `Set-Cookie: JSESSIONID.…`; 404 if switched off | `hudson/security/csrf/CrumbIssuer.java` |
//! | `GET api/json` | `jobs[fullName,jobs[…]]`: the items of the root and of its folders; a job has no `jobs` | `jenkins/model/Jenkins.java`, `hudson/model/AbstractItem.java`, cloudbees-folder |
//! | `GET JOB/api/json` | `buildable`, `nextBuildNumber`, `property[parameterDefinitions[name,type,choices,defaultParameterValue]]`, `builds` (newest 100), `allBuilds`; a folder has none of them; 404 also without Job/Read | `hudson/model/{Job,AbstractItem,ParametersDefinitionProperty}.java` |
//! | `POST JOB/build` | 201 and `Location: …/queue/item/N/`; 303 for an identical item in the queue; 409 if disabled; 400 with parameters and without `json` | `jenkins/model/ParameterizedJobMixIn.java` (`doBuild`) |
//! | `POST JOB/buildWithParameters` | the same; parameters that are not defined are ignored, missing ones have their defaults; 400 without any parameter defined; 500 for a wrong choice | `ParameterizedJobMixIn.java`, `ParametersDefinitionProperty.java`, `ChoiceParameterDefinition.java` |
//! | `GET queue/api/json` | `items[id,why,inQueueSince,task[name,url],actions[…]]`, only items that wait | `hudson/model/Queue.java` (`getItems`) |
//! | `GET queue/item/N/api/json` | also `cancelled`, `executable[number,url]` of an item that left; 404 after five minutes | `hudson/model/Queue.java` (`LeftItem`) |
//! | `POST queue/cancelItem?id=N` | 204; 404 for an unknown id; 500 for an item that left the queue less than five minutes ago; 422 without Job/Cancel | `hudson/model/Queue.java` (`doCancelItem`) |
//! | `GET JOB/N/api/json` | `number`, `queueId`, `building`, `inProgress`, `result`, `timestamp`, `duration`, `actions[causes[userId],parameters[name,value]]`; 404 | `hudson/model/{Run,Cause,ParametersAction}.java` |
//! | `GET JOB/N/logText/progressiveText?start=` | `X-Text-Size`, `X-More-Data`; at most 10,000 whole lines while the build runs; console notes removed, lines end with CR LF; `start` beyond the end counts as 0 | stapler `framework/io/LargeText.java` (`doProgressText`), `hudson/console/AnnotatedLargeText.java` |
//! | `POST JOB/N/{stop,term,kill}` | 302; `term` and `kill` only of a pipeline, else 404; 403 without Job/Cancel | `hudson/model/AbstractBuild.java`, workflow-job `WorkflowRun.java` |
//! | `GET JOB/N/wfapi/describe` | `status`, `stages[id,name,status]`; only of a pipeline, else 404 | plugin Pipeline: REST API, README |
//! | `GET JOB/N/wfapi/pendingInputActions` | `[id,message,proceedText,inputs]` | plugin Pipeline: REST API, README |
//! | `POST JOB/N/input/ID/{proceedEmpty,abort}` | 200; 404 for an input step that does not wait; 403 without Job/Build | workflow-input-step `InputStepExecution.java` |
//! | `GET JOB/N/testReport/api/json` | `passCount`, `failCount`, `skipCount`, `suites[cases[className,name,status]]`; 404 without a report | plugin JUnit, `TestResult.java`, `CaseResult.java` |
//! | `GET computer/api/json` | `computer[executors[currentExecutable[number,url,queueId]],oneOffExecutors[…]]` | `hudson/model/{ComputerSet,Computer,Executor}.java` (`getCurrentExecutableForApi`) |
//!
//! Not here: values of input steps, views, agents.

mod data;
mod faults;
mod routes;
mod tree;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use tokio::task::JoinHandle;
use wardroom_fake_server::{ConnectionCut, Connections, CuttableListener};

pub use faults::Faults;

use data::{Data, Item, ItemState, Job, Parameter};

/// The state that request handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    data: Mutex<Data>,
    faults: Mutex<Faults>,
    /// The method and the path with the query of each request.
    requests: Mutex<Vec<(String, String)>>,
    connections: Connections,
    /// The path of the server, for example `/jenkins`.
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
}

/// A build as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenBuild {
    /// Its number.
    pub number: u64,
    /// The id of its queue item.
    pub item: u64,
    /// Its parameters with their values.
    pub parameters: Vec<(String, String)>,
    /// Its result; `None` while it runs.
    pub result: Option<String>,
    /// The requests to stop it: `stop`, `term`, `kill`.
    pub signals: Vec<String>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server at `/`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        Self::start_at("").await
    }

    /// Starts a server whose URL has the path `prefix`, for example `/jenkins`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start_at(prefix: &str) -> Result<Self> {
        let shared = Arc::new(Shared {
            data: Mutex::default(),
            faults: Mutex::default(),
            requests: Mutex::default(),
            connections: Connections::default(),
            prefix: prefix.to_owned(),
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

    /// Returns the URL, for example `http://127.0.0.1:40123/jenkins`.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.shared.prefix)
    }

    /// Changes the faults. The change takes effect at once.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.shared.faults();
        change(&mut faults);
        self.shared.data().clock_skew = faults.clock_skew;
    }

    /// Adds an API token of a user, and the user if there is none.
    pub fn token(&self, user: &str, token: &str) {
        self.shared.data().users.entry(user.to_owned()).or_default().tokens.insert(token.to_owned());
    }

    /// Revokes an API token.
    pub fn revoke(&self, token: &str) {
        self.shared.data().users.values_mut().for_each(|user| {
            user.tokens.remove(token);
        });
    }

    /// Sets the password of a user, and adds the user if there is none.
    pub fn password(&self, user: &str, password: &str) {
        self.shared.data().users.entry(user.to_owned()).or_default().password = Some(password.to_owned());
    }

    /// Takes a permission from a user, for example `hudson.model.Item.Build`.
    pub fn deny(&self, user: &str, permission: &str) {
        self.shared.data().users.entry(user.to_owned()).or_default().lacks.insert(permission.to_owned());
    }

    /// Ends all sessions, as a restart does.
    pub fn end_sessions(&self) {
        self.shared.data().sessions.clear();
    }

    /// Adds a pipeline and its folders. `name` is its full name.
    pub fn pipeline(&self, name: &str) {
        self.shared.data().add_job(name, Job { is_pipeline: true, ..Job::default() });
    }

    /// Adds a freestyle job and its folders.
    pub fn freestyle(&self, name: &str) {
        self.shared.data().add_job(name, Job::default());
    }

    /// Adds a text parameter to a job.
    pub fn parameter(&self, job: &str, name: &str) {
        self.parameter_of(job, name, "StringParameterDefinition", &[]);
    }

    /// Adds a parameter of another kind to a job.
    pub fn parameter_of(&self, job: &str, name: &str, kind: &str, choices: &[&str]) {
        self.change_job(job, |job| {
            job.parameters.get_or_insert_default().push(Parameter {
                name: name.to_owned(),
                kind: kind.to_owned(),
                default: choices.first().map_or_else(String::new, |choice| (*choice).to_owned()),
                choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
            });
        });
    }

    /// Disables a job.
    pub fn disable(&self, job: &str) {
        self.change_job(job, |job| job.is_disabled = true);
    }

    /// Lets each new build of a job end at once with this result.
    pub fn ends_with(&self, job: &str, result: &str) {
        self.change_job(job, |job| job.ends_with = Some(result.to_owned()));
    }

    /// Lets the builds of a job end only after this request: `stop`, `term` or `kill`.
    pub fn ends_after(&self, job: &str, signal: &str) {
        self.change_job(job, |job| job.ends_after = Some(signal.to_owned()));
    }

    /// Adds a stage to a build of a pipeline, or changes its status, for example to `IN_PROGRESS`.
    pub fn stage(&self, job: &str, number: u64, name: &str, status: &str) {
        if let Some(build) = self.shared.data().build(job, number) {
            build.stages.retain(|(known, _)| known != name);
            build.stages.push((name.to_owned(), status.to_owned()));
        }
    }

    /// Adds a test report to a build: the number of tests that passed, and the names of those that failed.
    pub fn test_report(&self, job: &str, number: u64, passed: u32, failed: &[&str]) {
        if let Some(build) = self.shared.data().build(job, number) {
            build.tests = Some((passed, failed.iter().map(|name| (*name).to_owned()).collect()));
        }
    }

    /// Lets a build of a pipeline wait at an input step.
    pub fn input(&self, job: &str, number: u64, id: &str, message: &str) {
        if let Some(build) = self.shared.data().build(job, number) {
            build.inputs.push((id.to_owned(), message.to_owned()));
        }
    }

    /// Sets the number of the next build of a job.
    pub fn next_number(&self, job: &str, number: u64) {
        self.change_job(job, |job| job.next_number = number);
    }

    fn change_job(&self, job: &str, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.shared.data().jobs.get_mut(job) {
            change(job);
        }
    }

    /// Deletes a job with its builds and queue items.
    pub fn delete(&self, job: &str) {
        let mut data = self.shared.data();
        data.jobs.remove(job);
        data.items.retain(|_, item| item.job != job);
    }

    /// Deletes a job and creates it again. Its builds begin with number 1.
    pub fn recreate(&self, job: &str) {
        self.change_job(job, |job| (job.builds, job.next_number) = (Default::default(), 1));
    }

    /// Deletes a build.
    pub fn delete_build(&self, job: &str, number: u64) {
        self.change_job(job, |job| {
            job.builds.remove(&number);
        });
    }

    /// Keeps new items in the queue for this reason.
    pub fn hold_queue(&self, why: &str) {
        self.shared.data().held = Some(why.to_owned());
    }

    /// Starts the builds of all items in the queue, and of new items at once.
    pub fn release_queue(&self) {
        let mut data = self.shared.data();
        data.held = None;
        data.begin_all();
    }

    /// Forgets the items that left the queue, as a server does after five minutes.
    pub fn expire_items(&self) {
        self.shared.data().items.retain(|_, item| item.state == ItemState::Waiting);
    }

    /// Crashes: the queue is lost, and the ids of its items are given a second time.
    pub fn lose_queue(&self) {
        self.shared.data().lose_queue();
    }

    /// Cancels all items in the queue, as a person does.
    pub fn cancel_items(&self) {
        let mut data = self.shared.data();
        let waiting = data.items.values_mut().filter(|item| item.state == ItemState::Waiting);
        waiting.for_each(|item| item.state = ItemState::Cancelled);
    }

    /// Returns the ids of the items in the queue.
    pub fn waiting_items(&self) -> Vec<u64> {
        let is_waiting = |(_, item): &(&u64, &Item)| item.state == ItemState::Waiting;
        self.shared.data().items.iter().filter(is_waiting).map(|(id, _)| *id).collect()
    }

    /// Starts a build as another user or program does. Returns the id of its queue item.
    pub fn build_by(&self, user: &str, job: &str, parameters: &[(&str, &str)]) -> u64 {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.shared.data().schedule(job, user, parameters).item
    }

    /// Ends a build with a result, for example `SUCCESS`.
    pub fn end(&self, job: &str, number: u64, result: &str) {
        self.shared.data().end(job, number, result);
    }

    /// Gives a build a result, but does not complete it.
    pub fn end_without_completing(&self, job: &str, number: u64, result: &str) {
        let mut data = self.shared.data();
        data.end(job, number, result);
        if let Some(build) = data.build(job, number) {
            build.is_completing = true;
        }
    }

    /// Completes a build.
    pub fn complete(&self, job: &str, number: u64) {
        if let Some(build) = self.shared.data().build(job, number) {
            build.is_completing = false;
        }
    }

    /// Ends all builds that run.
    pub fn end_all(&self, result: &str) {
        let mut data = self.shared.data();
        let is_open = |(_, build): &(&u64, &data::Build)| build.is_building();
        let open: Vec<(String, u64)> = data
            .jobs
            .iter()
            .flat_map(|(name, job)| job.builds.iter().filter(is_open).map(|(number, _)| (name.clone(), *number)))
            .collect();
        open.into_iter().for_each(|(job, number)| data.end(&job, number, result));
    }

    /// Appends to the console output of a build.
    pub fn log(&self, job: &str, number: u64, text: &[u8]) {
        if let Some(build) = self.shared.data().build(job, number) {
            build.log.extend_from_slice(text);
        }
    }

    /// Replaces the console output of a build.
    pub fn replace_log(&self, job: &str, number: u64, text: &[u8]) {
        if let Some(build) = self.shared.data().build(job, number) {
            build.log = text.to_vec();
        }
    }

    /// Returns the builds of a job, oldest first.
    pub fn builds(&self, job: &str) -> Vec<SeenBuild> {
        let data = self.shared.data();
        let builds = data.jobs.get(job).into_iter().flat_map(|job| &job.builds);
        let seen = builds.map(|(number, build)| SeenBuild {
            number: *number,
            item: build.item,
            parameters: build.parameters.clone(),
            result: build.result.clone(),
            signals: build.signals.clone(),
        });
        seen.collect()
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
