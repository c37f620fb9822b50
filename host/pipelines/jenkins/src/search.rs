//! Finds the build of a run whose trigger had no answer.
//!
//! - A job that defines the run parameter: the item or build whose parameter holds the key.
//! - Another job: the only item or build that the same user started since then with the same values, and that belongs to
//!   no other run of the host.
//!
//! Invariant: a run counts as not started only if two complete searches, after the request can no longer arrive, find
//! nothing. A search is complete if Jenkins lists every queue item, and every build with a number since the trigger.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use wardroom::{Timestamp, adapter::PipelineError, model::RunKey};

use crate::{
    backend::{Backend, unavailable},
    client::QueueItem,
    client::{JobBuilds, QueueList},
    job_path::JobPath,
    record::{Phase, RunRecord},
};

/// The number of builds that a search requests first, and the maximum.
const BUILDS: (usize, usize) = (JobBuilds::NEWEST, 500);
/// How much earlier than the trigger a queue item may seem to be, in milliseconds, because of the clocks.
const CLOCK_MARGIN: i64 = 10_000;

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Item(u64),
    Build {
        item: Option<u64>,
        number: u64,
        scheduled: Option<i64>,
    },
    /// Nothing, and the search was complete.
    Nothing,
    /// It cannot be known. The text is the reason.
    Unclear(String),
}

/// What is searched for.
#[derive(Debug)]
struct Wanted<'w> {
    key: &'w RunKey,
    record: &'w RunRecord,
    run_parameter: &'w str,
    user: &'w str,
    /// The ids of queue items that belong to other runs of the host.
    claimed: BTreeSet<u64>,
    /// Whether another run with the same values is also without an answer.
    has_rival: bool,
    /// The time of the trigger of Jenkins' clock, in milliseconds, less a margin.
    since: i64,
}

impl Backend {
    /// Searches for the build of a run whose trigger had no answer, and stores what it finds. Returns the new record.
    ///
    /// # Errors
    /// Jenkins is unavailable, or it is too early to know. [`Found::Unclear`] is the inner error.
    pub(crate) async fn resolve(
        self: &Arc<Self>,
        key: &RunKey,
        record: &RunRecord,
    ) -> Result<Result<RunRecord, String>, PipelineError> {
        let mut found = self.search(key, record).await?;
        if matches!(found, Found::Nothing | Found::Unclear(_)) {
            let settle = self.timing.settle.max(self.client_timeout() * 2);
            let age = Duration::try_from(Timestamp::now().duration_since(record.requested)).unwrap_or_default();
            if age < settle {
                return Err(unavailable(format!(
                    "Jenkins did not answer the request to start the job `{}`, and it shows no build for it yet; \
                     checking again",
                    record.job
                )));
            }
            // A build that is being created is neither in the queue nor in the list of builds for a moment.
            tokio::time::sleep(self.timing.second_look).await;
            found = self.search(key, record).await?;
        }
        let phase = match found {
            Found::Item(item) => Phase::Queued { item, merged: false },
            Found::Build { item, number, scheduled } => Phase::Building { item, number, scheduled, merged: false },
            Found::Nothing => Phase::NotStarted("Jenkins did not receive the request to start the job".to_owned()),
            Found::Unclear(reason) => return Ok(Err(reason)),
        };
        let changed = self.update(key, move |record| {
            if record.phase == Phase::Triggering {
                record.phase = phase;
            }
        });
        match changed.await? {
            Some(record) => {
                if record.cancel
                    && let Err(error) = self.cancel_found(key, record.clone()).await
                {
                    tracing::warn!(
                        run = %key, %error,
                        "cannot cancel a build that was found after its run was cancelled; cancel it in Jenkins"
                    );
                }
                Ok(Ok(record))
            }
            None => Err(unavailable(format!("the file of the run `{key}` was removed"))),
        }
    }

