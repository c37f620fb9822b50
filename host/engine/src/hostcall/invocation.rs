//! The host's state of one guest run: the request, the plugin with its grants, the usage counters and the pending
//! writes.
//!
//! It is the data of the wasmtime store and is dropped with the guest.
//! Not here: writing and replaying the journal (`journaling`), and the rules (`authorize`).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use super::{approval_gate::Unapproved, authorize::Rule, context::Context, host_call::Parking, tally::Tally};
use crate::{
    base::Text,
    job::{ApprovalRequest, Claim, Effect, Job, PipelineRun, Replay},
    metrics::Decision,
    model::{Attributes, CallSpec, RunKey},
    plugin::{GuestData, LoadedPlugin, Meter},
    policy::{FreezeGuard, Grants, Request, Rights},
    store::{DeploymentLock, StoreError, Write},
};

/// The most messages that one guest run may post in addition to its answer.
const MOST_SAYS: u32 = 20;

/// Why the host ends a guest that made no error. A job continues later, by replay of its journal.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum GuestStop {
    /// The guest called `pipelines.wait`. The job is parked.
    #[error("it waits")]
    Parked,
    /// The job queues for a deployment lock.
    #[error("it is queued for {0}")]
    InLine(DeploymentLock),
    /// The store failed: the journal cannot be read or written now.
    #[error("{0}")]
    Unkept(StoreError),
    /// The host is shutting down.
    #[error("the host stops")]
    Stopping,
    /// The replayed guest made another call than the journal contains, or an entry cannot be read.
    #[error("{0}")]
    Diverged(String),
    /// The next effect needs an approval.
    #[error("it waits for approval")]
    Approval(Box<Unapproved>),
    /// A dry run cannot continue: it has no answer for this call, and the next calls depend on it.
    #[error("the rest depends on this")]
    Unforetold,
}

/// Whether a guest runs for a query, a job or a dry run.
pub(crate) enum RunMode {
    /// Calls that change something are refused.
    Query,
    /// Calls are journaled. Calls that the journal already contains are answered from it.
    Job(Box<JobRun>),
    /// A dry run: effects are listed and not performed.
    Plan(Box<DryRun>),
}

/// The progress of a job: what earlier runs of its guest did before a crash or a wait, and what this run did.
pub(crate) struct ReplayState {
    pub(crate) replay: Replay,
    /// The plugin's settings at the time when the job began.
    pub(crate) settings: Vec<(String, String)>,
    /// The pipeline runs that the guest started up to this point. `None` if the pipeline is no longer configured.
    pub(crate) runs: BTreeMap<RunKey, Option<PipelineRun>>,
    pub(crate) timers: BTreeMap<String, Timer>,
    /// The id that each effect returned, in order. `None` for an effect without an id.
    pub(crate) effects: Vec<Option<String>>,
    /// The environments of these effects.
    pub(crate) touched: BTreeSet<String>,
}

impl ReplayState {
    pub(crate) fn new(replay: Replay, settings: Vec<(String, String)>) -> Self {
        let (runs, timers) = (BTreeMap::new(), BTreeMap::new());
        Self { replay, settings, runs, timers, effects: Vec::new(), touched: BTreeSet::new() }
    }
}

pub(crate) struct DryRun {
    pub(crate) replay: ReplayState,
    /// The job's id. Generated names, such as timer ids, start with it.
    job: String,
    /// The plan.
    pub(crate) effects: Vec<Effect>,
    /// The plugin's store values that this dry run would write, visible to this run only. `None` marks a deletion.
    pub(crate) kept: BTreeMap<String, Option<Vec<u8>>>,
}

impl DryRun {
    /// `job` is the id of an open job, or a placeholder where no job exists yet.
    pub(crate) fn new(replay: ReplayState, job: String) -> Self {
        Self { replay, job, effects: Vec::new(), kept: BTreeMap::new() }
    }
}

