//! Writes the calls of a guest to the journal, and answers calls from it on replay.
//!
//! Invariant: an intent is on disk before its effect begins, and an answer is on disk at the latest with the next
//! intent, wait or end. No effect therefore depends on an answer that a crash could lose. A failed write ends the
//! guest; the job continues later by replay of the entries that were written.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    authorize::Rule,
    host_call::{HostCall, Parking, problem},
    invocation::{CallInProgress, GuestStop, Invocation, JobRun},
};
use crate::{
    base::Text,
    job::{Denied, NoReplay, Reason},
    metrics::{Decision, ends, job_ended},
    model::{Attribute, Attributes, CallKind, CallSpec, RoomName},
    plugin::bindings::types,
    store::{DeploymentLock, Entry, EntryKind, JobStatus, StoreError, Write},
};

type Answered<C> = Result<<C as HostCall>::Answer, <C as HostCall>::Error>;

impl Invocation {
    /// The recorded answer of a call that the journal contains. `None` if the replay is finished: the call is new.
    ///
    /// # Errors
    /// [`GuestStop::Diverged`] if the journal contains another call or cannot be decoded, [`GuestStop::Unkept`] if the
    /// store is unavailable, and [`GuestStop::Stopping`] if the call is new and the host is shutting down.
    pub(crate) async fn answer_from_journal<C: HostCall>(
        &mut self,
        call: &C,
        row: &CallSpec,
        params: &C::Params,
    ) -> wasmtime::Result<Option<Answered<C>>> {
        // 1. The next entry of the journal. It must be of the same call with the same arguments.
        let context = self.context().clone();
        let job = self.job().is_some();
        let Some(replay) = self.replay_state_mut() else { return Ok(None) };
        let found = replay.replay.next(&*context.store, row.name, params).await.map_err(|error| match error {
            NoReplay::Differs(why) => GuestStop::Diverged(why),
            // The blob of an entry is missing or was changed: the journal is damaged there.
            NoReplay::Store(StoreError::Failed(why)) => GuestStop::Diverged(why),
            NoReplay::Store(error) => GuestStop::Unkept(error),
        })?;
        let Some(crate::job::ReplayStep { answer, begun }) = found else {
            // 2. The call is new. During a shutdown a job makes no new calls; they are made after the next start.
            return if job && context.stopping.is_cancelled() { Err(GuestStop::Stopping.into()) } else { Ok(None) };
        };
        // 3. The recorded answer.
        let answer: Answered<C> = serde::Deserialize::deserialize(answer).map_err(|error| {
            GuestStop::Diverged(format!("the answer of entry {} cannot be read: {error}", begun.number))
        })?;
        // 4. The counters and limits, as on the first run.
        if begun.kind == EntryKind::Denied {
            self.tally.refuse(row);
            if let Ok(denied) = serde_json::from_value::<Denied>(begun.body["denied"].clone()) {
                self.tally.denied(denied);
            }
        } else {
            self.tally.allow(row);
            if row.kind == CallKind::Acts {
                self.meter.act();
                self.replay_effect(row, &begun, &answer);
            } else {
                self.meter.answer(&answer)?;
            }
        }
        // 5. The state that later calls of this run need.
        call.replayed(self, params, &answer, &begun);
        Ok(Some(answer))
    }

    /// The denial that the guest receives: the kind of the first reason, and all texts in one line.
    pub(crate) fn denial(reasons: &[Reason]) -> types::Denial {
        let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
        types::Denial {
            reason: reasons.first().map_or("grant", |reason| reason.kind.as_str()).to_owned(),
            message: texts.join("; "),
        }
    }

    /// Records a refused call in the journal, the log, the metrics and the job's summary.
    pub(crate) async fn deny<A: Serialize, E: Serialize>(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        reasons: Vec<Reason>,
        params: &impl Serialize,
        answer: &Result<A, E>,
    ) -> wasmtime::Result<()> {
        self.freeze_guard = None;
        self.tally.refuse(row);
        self.count_decision(row, Decision::Denied);
        let denied = Denied { call: row.name.to_owned(), about: about(attributes), reasons };
        let why = denied.texts();
        let add = denied.reasons.iter().find_map(|reason| reason.add.as_deref());
        let add = add.unwrap_or("nothing can be added").replace('\n', " | ");
        tracing::warn!(
            plugin = self.plugin(),
            job = self.job_id(),
            call = row.name,
            about = denied.about,
            person = self.request().caller().id,
            why,
            add,
            "refused a call"
        );
        if self.job().is_some() {
            let body = json!({ "arguments": params, "answer": answer, "denied": denied });
            let entry = self.entry(EntryKind::Denied, row, &why, attributes, body);
            self.note(entry).await?;
        }
        self.tally.denied(denied);
        Ok(())
    }

