//! The state that the host keeps for one run of a plugin (one guest): the request, the plugin with its grants, the
//! usage counters, and the changes that are not stored yet.
//!
//! An [`Invocation`] is the data of the guest's wasmtime store.
//! Not here: writing and replaying the journal, which is in `journaling.rs`; the rules, which are in `authorize.rs`.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::{
    approval_gate::Unapproved, authorize::Rule, context::Context, host_call::Parking,
    performed_effects::PerformedEffects, tally::Tally,
};
use crate::{
    base::Text,
    job::{ActiveJob, ApprovalRequest, Claim, Effect, PipelineRun, Replay},
    metrics::Decision,
    model::{Attributes, CallSpec, RunKey},
    plugin::{GuestData, LoadedPlugin, Meter},
    policy::{ChangeGuard, FreezeGuard, Request, Rights},
    store::{DeploymentLock, StoreError, Write},
};

/// The maximum number of messages that a plugin may post during the run of one command, in addition to its answer.
pub(crate) const MAX_MESSAGES: u32 = 20;

/// The reason why the host stops a guest (a running plugin), other than a reached limit or a trap. In most cases, the
/// guest's job continues later, by replay of its journal.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum GuestStop {
    /// The plugin called `pipelines.wait`. The job now waits without a running guest.
    #[error("the job waits")]
    Parked,
    /// Another job holds this deployment lock, so the job waits in the queue of the lock.
    #[error("the job is queued for {0}")]
    QueuedForLock(DeploymentLock),
    /// The store is unavailable, so the journal cannot be read or written now.
    #[error("{0}")]
    StoreFailed(StoreError),
    #[error("the host is shutting down")]
    ShuttingDown,
    /// During replay, the guest made a call that differs from the call in the journal, or a journal entry cannot be
    /// read. The value is the reason, in one line.
    #[error("{0}")]
    Diverged(String),
    /// The plugin's next effect needs an approval, which the job must now request.
    #[error("the job waits for approval")]
    NeedsApproval(Box<Unapproved>),
    /// In a dry run, the host cannot predict the answer of a host call. The dry run ends at this call.
    #[error("a dry run cannot predict the answer of the next call")]
    Unpredictable,
}

/// The purpose of a guest run: a query, a job or a dry run.
pub(crate) enum RunMode {
    /// The guest runs for a query. Host calls that change something are refused.
    Query,
    /// The guest runs for a job. Host calls are written to the job's journal. If the journal already contains a call,
    /// the host returns the recorded result.
    Job(Box<JobRun>),
    /// The guest runs for a dry run. Effects are added to the plan and not performed.
    DryRun(Box<DryRun>),
}

/// The progress of a job or of a dry run: its effects, pipeline runs and timers so far, including those of earlier
/// guest runs before a crash or a wait.
pub(crate) struct ReplayState {
    pub(crate) replay: Replay,
    /// The plugin's settings at the time when the job started, as names and values.
    pub(crate) settings: Vec<(String, String)>,
    /// The pipeline runs that the guest has started, by key. `None` for a run whose pipeline is no longer configured.
    pub(crate) runs: BTreeMap<RunKey, Option<PipelineRun>>,
    pub(crate) timers: BTreeMap<String, Timer>,
    /// The ids in the results of the effects so far, in order. `None` for an effect whose result has no id.
    pub(crate) effects: Vec<Option<String>>,
    pub(crate) performed: PerformedEffects,
}

impl ReplayState {
    pub(crate) fn new(replay: Replay, settings: Vec<(String, String)>) -> Self {
        let (runs, timers) = (BTreeMap::new(), BTreeMap::new());
        Self { replay, settings, runs, timers, effects: Vec::new(), performed: PerformedEffects::default() }
    }
}

/// The state of a dry run.
pub(crate) struct DryRun {
    pub(crate) replay: ReplayState,
    /// The job's id. Generated names, such as timer ids, begin with it.
    job: String,
    /// The plan so far: the effects that the job would perform, in order.
    pub(crate) effects: Vec<Effect>,
    /// The waits since the last effect of the plan, as text for people.
    pub(crate) waits: Vec<String>,
    /// The values that the job would write to the plugin's store, by key. `None` for a value that the job would delete.
    /// Later reads in the same dry run return these values.
    pub(crate) stored_values: BTreeMap<String, Option<Vec<u8>>>,
}

impl DryRun {
    /// Creates the state of a dry run. `replay` is the progress of the job so far. `job` is the job's id, or a new id
    /// if no job exists yet.
    pub(crate) fn new(replay: ReplayState, job: String) -> Self {
        Self { replay, job, effects: Vec::new(), waits: Vec::new(), stored_values: BTreeMap::new() }
    }
}