/// One run of a job's guest.
pub(crate) struct JobRun {
    pub(crate) job: Arc<Job>,
    pub(crate) replay: ReplayState,
    /// The job's last approval request, with the approvals and the decision.
    pub(crate) ask: Option<ApprovalRequest>,
    /// Whether the guest already received the error that its job was cancelled.
    pub(crate) told: bool,
    /// The deployment locks that the current call took. They are stored together with its intent.
    pub(crate) taken: Vec<DeploymentLock>,
    pub(crate) parking: Option<Parking>,
}

/// A point in time that a guest can wait for.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Timer {
    /// When it was set.
    pub(crate) set: jiff::Timestamp,
    /// When it is reached, by [`MonotonicClock`].
    pub(crate) at: jiff::Timestamp,
}

impl JobRun {
    pub(crate) fn new(job: Arc<Job>, replay: ReplayState, ask: Option<ApprovalRequest>, told: bool) -> Self {
        Self { job, replay, ask, told, taken: Vec::new(), parking: None }
    }
}

/// A loaded plugin of this host.
pub(crate) type Plugin = LoadedPlugin<Invocation>;

impl GuestData for Invocation {
    type GuestStop = GuestStop;

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}

/// One run of a guest.
pub struct Invocation {
    context: Arc<Context>,
    request: Arc<Request>,
    pub(crate) purpose: RunMode,
    plugin: Arc<Plugin>,
    pub(crate) meter: Meter,
    /// The journal number of the intent of the current effect; 0 outside of an effect.
    pub(crate) intent: u32,
    pub(crate) writes: Vec<Write>,
    said: Vec<Text>,
    says: u32,
    // Jobs that no other task may start or change until this call's result is on disk.
    pub(crate) claims: Vec<Claim>,
    // Held from the freeze check of an effect until its intent is on disk: no freeze can begin in between.
    pub(crate) freeze_guard: Option<FreezeGuard>,
    pub(crate) tally: Tally,
}

/// A call that was allowed and is being performed.
pub(crate) struct CallInProgress {
    pub(crate) row: CallSpec,
    pub(crate) number: u32,
    pub(crate) rule: Rule,
    pub(crate) attributes: Attributes,
}

