//! Asks Jenkins how far runs are, with as few requests as possible.
//!
//! - The queue is listed once for all runs that wait in it, and the builds of a job once for all of its runs.
//! - If the runs are in many jobs, one list of all executors shows which of them still run.
//!
//! Not here: what an answer says about a run (`observation`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use wardroom_remote::{Observation, Open, RemoteError};

use crate::{
    client::{Build, JobBuilds, RunningBuild},
    job_path::JobPath,
    observation::{build_gone, cancelled, item_gone, of_build, running, waiting},
    run::JenkinsRun,
    system::Jenkins,
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

type Run = Open<Jenkins>;
type Observed = wardroom_remote::Observed<Jenkins>;

impl Jenkins {
    /// Asks Jenkins for the state of runs, with as few requests as possible.
    pub(crate) async fn look_at(&self, runs: &[Run]) -> Observed {
        let mut observed = Observed::new();
        let (queued, mut open): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|open| open.run.number().is_none());
        // 1. The queue. Items that are not in it have left it.
        open.extend(self.left_queue(queued, &mut observed).await);
        // 2. The executors, if the runs are in many jobs, or are more than a list of builds has.
        let jobs: BTreeSet<&JobPath> = open.iter().map(|open| &open.request.job).collect();
        let must_list = jobs.len() > MAX_LISTED_JOBS || open.len() > JobBuilds::NEWEST;
        if must_list && let Ok(running) = self.client.running().await {
            let running = ByRun::new(&running);
            open.retain(|open| match running.find(open) {
                Some(observation) => {
                    observed.insert(open.key.clone(), Ok(observation));
                    false
                }
                None => true,
            });
        }
        // 3. The builds of each job.
        let mut by_job: BTreeMap<&JobPath, Vec<&Run>> = BTreeMap::new();
        for run in open {
            by_job.entry(&run.request.job).or_default().push(run);
        }
        let mut groups: Vec<(&JobPath, Vec<&Run>)> = by_job.into_iter().collect();
        if groups.len() > MAX_JOBS {
            let first = self.turn.fetch_add(MAX_JOBS, Ordering::Relaxed) % groups.len();
            groups.rotate_left(first);
            groups.truncate(MAX_JOBS);
        }
        let looks: Vec<_> = groups.into_iter().map(|(job, runs)| self.observe_job(job, runs).boxed()).collect();
        let found: Vec<Observed> = stream::iter(looks).buffer_unordered(CONCURRENT).collect().await;
        observed.extend(found.into_iter().flatten());
        self.add_stages(&mut observed);
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
                observed.extend(queued.into_iter().map(|run| (run.key.clone(), Err(error.clone()))));
                return Vec::new();
            }
        };
        // After a crash, Jenkins gives the ids of queue items a second time.
        let items: BTreeMap<(u64, Option<JobPath>), Option<String>> =
            list.items.into_iter().map(|item| ((item.id, item.job()), item.why)).collect();
        let mut left = Vec::new();
        for run in queued {
            let id = run.run.item().unwrap_or_default();
            match items.get(&(id, Some(run.request.job.clone()))) {
                Some(why) => {
                    observed.insert(run.key.clone(), Ok(waiting(run, why.clone())));
                }
                None => left.push(run),
            }
        }
        left
    }

    /// Looks at the runs of one job.
    async fn observe_job(&self, job: &JobPath, runs: Vec<&Run>) -> Observed {
        let mut observed = Observed::new();
        if let [run] = runs.as_slice() {
            observed.insert(run.key.clone(), self.look_at_one(run).await);
            return observed;
        }
        let oldest = runs.iter().map(|run| run.run.number().unwrap_or(run.request.baseline)).min().unwrap_or_default();
        let builds = match self.builds_since(job, oldest, runs.len()).await {
            Ok(builds) => builds,
            Err(error) => {
                let missing = error.is_missing();
                let result = |run: &Run| {
                    let gone = if run.run.number().is_some() { build_gone(run) } else { item_gone(run, false) };
                    (run.key.clone(), if missing { Ok(gone) } else { Err(error.clone()) })
                };
                observed.extend(runs.into_iter().map(result));
                return observed;
            }
        };
        let mut single = Vec::new();
        for run in runs {
            match find(&builds, run) {
                Some(build) => {
                    observed.insert(run.key.clone(), Ok(of_build(&self.client, run, build)));
                }
                None => single.push(run),
            }
        }
        single.truncate(MAX_SINGLE);
        let looks: Vec<_> = single
            .into_iter()
            .map(|run| async move { (run.key.clone(), self.look_at_one(run).await) }.boxed())
            .collect();
        let found: Vec<_> = stream::iter(looks).buffer_unordered(CONCURRENT).collect().await;
        observed.extend(found);
        observed
    }

    /// Looks at one run by itself.
    pub(crate) async fn look_at_one(&self, run: &Run) -> Result<Observation<JenkinsRun>, RemoteError> {
        let job = &run.request.job;
        let id = match &run.run {
            JenkinsRun::Queued { item, .. } => *item,
            JenkinsRun::Building { number, .. } => {
                return match self.client.build(job, *number).await {
                    Ok(build) => Ok(of_build(&self.client, run, &build)),
                    Err(error) if error.is_missing() => Ok(build_gone(run)),
                    Err(error) => Err(error),
                };
            }
        };
        match self.client.queue_item(id).await {
            // After a crash, Jenkins gives the ids of queue items a second time.
            Ok(item) if item.job().is_none_or(|found| found == *job) => {
                return Ok(match item.executable.and_then(|build| build.number) {
                    Some(number) => running(run, number),
                    None if item.cancelled == Some(true) => cancelled(run),
                    None => waiting(run, item.why),
                });
            }
            Ok(_) => {}
            // Jenkins forgets an item five minutes after it left the queue.
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
        let builds = match self.builds_since(job, run.request.baseline, 1).await {
            Ok(builds) => builds,
            Err(error) if error.is_missing() => return Ok(item_gone(run, false)),
            Err(error) => return Err(error),
        };
        if let Some(build) = find(&builds, run) {
            return Ok(of_build(&self.client, run, build));
        }
        let baseline = run.request.baseline;
        let newest = self.newest.lock().get(job).copied().unwrap_or_default();
        let has = |number| builds.iter().any(|build| build.number == number);
        let is_certain = baseline > 0 && newest >= baseline.saturating_sub(1) && (baseline..=newest).all(has);
        Ok(item_gone(run, is_certain))
    }

    /// Returns the builds of a job from the number `oldest` on, as far as one list has them.
    async fn builds_since(&self, job: &JobPath, oldest: u64, runs: usize) -> Result<Vec<Build>, RemoteError> {
        let count_for = |newest: u64| {
            let span = usize::try_from(newest.saturating_sub(oldest)).unwrap_or(JobBuilds::NEWEST);
            span.saturating_add(10).clamp(MIN_BUILDS, JobBuilds::NEWEST)
        };
        let known = self.newest.lock().get(job).copied().unwrap_or_default();
        let count = count_for(known).max((runs + 10).min(JobBuilds::NEWEST));
        let mut list = self.client.builds(job, count, false).await?;
        let newest = list.next_build_number.map_or(0, |next| next.saturating_sub(1));
        if count_for(newest) > count {
            list = self.client.builds(job, count_for(newest), false).await?;
        }
        self.newest.lock().insert(job.clone(), newest);
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
    fn find(&self, run: &Run) -> Option<Observation<JenkinsRun>> {
        match &run.run {
            JenkinsRun::Queued { item, .. } => {
                let is_own =
                    |build: &&&RunningBuild| build.job == run.request.job && build.number >= run.request.baseline;
                let build = self.items.get(item).filter(is_own)?;
                Some(running(run, build.number))
            }
            JenkinsRun::Building { item, number, scheduled, .. } => {
                let found = self.numbers.get(&(&run.request.job, *number))?;
                let is_same = match (item, found) {
                    (Some(item), Some(found)) => item == found,
                    _ => scheduled.is_some(),
                };
                is_same.then(|| running(run, *number))
            }
        }
    }
}

/// Returns the build of a run in a list of its job's builds.
fn find<'b>(builds: &'b [Build], run: &Run) -> Option<&'b Build> {
    builds.iter().find(|build| match run.run.number() {
        Some(number) => build.number == number,
        None => build.number >= run.request.baseline && build.item().is_some() && build.item() == run.run.item(),
    })
}
