//! One run of a guest, on the host's side: who asked, what it may do, what it used, what it did.
//!
//! This is the data of the wasmtime store: it lives as long as the guest does and no longer.
//! Not here: what is written down and what is read back (`journaling`), and the rules (`judge`).

use std::{borrow::Cow, collections::{BTreeMap, BTreeSet}, sync::Arc};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{approval_gate::Unapproved, authorize::Rule, context::Shared, gate::Parking, tally::Tally};
use crate::{adapter::{Clock, Steady}, base::Text, job::{Ask, Claim, Claims, Effect, Job, JobRun, Places, Replay}, messaging::{Notices, Outbox}, metrics::Decision, model::{Attributes, Catalog, RunKey}, plugin::{LoadedPlugin, Meter}, policy::{Access, Approval, Authorized, Freezes, Grants, Rights, Still}, store::{Place, Store, StoreError, Write}};

/// How often one invocation may say something before it answers.
const MOST_SAYS: u32 = 20;

/// Why the host ends a guest that did nothing wrong. It goes on from its journal, now or later.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Stop {
    /// It waits.
    #[error("it waits")]
    Parked,
    /// It stands in line for a place.
    #[error("it stands in line for {0}")]
    InLine(Place),
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
pub(crate) enum Purpose {
    /// Nothing it does can change anything.
    Query,
    /// Its calls are journaled, and those that were are answered from the journal.
    Job(Box<Life>),
    /// A dry run: nothing happens, and what would is listed.
    Plan(Box<Rehearsal>),
}

/// What was done so far: by the same guest before a crash or a wait, and by this run of it.
pub(crate) struct Past {
    pub(crate) replay: Replay,
    /// What the operator wrote for the plugin when the job began.
    pub(crate) settings: Vec<(String, String)>,
    /// The runs that it started, as far as it has come; `None` for one whose pipeline is no longer configured.
    pub(crate) runs: BTreeMap<RunKey, Option<JobRun>>,
    pub(crate) timers: BTreeMap<String, Timer>,
    /// Its effects in their order: the ids that they gave.
    pub(crate) effects: Vec<Option<String>>,
    /// The environments that they touched.
    pub(crate) touched: BTreeSet<String>,
}

impl Past {
    pub(crate) fn new(replay: Replay, settings: Vec<(String, String)>) -> Self {
        let (runs, timers) = (BTreeMap::new(), BTreeMap::new());
        Self { replay, settings, runs, timers, effects: Vec::new(), touched: BTreeSet::new() }
    }
}

/// One dry run.
pub(crate) struct Rehearsal {
    pub(crate) past: Past,
    /// The job's id: names that a plugin is given are made of it.
    job: String,
    /// What would happen.
    pub(crate) effects: Vec<Effect>,
    /// What it would keep: seen by this run alone. `None` for what it would forget.
    pub(crate) kept: BTreeMap<String, Option<Vec<u8>>>,
}

impl Rehearsal {
    /// One for a job of this id, or for one that there could be.
    pub(crate) fn new(past: Past, job: String) -> Self {
        Self { past, job, effects: Vec::new(), kept: BTreeMap::new() }
    }
}

/// One run of a job's guest.
pub(crate) struct Life {
    pub(crate) job: Arc<Job>,
    pub(crate) past: Past,
    /// What the job asked other people, and what they said.
    pub(crate) ask: Option<Ask>,
    /// Whether the plugin was told that its job was called off.
    pub(crate) told: bool,
    /// The places that the call at hand took.
    pub(crate) taken: Vec<Place>,
    pub(crate) parking: Option<Parking>,
}

/// A moment that a guest can wait for.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Timer {
    /// When it was set.
    pub(crate) set: jiff::Timestamp,
    /// When it is reached, by [`Steady`].
    pub(crate) at: jiff::Timestamp,
}

impl Life {
    pub(crate) fn new(job: Arc<Job>, past: Past, ask: Option<Ask>, told: bool) -> Self {
        Self { job, past, ask, told, taken: Vec::new(), parking: None }
    }
}

/// One run of a guest.
pub struct Invocation {
    shared: Arc<Shared>,
    authorized: Arc<Authorized>,
    pub(crate) purpose: Purpose,
    plugin: Arc<LoadedPlugin>,
    pub(crate) meter: Meter,
    /// The number of the intent that is being done.
    pub(crate) intent: u32,
    pub(crate) writes: Vec<Write>,
    said: Vec<Text>,
    says: u32,
    // Jobs that nobody else may touch until this call's result is on disk.
    pub(crate) claims: Vec<Claim>,
    // From the check of an effect to its intent nobody freezes anything.
    pub(crate) still: Option<Still>,
    pub(crate) tally: Tally,
}

/// A call that was allowed and is being done.
pub(crate) struct Begun {
    pub(crate) index: usize,
    pub(crate) number: u32,
    pub(crate) rule: Rule,
    pub(crate) attributes: Attributes,
}

