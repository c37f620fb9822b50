//! The calls of the API that the backend uses.
//!
//! Sources: Jenkins' `jenkins/model/ParameterizedJobMixIn.java`, `hudson/model/{Queue,Run,Job,Computer,Executor}.java` and
//! `hudson/model/Api.java` (`tree`), workflow-job's `WorkflowRun.java` (`term`, `kill`).

use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use reqwest::{
    StatusCode, Url,
    header::{HeaderMap, LOCATION},
};

use serde::de::DeserializeOwned;
use wardroom_remote::RemoteError;

use super::{Build, Call, Client, JobBuilds, JobInfo, QueueItem, QueueList, RunningBuild, types::Computers};
use crate::{
    job_path::{JobPath, below},
    responses::Request,
};

/// The answer to a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Triggered {
    /// The id of the queue item.
    pub(crate) item: u64,
    /// Whether Jenkins merged the request with an identical item that was already in the queue.
    pub(crate) is_merged: bool,
}

/// A way to stop a build. Jenkins offers each after the one before it had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Stop,
    /// Only pipelines have it.
    Term,
    /// Only pipelines have it.
    Kill,
}

impl Client {
    /// Requests JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, RemoteError> {
        let answer = self.send(&call).await?;
        self.server.json(&answer, &call.what)
    }

    /// Returns the URL of a job for people.
    pub(crate) fn job_url(&self, job: &JobPath) -> String {
        job.url(self.base()).into()
    }

    /// Returns the URL of a build for people.
    pub(crate) fn build_url(&self, job: &JobPath, number: u64) -> String {
        below(self.base(), job.segments().chain([&*number.to_string(), ""])).into()
    }

    pub(crate) async fn job(&self, job: &JobPath) -> Result<JobInfo, RemoteError> {
        let call = Call::read(job.segments().chain(["api", "json"]), format!("job `{job}`"));
        self.get(call.tree(JobInfo::TREE)).await
    }

    /// Returns the newest `count` builds of a job. `with_origin` also requests their parameters and causes.
    pub(crate) async fn builds(
        &self,
        job: &JobPath,
        count: usize,
        with_origin: bool,
    ) -> Result<JobBuilds, RemoteError> {
        let origin = if with_origin { format!(",{}", Build::TREE_OF_ACTIONS) } else { String::new() };
        // For `allBuilds`, Jenkins loads every build of the job before it takes the first ones.
        let list = if count <= JobBuilds::NEWEST { "builds" } else { "allBuilds" };
        let tree = format!("nextBuildNumber,{list}[{}{origin}]{{0,{count}}}", Build::TREE);
        let call = Call::read(job.segments().chain(["api", "json"]), format!("job `{job}`"));
        self.get(call.tree(&tree)).await
    }

    pub(crate) async fn build(&self, job: &JobPath, number: u64) -> Result<Build, RemoteError> {
        let text = number.to_string();
        let segments = job.segments().chain([&*text, "api", "json"]);
        let call = Call::read(segments, format!("build #{number} of the job `{job}`"));
        self.get(call.tree(Build::TREE)).await
    }

    /// Returns the items that wait in the queue. `with_origin` also requests their jobs, parameters and causes.
    pub(crate) async fn queue(&self, with_origin: bool) -> Result<QueueList, RemoteError> {
        let fields = if with_origin { QueueItem::TREE_WITH_ACTIONS } else { "id,why,task[url]" };
        let tree = format!("items[{fields}]{{0,{}}}", QueueList::MAX_ITEMS);
        self.get(Call::read(["queue", "api", "json"], "queue").tree(&tree)).await
    }

    pub(crate) async fn queue_item(&self, id: u64) -> Result<QueueItem, RemoteError> {
        let text = id.to_string();
        let call = Call::read(["queue", "item", &text, "api", "json"], format!("queue item {id}"));
        self.get(call.tree(QueueItem::TREE)).await
    }

    /// Returns the builds that run on any executor and that the user can see.
    pub(crate) async fn running(&self) -> Result<Vec<RunningBuild>, RemoteError> {
        let call = Call::read(["computer", "api", "json"], "list of executors");
        let computers: Computers = self.get(call.tree(Computers::TREE)).await?;
        Ok(computers.running().collect())
    }

    /// Starts a build. `values` are the values of the job's parameters; `None` for a job without parameters.
    ///
    /// # Errors
    /// [`RemoteError::may_be_done`] is true if a build may have been started.
    pub(crate) async fn trigger(
        &self,
        job: &JobPath,
        values: Option<&BTreeMap<String, String>>,
    ) -> Result<Triggered, RemoteError> {
        let path = if values.is_some() { "buildWithParameters" } else { "build" };
        let mut call = Call::post(Request::Trigger, job.segments().chain([path]), format!("job `{job}`"));
        call.query.push(("delay", "0sec".to_owned()));
        if let Some(values) = values {
            call.form = Some(Serializer::new(String::new()).extend_pairs(values).finish());
        }
        let answer = self.send(&call).await?;
        if let Some(item) = queue_item(&answer.headers) {
            return Ok(Triggered { item, is_merged: answer.status == StatusCode::SEE_OTHER });
        }
        Err(if answer.status.is_success() {
            RemoteError::not_the_api("Jenkins", &answer.headers, &answer.body)
        } else {
            RemoteError::unusable("Jenkins redirected the request for a build to another page, and named no queue item")
        })
    }

    /// Cancels an item of the queue.
    ///
    /// # Errors
    /// The item was not cancelled, or this cannot be known. It can have left the queue.
    pub(crate) async fn cancel_item(&self, id: u64) -> Result<(), RemoteError> {
        let mut call = Call::post(Request::Cancel, ["queue", "cancelItem"], format!("queue item {id}"));
        call.query.push(("id", id.to_string()));
        let answer = self.send(&call).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        // Older versions redirect to the page from which a browser came, and do not tell whether the item was there.
        Err(RemoteError::unusable(format!("Jenkins does not tell whether it cancelled queue item {id}")))
    }

    /// Asks Jenkins to stop a build. A build that has ended is not changed.
    pub(crate) async fn stop(&self, job: &JobPath, number: u64, signal: Signal) -> Result<(), RemoteError> {
        let text = number.to_string();
        let segments = job.segments().chain([&*text, signal.path()]);
        let call = Call::post(Request::Stop, segments, format!("build #{number} of the job `{job}`"));
        let answer = self.send(&call).await?;
        // Jenkins redirects to the page of the build; a proxy redirects to its login.
        let is_login = |to: &Url| to.path().contains("login") && !to.path().contains("/job/");
        let is_login = location(&answer.headers).is_some_and(|to| is_login(&to));
        if is_login {
            return Err(RemoteError::not_sent("a login page answered the request to stop the build"));
        }
        Ok(())
    }
}