    async fn search(&self, key: &RunKey, record: &RunRecord) -> Result<Found, PipelineError> {
        let others = if record.carries_key { Vec::new() } else { self.others(key, &record.job).await? };
        let is_rival = |other: &RunRecord| other.phase == Phase::Triggering && other.values == record.values;
        let since = self.client.host_time(0).as_millisecond().saturating_neg();
        let wanted = Wanted {
            key,
            record,
            run_parameter: &self.run_parameter,
            user: &self.client.credentials.user,
            claimed: others.iter().filter_map(RunRecord::item).collect(),
            has_rival: others.iter().any(is_rival),
            since: record.requested.as_millisecond().saturating_add(since).saturating_sub(CLOCK_MARGIN),
        };
        // The queue comes first: an item that leaves it in between is then among the builds.
        let queue = self.client.queue(true).await.map_err(|error| error.while_reading())?;
        let mut builds = self.search_builds(&record.job, BUILDS.0).await?;
        let needed = builds.next_build_number.unwrap_or_default().saturating_sub(record.baseline);
        // Without a baseline, for a run without a file, only the newest builds are searched.
        if record.baseline > 0 && needed > BUILDS.0 as u64 {
            let count = usize::try_from(needed).unwrap_or(BUILDS.1).saturating_add(5).min(BUILDS.1);
            builds = self.search_builds(&record.job, count).await?;
        }
        Ok(wanted.among(&queue, &builds))
    }

    async fn search_builds(&self, job: &JobPath, count: usize) -> Result<JobBuilds, PipelineError> {
        match self.client.builds(job, count, true).await {
            Ok(builds) => Ok(builds),
            // The job was deleted, and with it every build.
            Err(error) if error.is_missing() => Ok(JobBuilds::default()),
            Err(error) => Err(error.while_reading()),
        }
    }

    /// Searches for a run of which the host has no file, in a job that defines the run parameter. Returns the phase of
    /// the run.
    pub(crate) async fn find_by_key(&self, key: &RunKey, job: &JobPath) -> Result<Option<RunRecord>, PipelineError> {
        let none = RunRecord { carries_key: true, ..RunRecord::not_started(job.clone(), "") };
        let phase = match self.search(key, &none).await? {
            Found::Item(item) => Phase::Queued { item, merged: false },
            Found::Build { item, number, scheduled } => Phase::Building { item, number, scheduled, merged: false },
            Found::Nothing | Found::Unclear(_) => return Ok(None),
        };
        Ok(Some(RunRecord { phase, ..none }))
    }
}

