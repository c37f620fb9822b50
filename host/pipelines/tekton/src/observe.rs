//! Asks the cluster how far runs are, with as few requests as possible.
//!
//! - The PipelineRuns of a namespace are listed once for all runs, by the keys in their labels.
//! - The TaskRuns are listed only for PipelineRuns that have changed since the last poll.
//! - The ApprovalTasks are listed only while a run has a custom task.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use wardroom::{adapter::Stage, model::RunKey};
use wardroom_remote::{Observation, Observed, Open, Progress, RemoteError};

use crate::{
    call::{APPROVAL_TASKS, Call, PIPELINE_RUNS, TASK_RUNS},
    gates,
    run::{RUN_LABEL, TektonRun},
    stages::{run_end, stages, waits},
    tekton::{Tekton, gone},
    types::{ApprovalTask, List, PIPELINE_RUN_LABEL, PipelineRun, TaskRun},
};

/// The maximum number of runs that one list selects. The keys are in the URL.
const MAX_SELECTED: usize = 200;
/// The maximum number of runs that one poll requests by themselves, because a list did not have them.
const MAX_SINGLE: usize = 10;
/// The number of requests at the same time.
const CONCURRENT: usize = 4;
/// How long no ApprovalTasks are requested after the cluster said that it has none.
const NO_APPROVALS: Duration = Duration::from_secs(300);
/// The maximum number of runs of which the stages are kept.
const MAX_SEEN: usize = 2000;

/// What a poll saw of a run.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The version of the PipelineRun.
    version: String,
    stages: Vec<Stage>,
    /// Whether the tasks that had begun were read, or may not be read.
    is_complete: bool,
}

/// The TaskRuns or the ApprovalTasks by the name of their PipelineRun.
type ByRun<T> = BTreeMap<String, Vec<T>>;

impl Tekton {
    pub(crate) async fn observe_all(&self, runs: &[Open<Self>]) -> Observed<Self> {
        let mut by_namespace: BTreeMap<&str, Vec<&Open<Self>>> = BTreeMap::new();
        for open in runs {
            by_namespace.entry(&open.run.namespace).or_default().push(open);
        }
        let chunks = by_namespace
            .iter()
            .flat_map(|(namespace, runs)| runs.chunks(MAX_SELECTED).map(move |runs| (*namespace, runs)));
        let looks: Vec<_> = chunks.map(|(namespace, runs)| self.observe_some(namespace, runs).boxed()).collect();
        let found: Vec<Observed<Self>> = stream::iter(looks).buffer_unordered(CONCURRENT).collect().await;
        found.into_iter().flatten().collect()
    }

    /// Looks at runs of one namespace.
    async fn observe_some(&self, namespace: &str, runs: &[&Open<Self>]) -> Observed<Self> {
        // 1. The PipelineRuns.
        let listed = match self.pipeline_runs(namespace, runs).await {
            Ok(listed) => listed,
            Err(error) => {
                // Without the API, there are no PipelineRuns either.
                let result = |open: &Open<Self>| match error.is_missing() {
                    true => {
                        Ok(Observation::Missing(gone(open, "is gone, because Tekton was removed from the cluster")))
                    }
                    false => Err(error.clone()),
                };
                return runs.iter().map(|open| (open.key.clone(), result(open))).collect();
            }
        };
        let mut observed = Observed::<Self>::new();
        let mut found: Vec<(&Open<Self>, PipelineRun)> = Vec::new();
        let mut single = 0;
        for open in runs {
            let run = match listed.get(&open.run.name) {
                Some(run) => run.clone(),
                None if single == MAX_SINGLE => continue,
                // Its label can have been removed.
                None => {
                    single += 1;
                    match self.get_run(namespace, &open.run.name).await {
                        Ok(Some(run)) => run,
                        Ok(None) => {
                            let end = gone(open, "was deleted while the host waited for it");
                            observed.insert(open.key.clone(), Ok(Observation::Missing(end)));
                            continue;
                        }
                        Err(error) => {
                            observed.insert(open.key.clone(), Err(error));
                            continue;
                        }
                    }
                }
            };
            if run.metadata.uid == open.run.uid {
                found.push((open, run));
            } else {
                let end = gone(open, "was deleted, and another one has its name now");
                observed.insert(open.key.clone(), Ok(Observation::Missing(end)));
            }
        }
        // 2. Their tasks and approvals.
        let changed: Vec<&PipelineRun> =
            found.iter().filter(|(open, run)| self.has_changed(&open.key, run)).map(|(_, run)| run).collect();
        let tasks = self.children(namespace, &changed).await;
        let with_custom: Vec<&PipelineRun> = found.iter().map(|(_, run)| run).filter(|run| has_custom(run)).collect();
        let approvals = self.approvals(namespace, &with_custom).await;
        // 3. The result.
        for (open, run) in &found {
            let own = approvals.get(&run.metadata.name).map_or(&[][..], Vec::as_slice);
            let observation = self.observation(open, run, &tasks, own);
            if !matches!(observation, Ok(Observation::Open(_)) | Err(_)) {
                self.seen.lock().remove(&open.key);
            }
            observed.insert(open.key.clone(), observation);
        }
        observed
    }

