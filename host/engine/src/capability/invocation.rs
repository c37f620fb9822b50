//! One run of a guest, on the host's side: who asked, what it may do, what it used, what it did.
//!
//! This is the data of the wasmtime store: it lives as long as the guest does and no longer.
//! Not here: what is written down and what is read back (`journaling`), and the rules (`judge`).

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Attributes, call::Parking, judge::Rule, tally::Tally};
use crate::{
    access::{Access, Authorized, Grants},
    approval::{Freezes, Still},
    config::Catalog,
    job::{Claim, Claims, Job, JobRun, Places, Replay, Steady},
    plugin::{LoadedPlugin, Meter},
    port::{
        Clock, RunKey, Store, StoreError,
        store::{Place, Write},
    },
    reply::{Outbox, Text},
};

/// How often one invocation may say something before it answers.
const MOST_SAYS: u32 = 20;

/// What all invocations share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) steady: Steady,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) access: Arc<Access>,
    pub(crate) freezes: Freezes,
    pub(crate) places: Places,
    pub(crate) claims: Claims,
    /// Cancelled when the engine was asked to stop: guests end at their next call, and go on after the next start.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when there is no more time: what is at work then is ended where it stands.
    pub(crate) stop: CancellationToken,
    /// Told that a time may have come earlier than was known.
    pub(crate) alarm: tokio::sync::Notify,
}

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
}

/// Whether a guest runs for a query or a job.
pub(crate) enum Purpose {
    /// Nothing it does can change anything.
    Query,
    /// Its calls are journaled, and those that were are answered from the journal.
    Job(Box<Life>),
}

/// One run of a job's guest.
pub(crate) struct Life {
    pub(super) job: Arc<Job>,
    pub(super) replay: Replay,
    /// What the operator wrote for the plugin when the job began.
    pub(super) settings: Vec<(String, String)>,
    /// The runs that it started, as far as it has come; `None` for one whose pipeline is no longer configured.
    pub(super) runs: BTreeMap<RunKey, Option<JobRun>>,
    pub(super) timers: BTreeMap<String, Timer>,
    /// Whether the plugin was told that its job was called off.
    pub(super) told: bool,
    /// The places that the call at hand took.
    pub(super) taken: Vec<Place>,
    pub(super) parking: Option<Parking>,
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
    pub(crate) fn new(job: Arc<Job>, replay: Replay, settings: Vec<(String, String)>, told: bool) -> Self {
        Self {
            job,
            replay,
            settings,
            runs: BTreeMap::new(),
            timers: BTreeMap::new(),
            told,
            taken: Vec::new(),
            parking: None,
        }
    }
}

/// One run of a guest.
pub struct Invocation {
    shared: Arc<Shared>,
    authorized: Arc<Authorized>,
    pub(super) purpose: Purpose,
    plugin: Arc<LoadedPlugin>,
    pub(crate) meter: Meter,
    /// The number of the intent that is being done.
    pub(super) intent: u32,
    pub(super) writes: Vec<Write>,
    said: Vec<Text>,
    says: u32,
    // Jobs that nobody else may touch until this call's result is on disk.
    pub(super) claims: Vec<Claim>,
    // From the check of an effect to its intent nobody freezes anything.
    pub(super) still: Option<Still>,
    pub(crate) tally: Tally,
}

/// A call that was allowed and is being done.
pub(super) struct Begun {
    pub(super) index: usize,
    pub(super) number: u32,
    pub(super) rule: Rule,
    pub(super) attributes: Attributes,
}

impl Invocation {
    pub(crate) fn new(
        shared: Arc<Shared>,
        authorized: Arc<Authorized>,
        purpose: Purpose,
        plugin: Arc<LoadedPlugin>,
        limits: crate::plugin::Limits,
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

    pub(super) fn authorized(&self) -> &Arc<Authorized> {
        &self.authorized
    }

    pub(super) fn plugin(&self) -> &str {
        &self.plugin.name
    }

    pub(super) fn loaded(&self) -> &Arc<LoadedPlugin> {
        &self.plugin
    }

    pub(super) fn grants(&self) -> &Grants {
        &self.plugin.grants
    }

    pub(super) fn settings(&self) -> &[(String, String)] {
        match &self.purpose {
            Purpose::Query => &self.plugin.settings,
            Purpose::Job(life) => &life.settings,
        }
    }

    pub(super) fn life(&mut self) -> Option<&mut Life> {
        match &mut self.purpose {
            Purpose::Query => None,
            Purpose::Job(life) => Some(life),
        }
    }

    pub(super) fn job(&self) -> Option<&Arc<Job>> {
        match &self.purpose {
            Purpose::Query => None,
            Purpose::Job(life) => Some(&life.job),
        }
    }

    pub(super) fn job_id(&self) -> &str {
        self.job().map_or("query", |job| job.row().id.as_str())
    }

    /// Whether all that the guest did so far was answered from the journal, and more of it is there.
    pub(crate) fn replays(&self) -> Option<String> {
        match &self.purpose {
            Purpose::Job(life) if !life.replay.is_over() => life.replay.expected(),
            _ => None,
        }
    }

    /// Counts the calls of this run, this one included; the same one each time it runs.
    pub(super) fn call_number(&self) -> u32 {
        self.meter.calls()
    }

    /// The number of the intent that is being done.
    pub(super) fn intent(&self) -> u32 {
        self.intent
    }

    /// Whether the caller may see what runs of an app in an environment.
    pub(super) fn may_see(&self, app: &str, environment: &str) -> bool {
        self.shared.access.bot_environments.iter().any(|known| known == environment)
            && self.authorized.rights().rule(Some(app), Some(environment)).is_some()
    }

    /// Adds a change that must be on disk together with this call's answer.
    pub(super) fn also_write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Keeps others from a job until this call's result is on disk.
    pub(super) fn hold(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    /// Ends the guest once what it waits for is on disk.
    pub(super) fn park(&mut self, parking: Parking) {
        if let Some(life) = self.life() {
            life.parking = Some(parking);
        }
    }

    pub(super) fn parking(&mut self) -> Option<Parking> {
        self.life()?.parking.take()
    }

    /// Counts something said; false where there was enough: a room is for people.
    pub(super) fn may_say(&mut self) -> bool {
        self.says += 1;
        self.says <= MOST_SAYS
    }

    /// Words of a query, shown before its answer.
    pub(super) fn say_with_answer(&mut self, text: Text) {
        self.said.push(text);
    }

    pub(crate) fn take_said(&mut self) -> Vec<Text> {
        std::mem::take(&mut self.said)
    }

    /// Counts a call and its bytes against the limits.
    pub(super) fn meter(&mut self, params: &impl Serialize) -> wasmtime::Result<()> {
        self.meter.call(params)
    }
}
