//! Finds the build of a run whose trigger had no answer.
//!
//! - A job that defines the run parameter: the item or build whose parameter holds the key.
//! - Another job: the only item or build that the same user started since then with the same values, and that belongs to
//!   no other run of the host.
//!
//! Invariant: a run counts as not started only if two complete searches, after the request can no longer arrive, find
//! nothing. A search is complete if Jenkins lists every queue item, and every build with a number since the trigger.

use std::collections::BTreeSet;

use wardroom::{Timestamp, model::RunKey};
use wardroom_remote::{Found, Lost, RemoteError};

use crate::{
    client::{JobBuilds, QueueItem, QueueList},
    job_path::JobPath,
    run::{JenkinsRequest, JenkinsRun},
    system::Jenkins,
};

/// The number of builds that a search requests first, and the maximum.
const BUILDS: (usize, usize) = (JobBuilds::NEWEST, 500);
/// How much earlier than the trigger a queue item may seem to be, in milliseconds, because of the clocks.
const CLOCK_MARGIN: i64 = 10_000;

/// What is searched for.
struct Wanted<'w> {
    key: &'w RunKey,
    request: &'w JenkinsRequest,
    run_parameter: &'w str,
    user: &'w str,
    /// Other runs of the host with their requests.
    others: &'w [(JenkinsRequest, JenkinsRun)],
    /// Whether another run with the same values is also without an answer.
    has_rival: bool,
    /// Whether `others` has all runs.
    are_all_known: bool,
    /// The time of the trigger of Jenkins' clock, in milliseconds, less a margin.
    since: i64,
}

impl Jenkins {
    /// Searches for the build of a run whose trigger had no answer.
    pub(crate) async fn find(&self, lost: &Lost<'_, Self>) -> Result<Found<JenkinsRun>, RemoteError> {
        let request = lost.request;
        let is_rival = |rival: &JenkinsRequest| rival.job == request.job && rival.values == request.values;
        let wanted = Wanted {
            has_rival: lost.rivals.iter().any(is_rival),
            are_all_known: lost.are_all_known,
            others: lost.others,
            since: self.client.server_time(lost.requested).saturating_sub(CLOCK_MARGIN),
            ..self.wanted(lost.key, request)
        };
        self.search_for(&wanted).await
    }

    /// Searches for a run of which the host has no file, in a job that defines the run parameter.
    pub(crate) async fn find_by_key(
        &self,
        key: &RunKey,
        request: &JenkinsRequest,
    ) -> Result<Found<(JenkinsRequest, JenkinsRun)>, RemoteError> {
        Ok(match self.search_for(&self.wanted(key, request)).await? {
            Found::Run(run) => Found::Run((request.clone(), run)),
            Found::Nothing => Found::Nothing,
            Found::Unclear(reason) => Found::Unclear(reason),
        })
    }

    fn wanted<'w>(&'w self, key: &'w RunKey, request: &'w JenkinsRequest) -> Wanted<'w> {
        Wanted {
            key,
            request,
            run_parameter: &self.run_parameter,
            user: &self.client.credentials.user,
            others: &[],
            has_rival: false,
            are_all_known: true,
            since: self.client.server_time(Timestamp::now()),
        }
    }

    async fn search_for(&self, wanted: &Wanted<'_>) -> Result<Found<JenkinsRun>, RemoteError> {
        let (job, baseline) = (&wanted.request.job, wanted.request.baseline);
        // The queue comes first: an item that leaves it in between is then among the builds.
        let queue = self.client.queue(true).await?;
        let mut builds = self.search_builds(job, BUILDS.0).await?;
        let needed = builds.next_build_number.unwrap_or_default().saturating_sub(baseline);
        // Without a baseline, for a run without a file, only the newest builds are searched.
        if baseline > 0 && needed > BUILDS.0 as u64 {
            let count = usize::try_from(needed).unwrap_or(BUILDS.1).saturating_add(5).min(BUILDS.1);
            builds = self.search_builds(job, count).await?;
        }
        Ok(wanted.among(&queue, &builds))
    }

    async fn search_builds(&self, job: &JobPath, count: usize) -> Result<JobBuilds, RemoteError> {
        match self.client.builds(job, count, true).await {
            // The job was deleted, and with it every build.
            Err(error) if error.is_missing() => Ok(JobBuilds::default()),
            builds => builds,
        }
    }
}

