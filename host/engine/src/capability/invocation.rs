//! One invocation of a guest, on the host's side: who asked, what it may do, what it used, what it did.
//!
//! This is the data of the wasmtime store: it lives as long as the guest does and no longer.

use std::sync::{Arc, atomic::AtomicBool};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    Attributes, Kind, Reason, TABLE,
    judge::Rule,
    tally::{Denied, Tally},
};
use crate::{
    access::{Access, Authorized, Grants},
    config::Catalog,
    job::Job,
    plugin::{LoadedPlugin, Meter, bindings::types},
    port::{
        Clock, RunKey, Store,
        store::{Entry, EntryKind, Write},
    },
    reply::{Outbox, Text},
};

/// How often one invocation may say something before it answers.
const MOST_SAYS: u32 = 20;

/// What all invocations share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) access: Arc<Access>,
    /// Cancelled when the engine was asked to stop: what is at work then is ended, and is on disk.
    pub(crate) stop: CancellationToken,
}

/// Whether a guest runs for a query or a job.
pub(crate) enum Purpose {
    /// Nothing it does can change anything.
    Query,
    /// Its calls are journaled.
    Job(Arc<Job>),
}

/// One invocation.
pub struct Invocation {
    shared: Arc<Shared>,
    authorized: Arc<Authorized>,
    purpose: Purpose,
    plugin: Arc<LoadedPlugin>,
    pub(crate) meter: Meter,
    /// Set while the guest waits: that time is nobody's fault.
    pub(crate) waiting: Arc<AtomicBool>,
    number: u32,
    writes: Vec<Write>,
    said: Vec<Text>,
    says: u32,
    // A run whose end this call gives to the guest; it counts only once that is on disk.
    ended: Option<RunKey>,
    pub(crate) tally: Tally,
}

/// A call that was allowed and is being done.
pub(super) struct Begun {
    index: usize,
    number: u32,
    rule: Rule,
    attributes: Attributes,
}