/// The state of a guest run for a job.
pub(crate) struct JobRun {
    pub(crate) job: Arc<ActiveJob>,
    pub(crate) replay: ReplayState,
    /// The job's last approval request, with the approvals so far and the decision. `None` if the job has not requested
    /// approval.
    pub(crate) ask: Option<ApprovalRequest>,
    /// Whether an effect has already returned the error `cancelled` to the plugin. The host returns this error only
    /// once per job.
    pub(crate) cancel_delivered: bool,
    /// The deployment locks that the current effect acquired. The locks are stored together with the effect's intent.
    pub(crate) new_locks: Vec<DeploymentLock>,
    pub(crate) parking: Option<Parking>,
}

/// A timer that the plugin set with `clock.after`. The plugin can wait for the timer with `pipelines.wait`.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Timer {
    /// The time at which the guest set the timer, by [`crate::adapter::MonotonicClock`].
    pub(crate) set: jiff::Timestamp,
    /// The time at which the timer is due, by [`crate::adapter::MonotonicClock`].
    pub(crate) at: jiff::Timestamp,
}

/// The timers for which a call of `pipelines.wait` waits, by id. The call's journal entry contains the complete timers,
/// because the call's arguments contain only the ids.
pub(crate) type Timers = BTreeMap<String, Timer>;

impl JobRun {
    pub(crate) fn new(
        job: Arc<ActiveJob>,
        replay: ReplayState,
        ask: Option<ApprovalRequest>,
        cancel_delivered: bool,
    ) -> Self {
        Self { job, replay, ask, cancel_delivered, new_locks: Vec::new(), parking: None }
    }
}

/// A loaded plugin whose host calls use an [`Invocation`].
pub(crate) type Plugin = LoadedPlugin<Invocation>;

impl GuestData for Invocation {
    type GuestStop = GuestStop;

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}

/// The state of one run of a plugin. The engine passes it to the functions of [`HostCall`](super::HostCall).
pub struct Invocation {
    context: Arc<Context>,
    request: Arc<Request>,
    pub(crate) mode: RunMode,
    plugin: Arc<Plugin>,
    pub(crate) meter: Meter,
    /// The number of the journal entry that contains the intent of this run's newest effect. An intent says that an
    /// effect is about to happen. 0 if this run has not begun an effect.
    pub(crate) intent: u32,
    /// The changes to store in the same transaction as the answer of the current host call.
    pub(crate) writes: Vec<Write>,
    /// The messages that the plugin posted during a query. The host sends them before the query's answer.
    pub(crate) messages: Vec<Text>,
    message_count: u32,
    // The claims of the current call on other jobs. A claim blocks all other tasks from starting or changing the job,
    // until the result of the call is stored.
    pub(crate) claims: Vec<Claim>,
    // Held from the freeze check of an effect until its intent is stored, so that no freeze can begin in between.
    pub(crate) freeze_guard: Option<FreezeGuard>,
    // Held while the current call changes the roles that were granted in chat.
    pub(crate) rights_guard: Option<ChangeGuard>,
    pub(crate) tally: Tally,
}

/// A host call that passed all checks and that the host is performing.
pub(crate) struct CallInProgress {
    pub(crate) row: CallSpec,
    pub(crate) rule: Rule,
    pub(crate) attributes: Attributes,
}

