//! Asks Jenkins how far runs are, with as few requests as possible.
//!
//! - The queue is listed once for all runs that wait in it, and the builds of a job once for all of its runs.
//! - If the runs are in many jobs, one list of all executors shows which of them still run.
//!
//! Not here: what follows from an answer (`progress`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use wardroom::model::RunKey;

use crate::{
    backend::Backend,
    client::{Build, JobBuilds, RunningBuild},
    error::JenkinsError,
    job_path::JobPath,
    poller::Run,
    progress::Observation,
    record::{Phase, RunRecord},
};

/// With runs in more jobs than this, the executors are listed.
const MAX_LISTED_JOBS: usize = 2;
/// The maximum number of jobs that one poll requests.
const MAX_JOBS: usize = 20;
/// The maximum number of runs of a job that one poll requests one by one.
const MAX_SINGLE: usize = 50;
/// The number of jobs, and of runs of a job, that are requested at the same time.
const CONCURRENT: usize = 4;
/// The least number of builds of a job that one request lists.
const MIN_BUILDS: usize = 20;

/// What a poll found out. Runs that it did not look at are not in it.
pub(crate) type Observed = BTreeMap<RunKey, Result<Observation, JenkinsError>>;

impl Backend {
    /// Asks Jenkins for the state of runs, with as few requests as possible.
    pub(crate) async fn observe(self: &Arc<Self>, runs: &[Run]) -> Observed {
        let mut observed = Observed::new();
        let is_queued = |run: &&Run| matches!(run.1.phase, Phase::Queued { .. });
        let queued: Vec<&Run> = runs.iter().filter(is_queued).collect();
        let mut open: Vec<&Run> = runs.iter().filter(|run| matches!(run.1.phase, Phase::Building { .. })).collect();
        // 1. The queue. Items that are not in it have left it.
        open.extend(self.left_queue(queued, &mut observed).await);
        // 2. The executors, if the runs are in many jobs, or are more than a list of builds has.
        let jobs: BTreeSet<&JobPath> = open.iter().map(|run| &run.1.job).collect();
        let must_list = jobs.len() > MAX_LISTED_JOBS || open.len() > JobBuilds::NEWEST;
        if must_list && let Ok(running) = self.client.running().await {
            let running = ByRun::new(&running);
            open.retain(|(key, record)| match running.find(record) {
                Some(observation) => {
                    observed.insert(key.clone(), Ok(observation));
                    false
                }
                None => true,
            });
        }
        // 3. The builds of each job.
        let mut by_job: BTreeMap<&JobPath, Vec<&Run>> = BTreeMap::new();
        for run in open {
            by_job.entry(&run.1.job).or_default().push(run);
        }
        let mut groups: Vec<(&JobPath, Vec<&Run>)> = by_job.into_iter().collect();
        if groups.len() > MAX_JOBS {
            let first = self.poller.turn.fetch_add(MAX_JOBS, Ordering::Relaxed) % groups.len();
            groups.rotate_left(first);
            groups.truncate(MAX_JOBS);
        }
        let looks: Vec<_> = groups.into_iter().map(|(job, runs)| self.observe_job(job, runs).boxed()).collect();
        let found: Vec<Observed> = stream::iter(looks).buffer_unordered(CONCURRENT).collect().await;
        observed.extend(found.into_iter().flatten());
        observed
    }