impl Wanted<'_> {
    /// Searches for the run in the queue and among the builds of its job.
    fn among(&self, queue: &QueueList, builds: &JobBuilds) -> Found {
        let is_of_job = |item: &&QueueItem| item.job().as_ref() == Some(&self.record.job);
        let items: Vec<&QueueItem> = queue.items.iter().filter(is_of_job).collect();
        let since = |number: u64| number >= self.record.baseline;
        let builds_since = || builds.builds.iter().filter(|build| since(build.number));
        let fits = |origin| self.fits(&origin);
        // 1. Collect what fits. A person can start a build again with the same parameters, so the first one counts.
        let mut found: Vec<Found> = builds_since()
            .filter(|build| fits(build.origin()))
            .map(|build| Found::Build { item: build.item(), number: build.number, scheduled: build.timestamp })
            .collect();
        found.reverse();
        let waiting = items.iter().filter(|item| fits(item.origin()));
        let waiting = waiting.filter(|item| self.record.carries_key || self.is_new(item));
        found.extend(waiting.map(|item| Found::Item(item.id)));
        // 2. Without the key, an item of another run does not count, and only one may fit.
        if !self.record.carries_key {
            found.retain(|found| match found {
                Found::Item(item) | Found::Build { item: Some(item), .. } => !self.claimed.contains(item),
                _ => true,
            });
            if found.len() > 1 || (self.has_rival && !found.is_empty()) {
                return Found::Unclear(format!(
                    "{} builds of the job `{}` fit, and the job does not define the parameter `{}` that would tell them \
                     apart; look at the job in Jenkins",
                    found.len(),
                    self.record.job,
                    self.run_parameter
                ));
            }
        }
        match found.into_iter().next() {
            Some(found) => found,
            None => self.missing_part(queue, builds).map_or(Found::Nothing, Found::Unclear),
        }
    }

    fn fits(&self, origin: &crate::client::Origin) -> bool {
        if self.record.carries_key {
            return origin.parameters.get(self.run_parameter).is_some_and(|value| value == self.key.as_str());
        }
        // A build that a timer, a commit or another job started has no user.
        let is_own = origin.users.iter().any(|user| user.eq_ignore_ascii_case(self.user));
        // The values of passwords are not shown, and Jenkins can trim a value.
        let has_value = |(name, value): (&String, &String)| {
            origin.parameters.get(name).is_none_or(|found| found.trim() == value.trim())
        };
        is_own && self.record.values.iter().all(has_value)
    }

    fn is_new(&self, item: &QueueItem) -> bool {
        item.in_queue_since.is_none_or(|since| since >= self.since)
    }

    /// Returns why the search was not complete; `None` if it was.
    fn missing_part(&self, queue: &QueueList, builds: &JobBuilds) -> Option<String> {
        let job = &self.record.job;
        if !queue.is_complete() {
            return Some("the queue of Jenkins is too long to be searched".to_owned());
        }
        let Some(next) = builds.next_build_number else {
            return Some(format!("the job `{job}` no longer exists in Jenkins"));
        };
        if next < self.record.baseline {
            return Some(format!("the build numbers of the job `{job}` were reset"));
        }
        let numbers: BTreeSet<u64> = builds.builds.iter().map(|build| build.number).collect();
        let missing = (self.record.baseline..next).find(|number| !numbers.contains(number))?;
        Some(format!(
            "build #{missing} of the job `{job}` was deleted or is too old to be listed, and it could be the build of this \
             run"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(carries_key: bool, queue: &str, builds: &str, claimed: &[u64], has_rival: bool) -> Found {
        let job = JobPath::parse("cms").unwrap();
        let record = RunRecord {
            baseline: 5,
            carries_key,
            values: [("TAG".to_owned(), "1.0".to_owned())].into(),
            phase: Phase::Triggering,
            ..RunRecord::not_started(job, "")
        };
        let wanted = Wanted {
            key: &RunKey::parse("7f3ak-2").unwrap(),
            record: &record,
            run_parameter: "WARDROOM_RUN",
            user: "Bot",
            claimed: claimed.iter().copied().collect(),
            has_rival,
            since: 1_000,
        };
        let queue = serde_json::from_str(&format!(r#"{{"items":[{queue}]}}"#)).unwrap();
        wanted.among(&queue, &serde_json::from_str(builds).unwrap())
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
        let found = Found::Build { item: Some(20), number: 6, scheduled: Some(7) };
        assert_eq!(search(true, "", &builds(8, &list), &[], false), found);
        let queue = [item(40, "other", 2_000, "7f3ak-2"), item(41, "cms", 2_000, "7f3ak-2")].join(",");
        assert_eq!(search(true, &queue, &builds(5, &[]), &[], false), Found::Item(41));
        let before = builds(6, &[build(5, 10, "x", "bot", "1.0"), build(4, 9, "7f3ak-2", "bot", "1.0")]);
        assert_eq!(search(true, "", &before, &[], false), Found::Nothing, "a build before the trigger");
    }

    #[test]
    fn without_the_key_only_one_build_may_fit() {
        let own = build(6, 20, "", "bot", "1.0 ");
        let foreign = build(5, 10, "", "eve", "1.0");
        let other_value = build(7, 30, "", "bot", "2.0");
        let list = [other_value, own.clone(), foreign.clone()];
        let found = Found::Build { item: Some(20), number: 6, scheduled: Some(7) };
        assert_eq!(search(false, "", &builds(8, &list), &[], false), found);
        assert_eq!(search(false, "", &builds(8, &list), &[20], false), Found::Nothing, "of another run");
        assert!(
            matches!(search(false, "", &builds(8, &list), &[], true), Found::Unclear(_)),
            "two runs without answer"
        );
        let twice = [build(7, 21, "", "bot", "1.0"), own, foreign];
        assert!(matches!(search(false, "", &builds(8, &twice), &[], false), Found::Unclear(_)));
        assert_eq!(search(false, &item(41, "cms", 999, ""), &builds(5, &[]), &[], false), Found::Nothing, "too old");
        assert_eq!(search(false, &item(41, "cms", 1_000, ""), &builds(5, &[]), &[], false), Found::Item(41));
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