impl Invocation {
    pub(crate) fn new(
        context: Arc<Context>,
        request: Arc<Request>,
        mode: RunMode,
        plugin: Arc<Plugin>,
        limits: crate::model::Limits,
    ) -> Self {
        Self {
            context,
            request,
            mode,
            plugin,
            meter: Meter::new(limits),
            intent: 0,
            writes: Vec::new(),
            messages: Vec::new(),
            message_count: 0,
            claims: Vec::new(),
            freeze_guard: None,
            rights_guard: None,
            tally: Tally::default(),
        }
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn request(&self) -> &Arc<Request> {
        &self.request
    }

    pub(crate) fn plugin(&self) -> &str {
        &self.plugin.name
    }

    /// Counts the decision about a host call, such as allowed or denied, in the plugin's metrics.
    pub(crate) fn count_decision(&self, call: &CallSpec, decision: Decision) {
        self.plugin.counted.count(call.name, decision);
    }

    pub(crate) fn loaded(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    pub(crate) fn settings(&self) -> &[(String, String)] {
        match self.replay_state() {
            Some(replay) => &replay.settings,
            None => &self.plugin.settings,
        }
    }

    pub(crate) fn job_run(&mut self) -> Option<&mut JobRun> {
        let RunMode::Job(job_run) = &mut self.mode else { return None };
        Some(job_run)
    }

    pub(crate) fn replay_state_mut(&mut self) -> Option<&mut ReplayState> {
        match &mut self.mode {
            RunMode::Query => None,
            RunMode::Job(job_run) => Some(&mut job_run.replay),
            RunMode::DryRun(dry_run_state) => Some(&mut dry_run_state.replay),
        }
    }

    /// Returns the progress of the job or of the dry run. Returns `None` for a query.
    pub(crate) fn replay_state(&self) -> Option<&ReplayState> {
        match &self.mode {
            RunMode::Query => None,
            RunMode::Job(job_run) => Some(&job_run.replay),
            RunMode::DryRun(dry_run_state) => Some(&dry_run_state.replay),
        }
    }

    pub(crate) fn dry_run_state(&mut self) -> Option<&mut DryRun> {
        let RunMode::DryRun(dry_run_state) = &mut self.mode else { return None };
        Some(dry_run_state)
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        matches!(self.mode, RunMode::DryRun(_))
    }

    /// Removes the planned effects from the state of a dry run and returns them. Returns an empty list for a query and
    /// for a job.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        self.dry_run_state().map(|dry_run_state| std::mem::take(&mut dry_run_state.effects)).unwrap_or_default()
    }

    /// Returns the job for which the guest runs. Returns `None` for a query and for a dry run.
    pub(crate) fn job(&self) -> Option<&Arc<ActiveJob>> {
        let RunMode::Job(job_run) = &self.mode else { return None };
        Some(&job_run.job)
    }

    pub(crate) fn job_id(&self) -> &str {
        match &self.mode {
            RunMode::Query => "query",
            RunMode::Job(job_run) => &job_run.job.row().id,
            RunMode::DryRun(dry_run_state) => &dry_run_state.job,
        }
    }

    /// Returns a description of the next call in the journal, for error messages. During replay, the plugin must make
    /// this call next. Returns `None` after the replay has finished, and for a query.
    pub(crate) fn expected_call(&self) -> Option<String> {
        let replay = self.replay_state().filter(|replay| !replay.replay.is_over())?;
        replay.replay.expected()
    }

    /// Returns the idempotency key of the current effect, such as `7f3ak-4`: the job's id and the number of the journal
    /// entry with the effect's intent. The key is unique and is the same after a crash.
    pub fn key(&self) -> String {
        crate::model::RunKey::new(self.job_id(), self.intent).as_str().to_owned()
    }

    /// Returns the person who sent the command.
    pub fn caller(&self) -> &crate::model::Person {
        self.request.caller()
    }

    /// Returns the caller's rights to run this command. In a job, reads the caller's roles again at each host call, so
    /// that a revocation takes effect at once. In a query and a dry run, returns the rights that the caller had when
    /// the command started.
    pub(crate) fn rights(&self) -> Cow<'_, Rights> {
        if self.job().is_none() {
            return Cow::Borrowed(self.request.rights());
        }
        let spec = self.request.command().spec();
        Cow::Owned(self.context.access.rights(self.request.asker(), &spec.name, spec.target.clone()))
    }

    /// Returns the name of the bot that received the command.
    pub(crate) fn bot(&self) -> &str {
        &self.request.message().bot
    }

    /// Returns whether the caller may see an app's deployments and releases in an environment.
    pub(crate) fn may_see(&self, app: &str, environment: &str) -> bool {
        self.context.access.bots.may_change(self.bot(), environment)
            && self.rights().rule(Some(app), Some(environment)).is_some()
    }

    /// Marks the current host call as a wait. After the call, the gate stores the wait and ends the guest.
    pub(crate) fn park(&mut self, parking: Parking) {
        if let Some(job_run) = self.job_run() {
            job_run.parking = Some(parking);
        }
    }

    pub(crate) fn parking(&mut self) -> Option<Parking> {
        self.job_run()?.parking.take()
    }

    /// Counts a message of the plugin. Returns `false` if this run has already posted [`MAX_MESSAGES`] messages. This
    /// limit keeps a plugin from flooding a room.
    pub(crate) fn count_message(&mut self) -> bool {
        self.message_count += 1;
        self.message_count <= MAX_MESSAGES
    }

    pub(crate) fn take_messages(&mut self) -> Vec<Text> {
        std::mem::take(&mut self.messages)
    }
}