    /// Returns the runs whose item left the queue. The others are added to `observed`.
    async fn left_queue<'r>(&self, queued: Vec<&'r Run>, observed: &mut Observed) -> Vec<&'r Run> {
        // One item is looked up by itself, which also tells whether it was cancelled.
        if queued.len() < 2 {
            return queued;
        }
        let list = match self.client.queue(false).await {
            Ok(list) => list,
            Err(error) => {
                observed.extend(queued.into_iter().map(|run| (run.0.clone(), Err(error.clone()))));
                return Vec::new();
            }
        };
        let waiting: BTreeMap<u64, Option<String>> = list.items.into_iter().map(|item| (item.id, item.why)).collect();
        let mut left = Vec::new();
        for run in queued {
            match run.1.item().and_then(|item| waiting.get(&item)) {
                Some(why) => {
                    observed.insert(run.0.clone(), Ok(Observation::Waiting(why.clone())));
                }
                None => left.push(run),
            }
        }
        left
    }

    /// Looks at the runs of one job.
    async fn observe_job(&self, job: &JobPath, runs: Vec<&Run>) -> Observed {
        let mut observed = Observed::new();
        if let [(key, record)] = runs.as_slice() {
            observed.insert(key.clone(), self.observe_one(job, record).await);
            return observed;
        }
        let oldest =
            runs.iter().map(|(_, record)| record.number().unwrap_or(record.baseline)).min().unwrap_or_default();
        let builds = match self.builds_since(job, oldest, runs.len()).await {
            Ok(builds) => builds,
            Err(error) => {
                let missing = error.is_missing();
                let result = |(key, record): &Run| {
                    let gone = if record.number().is_some() {
                        Observation::BuildGone
                    } else {
                        Observation::ItemGone { is_certain: false }
                    };
                    (key.clone(), if missing { Ok(gone) } else { Err(error.clone()) })
                };
                observed.extend(runs.into_iter().map(result));
                return observed;
            }
        };
        let mut single = Vec::new();
        for (key, record) in runs {
            let found = match record.number() {
                Some(number) => builds.iter().find(|build| build.number == number),
                None => builds.iter().find(|build| build.item().is_some() && build.item() == record.item()),
            };
            match found {
                Some(build) => {
                    observed.insert(key.clone(), Ok(Observation::Build(build.clone())));
                }
                None => single.push((key, record)),
            }
        }
        single.truncate(MAX_SINGLE);
        let looks: Vec<_> = single
            .into_iter()
            .map(|(key, record)| async move { (key.clone(), self.observe_one(job, record).await) }.boxed())
            .collect();
        let found: Vec<_> = stream::iter(looks).buffer_unordered(CONCURRENT).collect().await;
        observed.extend(found);
        observed
    }

    /// Looks at one run by itself.
    async fn observe_one(&self, job: &JobPath, record: &RunRecord) -> Result<Observation, JenkinsError> {
        if let Some(number) = record.number() {
            return match self.client.build(job, number).await {
                Ok(build) => Ok(Observation::Build(build)),
                Err(error) if error.is_missing() => Ok(Observation::BuildGone),
                Err(error) => Err(error),
            };
        }
        let id = record.item().unwrap_or_default();
        match self.client.queue_item(id).await {
            Ok(item) => Ok(match item.executable.and_then(|build| build.number) {
                Some(number) => Observation::Left(number),
                None if item.cancelled == Some(true) => Observation::Cancelled,
                None => Observation::Waiting(item.why),
            }),
            // Jenkins forgets an item five minutes after it left the queue.
            Err(error) if error.is_missing() => match self.builds_since(job, record.baseline, 1).await {
                Ok(builds) => Ok(match builds.iter().find(|build| build.item() == Some(id)) {
                    Some(build) => Observation::Build(build.clone()),
                    None => {
                        let newest = self.poller.newest.lock().get(job).copied().unwrap_or_default();
                        let has = |number| builds.iter().any(|build| build.number == number);
                        let is_certain = record.baseline > 0
                            && newest >= record.baseline.saturating_sub(1)
                            && (record.baseline..=newest).all(has);
                        Observation::ItemGone { is_certain }
                    }
                }),
                Err(error) if error.is_missing() => Ok(Observation::ItemGone { is_certain: false }),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Returns the builds of a job from the number `oldest` on, as far as one list has them.
    async fn builds_since(&self, job: &JobPath, oldest: u64, runs: usize) -> Result<Vec<Build>, JenkinsError> {
        let count_for = |newest: u64| {
            let span = usize::try_from(newest.saturating_sub(oldest)).unwrap_or(JobBuilds::NEWEST);
            span.saturating_add(10).clamp(MIN_BUILDS, JobBuilds::NEWEST)
        };
        let known = self.poller.newest.lock().get(job).copied().unwrap_or_default();
        let count = count_for(known).max((runs + 10).min(JobBuilds::NEWEST));
        let mut list = self.client.builds(job, count, false).await?;
        let newest = list.next_build_number.map_or(0, |next| next.saturating_sub(1));
        if count_for(newest) > count {
            list = self.client.builds(job, count_for(newest), false).await?;
        }
        self.poller.newest.lock().insert(job.clone(), newest);
        Ok(list.builds)
    }
}

/// The builds that run, by their job and number and by their queue item.
struct ByRun<'b> {
    numbers: BTreeMap<(&'b JobPath, u64), Option<u64>>,
    items: BTreeMap<u64, &'b RunningBuild>,
}

impl<'b> ByRun<'b> {
    fn new(running: &'b [RunningBuild]) -> Self {
        Self {
            numbers: running.iter().map(|build| ((&build.job, build.number), build.item)).collect(),
            items: running.iter().filter_map(|build| Some((build.item?, build))).collect(),
        }
    }

    /// Returns what the list says about a run; `None` if the run must be looked at by itself.
    fn find(&self, record: &RunRecord) -> Option<Observation> {
        match &record.phase {
            Phase::Queued { item, .. } => {
                let build = self.items.get(item).filter(|build| build.job == record.job)?;
                Some(Observation::Left(build.number))
            }
            Phase::Building { item, number, scheduled, .. } => {
                let found = self.numbers.get(&(&record.job, *number))?;
                let is_same = match (item, found) {
                    (Some(item), Some(found)) => item == found,
                    _ => scheduled.is_some(),
                };
                is_same.then_some(Observation::Running)
            }
            _ => None,
        }
    }
}
