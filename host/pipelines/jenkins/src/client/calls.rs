//! The calls of the API that the backend uses.
//!
//! Sources: Jenkins' `jenkins/model/ParameterizedJobMixIn.java`, `hudson/model/{Queue,Run,Job,Computer,Executor}.java` and
//! `hudson/model/Api.java` (`tree`), workflow-job's `WorkflowRun.java` (`term`, `kill`).

use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use reqwest::{Url, header::LOCATION};

use super::{Answer, Build, Call, Client, JobBuilds, JobInfo, QueueItem, QueueList, RunningBuild, types::Computers};
use crate::{
    error::{JenkinsError, not_the_api},
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
    /// Returns the URL of a job for people.
    pub(crate) fn job_url(&self, job: &JobPath) -> String {
        job.url(self.base()).into()
    }

    /// Returns the URL of a build for people.
    pub(crate) fn build_url(&self, job: &JobPath, number: u64) -> String {
        below(self.base(), job.segments().chain([&*number.to_string(), ""])).into()
    }

    pub(crate) async fn job(&self, job: &JobPath) -> Result<JobInfo, JenkinsError> {
        let call = Call::read(job.segments().chain(["api", "json"]), format!("job `{job}`"));
        self.send(&call.tree(JobInfo::TREE)).await?.json()
    }

    /// Returns the newest `count` builds of a job. `with_origin` also requests their parameters and causes.
    pub(crate) async fn builds(
        &self,
        job: &JobPath,
        count: usize,
        with_origin: bool,
    ) -> Result<JobBuilds, JenkinsError> {
        let origin = if with_origin { format!(",{}", Build::TREE_OF_ACTIONS) } else { String::new() };
        // For `allBuilds`, Jenkins loads every build of the job before it takes the first ones.
        let list = if count <= JobBuilds::NEWEST { "builds" } else { "allBuilds" };
        let tree = format!("nextBuildNumber,{list}[{}{origin}]{{0,{count}}}", Build::TREE);
        let call = Call::read(job.segments().chain(["api", "json"]), format!("job `{job}`"));
        self.send(&call.tree(&tree)).await?.json()
    }

    pub(crate) async fn build(&self, job: &JobPath, number: u64) -> Result<Build, JenkinsError> {
        let text = number.to_string();
        let segments = job.segments().chain([&*text, "api", "json"]);
        let call = Call::read(segments, format!("build #{number} of the job `{job}`"));
        self.send(&call.tree(Build::TREE)).await?.json()
    }

    /// Returns the items that wait in the queue. `with_origin` also requests their jobs, parameters and causes.
    pub(crate) async fn queue(&self, with_origin: bool) -> Result<QueueList, JenkinsError> {
        let fields = if with_origin { QueueItem::TREE_WITH_ACTIONS } else { "id,why" };
        let tree = format!("items[{fields}]{{0,{}}}", QueueList::MAX_ITEMS);
        self.send(&Call::read(["queue", "api", "json"], "queue").tree(&tree)).await?.json()
    }

    pub(crate) async fn queue_item(&self, id: u64) -> Result<QueueItem, JenkinsError> {
        let text = id.to_string();
        let call = Call::read(["queue", "item", &text, "api", "json"], format!("queue item {id}"));
        self.send(&call.tree(QueueItem::TREE)).await?.json()
    }

    /// Returns the builds that run on any executor and that the user can see.
    pub(crate) async fn running(&self) -> Result<Vec<RunningBuild>, JenkinsError> {
        let call = Call::read(["computer", "api", "json"], "list of executors");
        let computers: Computers = self.send(&call.tree(Computers::TREE)).await?.json()?;
        Ok(computers.running().collect())
    }

    /// Starts a build. `values` are the values of the job's parameters; `None` for a job without parameters.
    ///
    /// # Errors
    /// [`JenkinsError::may_be_done`] is true if a build may have been started.
    pub(crate) async fn trigger(
        &self,
        job: &JobPath,
        values: Option<&BTreeMap<String, String>>,
    ) -> Result<Triggered, JenkinsError> {
        let path = if values.is_some() { "buildWithParameters" } else { "build" };
        let mut call = Call::post(Request::Trigger, job.segments().chain([path]), format!("job `{job}`"));
        call.query.push(("delay", "0sec".to_owned()));
        if let Some(values) = values {
            call.form = Some(Serializer::new(String::new()).extend_pairs(values).finish());
        }
        let answer = self.send(&call).await?;
        if let Some(item) = answer.queue_item() {
            return Ok(Triggered { item, is_merged: answer.status == 303 });
        }
        Err(match answer.status {
            200..=299 => not_the_api(&answer.headers, &answer.body),
            _ => JenkinsError::unusable(
                "Jenkins redirected the request for a build to another page, and named no queue item",
            ),
        })
    }

    /// Cancels an item of the queue. Returns false if the item is no longer in the queue.
    pub(crate) async fn cancel_item(&self, id: u64) -> Result<bool, JenkinsError> {
        let mut call = Call::post(Request::Stop, ["queue", "cancelItem"], format!("queue item {id}"));
        call.query.push(("id", id.to_string()));
        match self.send(&call).await {
            // Older versions redirect to the page from which a browser came, and do not tell whether the item was there.
            Ok(answer) => Ok((200..300).contains(&answer.status)),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks Jenkins to stop a build. A build that has ended is not changed.
    pub(crate) async fn stop(&self, job: &JobPath, number: u64, signal: Signal) -> Result<(), JenkinsError> {
        let text = number.to_string();
        let segments = job.segments().chain([&*text, signal.path()]);
        let call = Call::post(Request::Stop, segments, format!("build #{number} of the job `{job}`"));
        let answer = self.send(&call).await?;
        // Jenkins redirects to the page of the build; a proxy redirects to its login.
        let is_login = |to: &Url| to.path().contains("login") && !to.path().contains("/job/");
        let is_login = answer.location().is_some_and(|to| is_login(&to));
        if is_login {
            return Err(JenkinsError::not_sent("a login page answered the request to stop the build"));
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

impl Answer {
    /// Returns the target of a redirect. A relative target is resolved against a URL without meaning, because only its
    /// path is read.
    fn location(&self) -> Option<Url> {
        let text = self.headers.get(LOCATION)?.to_str().ok()?;
        Url::parse("http://jenkins.invalid/").ok()?.join(text).ok()
    }

    /// Returns the id of the queue item in `Location`: `…/queue/item/17/`.
    fn queue_item(&self) -> Option<u64> {
        let location = self.location()?;
        let segments: Vec<&str> = location.path_segments()?.filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            [.., "queue", "item", id] => id.parse().ok(),
            _ => None,
        }
    }
}

impl Call<'_> {
    fn tree(mut self, tree: &str) -> Self {
        self.query.push(("tree", tree.to_owned()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_item_is_read_from_any_form_of_location() {
        let item = |location: &str| {
            let headers = [(LOCATION, location.parse().unwrap())].into_iter().collect();
            Answer { status: 201, headers, body: Vec::new() }.queue_item()
        };
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
