//! What a call leaves in the journal, and what it finds there when its plugin runs anew.
//!
//! Invariant: what the guest is given is on disk before it acts on it: an intent before the effect, an answer at the latest
//! with the next intent, wait or end. What cannot be written ends the guest, who goes on from what was.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{authorize::Rule, gate::{HostCall, Parking, problem}, invocation::{Begun, Invocation, Life, Stop}, table::{Row, TABLE}};
use crate::{base::Text, job::{Denied, NoReplay, Reason}, metrics::{Decision, ends, job_ended}, model::{Attribute, Attributes, CallKind, RoomName}, plugin::bindings::types, store::{Entry, EntryKind, Place, Stand, StoreError, Write}};

/// A call's answer by the host's side.
type Answered<C> = Result<<C as HostCall>::Answer, <C as HostCall>::Error>;

impl Invocation {
    /// The answer of a call that was made before.
    pub(crate) async fn replay<C: HostCall>(
        &mut self,
        index: usize,
        params: &C::Params,
    ) -> wasmtime::Result<Option<Answered<C>>> {
        let row = &TABLE[index];
        let shared = self.shared().clone();
        let job = self.job().is_some();
        let Some(past) = self.past() else { return Ok(None) };
        let found = past.replay.next(&*shared.store, row.name, params).await.map_err(|error| match error {
            NoReplay::Differs(why) => Stop::Diverged(why),
            // What stood beside an entry is gone or was changed: the journal is broken there.
            NoReplay::Store(StoreError::Failed(why)) => Stop::Diverged(why),
            NoReplay::Store(error) => Stop::Unkept(error),
        })?;
        let Some(crate::job::Found { answer, begun }) = found else {
            // What is beyond the journal waits for the next start.
            return if job && shared.stopping.is_cancelled() { Err(Stop::Stopping.into()) } else { Ok(None) };
        };
        let answer: Answered<C> = serde::Deserialize::deserialize(answer)
            .map_err(|error| Stop::Diverged(format!("the answer of entry {} cannot be read: {error}", begun.number)))?;
        if begun.kind == EntryKind::Denied {
            self.tally.refuse(index);
            if let Ok(denied) = serde_json::from_value::<Denied>(begun.body["denied"].clone()) {
                self.tally.denied(denied);
            }
        } else {
            self.tally.allow(index);
            if row.kind == CallKind::Acts {
                self.meter.act();
                self.replay_effect(row, &begun, &answer);
            } else {
                self.meter.answer(&answer)?;
            }
        }
        C::replayed(self, params, &answer, &begun);
        Ok(Some(answer))
    }

    /// What a refused guest is told.
    pub(crate) fn denial(reasons: &[Reason]) -> types::Denial {
        let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
        types::Denial {
            reason: reasons.first().map_or("grant", |reason| reason.kind.as_str()).to_owned(),
            message: texts.join("; "),
        }
    }

    /// Records a refused call, for journal, log and room.
    pub(crate) async fn deny<A: Serialize, E: Serialize>(
        &mut self,
        index: usize,
        attributes: &Attributes,
        reasons: Vec<Reason>,
        params: &impl Serialize,
        answer: &Result<A, E>,
    ) -> wasmtime::Result<()> {
        let row = &TABLE[index];
        self.still = None;
        self.tally.refuse(index);
        self.judged(index, Decision::Denied);
        let denied = Denied { call: row.name.to_owned(), about: about(attributes), reasons };
        let why = denied.texts();
        let add = denied.reasons.iter().find_map(|reason| reason.add.as_deref());
        let add = add.unwrap_or("nothing can be added").replace('\n', " | ");
        tracing::warn!(
            plugin = self.plugin(),
            job = self.job_id(),
            call = row.name,
            about = denied.about,
            person = self.authorized().caller().id,
            why,
            add,
            "refused a call"
        );
        if self.job().is_some() {
            let body = json!({ "arguments": params, "answer": answer, "denied": denied });
            let entry = self.entry(EntryKind::Denied, index, &why, attributes, body);
            self.note(entry).await?;
        }
        self.tally.denied(denied);
        Ok(())
    }

    /// Records an effect that was not tried, because its place is another job's or its own job was called off.
    pub(crate) async fn turn_away<A: Serialize, E: Serialize>(
        &mut self,
        index: usize,
        attributes: &Attributes,
        params: &impl Serialize,
        answer: &Result<A, E>,
    ) -> wasmtime::Result<()> {
        self.still = None;
        self.tally.refuse(index);
        self.judged(index, Decision::TurnedAway);
        let body = json!({ "arguments": params, "answer": answer });
        let entry = self.entry(EntryKind::Denied, index, "not tried", attributes, body);
        self.note(entry).await
    }