impl Invocation {
    pub(crate) fn new(
        shared: Arc<Shared>,
        authorized: Arc<Authorized>,
        purpose: Purpose,
        plugin: Arc<LoadedPlugin>,
    ) -> Self {
        let meter = Meter::new(plugin.limits);
        Self {
            shared,
            authorized,
            purpose,
            plugin,
            meter,
            waiting: Arc::default(),
            number: 0,
            writes: Vec::new(),
            said: Vec::new(),
            says: 0,
            ended: None,
            tally: Tally::default(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn authorized(&self) -> &Authorized {
        &self.authorized
    }

    pub(super) fn plugin(&self) -> &str {
        &self.plugin.name
    }

    pub(super) fn grants(&self) -> &Grants {
        &self.plugin.grants
    }

    pub(super) fn settings(&self) -> &[(String, String)] {
        &self.plugin.settings
    }

    pub(super) fn job(&self) -> Option<&Arc<Job>> {
        match &self.purpose {
            Purpose::Query => None,
            Purpose::Job(job) => Some(job),
        }
    }

    pub(super) fn job_id(&self) -> &str {
        self.job().map_or("query", |job| job.row().id.as_str())
    }

    /// The number of the call that is being done, among all of this invocation's.
    pub(super) fn number(&self) -> u32 {
        self.number
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

    /// Counts something said; false where there was enough: a room is for people.
    pub(super) fn may_say(&mut self) -> bool {
        self.says += 1;
        self.says <= MOST_SAYS
    }

    /// This call answers with a run's end. Nobody else follows the run once the answer is on disk.
    pub(super) fn saw_end(&mut self, run: RunKey) {
        self.ended = Some(run);
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
        self.number += 1;
        self.meter.call(params)
    }

    /// Records a refused call, for journal, log and room.
    pub(super) fn deny(
        &mut self,
        index: usize,
        attributes: &Attributes,
        reasons: Vec<Reason>,
        params: &impl Serialize,
    ) -> types::Denial {
        let row = &TABLE[index];
        self.tally.refuse(index);
        let about = about(attributes);
        let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
        let message = texts.join("; ");
        let add = reasons
            .iter()
            .find_map(|reason| reason.add.as_deref())
            .unwrap_or("nothing can be added")
            .replace('\n', " | ");
        tracing::warn!(
            plugin = self.plugin(),
            job = self.job_id(),
            call = row.name,
            about,
            person = self.authorized.caller().id,
            why = message,
            add,
            "refused a call"
        );
        if let Purpose::Job(_) = &self.purpose {
            let entry =
                self.entry(EntryKind::Denied, index, &message, attributes, &serde_json::json!({ "arguments": params }));
            self.shared.store.note(vec![Write::Enter(entry)]);
        }
        let reason = reasons.first().map_or("grant", |reason| reason.kind).to_owned();
        if self.tally.denied.len() < Tally::MOST_DENIED {
            self.tally.denied.push(Denied { call: row.name, about, reasons });
        }
        types::Denial { reason, message }
    }

    /// Refuses an effect because there were enough.
    pub(super) fn deny_effect(
        &mut self,
        index: usize,
        attributes: &Attributes,
        params: &impl Serialize,
    ) -> types::Denial {
        let text = format!("one command has at most {} effects", self.meter.limits().acts);
        let add = Some(format!("[plugin.{}.limits] acts = ...", self.plugin()));
        self.deny(index, attributes, vec![Reason { kind: "limit", text, add }], params)
    }

    /// Keeps the intent of a call that acts, before it is done.
    pub(super) async fn begin(
        &mut self,
        index: usize,
        attributes: &Attributes,
        rule: Rule,
        params: &impl Serialize,
    ) -> Result<Begun, String> {
        if TABLE[index].kind == Kind::Acts {
            let entry = self.entry(
                EntryKind::Intent,
                index,
                &rule.text(),
                attributes,
                &serde_json::json!({ "arguments": params }),
            );
            let kept = self.shared.store.commit(vec![Write::Enter(entry)]).await;
            kept.map_err(|error| format!("nothing was done: {error}"))?;
        }
        self.tally.allow(index);
        let attributes = if self.job().is_some() { attributes.clone() } else { Attributes::new() };
        Ok(Begun { index, number: self.number, rule, attributes })
    }

    /// Keeps what came of a call, with everything that must be on disk together with it.
    pub(super) async fn record<A: Serialize, E: Serialize>(
        &mut self,
        begun: Begun,
        kind: Kind,
        params: &impl Serialize,
        answer: &Result<A, E>,
    ) -> Result<(), String> {
        if self.job().is_none() {
            return Ok(());
        }
        let (entry_kind, body) = match kind {
            Kind::Acts => (EntryKind::Result, serde_json::json!({ "answer": answer })),
            _ => (EntryKind::Call, serde_json::json!({ "arguments": params, "answer": answer })),
        };
        let mut entry = self.entry(entry_kind, begun.index, &begun.rule.text(), &begun.attributes, &body);
        if kind == Kind::Acts {
            // The intent has the call's own number; its result comes behind it.
            entry.of = Some(begun.number);
            self.number += 1;
            entry.number = self.number;
        }
        let mut writes = vec![Write::Enter(entry)];
        writes.append(&mut self.writes);
        let ended = self.ended.take();
        let says = writes.iter().any(|write| matches!(write, Write::Say(_)));
        if writes.len() > 1 || matches!(kind, Kind::Acts | Kind::Keeps | Kind::Waits) {
            self.shared.store.commit(writes).await.map_err(|error| error.to_string())?;
            if let (Some(run), Some(job)) = (ended, self.job()) {
                job.end_run(&run);
            }
            if says {
                self.shared.outbox.wake();
            }
        } else {
            self.shared.store.note(writes);
        }
        Ok(())
    }

    fn entry(
        &self,
        kind: EntryKind,
        index: usize,
        rule: &str,
        attributes: &Attributes,
        body: &serde_json::Value,
    ) -> Entry {
        let attributes = attributes.iter().map(|(attribute, values)| (attribute.as_str().to_owned(), values.clone()));
        Entry {
            job: self.job_id().to_owned(),
            number: self.number,
            kind,
            plugin: self.plugin().to_owned(),
            call: TABLE[index].name.to_owned(),
            of: None,
            rule: rule.to_owned(),
            attributes: attributes.collect(),
            body: body.clone(),
            beside: None,
            at: self.shared.clock.now(),
        }
    }

    /// How many entries this invocation's calls took.
    pub(crate) fn entries(&self) -> u32 {
        self.number
    }
}

/// What a call is about, for people: the target and what is done to it.
fn about(attributes: &Attributes) -> String {
    use crate::access::Attribute;
    let one = |attribute| attributes.get(&attribute).map(|values| values.join(", ")).filter(|text| !text.is_empty());
    let place = match (one(Attribute::App), one(Attribute::Environment)) {
        (Some(app), Some(environment)) => Some(format!("{app}/{environment}")),
        (app, environment) => app.or(environment).or_else(|| one(Attribute::Pipeline)),
    };
    let version = one(Attribute::Version).map(|version| format!("version {version}"));
    let key = one(Attribute::Key).map(|key| format!("key {key}"));
    [place, version, key].into_iter().flatten().collect::<Vec<_>>().join(" ")
}