    fn observation(
        &self,
        open: &Open<Self>,
        run: &PipelineRun,
        tasks: &Result<ByRun<TaskRun>, RemoteError>,
        approvals: &[ApprovalTask],
    ) -> Result<Observation<TektonRun>, RemoteError> {
        let own = match tasks {
            Ok(tasks) => tasks.get(&run.metadata.name).map_or(&[][..], Vec::as_slice),
            // Without the permission, the result has no tasks. After an outage, the next poll reads them.
            Err(error) if run.is_done() && error.is_transient() => return Err(error.clone()),
            Err(_) => &[],
        };
        if run.is_done() {
            let link = self.settings.link(&open.run.namespace, &open.run.name);
            let end = run_end(&self.client, run, own, approvals, link);
            return Ok(Observation::Ended { run: open.run.clone(), end });
        }
        // A permission that is missing is not asked for again until the run changes.
        let is_complete = !matches!(tasks, Err(error) if error.is_transient());
        let stages = self.stages(&open.key, run, own, is_complete, approvals);
        Ok(Observation::Open(self.progress(open, run, stages, approvals)))
    }

    fn progress(
        &self,
        open: &Open<Self>,
        run: &PipelineRun,
        stages: Vec<Stage>,
        approvals: &[ApprovalTask],
    ) -> Progress<TektonRun> {
        Progress {
            waits: waits(run),
            started: run.status.start_time.map(|time| self.client.host_time(time)),
            stages,
            gates: approvals.iter().filter_map(gates::gate).collect(),
            ..Progress::of(open.run.clone())
        }
    }

    /// Looks at one run, which need not be one of the host.
    pub(crate) async fn look_at(&self, open: &Open<Self>) -> Result<Observation<TektonRun>, RemoteError> {
        let TektonRun { namespace, name, uid } = &open.run;
        let Some(run) = self.get_run(namespace, name).await?.filter(|run| run.metadata.uid == *uid) else {
            return Ok(Observation::Missing(gone(open, "was deleted")));
        };
        let children = self.children(namespace, &[&run]).await;
        let mut approvals = match has_custom(&run) {
            true => self.approvals(namespace, &[&run]).await,
            false => ByRun::new(),
        };
        let approvals = approvals.remove(name).unwrap_or_default();
        // Without the permission, the tasks are not shown.
        let tasks = match children {
            Ok(mut tasks) => tasks.remove(name).unwrap_or_default(),
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => Vec::new(),
        };
        if run.is_done() {
            let link = self.settings.link(namespace, name);
            let end = run_end(&self.client, &run, &tasks, &approvals, link);
            return Ok(Observation::Ended { run: open.run.clone(), end });
        }
        let stages = stages(&run, &tasks, &approvals);
        Ok(Observation::Open(self.progress(open, &run, stages, &approvals)))
    }