    /// One command has only so many effects.
    pub(crate) fn too_many_effects(&self) -> Reason {
        let text = format!("one command has at most {} effects", self.meter.limits().acts);
        let add = Some(format!("[plugin.{}.limits] acts = ...", self.plugin()));
        Reason { kind: "limit".to_owned(), text, add }
    }

    /// Why an effect is not tried, if its job was called off and the plugin does not know yet.
    pub(crate) fn called_off(&mut self, row: &Row) -> Option<Turned> {
        let life = self.life().filter(|life| row.kind == CallKind::Acts && life.job.is_cancelled() && !life.told)?;
        life.told = true;
        Some(Turned { code: "cancelled", message: "the job was called off".to_owned() })
    }

    /// Why an effect is not tried now, if another job holds its place.
    pub(crate) fn take_places(&mut self, row: &Row, attributes: &Attributes) -> wasmtime::Result<Result<(), Turned>> {
        let shared = self.shared().clone();
        let wait = self.authorized().command().wait();
        let (CallKind::Acts, Some(life)) = (row.kind, self.life()) else { return Ok(Ok(())) };
        let places = if row.takes_place() { places(attributes) } else { Vec::new() };
        match shared.places.take(&places, life.job.row()) {
            Ok(taken) => life.taken = taken,
            Err(busy) if wait && !busy.holds_another => return Err(Stop::InLine(busy.place).into()),
            Err(busy) => return Ok(Err(Turned { code: "busy", message: busy.to_string() })),
        }
        Ok(Ok(()))
    }

    /// Keeps the intent of a call that acts, before it is done.
    pub(crate) async fn begin(
        &mut self,
        index: usize,
        attributes: &Attributes,
        rule: Rule,
        params: &impl Serialize,
    ) -> wasmtime::Result<Begun> {
        let mut number = 0;
        if TABLE[index].kind == CallKind::Acts {
            let entry = self.entry(EntryKind::Intent, index, &rule.text(), attributes, json!({ "arguments": params }));
            let shared = self.shared().clone();
            let mut told = self.shown(attributes).await;
            told.extend(rule.tell.iter().enumerate().filter_map(|(nth, (room, words))| self.tells(nth, room, words)));
            let says = !told.is_empty();
            if let Some(Life { job, taken, .. }) = self.life() {
                let takes = std::mem::take(taken);
                let take = |place: &Place| Write::Take { place: place.clone(), job: job.row().id.clone() };
                let writes = takes.iter().map(take).chain(told).collect();
                number = job.enter(&*shared.store, vec![entry], writes).await.map_err(Stop::Unkept)?;
                shared.places.wrote(&takes);
                if says {
                    shared.outbox.wake();
                }
            }
            self.intent = number;
            self.still = None;
        }
        self.tally.allow(index);
        self.judged(index, Decision::Allowed);
        let attributes = if self.job().is_some() { attributes.clone() } else { Attributes::new() };
        Ok(Begun { index, number, rule, attributes })
    }

    /// What a room of the configuration is told before an effect.
    fn tells(&self, nth: usize, room: &RoomName, words: &str) -> Option<Write> {
        let (job, past) = (self.job()?, self.seen_past()?);
        let spot = self.shared().outbox.spot(&job.row().bot, room)?;
        let key = format!("{}/told-{}-{nth}-{}", job.row().id, past.effects.len(), spot.room);
        Some(Write::Say(spot.say(key, Text::lines(words))))
    }

    /// Keeps what came of a call, with everything that must be on disk together with it.
    pub(crate) async fn record<A: Serialize, E: Serialize>(
        &mut self,
        begun: Begun,
        kind: CallKind,
        params: &impl Serialize,
        answer: &Result<A, E>,
    ) -> wasmtime::Result<()> {
        if let Some(rehearsal) = self.rehearsal() {
            let mut kept = std::mem::take(&mut rehearsal.kept);
            for write in std::mem::take(&mut self.writes) {
                match write {
                    Write::Set { key, value, .. } => drop(kept.insert(key, Some(value))),
                    Write::Delete { key, .. } => drop(kept.insert(key, None)),
                    _ => {}
                }
            }
            if let Some(rehearsal) = self.rehearsal() {
                rehearsal.kept = kept;
            }
        }
        if self.job().is_none() {
            return Ok(());
        }
        let (entry_kind, body) = match kind {
            CallKind::Acts => (EntryKind::Result, json!({ "answer": answer })),
            _ => (EntryKind::Call, json!({ "arguments": params, "answer": answer })),
        };
        let mut entry = self.entry(entry_kind, begun.index, &begun.rule.text(), &begun.attributes, body);
        entry.of = (kind == CallKind::Acts).then_some(begun.number);
        let _claims = std::mem::take(&mut self.claims);
        let writes = std::mem::take(&mut self.writes);
        if writes.is_empty() && !matches!(kind, CallKind::Acts | CallKind::Keeps) {
            return self.note(entry).await;
        }
        self.commit(entry, writes).await
    }