impl Invocation {
    pub(crate) fn new(
        shared: Arc<Shared>,
        authorized: Arc<Authorized>,
        purpose: Purpose,
        plugin: Arc<LoadedPlugin>,
        limits: crate::model::Limits,
    ) -> Self {
        Self {
            shared,
            authorized,
            purpose,
            plugin,
            meter: Meter::new(limits),
            intent: 0,
            writes: Vec::new(),
            said: Vec::new(),
            says: 0,
            claims: Vec::new(),
            still: None,
            tally: Tally::default(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn authorized(&self) -> &Arc<Authorized> {
        &self.authorized
    }

    pub(crate) fn plugin(&self) -> &str {
        &self.plugin.name
    }

    /// Counts a call that was judged.
    pub(crate) fn judged(&self, call: usize, decision: Decision) {
        self.plugin.counted.count(call, decision);
    }

    pub(crate) fn loaded(&self) -> &Arc<LoadedPlugin> {
        &self.plugin
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.plugin.grants
    }

    pub(crate) fn settings(&self) -> &[(String, String)] {
        match &self.purpose {
            Purpose::Query => &self.plugin.settings,
            Purpose::Job(life) => &life.past.settings,
            Purpose::Plan(rehearsal) => &rehearsal.past.settings,
        }
    }

    pub(crate) fn life(&mut self) -> Option<&mut Life> {
        match &mut self.purpose {
            Purpose::Query | Purpose::Plan(_) => None,
            Purpose::Job(life) => Some(life),
        }
    }

    pub(crate) fn past(&mut self) -> Option<&mut Past> {
        match &mut self.purpose {
            Purpose::Query => None,
            Purpose::Job(life) => Some(&mut life.past),
            Purpose::Plan(rehearsal) => Some(&mut rehearsal.past),
        }
    }

    /// What was done so far, where anything can be.
    pub(crate) fn seen_past(&self) -> Option<&Past> {
        match &self.purpose {
            Purpose::Query => None,
            Purpose::Job(life) => Some(&life.past),
            Purpose::Plan(rehearsal) => Some(&rehearsal.past),
        }
    }

    pub(crate) fn rehearsal(&mut self) -> Option<&mut Rehearsal> {
        match &mut self.purpose {
            Purpose::Query | Purpose::Job(_) => None,
            Purpose::Plan(rehearsal) => Some(rehearsal),
        }
    }

    /// Whether it is a dry run.
    pub(crate) fn is_rehearsal(&self) -> bool {
        matches!(self.purpose, Purpose::Plan(_))
    }

    /// What a dry run would do.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        self.rehearsal().map(|rehearsal| std::mem::take(&mut rehearsal.effects)).unwrap_or_default()
    }

    /// The job that it runs for; none for a query and a dry run.
    pub(crate) fn job(&self) -> Option<&Arc<Job>> {
        match &self.purpose {
            Purpose::Query | Purpose::Plan(_) => None,
            Purpose::Job(life) => Some(&life.job),
        }
    }

    pub(crate) fn job_id(&self) -> &str {
        match &self.purpose {
            Purpose::Query => "query",
            Purpose::Job(life) => &life.job.row().id,
            Purpose::Plan(rehearsal) => &rehearsal.job,
        }
    }

    /// Whether all that the guest did so far was answered from the journal, and more of it is there.
    pub(crate) fn replays(&self) -> Option<String> {
        let past = self.seen_past().filter(|past| !past.replay.is_over())?;
        past.replay.expected()
    }

    /// Counts the calls of this run, this one included; the same one each time it runs.
    pub(crate) fn call_number(&self) -> u32 {
        self.meter.calls()
    }

    /// The number of the intent that is being done.
    pub(crate) fn intent(&self) -> u32 {
        self.intent
    }

    /// What lets the caller run this command now. A query is over before a right that was taken back would matter: it has
    /// those with which it was begun.
    pub(crate) fn rights(&self) -> Cow<'_, Rights> {
        if self.job().is_none() {
            return Cow::Borrowed(self.authorized.rights());
        }
        let spec = self.authorized.command().spec();
        Cow::Owned(self.shared.access.rights(self.authorized.asker(), &spec.name, spec.target.clone()))
    }

    /// The identity through which this was asked.
    pub(crate) fn bot(&self) -> &str {
        &self.authorized.message().bot
    }

    /// Whether the caller may see what runs of an app in an environment.
    pub(crate) fn may_see(&self, app: &str, environment: &str) -> bool {
        self.shared.access.bots.touches(self.bot(), environment)
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
        if let Some(life) = self.life() {
            life.parking = Some(parking);
        }
    }

    pub(crate) fn parking(&mut self) -> Option<Parking> {
        self.life()?.parking.take()
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
    pub(crate) fn meter(&mut self, params: &impl Serialize) -> wasmtime::Result<()> {
        self.meter.call(params)
    }
}