impl Invocation {
    pub(crate) fn new(
        context: Arc<Context>,
        request: Arc<Request>,
        purpose: RunMode,
        plugin: Arc<Plugin>,
        limits: crate::model::Limits,
    ) -> Self {
        Self {
            context,
            request,
            purpose,
            plugin,
            meter: Meter::new(limits),
            intent: 0,
            writes: Vec::new(),
            said: Vec::new(),
            says: 0,
            claims: Vec::new(),
            freeze_guard: None,
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

    /// Counts a decision about a call in the plugin's metrics.
    pub(crate) fn count_decision(&self, call: &CallSpec, decision: Decision) {
        self.plugin.counted.count(call.name, decision);
    }

    pub(crate) fn loaded(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.plugin.grants
    }

    pub(crate) fn settings(&self) -> &[(String, String)] {
        match &self.purpose {
            RunMode::Query => &self.plugin.settings,
            RunMode::Job(job_run) => &job_run.replay.settings,
            RunMode::Plan(dry_run_state) => &dry_run_state.replay.settings,
        }
    }

    pub(crate) fn job_run(&mut self) -> Option<&mut JobRun> {
        match &mut self.purpose {
            RunMode::Query | RunMode::Plan(_) => None,
            RunMode::Job(job_run) => Some(job_run),
        }
    }

    pub(crate) fn replay_state_mut(&mut self) -> Option<&mut ReplayState> {
        match &mut self.purpose {
            RunMode::Query => None,
            RunMode::Job(job_run) => Some(&mut job_run.replay),
            RunMode::Plan(dry_run_state) => Some(&mut dry_run_state.replay),
        }
    }

    /// The progress of the job or the dry run. `None` for a query.
    pub(crate) fn replay_state(&self) -> Option<&ReplayState> {
        match &self.purpose {
            RunMode::Query => None,
            RunMode::Job(job_run) => Some(&job_run.replay),
            RunMode::Plan(dry_run_state) => Some(&dry_run_state.replay),
        }
    }

    pub(crate) fn dry_run_state(&mut self) -> Option<&mut DryRun> {
        match &mut self.purpose {
            RunMode::Query | RunMode::Job(_) => None,
            RunMode::Plan(dry_run_state) => Some(dry_run_state),
        }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        matches!(self.purpose, RunMode::Plan(_))
    }

    /// Takes the plan of a dry run. Empty otherwise.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        self.dry_run_state().map(|dry_run_state| std::mem::take(&mut dry_run_state.effects)).unwrap_or_default()
    }

    /// The job that the guest runs for. `None` for a query and a dry run.
    pub(crate) fn job(&self) -> Option<&Arc<Job>> {
        match &self.purpose {
            RunMode::Query | RunMode::Plan(_) => None,
            RunMode::Job(job_run) => Some(&job_run.job),
        }
    }

    pub(crate) fn job_id(&self) -> &str {
        match &self.purpose {
            RunMode::Query => "query",
            RunMode::Job(job_run) => &job_run.job.row().id,
            RunMode::Plan(dry_run_state) => &dry_run_state.job,
        }
    }

    /// The call that the journal contains next. `None` if the replay is finished, and for a query.
    pub(crate) fn replays(&self) -> Option<String> {
        let replay = self.replay_state().filter(|replay| !replay.replay.is_over())?;
        replay.replay.expected()
    }

    /// The number of the current call within this run, from 1. It is the same on every replay.
    pub(crate) fn call_number(&self) -> u32 {
        self.meter.calls()
    }

    /// The idempotency key of the current effect. It is unique to this effect and stays the same after a crash.
    pub fn key(&self) -> String {
        crate::model::RunKey::new(self.job_id(), self.intent).as_str().to_owned()
    }

    /// The person who typed the command.
    pub fn caller(&self) -> &crate::model::Person {
        self.request.caller()
    }

    pub(crate) fn intent(&self) -> u32 {
        self.intent
    }

    /// The roles that allow the caller to run this command. A job reads them anew for each call, so that a revocation
    /// takes effect at once. A query is too short for that and uses the roles from its start.
    pub(crate) fn rights(&self) -> Cow<'_, Rights> {
        if self.job().is_none() {
            return Cow::Borrowed(self.request.rights());
        }
        let spec = self.request.command().spec();
        Cow::Owned(self.context.access.rights(self.request.asker(), &spec.name, spec.target.clone()))
    }

    /// The name of the bot that received the command.
    pub(crate) fn bot(&self) -> &str {
        &self.request.message().bot
    }

    /// Whether the caller may see an app's deployments in an environment.
    pub(crate) fn may_see(&self, app: &str, environment: &str) -> bool {
        self.context.access.bots.touches(self.bot(), environment)
            && self.rights().rule(Some(app), Some(environment)).is_some()
    }

    /// Adds a write to the transaction that stores this call's answer.
    pub(crate) fn also_write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Holds the claim on a job until this call's result is on disk.
    pub(crate) fn hold(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    /// Asks the gate to store the wait and to end the guest.
    pub(crate) fn park(&mut self, parking: Parking) {
        if let Some(job_run) = self.job_run() {
            job_run.parking = Some(parking);
        }
    }

    pub(crate) fn parking(&mut self) -> Option<Parking> {
        self.job_run()?.parking.take()
    }

    /// Counts a message. Returns false after [`MOST_SAYS`] messages, so that a plugin cannot flood a room.
    pub(crate) fn may_say(&mut self) -> bool {
        self.says += 1;
        self.says <= MOST_SAYS
    }

    /// Adds a message that a query posts before its answer.
    pub(crate) fn say_with_answer(&mut self, text: Text) {
        self.said.push(text);
    }

    pub(crate) fn take_said(&mut self) -> Vec<Text> {
        std::mem::take(&mut self.said)
    }

    /// Counts a call and its bytes against the limits.
    pub(crate) fn count_call(&mut self, params: &impl Serialize) -> wasmtime::Result<()> {
        self.meter.call(params)
    }
}