    /// Keeps what the guest waits for; it is ended after this.
    pub(crate) async fn wait(
        &mut self,
        begun: Begun,
        params: &impl Serialize,
        parking: Parking,
    ) -> wasmtime::Result<()> {
        let Parking { body: more, stand } = parking;
        let mut body = Map::from_iter([("arguments".to_owned(), json!(params))]);
        body.extend(more);
        let entry =
            self.entry(EntryKind::Wait, begun.index, &begun.rule.text(), &begun.attributes, Value::Object(body));
        let writes = std::mem::take(&mut self.writes);
        if let Some(job) = self.job() {
            job.enter_and_stand(&*self.shared().store, vec![entry], stand, writes).await.map_err(Stop::Unkept)?;
            self.shared().outbox.wake();
        }
        // It may be earlier than what is slept for.
        self.shared().alarm.notify_one();
        Ok(())
    }

    async fn commit(&mut self, entry: Entry, writes: Vec<Write>) -> wasmtime::Result<()> {
        let says = writes.iter().any(|write| matches!(write, Write::Say(_)));
        let ends = ends(&writes);
        let leaves = writes.iter().any(|write| matches!(write, Write::Open(_)));
        let rights = |write: &&Write| matches!(write, Write::Grant(_) | Write::Revoke(_));
        let rights: Vec<Write> = writes.iter().filter(rights).cloned().collect();
        if let Some(job) = self.job() {
            job.enter(&*self.shared().store, vec![entry], writes).await.map_err(Stop::Unkept)?;
        }
        ends.into_iter().for_each(job_ended);
        self.shared().access.changed(&rights);
        if says {
            self.shared().outbox.wake();
        }
        if leaves {
            // What was left for later may begin before what is slept for.
            self.shared().alarm.notify_one();
        }
        Ok(())
    }

    async fn note(&mut self, entry: Entry) -> wasmtime::Result<()> {
        if let Some(job) = self.job() {
            job.note(&*self.shared().store, entry).await;
        }
        Ok(())
    }

    fn entry(&self, kind: EntryKind, index: usize, rule: &str, attributes: &Attributes, body: Value) -> Entry {
        let attributes = attributes.iter().map(|(attribute, values)| (attribute.as_str().to_owned(), values.clone()));
        Entry {
            job: self.job_id().to_owned(),
            number: 0,
            kind,
            plugin: self.plugin().to_owned(),
            call: TABLE[index].name.to_owned(),
            of: None,
            rule: rule.to_owned(),
            attributes: attributes.collect(),
            body,
            beside: None,
            at: self.shared().clock.now(),
        }
    }
}

/// Why an effect that the rules allow is not tried now.
pub(crate) struct Turned {
    code: &'static str,
    message: String,
}

impl Turned {
    pub(crate) fn into_error<E: super::gate::GuestError>(self) -> E {
        problem(self.code, self.message)
    }
}

/// The places that an effect touches.
fn places(attributes: &Attributes) -> Vec<Place> {
    let values = |attribute| attributes.get(&attribute).map(Vec::as_slice).unwrap_or_default();
    let environments = values(Attribute::Environment);
    let of = |app: &String| {
        let place = |environment: &String| Place { app: app.clone(), environment: environment.clone() };
        environments.iter().map(place).collect::<Vec<_>>()
    };
    values(Attribute::App).iter().flat_map(of).collect()
}

/// What a call is about, for people: the target and what is done to it.
fn about(attributes: &Attributes) -> String {
    let one = |attribute| attributes.get(&attribute).map(|values| values.join(", ")).filter(|text| !text.is_empty());
    let place = match (one(Attribute::App), one(Attribute::Environment)) {
        (Some(app), Some(environment)) => Some(format!("{app}/{environment}")),
        (app, environment) => app.or(environment).or_else(|| one(Attribute::Pipeline)),
    };
    let version = one(Attribute::Version).map(|version| format!("version {version}"));
    let key = one(Attribute::Key).map(|key| format!("key {key}"));
    let person = one(Attribute::Person).map(|person| format!("person {person}"));
    let role = one(Attribute::Role).map(|role| format!("role {role}"));
    [place, version, key, person, role].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Where a job stands while its plugin works.
pub(crate) fn working(now: jiff::Timestamp) -> Stand {
    Stand { phase: crate::store::Phase::Working, about: String::new(), since: now, wake: None }
}