    /// Records an effect that was not performed because another job holds its lock or because its own job was
    /// cancelled.
    pub(crate) async fn record_not_tried<A: Serialize, E: Serialize>(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        params: &impl Serialize,
        answer: &Result<A, E>,
    ) -> wasmtime::Result<()> {
        self.freeze_guard = None;
        self.tally.refuse(row);
        self.count_decision(row, Decision::TurnedAway);
        let body = json!({ "arguments": params, "answer": answer });
        let entry = self.entry(EntryKind::Denied, row, "not tried", attributes, body);
        self.note(entry).await
    }

    /// The refusal of an effect beyond the limit `acts`.
    pub(crate) fn too_many_effects(&self) -> Reason {
        let text = format!("one command has at most {} effects", self.meter.limits().acts);
        let add = Some(format!("[plugin.{}.limits] acts = ...", self.plugin()));
        Reason { kind: "limit".to_owned(), text, add }
    }

    /// The error for the first effect after the job was cancelled. `None` afterwards, so that the plugin can clean up.
    pub(crate) fn cancelled_error(&mut self, row: &CallSpec) -> Option<NotTried> {
        let job_run = self
            .job_run()
            .filter(|job_run| row.kind == CallKind::Acts && job_run.job.is_cancelled() && !job_run.told)?;
        job_run.told = true;
        Some(NotTried { code: "cancelled", message: "the job was cancelled".to_owned() })
    }

    /// Takes the deployment locks of an effect. If another job holds one, returns the error for the guest.
    ///
    /// # Errors
    /// [`GuestStop::InLine`] if the command was typed with `--wait` and the job holds no other lock: it then queues.
    pub(crate) fn take_locks(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
    ) -> wasmtime::Result<Result<(), NotTried>> {
        let context = self.context().clone();
        let wait = self.request().command().wait();
        let (CallKind::Acts, Some(job_run)) = (row.kind, self.job_run()) else { return Ok(Ok(())) };
        let locks = if row.locks { locks(attributes) } else { Vec::new() };
        match context.locks.take(&locks, job_run.job.row()) {
            Ok(taken) => job_run.taken = taken,
            Err(busy) if wait && !busy.holds_another => return Err(GuestStop::InLine(busy.lock).into()),
            Err(busy) => return Ok(Err(NotTried { code: "busy", message: busy.to_string() })),
        }
        Ok(Ok(()))
    }

    /// Stores the intent of an effect, with its deployment locks and its messages to other rooms, in one transaction.
    /// For other calls it only counts the call.
    ///
    /// # Errors
    /// [`GuestStop::Unkept`] if the store is unavailable. The effect must then not be performed.
    pub(crate) async fn begin(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        rule: Rule,
        params: &impl Serialize,
    ) -> wasmtime::Result<CallInProgress> {
        let mut number = 0;
        if row.kind == CallKind::Acts {
            let entry = self.entry(EntryKind::Intent, row, &rule.text(), attributes, json!({ "arguments": params }));
            let context = self.context().clone();
            let mut told = self.shown(attributes).await;
            told.extend(
                rule.tell.iter().enumerate().filter_map(|(nth, (room, words))| self.override_notice(nth, room, words)),
            );
            let says = !told.is_empty();
            if let Some(JobRun { job, taken, .. }) = self.job_run() {
                let takes = std::mem::take(taken);
                let take = |place: &DeploymentLock| Write::Lock { lock: place.clone(), job: job.row().id.clone() };
                let writes = takes.iter().map(take).chain(told).collect();
                number = job.enter(&*context.store, vec![entry], writes).await.map_err(GuestStop::Unkept)?;
                context.locks.mark_stored(&takes);
                if says {
                    context.outbox.wake();
                }
            }
            self.intent = number;
            self.freeze_guard = None;
        }
        self.tally.allow(row);
        self.count_decision(row, Decision::Allowed);
        let attributes = if self.job().is_some() { attributes.clone() } else { Attributes::new() };
        Ok(CallInProgress { row: *row, number, rule, attributes })
    }

    /// The message about an overridden approval to a configured room. `None` if the bot cannot post there.
    fn override_notice(&self, nth: usize, room: &RoomName, words: &str) -> Option<Write> {
        let (job, replay) = (self.job()?, self.replay_state()?);
        let destination = self.context().outbox.destination(&job.row().bot, room)?;
        let key = format!("{}/told-{}-{nth}-{}", job.row().id, replay.effects.len(), destination.room);
        Some(Write::Send(destination.say(key, Text::lines(words))))
    }