impl Signal {
    fn path(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Term => "term",
            Self::Kill => "kill",
        }
    }
}

/// Returns the target of a redirect. A relative target is resolved against a URL without meaning, because only its path is
/// read.
fn location(headers: &HeaderMap) -> Option<Url> {
    let text = headers.get(LOCATION)?.to_str().ok()?;
    Url::parse("http://jenkins.invalid/").ok()?.join(text).ok()
}

/// Returns the id of the queue item in `Location`: `…/queue/item/17/`.
fn queue_item(headers: &HeaderMap) -> Option<u64> {
    let location = location(headers)?;
    let segments: Vec<&str> = location.path_segments()?.filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [.., "queue", "item", id] => id.parse().ok(),
        _ => None,
    }
}

impl Call<'_> {
    pub(super) fn tree(mut self, tree: &str) -> Self {
        self.query.push(("tree", tree.to_owned()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_item_is_read_from_any_form_of_location() {
        let item = |location: &str| queue_item(&[(LOCATION, location.parse().unwrap())].into_iter().collect());
        for location in
            ["https://ci/queue/item/17/", "/jenkins/queue/item/17/", "queue/item/17", "//other/queue/item/17/"]
        {
            assert_eq!(item(location), Some(17), "{location}");
        }
        for location in
            ["https://ci/job/a/", "/login?from=/queue/item/17/", "/queue/item/x/", ".", "/queue/item/17/api/"]
        {
            assert_eq!(item(location), None, "{location}");
        }
    }
}
