//! One run of a guest, on the host's side: who asked, what it may do, what it used, what it did.
//!
//! This is the data of the wasmtime store: it lives as long as the guest does and no longer.
//! Not here: what is written down and what is read back (`journaling`), and the rules (`judge`).

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

/// How often one invocation may say something before it answers.
const MOST_SAYS: u32 = 20;

/// Why the host ends a guest that did nothing wrong. It goes on from its journal, now or later.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum GuestStop {
    /// It waits.
    #[error("it waits")]
    Parked,
    /// It stands in line for a place.
    #[error("it is queued for {0}")]
    InLine(DeploymentLock),
    /// What it did cannot be written down now.
    #[error("{0}")]
    Unkept(StoreError),
    /// The host was asked to stop.
    #[error("the host stops")]
    Stopping,
    /// It does something else than the first time.
    #[error("{0}")]
    Diverged(String),
    /// Others have to approve of its next effect.
    #[error("it waits for approval")]
    Approval(Box<Unapproved>),
    /// What comes next in a dry run depends on an answer that nobody can foretell.
    #[error("the rest depends on this")]
    Unforetold,
}

/// Whether a guest runs for a query or a job.
pub(crate) enum RunMode {
    /// Nothing it does can change anything.
    Query,
    /// Its calls are journaled, and those that were are answered from the journal.
    Job(Box<JobRun>),
    /// A dry run: nothing happens, and what would is listed.
    Plan(Box<DryRun>),
}

/// What was done so far: by the same guest before a crash or a wait, and by this run of it.
pub(crate) struct ReplayState {
    pub(crate) replay: Replay,
    /// What the operator wrote for the plugin when the job began.
    pub(crate) settings: Vec<(String, String)>,
    /// The runs that it started, as far as it has come; `None` for one whose pipeline is no longer configured.
    pub(crate) runs: BTreeMap<RunKey, Option<PipelineRun>>,
    pub(crate) timers: BTreeMap<String, Timer>,
    /// Its effects in their order: the ids that they gave.
    pub(crate) effects: Vec<Option<String>>,
    /// The environments that they touched.
    pub(crate) touched: BTreeSet<String>,
}

impl ReplayState {
    pub(crate) fn new(replay: Replay, settings: Vec<(String, String)>) -> Self {
        let (runs, timers) = (BTreeMap::new(), BTreeMap::new());
        Self { replay, settings, runs, timers, effects: Vec::new(), touched: BTreeSet::new() }
    }
}

/// One dry run.
pub(crate) struct DryRun {
    pub(crate) replay: ReplayState,
    /// The job's id: names that a plugin is given are made of it.
    job: String,
    /// What would happen.
    pub(crate) effects: Vec<Effect>,
    /// What it would keep: seen by this run alone. `None` for what it would forget.
    pub(crate) kept: BTreeMap<String, Option<Vec<u8>>>,
}

impl DryRun {
    /// One for a job of this id, or for one that there could be.
    pub(crate) fn new(replay: ReplayState, job: String) -> Self {
        Self { replay, job, effects: Vec::new(), kept: BTreeMap::new() }
    }
}

/// One run of a job's guest.
pub(crate) struct JobRun {
    pub(crate) job: Arc<Job>,
    pub(crate) replay: ReplayState,
    /// What the job asked other people, and what they said.
    pub(crate) ask: Option<ApprovalRequest>,
    /// Whether the plugin was told that its job was called off.
    pub(crate) told: bool,
    /// The places that the call at hand took.
    pub(crate) taken: Vec<DeploymentLock>,
    pub(crate) parking: Option<Parking>,
}

/// A moment that a guest can wait for.
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
    /// The number of the intent that is being done.
    pub(crate) intent: u32,
    pub(crate) writes: Vec<Write>,
    said: Vec<Text>,
    says: u32,
    // Jobs that nobody else may touch until this call's result is on disk.
    pub(crate) claims: Vec<Claim>,
    // From the check of an effect to its intent nobody freezes anything.
    pub(crate) freeze_guard: Option<FreezeGuard>,
    pub(crate) tally: Tally,
}

/// A call that was allowed and is being done.
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

    /// Counts a call that was judged.
    pub(crate) fn judged(&self, call: &CallSpec, decision: Decision) {
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

    /// What was done so far, where anything can be.
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

    /// Whether it is a dry run.
    pub(crate) fn is_dry_run(&self) -> bool {
        matches!(self.purpose, RunMode::Plan(_))
    }

    /// What a dry run would do.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        self.dry_run_state().map(|dry_run_state| std::mem::take(&mut dry_run_state.effects)).unwrap_or_default()
    }

    /// The job that it runs for; none for a query and a dry run.
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

    /// Whether all that the guest did so far was answered from the journal, and more of it is there.
    pub(crate) fn replays(&self) -> Option<String> {
        let replay = self.replay_state().filter(|replay| !replay.replay.is_over())?;
        replay.replay.expected()
    }

    /// Counts the calls of this run, this one included; the same one each time it runs.
    pub(crate) fn call_number(&self) -> u32 {
        self.meter.calls()
    }

    /// The idempotency key of the effect that is being done: the same after a crash, and that of no other effect.
    pub fn key(&self) -> String {
        crate::model::RunKey::new(self.job_id(), self.intent).as_str().to_owned()
    }

    /// Who typed the command.
    pub fn caller(&self) -> &crate::model::Person {
        self.request.caller()
    }

    /// The number of the intent that is being done.
    pub(crate) fn intent(&self) -> u32 {
        self.intent
    }

    /// What lets the caller run this command now. A query is over before a right that was taken back would matter: it has
    /// those with which it was begun.
    pub(crate) fn rights(&self) -> Cow<'_, Rights> {
        if self.job().is_none() {
            return Cow::Borrowed(self.request.rights());
        }
        let spec = self.request.command().spec();
        Cow::Owned(self.context.access.rights(self.request.asker(), &spec.name, spec.target.clone()))
    }

    /// The identity through which this was asked.
    pub(crate) fn bot(&self) -> &str {
        &self.request.message().bot
    }

    /// Whether the caller may see what runs of an app in an environment.
    pub(crate) fn may_see(&self, app: &str, environment: &str) -> bool {
        self.context.access.bots.touches(self.bot(), environment)
            && self.rights().rule(Some(app), Some(environment)).is_some()
    }

    /// Adds a change that must be on disk together with this call's answer.
    pub(crate) fn also_write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Keeps others from a job until this call's result is on disk.
    pub(crate) fn hold(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    /// Ends the guest once what it waits for is on disk.
    pub(crate) fn park(&mut self, parking: Parking) {
        if let Some(job_run) = self.job_run() {
            job_run.parking = Some(parking);
        }
    }

    pub(crate) fn parking(&mut self) -> Option<Parking> {
        self.job_run()?.parking.take()
    }

    /// Counts something said; false where there was enough: a room is for people.
    pub(crate) fn may_say(&mut self) -> bool {
        self.says += 1;
        self.says <= MOST_SAYS
    }

    /// Words of a query, shown before its answer.
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