    /// Stores the answer of a call and its pending writes in one transaction.
    pub(crate) async fn record<A: Serialize, E: Serialize>(
        &mut self,
        begun: CallInProgress,
        kind: CallKind,
        params: &impl Serialize,
        answer: &Result<A, E>,
    ) -> wasmtime::Result<()> {
        // 1. A dry run keeps its values in memory, visible to this run only.
        if let Some(dry_run_state) = self.dry_run_state() {
            let mut kept = std::mem::take(&mut dry_run_state.kept);
            for write in std::mem::take(&mut self.writes) {
                match write {
                    Write::SetValue { key, value, .. } => drop(kept.insert(key, Some(value))),
                    Write::DeleteValue { key, .. } => drop(kept.insert(key, None)),
                    _ => {}
                }
            }
            if let Some(dry_run_state) = self.dry_run_state() {
                dry_run_state.kept = kept;
            }
        }
        if self.job().is_none() {
            return Ok(());
        }
        // 2. The entry: a result for an effect, a call otherwise.
        let (entry_kind, body) = match kind {
            CallKind::Acts => (EntryKind::Result, json!({ "answer": answer })),
            _ => (EntryKind::Call, json!({ "arguments": params, "answer": answer })),
        };
        let mut entry = self.entry(entry_kind, &begun.row, &begun.rule.text(), &begun.attributes, body);
        entry.of = (kind == CallKind::Acts).then_some(begun.number);
        // 3. The transaction. A call that changes nothing is only queued and is on disk with the next transaction. The
        //    claims end after it.
        let _claims = std::mem::take(&mut self.claims);
        let writes = std::mem::take(&mut self.writes);
        if writes.is_empty() && !matches!(kind, CallKind::Acts | CallKind::Keeps) {
            return self.note(entry).await;
        }
        self.commit(entry, writes).await
    }

    /// Stores the wait and the job's status in one transaction. The gate ends the guest after this.
    pub(crate) async fn wait(
        &mut self,
        begun: CallInProgress,
        params: &impl Serialize,
        parking: Parking,
    ) -> wasmtime::Result<()> {
        let Parking { body: more, status } = parking;
        let mut body = Map::from_iter([("arguments".to_owned(), json!(params))]);
        body.extend(more);
        let entry = self.entry(EntryKind::Wait, &begun.row, &begun.rule.text(), &begun.attributes, Value::Object(body));
        let writes = std::mem::take(&mut self.writes);
        if let Some(job) = self.job() {
            job.enter_with_status(&*self.context().store, vec![entry], status, writes)
                .await
                .map_err(GuestStop::Unkept)?;
            self.context().outbox.wake();
        }
        // The job may wake earlier than the scheduler's current alarm.
        self.context().alarm.notify_one();
        Ok(())
    }

    async fn commit(&mut self, entry: Entry, writes: Vec<Write>) -> wasmtime::Result<()> {
        let says = writes.iter().any(|write| matches!(write, Write::Send(_)));
        let ends = ends(&writes);
        let leaves = writes.iter().any(|write| matches!(write, Write::Open(_)));
        let rights = |write: &&Write| matches!(write, Write::Grant(_) | Write::Revoke(_));
        let rights: Vec<Write> = writes.iter().filter(rights).cloned().collect();
        if let Some(job) = self.job() {
            job.enter(&*self.context().store, vec![entry], writes).await.map_err(GuestStop::Unkept)?;
        }
        ends.into_iter().for_each(job_ended);
        self.context().access.changed(&rights);
        if says {
            self.context().outbox.wake();
        }
        if leaves {
            // A scheduled job may start earlier than the scheduler's current alarm.
            self.context().alarm.notify_one();
        }
        Ok(())
    }

    async fn note(&mut self, entry: Entry) -> wasmtime::Result<()> {
        if let Some(job) = self.job() {
            job.note(&*self.context().store, entry).await;
        }
        Ok(())
    }

    fn entry(&self, kind: EntryKind, row: &CallSpec, rule: &str, attributes: &Attributes, body: Value) -> Entry {
        let attributes = attributes.iter().map(|(attribute, values)| (attribute.as_str().to_owned(), values.clone()));
        Entry {
            job: self.job_id().to_owned(),
            number: 0,
            kind,
            plugin: self.plugin().to_owned(),
            call: row.name.to_owned(),
            of: None,
            rule: rule.to_owned(),
            attributes: attributes.collect(),
            body,
            blob: None,
            at: self.context().clock.now(),
        }
    }
}

/// The error of an effect that the rules allow and that is not performed now.
pub(crate) struct NotTried {
    code: &'static str,
    message: String,
}

impl NotTried {
    pub(crate) fn into_error<E: super::host_call::GuestError>(self) -> E {
        problem(self.code, self.message)
    }
}

/// The deployment locks of an effect: every combination of its apps and environments.
fn locks(attributes: &Attributes) -> Vec<DeploymentLock> {
    let values = |attribute| attributes.get(&attribute).map(Vec::as_slice).unwrap_or_default();
    let environments = values(Attribute::Environment);
    let of = |app: &String| {
        let place = |environment: &String| DeploymentLock { app: app.clone(), environment: environment.clone() };
        environments.iter().map(place).collect::<Vec<_>>()
    };
    values(Attribute::App).iter().flat_map(of).collect()
}

/// A call's attributes in one line for people, such as `cms/production version 1.0.2`.
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

/// The status of a job whose guest runs.
pub(crate) fn working(now: jiff::Timestamp) -> JobStatus {
    JobStatus { phase: crate::store::JobPhase::Running, about: String::new(), since: now, wake: None }
}