impl Wanted<'_> {
    /// Searches for the run in the queue and among the builds of its job.
    fn among(&self, queue: &QueueList, builds: &JobBuilds) -> Found<JenkinsRun> {
        let is_of_job = |item: &&QueueItem| item.job().as_ref() == Some(&self.request.job);
        let items: Vec<&QueueItem> = queue.items.iter().filter(is_of_job).collect();
        let since = |number: u64| number >= self.request.baseline;
        let builds_since = || builds.builds.iter().filter(|build| since(build.number));
        let fits = |origin| self.fits(&origin);
        // 1. Collect what fits. A person can start a build again with the same parameters, so the first one counts.
        let mut found: Vec<JenkinsRun> = builds_since()
            .filter(|build| fits(build.origin()))
            .map(|build| JenkinsRun::Building {
                item: build.item(),
                number: build.number,
                scheduled: build.timestamp,
                merged: false,
            })
            .collect();
        found.reverse();
        let waiting = items.iter().filter(|item| fits(item.origin()));
        let waiting = waiting.filter(|item| self.request.carries_key || self.is_new(item));
        found.extend(waiting.map(|item| JenkinsRun::Queued { item: item.id, merged: false }));
        // 2. Without the key, an item of another run does not count, and only one may fit.
        if !self.request.carries_key {
            found.retain(|found| !self.others.iter().any(|other| self.is_same(found, other)));
            if !self.are_all_known && !found.is_empty() {
                return Found::Unclear(format!(
                    "a build of the job `{}` fits, but files of other runs in the state folder cannot be read; look at the \
                     job in Jenkins",
                    self.request.job
                ));
            }
            if found.len() > 1 || (self.has_rival && !found.is_empty()) {
                return Found::Unclear(format!(
                    "{} builds of the job `{}` fit, and the job does not define the parameter `{}` that would tell them \
                     apart; look at the job in Jenkins",
                    found.len(),
                    self.request.job,
                    self.run_parameter
                ));
            }
        }
        match found.into_iter().next() {
            Some(found) => Found::Run(found),
            None => self.missing_part(queue, builds).map_or(Found::Nothing, Found::Unclear),
        }
    }

    /// Returns whether a build or an item belongs to another run of the host. After a crash, Jenkins gives the ids of queue
    /// items a second time, so that the number of a build decides where it is known.
    fn is_same(&self, found: &JenkinsRun, (request, run): &(JenkinsRequest, JenkinsRun)) -> bool {
        if request.job != self.request.job {
            return false;
        }
        match (found.number(), run.number()) {
            (Some(found), Some(known)) => found == known,
            (Some(number), None) => number >= request.baseline && found.item() == run.item(),
            (None, _) => found.item() == run.item() && run.number().is_none(),
        }
    }

    fn fits(&self, origin: &crate::client::Origin) -> bool {
        if self.request.carries_key {
            return origin.parameters.get(self.run_parameter).is_some_and(|value| value == self.key.as_str());
        }
        // A build that a timer, a commit or another job started has no user.
        let is_own = origin.users.iter().any(|user| user.eq_ignore_ascii_case(self.user));
        // The values of passwords are not shown, and Jenkins can trim a value.
        let has_value = |(name, value): (&String, &String)| {
            origin.parameters.get(name).is_none_or(|found| found.trim() == value.trim())
        };
        is_own && self.request.values.iter().all(has_value)
    }

    fn is_new(&self, item: &QueueItem) -> bool {
        item.in_queue_since.is_none_or(|since| since >= self.since)
    }

    /// Returns why the search was not complete; `None` if it was.
    fn missing_part(&self, queue: &QueueList, builds: &JobBuilds) -> Option<String> {
        let job = &self.request.job;
        if !queue.is_complete() {
            return Some("the queue of Jenkins is too long to be searched".to_owned());
        }
        let Some(next) = builds.next_build_number else {
            return Some(format!("the job `{job}` no longer exists in Jenkins"));
        };
        if next < self.request.baseline {
            return Some(format!("the build numbers of the job `{job}` were reset"));
        }
        let numbers: BTreeSet<u64> = builds.builds.iter().map(|build| build.number).collect();
        let first = match self.request.baseline {
            0 if next > JobBuilds::NEWEST as u64 => {
                return Some(format!("only the newest {} builds of the job `{job}` are searched", JobBuilds::NEWEST));
            }
            0 => 1,
            baseline => baseline,
        };
        let missing = (first..next).find(|number| !numbers.contains(number))?;
        Some(format!(
            "build #{missing} of the job `{job}` was deleted or is too old to be listed, and it could be the build of this \
             run"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `others` are the runs of the same job that are known.
    fn search(
        carries_key: bool,
        queue: &str,
        builds: &str,
        others: &[JenkinsRun],
        has_rival: bool,
    ) -> Found<JenkinsRun> {
        let request = JenkinsRequest {
            baseline: 5,
            carries_key,
            values: [("TAG".to_owned(), "1.0".to_owned())].into(),
            ..JenkinsRequest::unknown(JobPath::parse("cms").unwrap())
        };
        let others: Vec<_> = others.iter().map(|run| (request.clone(), run.clone())).collect();
        let wanted = Wanted {
            key: &RunKey::parse("7f3ak-2").unwrap(),
            request: &request,
            run_parameter: "WARDROOM_RUN",
            user: "Bot",
            others: &others,
            has_rival,
            are_all_known: true,
            since: 1_000,
        };
        let queue = serde_json::from_str(&format!(r#"{{"items":[{queue}]}}"#)).unwrap();
        wanted.among(&queue, &serde_json::from_str(builds).unwrap())
    }

    fn queued(item: u64) -> JenkinsRun {
        JenkinsRun::Queued { item, merged: false }
    }

    fn built(item: u64, number: u64) -> Found<JenkinsRun> {
        Found::Run(JenkinsRun::Building { item: Some(item), number, scheduled: Some(7), merged: false })
    }

    fn origin(key: &str, user: &str, tag: &str) -> String {
        format!(
            r#""actions":[{{"parameters":[{{"name":"TAG","value":"{tag}"}},{{"name":"WARDROOM_RUN","value":"{key}"}}]}},
            {{"causes":[{{"userId":"{user}"}}]}}]"#
        )
    }

    fn build(number: u64, item: u64, key: &str, user: &str, tag: &str) -> String {
        format!(r#"{{"number":{number},"queueId":{item},"timestamp":7,{}}}"#, origin(key, user, tag))
    }

    fn item(id: u64, job: &str, since: i64, key: &str) -> String {
        let task = format!(r#""task":{{"url":"http://other/prefix/job/{job}/"}}"#);
        format!(r#"{{"id":{id},"inQueueSince":{since},{task},{}}}"#, origin(key, "bot", "1.0"))
    }

    fn builds(next: u64, list: &[String]) -> String {
        format!(r#"{{"nextBuildNumber":{next},"allBuilds":[{}]}}"#, list.join(","))
    }

    #[test]
    fn the_key_finds_the_first_build_that_carries_it() {
        let list =
            [build(7, 30, "7f3ak-2", "eve", "9"), build(6, 20, "7f3ak-2", "bot", "1.0"), build(5, 10, "x", "bot", "")];
        let found = built(20, 6);
        assert_eq!(search(true, "", &builds(8, &list), &[], false), found);
        let queue = [item(40, "other", 2_000, "7f3ak-2"), item(41, "cms", 2_000, "7f3ak-2")].join(",");
        assert_eq!(search(true, &queue, &builds(5, &[]), &[], false), Found::Run(queued(41)));
        let before = builds(6, &[build(5, 10, "x", "bot", "1.0"), build(4, 9, "7f3ak-2", "bot", "1.0")]);
        assert_eq!(search(true, "", &before, &[], false), Found::Nothing, "a build before the trigger");
    }

    #[test]
    fn without_the_key_only_one_build_may_fit() {
        let own = build(6, 20, "", "bot", "1.0 ");
        let foreign = build(5, 10, "", "eve", "1.0");
        let other_value = build(7, 30, "", "bot", "2.0");
        let list = [other_value, own.clone(), foreign.clone()];
        let found = built(20, 6);
        assert_eq!(search(false, "", &builds(8, &list), &[], false), found);
        assert_eq!(search(false, "", &builds(8, &list), &[queued(20)], false), Found::Nothing, "of another run");
        let earlier = queued(20).building(3);
        assert_eq!(search(false, "", &builds(8, &list), &[earlier], false), found, "an id that was given twice");
        assert!(
            matches!(search(false, "", &builds(8, &list), &[], true), Found::Unclear(_)),
            "two runs without answer"
        );
        let twice = [build(7, 21, "", "bot", "1.0"), own, foreign];
        assert!(matches!(search(false, "", &builds(8, &twice), &[], false), Found::Unclear(_)));
        assert_eq!(search(false, &item(41, "cms", 999, ""), &builds(5, &[]), &[], false), Found::Nothing, "too old");
        assert_eq!(search(false, &item(41, "cms", 1_000, ""), &builds(5, &[]), &[], false), Found::Run(queued(41)));
    }

    #[test]
    fn an_incomplete_search_decides_nothing() {
        for (list, reason) in [
            (builds(7, &[build(6, 20, "x", "eve", "")]), "build #5 of the job `cms` was deleted"),
            (builds(3, &[build(2, 20, "x", "eve", "")]), "were reset"),
            ("{}".to_owned(), "no longer exists"),
        ] {
            match search(true, "", &list, &[], false) {
                Found::Unclear(why) => assert!(why.contains(reason), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