    /// Returns the stages of a run: those of the last poll if the PipelineRun has not changed.
    fn stages(
        &self,
        key: &RunKey,
        run: &PipelineRun,
        tasks: &[TaskRun],
        is_complete: bool,
        approvals: &[ApprovalTask],
    ) -> Vec<Stage> {
        let must_read = self.has_changed(key, run);
        let mut seen = self.seen.lock();
        if let Some(known) = seen.get(key).filter(|_| !must_read && approvals.is_empty()) {
            return known.stages.clone();
        }
        let stages = stages(run, tasks, approvals);
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        let version = run.metadata.resource_version.clone();
        seen.insert(key.clone(), Seen { version, stages: stages.clone(), is_complete });
        stages
    }

    /// Returns whether the tasks of a run must be read. Runs with custom tasks are always read, because the state of an
    /// ApprovalTask is not a part of the PipelineRun.
    fn has_changed(&self, key: &RunKey, run: &PipelineRun) -> bool {
        let seen = self.seen.lock();
        let is_known =
            seen.get(key).is_some_and(|seen| seen.is_complete && seen.version == run.metadata.resource_version);
        !is_known || run.is_done() || has_custom(run)
    }

    /// Lists PipelineRuns by their keys.
    async fn pipeline_runs(
        &self,
        namespace: &str,
        runs: &[&Open<Self>],
    ) -> Result<BTreeMap<String, PipelineRun>, RemoteError> {
        let keys: Vec<&str> = runs.iter().map(|open| open.key.as_str()).collect();
        let selector = format!("{RUN_LABEL} in ({})", keys.join(","));
        let what = format!("PipelineRuns in the namespace `{namespace}`");
        let call = Call::list(&PIPELINE_RUNS, namespace, selector, what);
        let list = self.client.json::<List<PipelineRun>>(&call).await?;
        Ok(list.items.into_iter().map(|run| (run.metadata.name.clone(), run)).collect())
    }

    /// Lists the TaskRuns of PipelineRuns that have some.
    async fn children(&self, namespace: &str, runs: &[&PipelineRun]) -> Result<ByRun<TaskRun>, RemoteError> {
        let with_children = runs.iter().filter(|run| !run.status.child_references.is_empty());
        let names: Vec<&str> = with_children.map(|run| run.metadata.name.as_str()).collect();
        if names.is_empty() {
            return Ok(ByRun::new());
        }
        let selector = format!("{PIPELINE_RUN_LABEL} in ({})", names.join(","));
        let call = Call::list(&TASK_RUNS, namespace, selector, format!("TaskRuns in the namespace `{namespace}`"));
        let mut by_run = ByRun::new();
        for task in self.client.json::<List<TaskRun>>(&call).await?.items {
            by_run.entry(task.metadata.label(PIPELINE_RUN_LABEL).to_owned()).or_default().push(task);
        }
        Ok(by_run)
    }

    /// Lists the ApprovalTasks of PipelineRuns. A cluster without them has none.
    async fn approvals(&self, namespace: &str, runs: &[&PipelineRun]) -> ByRun<ApprovalTask> {
        let is_off = self.no_approvals.lock().get(namespace).is_some_and(|at| at.elapsed() < NO_APPROVALS);
        if runs.is_empty() || is_off {
            return ByRun::new();
        }
        let names: Vec<&str> = runs.iter().map(|run| run.metadata.name.as_str()).collect();
        let selector = format!("{PIPELINE_RUN_LABEL} in ({})", names.join(","));
        let what = format!("ApprovalTasks in the namespace `{namespace}`");
        let call = Call::list(&APPROVAL_TASKS, namespace, selector, what);
        let mut by_run = ByRun::new();
        match self.client.json::<List<ApprovalTask>>(&call).await {
            Ok(list) => {
                for task in list.items {
                    by_run.entry(task.metadata.label(PIPELINE_RUN_LABEL).to_owned()).or_default().push(task);
                }
            }
            Err(failure) if failure.error.is_transient() => {
                tracing::debug!(error = %failure.error, "cannot read the approvals of runs");
            }
            Err(failure) => {
                if !failure.error.is_missing() {
                    tracing::warn!(error = %failure.error, "the approvals of runs are not shown");
                }
                self.no_approvals.lock().insert(namespace.to_owned(), Instant::now());
            }
        }
        by_run
    }
}

fn has_custom(run: &PipelineRun) -> bool {
    run.status.child_references.iter().any(|child| child.kind == "CustomRun")
}
